"""The canonical decision line: one per request, the same on the proxy's stderr, at the daemon and in its API.

No header, body, query string or credential is ever a field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypedDict, cast

from proxy.policy.model import Decision, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode

MASK = "***"
"""What stands in a line in the place of a secret's value."""
MAX_TEXT = 256
"""Characters kept of a host or a path: a line's size is bounded whatever the client sends."""


class DecisionLine(TypedDict):
    """One decision, as JSON-able values."""

    at: float
    """When it was made, in seconds since the epoch, by the proxy's clock."""
    sandbox_id: str | None
    """Whose connection it was; None for one that belongs to no sandbox. `runtime.egress.sandbox_id` turns
    it into a run's id."""
    request_id: str
    """Also in the body of a refusal. Several lines may be about one request."""
    verdict: str
    """`allow` or `deny`."""
    reason_code: str | None
    """Of a refusal (`ReasonCode`); None for what is allowed."""
    rule_id: str | None
    """The rule that decided, as `<policy>.allow[<index>]`; None where none did."""
    policy: str | None
    """The policy's name; None without a grant."""
    entry: str
    """The door it came in by: `explicit`, `sni`, `host` or `dns`."""
    client_port: int | None
    """The source port of the sandbox's connection, by which a line is matched to an attempt."""
    method: str | None
    """The request's; `CONNECT`, `TLS` or a DNS type before there is one; None where nothing was asked yet."""
    host: str
    """As it was asked for; empty where it is not known."""
    port: int | None
    """As it was asked for; None where it is not known."""
    path: str | None
    """Without its query; None before there is a request."""
    tls: str | None
    """`inspect` or `passthrough`; None where no connection was decided on."""
    suppressed: int
    """0, or the number of refusals this line stands for: they came too fast for lines of their own. So
    refusals in all are the lines with 0 and the sum of the others."""
    detail: str
    """For a person; empty for what is allowed."""


def decision_line(  # noqa: PLR0913 - one parameter a field
    decision: Decision,
    *,
    at: float,
    sandbox_id: str | None,
    policy_name: str | None,
    entry: str,
    client_port: int | None,
    method: str | None,
    host: str,
    port: int | None,
    path: str | None,
    request_id: str,
    suppressed: int = 0,
) -> DecisionLine:
    """The line of one decision; texts that the client chose are cut to MAX_TEXT."""
    return {
        "at": round(at, 3),
        "sandbox_id": sandbox_id,
        "request_id": request_id,
        "verdict": decision.verdict.value,
        "reason_code": decision.reason_code.value if decision.reason_code else None,
        "rule_id": decision.rule_id,
        "policy": policy_name,
        "entry": entry,
        "client_port": client_port,
        "method": method[:MAX_TEXT] if method else None,
        "host": host[:MAX_TEXT],
        "port": port,
        "path": path.split("?", 1)[0][:MAX_TEXT] if path else None,
        "tls": decision.tls.value if decision.tls else None,
        "suppressed": suppressed,
        "detail": decision.detail[:MAX_TEXT],
    }


def decision_line_from_wire(data: object) -> DecisionLine:
    """Read a line strictly. Raises ValueError naming the field; the text holds nothing of its value."""
    if not isinstance(data, dict) or set(data) != set(_FITS):
        raise ValueError("a decision line has exactly the fields " + ", ".join(_FITS))
    for name, fits in _FITS.items():
        if not fits(data[name]):
            raise ValueError(f"decision line field {name}: not what the proxy writes there")
    return cast("DecisionLine", data)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_time(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _is_one_of(values: Any) -> Callable[[object], bool]:
    known = frozenset(str(value) for value in values)
    return lambda value: isinstance(value, str) and value in known


def _or_none(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


_FITS: dict[str, Callable[[object], bool]] = {
    "at": _is_time,
    "sandbox_id": _or_none(_is_text),
    "request_id": _is_text,
    "verdict": _is_one_of(Verdict),
    "reason_code": _or_none(_is_one_of(ReasonCode)),
    "rule_id": _or_none(_is_text),
    "policy": _or_none(_is_text),
    "entry": _is_text,
    "client_port": _or_none(_is_count),
    "method": _or_none(_is_text),
    "host": _is_text,
    "port": _or_none(_is_count),
    "path": _or_none(_is_text),
    "tls": _or_none(_is_one_of(TlsMode)),
    "suppressed": _is_count,
    "detail": _is_text,
}
