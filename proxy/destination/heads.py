r"""The head of a request, checked as bytes before anything parses it: one table for HTTP/1 and HTTP/2. Pure.

mitmproxy 12.2 reads leniently (`line.split()`, bare line feeds, folds that it writes out again, `.strip()`
that eats control bytes), and what two readers read differently is how a request gets past one of them
(RFC 9112 sections 2.2, 3, 5.1, 6). Here there is one way to write a request; all others are refused.

>>> head_defect(b"GET /\thttp HTTP/1.1\r\nHost: ok.test\r\n\r\n").status
400
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.policy.hosts import BadHostError, split_authority
from proxy.policy.limits import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES
from proxy.policy.reasons import ReasonCode


class HeadDefect(NamedTuple):
    """What is wrong with a head, in our own words."""

    status: int
    detail: str
    reason: ReasonCode = ReasonCode.BAD_REQUEST


METHOD = re.compile(rb"[A-Z][A-Z0-9_-]{0,31}")
"""Capitals only: mitmproxy reads `connect` as CONNECT in some places and not in others."""
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
"""All of ASCII that is printed, but `#`: a fragment is never sent (RFC 9110 section 7.1)."""
_VERSIONS = {b"HTTP/1.1", b"HTTP/1.0"}
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")
_ONCE = {b"host", b"content-length", b"transfer-encoding", b"expect", b"proxy-authorization"}


def head_end(buffered: bytes) -> int | None:
    """Where the head ends that the bytes begin with; None while it is incomplete.

    A bare line feed ends nothing here, but an empty line made of one does: the head is then refused at
    once in place of being waited for.
    """
    ends = [at + len(end) for end in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := buffered.find(end)) >= 0]
    return min(ends) if ends else None


def unfinished_head_defect(buffered: bytes) -> HeadDefect | None:
    """What is wrong already with a head whose end has not come."""
    if buffered[:1] in {b"\r", b"\n"}:
        return HeadDefect(400, "an empty line where a request should begin")
    if b"\r\n" not in buffered and len(buffered) > MAX_URI_BYTES + 64:
        return _URI_TOO_LONG
    if len(buffered) > MAX_HEAD_BYTES or buffered.count(b"\r\n") > MAX_HEADERS + 1:
        return _HEAD_TOO_LONG
    return None


def head_defect(head: bytes) -> HeadDefect | None:
    """What is wrong with a complete head, its final empty line included; None for a proper one."""
    if head[:1] in {b"\r", b"\n"}:
        return HeadDefect(400, "an empty line where a request should begin")
    if len(head) > MAX_HEAD_BYTES:
        return _HEAD_TOO_LONG
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not head.endswith(b"\r\n\r\n"):
        return HeadDefect(400, "a line that does not end in CR LF")
    if len(lines) > MAX_HEADERS:
        return HeadDefect(431, f"more than {MAX_HEADERS} headers")
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            return HeadDefect(400, "a header line that is not `name: value`")
        fields.append((name, value))
    parts = first.split(b" ")
    if len(parts) != 3 or parts[2] not in _VERSIONS:
        return HeadDefect(400, "a first line that is not `METHOD target HTTP/1.1`")
    method, target, version = parts
    return _common_defect(method, target, fields, version) or _form_defect(method, target)


def stream_defect(headers: list[tuple[bytes, bytes]]) -> HeadDefect | None:
    """What is wrong with an HTTP/2 request's headers, beyond what the h2 library refuses by itself."""
    names = [name for name, _ in headers]
    pseudo = {name: value for name, value in headers if name.startswith(b":")}
    if names[: len(pseudo)] != list(pseudo) or any(name.startswith(b":") for name in names[len(pseudo) :]):
        return HeadDefect(400, "a pseudo-header twice, or behind a header")
    if set(pseudo) != {b":method", b":scheme", b":path", b":authority"} or pseudo[b":scheme"] != b"https":
        return HeadDefect(400, "a pseudo-header or a scheme that is not carried")
    fields = headers[len(pseudo) :]
    for name, _value in fields:
        if not _NAME.fullmatch(name) or name != name.lower() or name in _NOT_IN_HTTP2:
            return HeadDefect(400, "a header that HTTP/2 does not carry")
    method, target = pseudo[b":method"], pseudo[b":path"]
    defect = _common_defect(method, target, fields, b"HTTP/2")
    if defect is None and not _is_origin_form(method, target):
        defect = HeadDefect(400, "a path that does not begin with /")
    if defect is None and not _TARGET.fullmatch(pseudo[b":authority"]):
        defect = HeadDefect(400, "an authority that is empty or has a character that no URI has")
    return defect or _authority_defect(pseudo[b":authority"], default_port=443)


def _common_defect(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], version: bytes
) -> HeadDefect | None:
    """What no request has, whichever protocol brings it: an HTTP/2 stream may leave as HTTP/1."""
    if len(fields) > MAX_HEADERS:
        return HeadDefect(431, f"more than {MAX_HEADERS} headers")
    if not METHOD.fullmatch(method):
        return HeadDefect(400, "a method that is not carried")
    if len(target) > MAX_URI_BYTES:
        return _URI_TOO_LONG
    if not _TARGET.fullmatch(target):
        return HeadDefect(400, "a request target with a character that no URI has")
    headers = dict.fromkeys(_ONCE, b"")
    seen: set[bytes] = set()
    for name, value in fields:
        if not _VALUE.fullmatch(value):
            return HeadDefect(400, "a control character in a header")
        key = name.lower()
        if key in _ONCE and key in seen:
            return HeadDefect(400, f"more than one {key.decode()} header")
        seen.add(key)
        headers[key] = value.strip(b" \t")
    return _framing_defect(version, seen, headers)


def _form_defect(method: bytes, target: bytes) -> HeadDefect | None:
    """What is wrong with a request target as a whole (RFC 9112 section 3.2)."""
    if method == b"CONNECT":
        return _authority_defect(target, default_port=0)
    if _is_origin_form(method, target):
        return None
    if target[:7].lower() != b"http://":
        what = (
            "https is asked for by CONNECT" if target[:8].lower() == b"https://" else "only http is carried"
        )
        is_uri = _SCHEME.match(target) is not None
        return HeadDefect(400, f"{what} in clear text" if is_uri else "a request target that is no URI")
    return _authority_defect(re.split(rb"[/?]", target[7:], maxsplit=1)[0], default_port=80)


def _is_origin_form(method: bytes, target: bytes) -> bool:
    return target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")


def _authority_defect(authority: bytes, *, default_port: int) -> HeadDefect | None:
    try:
        _host, port = split_authority(authority.decode("ascii"), default_port=default_port)
    except BadHostError as exc:
        return HeadDefect(400, f"not a host name and port: {exc}", ReasonCode.BAD_HOST)
    return None if port else HeadDefect(400, "CONNECT without a port", ReasonCode.BAD_HOST)


def _framing_defect(version: bytes, seen: set[bytes], headers: dict[bytes, bytes]) -> HeadDefect | None:
    if b"transfer-encoding" in seen:
        if headers[b"transfer-encoding"].lower() != b"chunked" or version != b"HTTP/1.1":
            return HeadDefect(400, "a transfer coding other than chunked")
        if b"content-length" in seen:
            return HeadDefect(400, "both a Content-Length and a Transfer-Encoding")
    elif b"content-length" in seen and not _LENGTH.fullmatch(headers[b"content-length"]):
        return HeadDefect(400, "a Content-Length that is not one plain number")
    if b"expect" in seen and headers[b"expect"].lower() != b"100-continue":
        return HeadDefect(417, "an expectation other than 100-continue")
    return None


_HEAD_TOO_LONG = HeadDefect(431, "the request head is too long")
_URI_TOO_LONG = HeadDefect(414, f"a request target longer than {MAX_URI_BYTES} bytes")
_NOT_IN_HTTP2 = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
