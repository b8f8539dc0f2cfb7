"""Lines of the audit as OCSF events (schema.ocsf.io, 1.3.0), for a SIEM. Pure.

| line | class |
|---|---|
| `decision` of a lookup | DNS Activity (4003), with the profile Security Control |
| `decision` of a request | HTTP Activity (4002), with the profile Security Control |
| `decision` before there is a request | Network Activity (4001), with the profile Security Control |
| everything else | API Activity (6003) |

What has no place there is in `unmapped`, and with it the line's own hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.audit.chain import Line

VERSION = "1.3.0"
_API, _NETWORK, _HTTP, _DNS = 6003, 4001, 4002, 4003
_CREATE, _READ, _UPDATE, _DELETE, _OTHER = 1, 2, 3, 4, 99
_OPEN, _QUERY = 1, 1
_BY_METHOD = {
    "POST": _CREATE,
    "GET": _READ,
    "HEAD": _READ,
    "PUT": _UPDATE,
    "PATCH": _UPDATE,
    "DELETE": _DELETE,
}
_BY_KIND = {"secret.read": _READ, "policy.load": _READ, "run.queued": _CREATE}
_HTTP_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE")
_SUCCESS, _FAILURE = 1, 2
_INFORMATIONAL, _LOW, _HIGH = 1, 2, 4
_GRAVE = frozenset({"audit.missing", "audit.lost", "decision.omitted"})
_REFUSED = 400
_MANY = 1 << 53
"""No integer of JSON is larger (RFC 8259, section 6)."""


def to_ocsf(line: Line, *, installation: str, product_version: str) -> dict[str, Any]:
    """One event. Fields of a line that are not what the daemon writes are left to `unmapped`."""
    entry = line.entry
    kind, who = str(entry.get("kind")), str(entry.get("who"))
    data = entry["data"] if isinstance(entry.get("data"), dict) else {}
    is_decision = kind == "decision"
    event = _decision(data, who) if is_decision else _call(kind, who, data)
    at = entry.get("at")
    return {
        **event,
        "category_uid": event["class_uid"] // 1000,
        "type_uid": event["class_uid"] * 100 + event["activity_id"],
        "time": int(at * 1000) if isinstance(at, int | float) and abs(at) < _MANY else 0,
        "metadata": {
            "version": VERSION,
            "product": {"name": "Orchbox", "vendor_name": "Orchbox", "version": product_version},
            "uid": f"{installation}:{line.head.seq}",
            "sequence": line.head.seq,
            "log_name": "audit",
            "event_code": kind,
            **({"profiles": ["security_control"]} if is_decision else {}),
        },
        "unmapped": {"data": data, "hash": line.head.hash, "prev": line.prev},
    }


def _decision(data: Mapping[str, Any], who: str) -> dict[str, Any]:
    is_allowed = data.get("verdict") == "allow"
    host, method = str(data.get("host") or "unknown"), str(data.get("method") or "")
    port = data.get("port")
    endpoint = {"hostname": host, **({"port": port} if isinstance(port, int) else {})}
    return {
        **_activity(data, host, method, endpoint),
        "src_endpoint": {"uid": who},
        "dst_endpoint": endpoint,
        "action_id": 1 if is_allowed else 2,
        "disposition_id": 1 if is_allowed else 2,
        "severity_id": _INFORMATIONAL if is_allowed else _LOW,
        "status_id": _SUCCESS if is_allowed else _FAILURE,
        **({} if is_allowed else {"status_code": str(data.get("reason_code"))}),
        **({"policy": {"name": str(data["policy"])}} if data.get("policy") else {}),
        **({"firewall_rule": {"uid": str(data["rule_id"])}} if data.get("rule_id") else {}),
    }


def _activity(
    data: Mapping[str, Any], host: str, method: str, endpoint: Mapping[str, object]
) -> dict[str, Any]:
    if data.get("entry") == "dns":
        return {"class_uid": _DNS, "activity_id": _QUERY, "query": {"hostname": host, "type": method}}
    if not data.get("path"):
        return {"class_uid": _NETWORK, "activity_id": _OPEN}
    is_known = method in _HTTP_METHODS
    return {
        "class_uid": _HTTP,
        "activity_id": _HTTP_METHODS.index(method) + 1 if is_known else _OTHER,
        **({} if is_known else {"activity_name": method or "unknown"}),
        "http_request": {"http_method": method, "url": {**endpoint, "path": str(data["path"])}},
    }


def _call(kind: str, who: str, data: Mapping[str, Any]) -> dict[str, Any]:
    method, status = str(data.get("method") or ""), data.get("status")
    activity = _BY_KIND.get(kind) or _BY_METHOD.get(method, _OTHER)
    is_failure = (isinstance(status, int) and status >= _REFUSED) or kind in _GRAVE or bool(data.get("code"))
    severity = _HIGH if kind in _GRAVE else _LOW if is_failure else _INFORMATIONAL
    peer = data.get("peer")
    return {
        "class_uid": _API,
        "activity_id": activity,
        **({"activity_name": kind} if activity == _OTHER else {}),
        "actor": {"user": {"uid": who, "name": who}},
        "api": {
            "operation": f"{method} {data.get('path')}" if method else kind,
            **({"request": {"uid": str(data["request"])}} if data.get("request") else {}),
        },
        "src_endpoint": {"ip": peer} if isinstance(peer, str) else {"name": "local"},
        "severity_id": severity,
        "status_id": _FAILURE if is_failure else _SUCCESS,
        **({"status_code": str(status)} if status is not None else {}),
    }
