"""Where the fuzz takes place: addresses of loopback that are its own, names, secrets, and the grant."""

from __future__ import annotations

import ipaddress
import os
from typing import NamedTuple

from proxy.contract.grant import Grant, GrantSecret
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Budgets, Policy, TlsMode

TOKEN = "token-of-the-fuzz"
TRUE, STAND_IN = "sk-true-0123456789abcdef", "sk-placeholder-012345678"
HELD = "database-password-0123456789"
SECRETS = (GrantSecret("FUZZ_KEY", TRUE, STAND_IN), GrantSecret("DB_PASSWORD", HELD))
HOSTILE, PASSED, KEYED, PATHS, BROKEN, WILD = (
    f"{name}.test" for name in ("ok", "pass", "key", "paths", "broken", "x.wild")
)
WITNESS = "witness.test"
CLIENT = "127.0.0.1"
"""What Linux takes for the source of a connection to any address of loopback."""
PLAIN_PORT, TLS_PORT, BROKEN_PORT, HONEST_PORT = 80, 443, 8443, 8000
LIFTED = {"CONNECTIONS_PER_MINUTE", "TUNNELS_PER_MINUTE", "QUESTIONS_PER_MINUTE"}
"""Rates of `proxy.policy.limits` that would let most of the fuzz meet a refusal and nothing behind it."""


class Place(NamedTuple):
    """The addresses of one fuzz, which differ from those of another one at the same time."""

    worker: str
    neighbour: str
    upstream: str
    honest: str
    names: str

    @property
    def doors(self) -> dict[str, int]:
        """The worker's ports by door."""
        return {"explicit": 8080, "sni": 443, "host": 80, "dns": 53, "datagram": 53}


def own_place() -> Place:
    """A /24 of loopback by this process's number."""
    net = f"127.{100 + os.getpid() // 250 % 100}.{1 + os.getpid() % 250}"
    return Place(*(f"{net}.{last}" for last in (2, 10, 20, 21, 53)))


def policy(place: Place, ca_pem: str) -> Policy:
    """Every kind of rule: inspected, passed through, by path, with a key, by a name that is looked up."""
    ports = frozenset({PLAIN_PORT, TLS_PORT, BROKEN_PORT, HONEST_PORT})

    def rule(index: int, host: str, **more: object) -> AllowRule:
        return AllowRule(id=f"t.allow[{index}]", host=HostPattern.parse(host), ports=ports, **more)  # type: ignore[arg-type]

    allow = (
        rule(0, HOSTILE),
        rule(1, PASSED, tls=TlsMode.PASSTHROUGH),
        rule(2, KEYED, credential="FUZZ_KEY", pin_credential=True),
        rule(3, PATHS, methods=frozenset({"GET"}), paths=("/v1/*",)),
        rule(4, BROKEN),
        rule(5, "*.wild.test"),
        rule(6, WITNESS, secrets=frozenset({"DB_PASSWORD"})),
    )
    resolve = dict.fromkeys((HOSTILE, PASSED, KEYED, PATHS, BROKEN), (place.upstream,))
    return Policy(
        name="t",
        allow=allow,
        budgets=Budgets(requests_per_minute=1_000_000, connections=256),
        resolve={**resolve, WITNESS: (place.honest,)},
        allow_private=tuple(ipaddress.ip_network(f"{a}/32") for a in (place.upstream, place.honest)),
        upstream_ca_pem=ca_pem,
        has_tripwire=True,
    )


def grant(place: Place, sandbox_id: str, address: str, ca_pem: str) -> Grant:
    """The fuzz is the sandbox `one`, its neighbour `two`."""
    return Grant(sandbox_id, 1, policy(place, ca_pem), address, CLIENT, 24 * 3600.0, TOKEN, SECRETS)
