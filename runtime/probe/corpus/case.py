"""One attack of the corpus, and what must come of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Group = Literal[
    "control", "policy", "names", "addresses", "protocols", "dns", "lateral", "kernel", "secrets", "abuse"
]


GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, slots=True)
class Refused:
    """The proxy refuses before any lookup or dial, and writes exactly `lines` audit lines."""

    reasons: frozenset[str]
    """Reason codes, any of which is right."""
    lines: int = 1
    is_silent: bool = False
    """The client sees a closed connection or a TLS alert instead of a problem+json."""
    upstream: int = 0
    """Requests that legitimately reach an allowed upstream on the way."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No packet arrives; neither does an answer. There is no audit line: the proxy has no part in it."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The kernel, the container's configuration or the file system says no."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The DNS sink answers with a failure, or with no address, and asks nobody."""

    lines: int = 1
    """Audit lines; 0 for a question that is malformed or asks for no name of its own."""


@dataclass(frozen=True, slots=True)
class Works:
    """A positive control: it reaches the upstream `requests` times, and the audit says allow."""

    requests: int = 1
    absent: tuple[str, ...] = ()
    """Header names that the upstream must not have seen."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """An allowed upstream whose certificate is wrong: the client gets a 502, the upstream no request."""


@dataclass(frozen=True, slots=True)
class Contained:
    """An abuse ends at its limit; `reason` is the audit's where the proxy is what ends it."""

    reason: str | None = None


Expect = Refused | Unreachable | Blocked | Unresolved | Works | Unverified | Contained


@dataclass(frozen=True, slots=True)
class Case:
    """One attempt. `{m}` in its arguments becomes a marker of its own, `{ip}` an address of its own."""

    id: str
    """Row of the attack reference and a letter: `N-07a`."""
    group: Group
    title: str
    """What it tries, in a few words."""
    action: str
    """Name of a function of `inside.actions`."""
    args: Mapping[str, Any]
    expect: Expect
    fix: str
    """What to look at when it did not hold."""
    is_serial: bool = False
    """Made alone, after all others."""
    isolations: frozenset[str] = frozenset({"runc", "runsc"})
    """Where it is made."""
    is_last: bool = False
    """Made at the very end: it may take the whole sandbox with it, which then counts as its limit."""
