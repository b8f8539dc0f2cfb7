"""The policy's values. Deny is the zero value: an empty policy allows nothing."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from proxy.policy.hosts import HostPattern
from proxy.policy.passes import Passes
from proxy.policy.reasons import ReasonCode

NEVER_CARRIED = frozenset({"CONNECT", "TRACE"})
"""Methods that no rule can allow: one opens a tunnel, the other reflects what the proxy added."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Verdict(enum.StrEnum):
    """DENY comes first, so that nothing defaults to ALLOW."""

    DENY = "deny"
    ALLOW = "allow"


class TlsMode(enum.StrEnum):
    """What the proxy does with a connection's TLS."""

    INSPECT = "inspect"
    PASSTHROUGH = "passthrough"


@dataclass(frozen=True, slots=True)
class AllowRule:
    """Allows what matches all of it; None means "any".

    Raises ValueError for a rule that nobody could enforce: one about requests that are never seen.
    """

    id: str
    """`<policy>.allow[<index>]`, as it stands in the file."""
    host: HostPattern
    ports: frozenset[int] = frozenset({443})
    methods: frozenset[str] | None = None
    paths: tuple[str, ...] | None = None
    """Globs over the path without the query; `*` matches any run of characters."""
    tls: TlsMode = TlsMode.INSPECT
    credential: str | None = None
    """Name of the secret that is swapped in here and nowhere else."""
    pin_credential: bool = False
    """Refuse requests that carry any other credential."""
    credential_headers: frozenset[str] = frozenset()
    """Lower-case names of headers, beside the usual ones, in which the credential may stand."""
    passes: Passes | None = None
    """Headers, parameters and subprotocols that may be sent beside it; None judges each by its name."""
    secrets: frozenset[str] = frozenset()
    """Secrets of the sandbox's own environment that may be sent here as they are."""
    is_tls_chosen: bool = True
    """Whether the file says `tls:`; what is passed through by default only gives way to a tripwire."""

    def __post_init__(self) -> None:
        needs = (self.methods, self.paths, self.credential)
        if self.tls is TlsMode.PASSTHROUGH and any(need is not None for need in needs):
            raise ValueError(f"{self.id}: methods, paths and a credential need tls: inspect")
        if self.pin_credential and self.credential is None:
            raise ValueError(f"{self.id}: pin_credential needs a credential")
        if self.credential_headers and self.credential is None:
            raise ValueError(f"{self.id}: credential_headers need a credential")
        if self.passes is not None and not self.pin_credential:
            raise ValueError(f"{self.id}: passes needs a pinned credential")


@dataclass(frozen=True, slots=True)
class DenyRule:
    """Refuses a host whatever allows it."""

    id: str
    host: HostPattern


@dataclass(frozen=True, slots=True)
class Budgets:
    """What one sandbox may spend; None leaves it to `proxy.policy.limits`.

    Bytes are counted on the sandbox's side of the proxy; `llm_tokens` and `llm_usd` where the daemon routes
    LLM calls (`runtime.llm`).
    """

    requests_per_minute: int | None = None
    bytes_out: int | None = None
    bytes_in: int | None = None
    connections: int | None = None
    tunnels_per_minute: int | None = None
    new_names_per_minute: int | None = None
    """Names that need a certificate of their own."""
    dns_questions_per_minute: int | None = None
    llm_tokens: int | None = None
    llm_usd: Decimal | None = None
    """US dollars."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy, with `extends` and the site's additions already merged in."""

    name: str
    allow: tuple[AllowRule, ...] = ()
    deny: tuple[DenyRule, ...] = ()
    agents: tuple[str, ...] = ()
    """Agents it may call through the gateway (`org/name`, `org/*`, `*/*`); carried, not enforced yet."""
    budgets: Budgets = Budgets()
    allow_any_public: bool = False
    """Hosts that no rule names are allowed on https/443 and http/80, at public addresses only."""
    resolve: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Operator's pins: normalised name -> addresses, instead of DNS."""
    allow_private: tuple[Network, ...] = ()
    """Operator's exceptions from the private ranges; never from the metadata addresses."""
    upstream_ca_pem: str | None = None
    has_tripwire: bool = False
    """The sandbox holds secrets in its environment: what no rule chose to pass through is inspected."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked; `method` and `path` are None while only the destination is known."""

    host: str
    """Normalised by `normalize_host`."""
    port: int
    scheme: Literal["https", "http"]
    method: str | None = None
    path: str | None = None
    """The request target in origin form; a query is ignored."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer; the same value makes the 403 body, the audit line and the test's expectation."""

    verdict: Verdict = Verdict.DENY
    reason_code: ReasonCode | None = None
    rule_id: str | None = None
    tls: TlsMode | None = None
    detail: str = ""
