"""From a name to the one address that may be dialled."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from proxy.destination import resolve
from proxy.destination.resolve import NotDialableError, vetted_address
from proxy.policy.model import Policy
from proxy.policy.reasons import ReasonCode

PUBLIC = "93.184.216.34"


def lookup_of(*answers: str):
    """A resolver with these answers."""

    async def lookup(_host: str) -> list[str]:
        return list(answers)

    return lookup


async def failing(_host: str) -> list[str]:
    """A resolver without an answer."""
    raise OSError("no such name")


REFUSED = {
    "no answer at all": (lookup_of(), ReasonCode.DNS_FAILURE),
    "no such name": (failing, ReasonCode.DNS_FAILURE),
    "far too many answers": (lookup_of(*[PUBLIC] * 65), ReasonCode.DNS_FAILURE),
    "a private answer": (lookup_of("10.0.0.1"), ReasonCode.PRIVATE_ADDRESS),
    "one private answer behind a public one": (lookup_of(PUBLIC, "127.0.0.1"), ReasonCode.PRIVATE_ADDRESS),
    "metadata": (lookup_of("169.254.169.254"), ReasonCode.METADATA_ADDRESS),
    "the proxy itself": (lookup_of("93.184.216.99"), ReasonCode.PRIVATE_ADDRESS),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_answers(case: str):
    """Any answer that may not be dialled refuses the name."""
    lookup, reason = REFUSED[case]

    with pytest.raises(NotDialableError) as caught:
        await vetted_address(Policy(name="p"), "ok.test", own_addresses={"93.184.216.99"}, lookup=lookup)

    assert caught.value.decision.reason_code is reason


async def test_slow_resolver_is_a_failure(monkeypatch):
    """A resolver that does not answer ends in a refusal, in bounded time."""
    monkeypatch.setattr(resolve, "RESOLVE_TIMEOUT_S", 0.01)

    async def never(_host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(NotDialableError):
        await vetted_address(Policy(name="p"), "ok.test", own_addresses=set(), lookup=never)


async def test_first_of_good_answers():
    """Good answers: the first is dialled."""
    assert (
        await vetted_address(Policy(name="p"), "ok.test", own_addresses=set(), lookup=lookup_of(PUBLIC))
        == PUBLIC
    )


async def test_pins_replace_dns_within_allow_private():
    """An operator's pin is never looked up, and may be private only where the operator said so."""
    policy = Policy(
        name="p", resolve={"ok.test": ("10.1.2.3",)}, allow_private=(ipaddress.ip_network("10.1.2.3/32"),)
    )

    assert await vetted_address(policy, "ok.test", own_addresses=set(), lookup=failing) == "10.1.2.3"


async def test_literal_is_its_own_answer():
    """An address needs no lookup, and is checked all the same."""
    assert await vetted_address(Policy(name="p"), PUBLIC, own_addresses=set(), lookup=failing) == PUBLIC
    with pytest.raises(NotDialableError):
        await vetted_address(Policy(name="p"), "10.0.0.1", own_addresses=set(), lookup=failing)
