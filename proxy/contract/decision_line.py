"""The canonical decision line: one per request, the same on the proxy's stderr, at the daemon and in its API.

No header, body, query string or credential is ever a field.
"""

from __future__ import annotations

import time
from typing import Any

from proxy.policy.model import Decision

MAX_TEXT = 256
"""Characters kept of a host or a path: a line's size is bounded whatever the client sends."""


DecisionLine = dict[str, Any]


def decision_line(  # noqa: PLR0913 - one parameter a field
    decision: Decision,
    *,
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
    """One decision as JSON-able values; `entry` is explicit, sni, host or dns, `at` is epoch seconds.

    `client_port` is the source port of the sandbox's connection, by which a line is matched to an attempt.
    `suppressed` is 0, or the number of refusals this line stands for: they came too fast for lines of their
    own, so refusals in all are the lines with 0 and the sum of the others.
    """
    return {
        "at": round(time.time(), 3),
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
