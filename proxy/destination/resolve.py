"""From an allowed name to the one address that may be dialled.

One resolution, every answer checked, and the caller dials the address returned here: the name is
never resolved again for that dial. Operator pins (`resolve:` in the site policy) replace DNS.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from proxy.policy.decide import is_dialable
from proxy.policy.hosts import is_ip_literal
from proxy.policy.model import Decision, Policy, Verdict
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError, deny

RESOLVE_TIMEOUT_S = 5.0
MAX_ANSWERS = 64
"""Answers looked at; a name with more is refused rather than read."""

Lookup = Callable[[str], Awaitable[list[str]]]
"""Name -> address texts. Raises OSError where there is no answer."""


class NotDialableError(RefusedError):
    """No address of the name may be dialled; `decision` says why."""


async def lookup_ipv4(host: str) -> list[str]:
    """Ask the system's resolver for A records; the proxy itself asks by `proxy.destination.stub`.

    The name is asked with a final dot, so that no search domain is ever tried.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host + ".", None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def vetted_address(
    policy: Policy, host: str, *, own_addresses: set[str], lookup: Lookup = lookup_ipv4
) -> str:
    """The address to dial for `host`. Raises NotDialableError when any answer may not be dialled."""
    if is_ip_literal(host):
        answers = [host]
    elif pinned := policy.resolve.get(host):
        answers = list(pinned)
    else:
        try:
            answers = await asyncio.wait_for(lookup(host), RESOLVE_TIMEOUT_S)
        except (OSError, UnicodeError, TimeoutError) as exc:
            raise NotDialableError(_dns_failure(f"{host} could not be resolved")) from exc
    if not 0 < len(answers) <= MAX_ANSWERS:
        raise NotDialableError(_dns_failure(f"{host} has {len(answers)} addresses"))
    for address in answers:
        decision = is_dialable(policy, host, address)
        if decision.verdict is not Verdict.ALLOW:
            raise NotDialableError(decision)
        if address in own_addresses:
            raise NotDialableError(deny(ReasonCode.PRIVATE_ADDRESS, f"{host} resolves to the proxy itself"))
    return answers[0]


def _dns_failure(detail: str) -> Decision:
    return deny(ReasonCode.DNS_FAILURE, detail)
