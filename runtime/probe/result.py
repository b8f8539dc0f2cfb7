"""The probe's values: cases, what each promises, what was seen, what that means. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Group = Literal[
    "control", "policy", "names", "addresses", "protocols", "dns", "lateral", "kernel", "secrets", "abuse"
]
GROUPS: tuple[Group, ...] = get_args(Group)


class Verdict(enum.StrEnum):
    """ESCAPED comes first: nothing defaults to HELD."""

    ESCAPED = "escaped"
    """Something got out, or a defence that the case aims at did not hold."""
    FAILED = "failed"
    """Nothing was seen to get out, but not everything promised was seen either."""
    HELD = "held"


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


@dataclass(frozen=True, slots=True)
class Inside:
    """What the attempt saw. The zero value is an attempt that never reported."""

    outcome: str = "missing"
    """`answered`, `closed`, `connected`, `silent`, `blocked`, `possible`, `resolved`, `nxdomain`, `error`."""
    detail: str = "the sandbox reported nothing for this case"
    statuses: tuple[int, ...] = ()
    reasons: tuple[str | None, ...] = ()
    """One for each status; None where the answer is not one of the proxy's."""
    ports: tuple[int, ...] = ()
    """Source ports it used towards the proxy: they tie audit lines to this case."""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outside:
    """What everybody else saw of the case."""

    lines: tuple[Mapping[str, Any], ...] = ()
    """Audit lines."""
    requests: tuple[Mapping[str, Any], ...] = ()
    """HTTP requests at the simulated upstreams that carry its marker."""
    sightings: tuple[str, ...] = ()
    """Everything that must not be: packets, connections, DNS questions, server names at the canaries."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case judged."""

    case: Case
    inside: Inside
    outside: Outside
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """A whole probe."""

    policy: str
    isolation: str
    engine: str
    results: tuple[Result, ...]
    took_s: float
    problems: tuple[str, ...] = ()
    """What went wrong outside any case: a canary that did not count, something left behind."""
    by_group: Mapping[str, Mapping[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        counts = {group: dict.fromkeys((v.value for v in Verdict), 0) for group in GROUPS}
        for result in self.results:
            counts[result.case.group][result.verdict.value] += 1
        object.__setattr__(self, "by_group", {g: c for g, c in counts.items() if any(c.values())})

    @property
    def is_contained(self) -> bool:
        """Whether every case held, and there was at least one."""
        held = all(result.verdict is Verdict.HELD for result in self.results)
        return bool(self.results) and held and not self.problems
