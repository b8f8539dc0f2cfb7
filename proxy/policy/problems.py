"""Decision -> problem+json (RFC 9457); the status is the reason code's own (`reasons`).

The body is written for an agent to read: what was refused, by which rule, whether asking again
helps, and what its operator could run. It holds nothing of the host or of other sandboxes.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:orchbox:refused:"


class Problem(NamedTuple):
    """A refusal as it goes over the wire."""

    status: int
    title: str
    body: bytes
    reason_code: str


def problem_for(
    decision: Decision,
    *,
    host: str,
    port: int | None,
    policy_name: str,
    request_id: str,
    status: int | None = None,
) -> Problem:
    """The answer to a refused request; a decision without a reason counts as an internal error.

    `status` replaces the reason's for a malformed request (414, 417, 431).
    """
    reason = decision.reason_code or ReasonCode.INTERNAL_ERROR
    status = status or reason.status
    title = f"Refused by the egress policy ({reason.value})"
    body: dict[str, object] = {
        "type": TYPE_PREFIX + reason.value,
        "title": title,
        "status": status,
        "detail": decision.detail,
        "reason_code": reason.value,
        "policy": policy_name,
        "rule_id": decision.rule_id,
        "host": host,
        "port": port,
        "retry": "may help" if reason.may_retry else "will not help",
        "request_id": request_id,
        "error": _error(title, decision.detail, reason.value),
    }
    if reason.operator_can_allow and host:
        body["operator"] = f"orch policy explain https://{host}/ --policy {policy_name}"
    elif reason is ReasonCode.DNS_FAILURE:
        body["operator"] = "start the daemon with ORCHBOX_PROXY_DNS set to resolvers that know the name"
    return Problem(status, title, json.dumps(body, separators=(",", ":")).encode() + b"\n", reason.value)


def upstream_problem(*, host: str, status: int, detail: str, request_id: str) -> Problem:
    """An allowed request whose upstream failed: not a refusal, and told apart from one."""
    title = "The upstream could not be reached" if status == 502 else "The request failed"
    body = {
        "type": "urn:orchbox:upstream-failed",
        "title": title,
        "status": status,
        "detail": detail,
        "reason_code": None,
        "host": host,
        "retry": "may help",
        "request_id": request_id,
        "error": _error(title, detail, "upstream_failed"),
    }
    return Problem(status, title, json.dumps(body, separators=(",", ":")).encode() + b"\n", "")


def _error(title: str, detail: str, code: str) -> dict[str, str]:
    """The same in the shape in which model providers tell errors: their SDKs show nothing else of a body."""
    message = f"{title}: {detail}" if detail else title
    return {"message": message, "type": "orchbox_egress", "code": code}
