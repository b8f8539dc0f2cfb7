"""The probe's values: cases, what each promises, what was seen, what that means. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.probe.corpus.case import GROUPS, Case


class Verdict(enum.StrEnum):
    """ESCAPED comes first: nothing defaults to HELD."""

    ESCAPED = "escaped"
    """Something got out, or a defence that the case aims at did not hold."""
    FAILED = "failed"
    """Nothing was seen to get out, but not everything promised was seen either."""
    HELD = "held"


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
    """What came of one case, as the judge sees it."""

    case: Case
    inside: Inside
    outside: Outside
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a whole probe: its results, and what was wrong with the probe itself."""

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
