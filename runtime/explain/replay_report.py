"""Every decision of a run or file under another policy, as one document of a stable shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from proxy.contract.decision_line import DecisionLine
from proxy.policy.llm import LLM_RULE, with_llm
from proxy.policy.model import Policy
from runtime.explain.replay import (
    Change,
    Outcome,
    Policies,
    Replayed,
    is_told_by,
    replay_line,
    rests_on_rules,
)

NOT_REPLAYED = (
    "budgets: what was spent by then is in no line",
    "addresses of names that were refused before a lookup: what is allowed here may be refused for them",
    "secrets in requests that were refused before they were searched",
)
"""What a replay says nothing about, in the words that it says so."""

_OF_ONE_LINE = frozenset({"at", "request_id", "client_port"})

FindPolicy = Callable[[str], Policy | None]


def replay(lines: Iterable[DecisionLine], new: Policy, find_old: FindPolicy) -> dict[str, Any]:
    """Compare; `find_old` gives the policy of a name as it stands now, None where there is none.

    Equal decisions are one entry with `times`. Where the agent of a run had the LLM router, its lines say so.
    """
    lines = list(lines)
    with_router = {line["sandbox_id"] for line in lines if line["rule_id"] == LLM_RULE.id}
    judged_by = {name: find_old(name) for name in {line["policy"] for line in lines} if name is not None}
    plain = {name: Policies(new, old) for name, old in judged_by.items()}
    routed = {name: Policies(with_llm(new), old and with_llm(old)) for name, old in judged_by.items()}
    counts: Counter[str] = Counter()
    entries: dict[tuple[object, ...], dict[str, Any]] = {}
    strangers: Counter[str] = Counter()
    for line, times in _counted(lines):
        found = routed if line["sandbox_id"] in with_router else plain
        policies = found.get(line["policy"] or "", Policies(new, None))
        if rests_on_rules(line) and not (policies.old and is_told_by(policies.old, line)):
            strangers[line["policy"] or ""] += times
        replayed = replay_line(line, policies)
        counts[replayed.change] += times
        if replayed.change is not Change.UNCHANGED:
            _enter(entries, line, replayed, times)
    return {
        "policy": new.name,
        "decisions": sum(counts.values()),
        "counts": {change.value: counts[change] for change in Change},
        "changed": [entry for entry in entries.values() if entry["change"] != Change.CANNOT_BE_TOLD],
        "cannot_be_told": [entry for entry in entries.values() if entry["change"] == Change.CANNOT_BE_TOLD],
        "judged_by_another_policy": dict(sorted(strangers.items())),
        "not_replayed": list(NOT_REPLAYED),
    }


def _counted(lines: Iterable[DecisionLine]) -> Iterator[tuple[DecisionLine, int]]:
    """One line of all that differ in time and number only, and how many decisions it stands for."""
    alike: dict[tuple[object, ...], tuple[DecisionLine, int]] = {}
    for line in lines:
        key = tuple(value for name, value in line.items() if name not in _OF_ONE_LINE)
        first, times = alike.get(key, (line, 0))
        alike[key] = first, times + (line["suppressed"] or 1)
    yield from alike.values()


def _enter(
    entries: dict[tuple[object, ...], dict[str, Any]], line: DecisionLine, replayed: Replayed, times: int
) -> None:
    shown = {name: line[name] for name in ("entry", "method", "host", "port", "path", "tls", "policy")}
    old = Outcome(line["verdict"], line["reason_code"], line["rule_id"])
    key = (*shown.values(), old, replayed)
    if key in entries:
        entries[key]["times"] += times
        return
    entries[key] = {
        "change": replayed.change.value,
        "times": times,
        "first_at": line["at"],
        **shown,
        "was": old._asdict(),
        "would_be": replayed.new and replayed.new._asdict(),
        "missing": replayed.why or None,
    }
