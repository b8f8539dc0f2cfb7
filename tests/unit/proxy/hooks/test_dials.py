"""The one way to a checked address."""

from __future__ import annotations

import pytest

from proxy.policy.llm import LLM_HOST
from proxy.policy.refusal import RefusedError
from tests.unit.proxy.hooks.conftest import DB, GRANT, Wired

NAME = ("a.wild.test", 443)


async def test_a_secret_is_looked_for_first(wired: Wired) -> None:
    """Before the name is resolved, and whatever is pinned already."""
    session = wired.session("c")
    session.pins[f"{DB}.wild.test", 443] = "8.8.8.8"
    refusal = await wired.hooks.dials.vet(session, GRANT, f"{DB}.wild.test", 443)
    assert refusal is not None
    assert refusal.reason_code == "secret_leak"
    assert DB not in refusal.detail
    assert wired.lookups == []


async def test_a_name_is_resolved_once_for_a_connection(wired: Wired) -> None:
    """And what was checked is what is dialled."""
    session, dials = wired.session("c"), wired.hooks.dials
    assert dials.begin(session, "s", NAME) is None
    for _ in range(3):
        assert await dials.vet(session, GRANT, *NAME) is None
    assert wired.lookups == ["a.wild.test"]
    assert dials.begin(session, "s", NAME) == "8.8.8.8"
    assert dials.finish(session, "s", "8.8.8.8") == NAME
    assert session.dials == {}


async def test_an_address_that_may_not_be_dialled_is_refused(wired: Wired) -> None:
    """What the resolver says is judged."""
    session = wired.session("c")
    refusal = await wired.hooks.dials.vet(session, GRANT, "127.0.0.1", 443)
    assert refusal is not None
    assert session.pins == {}


async def test_the_routers_name_is_never_looked_up(wired: Wired) -> None:
    """It is open to whom the daemon opened it, and to nobody else."""
    refusal = await wired.hooks.dials.vet(wired.session("c"), GRANT, LLM_HOST, 80)
    assert refusal is not None
    assert refusal.reason_code == "not_allowed_host"
    assert wired.lookups == []


@pytest.mark.parametrize("peer", ["192.0.2.1", None])
async def test_another_peer_is_refused(wired: Wired, peer: str | None) -> None:
    """The dial is forgotten all the same."""
    session, dials = wired.session("c"), wired.hooks.dials
    await dials.vet(session, GRANT, *NAME)
    dials.begin(session, "s", NAME)
    with pytest.raises(RefusedError) as caught:
        dials.finish(session, "s", peer)
    assert caught.value.decision.reason_code == "dns_rebind"
    assert session.dials == {}


def test_a_dial_that_nobody_began_is_refused(wired: Wired) -> None:
    """There is no default name."""
    with pytest.raises(KeyError):
        wired.hooks.dials.finish(wired.session("c"), "s", "8.8.8.8")
