"""From what was seen on both sides to a verdict. Pure; HELD needs everything promised to have been seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.probe.corpus.case import (
    Blocked,
    Case,
    Contained,
    Refused,
    Unreachable,
    Unresolved,
    Unverified,
    Works,
)
from runtime.probe.result import Inside, Outside, Result, Verdict

Judged = tuple[Verdict, str]
_HELD = (Verdict.HELD, "")


def judge(case: Case, inside: Inside, outside: Outside) -> Result:
    """The verdict on one case, with a sentence where it is not HELD."""
    verdict, why = _verdict(case, inside, outside)
    return Result(case, inside, outside, verdict, why)


def _verdict(case: Case, inside: Inside, outside: Outside) -> Judged:
    if outside.sightings:
        return Verdict.ESCAPED, f"seen outside: {outside.sightings[0]}"
    if inside.outcome in {"missing", "error"}:
        return Verdict.FAILED, f"the attempt could not be made: {inside.detail}"
    return _JUDGES[type(case.expect)](case.expect, inside, outside)


def _blocked(_expected: Blocked, inside: Inside, _outside: Outside) -> Judged:
    if inside.outcome == "blocked":
        return _HELD
    return Verdict.ESCAPED, f"it worked: {inside.detail}"


def _refused(expected: Refused, inside: Inside, outside: Outside) -> Judged:
    if len(outside.requests) > expected.upstream:
        return Verdict.ESCAPED, f"the upstream saw {len(outside.requests)} requests"
    foreign = [s for s, r in zip(inside.statuses, inside.reasons, strict=True) if r is None and s < 400]
    if len(foreign) > expected.upstream:
        return Verdict.ESCAPED, f"somebody other than the proxy answered: {foreign}"
    wanted = " or ".join(sorted(expected.reasons))
    said = [reason for reason in inside.reasons if reason]
    if not expected.is_silent and (not said or not set(said) <= expected.reasons):
        return Verdict.FAILED, f"the client was to read {wanted}, it saw {said or inside.detail}"
    if expected.is_silent and inside.outcome not in {"closed", "answered"}:
        return Verdict.FAILED, f"the connection was to be closed: {inside.outcome}, {inside.detail}"
    return _audited(expected.reasons, expected.lines, outside)


def _audited(reasons: frozenset[str], count: int, outside: Outside) -> Judged:
    denied = [line for line in outside.lines if line["verdict"] == "deny"]
    if len(denied) != count:
        return Verdict.FAILED, f"{len(denied)} audit lines of a refusal instead of {count}"
    wrong = [str(line["reason_code"]) for line in denied if line["reason_code"] not in reasons]
    if wrong:
        return Verdict.FAILED, f"the audit says {wrong[0]}, not {' or '.join(sorted(reasons))}"
    return _HELD


def _works(expected: Works, inside: Inside, outside: Outside) -> Judged:
    if not any(200 <= status < 300 for status in inside.statuses):
        return Verdict.FAILED, f"what is allowed does not work: {inside.statuses or inside.detail}"
    if len(outside.requests) != expected.requests:
        return Verdict.FAILED, f"the upstream saw {len(outside.requests)} requests, not {expected.requests}"
    for request in outside.requests:
        for name, _ in request["headers"]:
            if str(name).lower() in expected.absent:
                return Verdict.ESCAPED, f"the upstream was sent the header {name}"
    if not any(line["verdict"] == "allow" for line in outside.lines):
        return Verdict.FAILED, "no audit line says allow"
    if any(line["verdict"] == "deny" for line in outside.lines):
        return Verdict.FAILED, "an audit line says deny"
    return _HELD


def _unresolved(expected: Unresolved, inside: Inside, outside: Outside) -> Judged:
    if inside.outcome == "resolved":
        return Verdict.ESCAPED, f"the name was resolved: {inside.detail}"
    if len(outside.lines) != expected.lines:
        return Verdict.FAILED, f"{len(outside.lines)} audit lines instead of {expected.lines}"
    return _HELD


def _unverified(_expected: Unverified, inside: Inside, outside: Outside) -> Judged:
    if outside.requests or any(status < 400 for status in inside.statuses):
        return Verdict.ESCAPED, "a request went to an upstream that could not prove who it is"
    if inside.statuses != (502,):
        return Verdict.FAILED, f"the client was to read 502, it saw {inside.statuses or inside.detail}"
    return _HELD


def _unreachable(_expected: Unreachable, inside: Inside, outside: Outside) -> Judged:
    if inside.outcome in {"connected", "answered", "possible"}:
        return Verdict.ESCAPED, f"it was reached: {inside.detail}"
    if outside.requests:
        return Verdict.ESCAPED, "an upstream saw a request"
    return _HELD


def _contained(expected: Contained, inside: Inside, outside: Outside) -> Judged:
    if inside.outcome != "blocked":
        return Verdict.ESCAPED, f"no limit was met: {inside.detail}"
    if expected.reason and not any(line["reason_code"] == expected.reason for line in outside.lines):
        return Verdict.FAILED, f"no audit line says {expected.reason}"
    return _HELD


_JUDGES: dict[type, Callable[[Any, Inside, Outside], Judged]] = {
    Blocked: _blocked,
    Contained: _contained,
    Refused: _refused,
    Unreachable: _unreachable,
    Unresolved: _unresolved,
    Unverified: _unverified,
    Works: _works,
}
