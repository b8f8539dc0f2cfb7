"""One way to write a request head; the wire tests have the attacks, here are the bounds."""

from __future__ import annotations

import pytest

from proxy.destination.heads import head_defect, head_end, stream_defect, unfinished_head_defect
from proxy.policy.limits import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES
from proxy.policy.reasons import ReasonCode

GOOD = {
    "origin form": b"GET /a?b=c%20d HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "absolute form": b"GET http://ok.test:81/a HTTP/1.1\r\nHost: ok.test:81\r\n\r\n",
    "absolute form without a path": b"GET http://ok.test HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "absolute form with a query only": b"GET http://ok.test?x HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "authority form": b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n",
    "authority form of IPv6": b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "an empty value": b"GET / HTTP/1.1\r\nHost: ok.test\r\nX:\r\n\r\n",
    "tabs and bytes beyond ASCII in a value": b"GET / HTTP/1.1\r\nX: a\tb\xe9\r\n\r\n",
    "a method of WebDAV": b"VERSION-CONTROL / HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "the same header twice": b"GET / HTTP/1.1\r\nCookie: a\r\nCookie: b\r\n\r\n",
    "chunked in capitals": b"POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
    "a length": b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "an expectation": b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n",
    "as many headers as may be": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * MAX_HEADERS + b"\r\n",
    "as long a target as may be": b"GET /" + b"a" * (MAX_URI_BYTES - 1) + b" HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("case", GOOD, ids=lambda c: c)
def test_a_proper_head_has_no_defect(case: str):
    """What real clients send passes."""
    assert head_defect(GOOD[case]) is None
    assert head_end(GOOD[case] + b"more") == len(GOOD[case])


BAD = {
    "one header too many": (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
    "a target one byte too long": (b"GET /" + b"a" * MAX_URI_BYTES + b" HTTP/1.1\r\n\r\n", 414),
    "a head one byte too long": (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    "no end": (b"GET / HTTP/1.1\r\n", 400),
    "userinfo": (b"GET http://ok.test@evil.test/ HTTP/1.1\r\n\r\n", 400),
    "a target without a scheme": (b"GET evil.test/ HTTP/1.1\r\n\r\n", 400),
    "two tokens of the proxy": (b"GET / HTTP/1.1\r\nProxy-Authorization: a\r\nProxy-Authorization: b\r\n\r\n", 400),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda c: c)
def test_a_bad_head_has_its_status(case: str):
    """Each bound has its own status, and what is malformed is 400."""
    head, status = BAD[case]
    defect = head_defect(head)

    assert defect is not None
    assert defect.status == status


def test_a_bad_authority_is_a_bad_host():
    """The reason tells a name that cannot be read from other malformed requests."""
    defect = head_defect(b"CONNECT ok..test:443 HTTP/1.1\r\n\r\n")

    assert defect is not None
    assert defect.reason is ReasonCode.BAD_HOST


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET / HTTP/1.1\r\nX: a"])
def test_a_head_that_may_still_be_proper_is_waited_for(begun: bytes):
    """Nothing is refused early that could become right."""
    assert head_end(begun) is None
    assert unfinished_head_defect(begun) is None


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"\r", 400),
        (b"GET /" + b"a" * (MAX_URI_BYTES + 100), 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 2), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES, 431),
    ],
    ids=["empty line", "target", "count", "bytes"],
)
def test_a_head_without_an_end_is_refused_at_its_bounds(begun: bytes, status: int):
    """Memory does not grow with what a client goes on sending."""
    defect = unfinished_head_defect(begun)

    assert defect is not None
    assert defect.status == status


STREAM = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"ok.test")]


def test_a_proper_stream_has_no_defect():
    """HTTP/2 clients send these."""
    assert stream_defect([*STREAM, (b"cookie", b"a"), (b"cookie", b"b"), (b"te", b"trailers")]) is None


@pytest.mark.parametrize(
    "headers",
    [
        [*STREAM, (b"X", b"a")],
        [*STREAM, (b"x y", b"a")],
        [*STREAM, (b"x", b"a\n")],
        [*STREAM, (b"upgrade", b"h2c")],
        [*STREAM, (b"content-length", b"1"), (b"content-length", b"1")],
        [*STREAM, STREAM[3]],
        [*STREAM[:3], (b"x", b"a"), STREAM[3]],
        STREAM[:3],
        [*STREAM, (b":status", b"200")],
    ],
    ids=[
        "capital",
        "token",
        "control",
        "hop",
        "twice",
        "pseudo twice",
        "pseudo behind",
        "no authority",
        "response",
    ],
)
def test_a_bad_stream_has_a_defect(headers: list[tuple[bytes, bytes]]):
    """What cannot be written as HTTP/1 in one way only does not go there."""
    defect = stream_defect(headers)

    assert defect is not None
    assert defect.status == 400


TARGETS = {
    "a fragment behind the query": b"/v1/x?a=b#/../admin",
    "a fragment behind the path": b"/v1/x#y",
    "a fragment alone": b"/#",
    "a space": b"/v1/x y",
    "a control character": b"/v1/\x7f",
    "a byte beyond ASCII": b"/v1/\xe9",
    "no slash": b"v1/x",
    "another host": b"https://evil.test/",
    "an asterisk": b"*",
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_a_bad_target_is_bad_in_both_protocols(target: bytes):
    """A stream of HTTP/2 may leave as HTTP/1: what the one refuses, the other refuses."""
    stream = [(name, target if name == b":path" else value) for name, value in STREAM]

    for defect in (head_defect(b"GET %s HTTP/1.1\r\nHost: ok.test\r\n\r\n" % target), stream_defect(stream)):
        assert defect is not None
        assert defect.status == 400


FIELDS = {
    "two hosts": ([(b"host", b"ok.test"), (b"host", b"ok.test")], 400),
    "a control character": ([(b"x", b"a\x00")], 400),
    "two expectations": ([(b"expect", b"100-continue")] * 2, 400),
    "another expectation": ([(b"expect", b"x")], 417),
    "a length that is none": ([(b"content-length", b"+1")], 400),
    "one header too many": ([(b"x", b"a")] * (MAX_HEADERS + 1), 431),
}


@pytest.mark.parametrize("case", FIELDS)
def test_bad_headers_are_bad_in_both_protocols(case: str):
    """The headers have one checker, and each defect one status."""
    fields, status = FIELDS[case]
    lines = b"".join(b"%s: %s\r\n" % field for field in fields)

    for defect in (head_defect(b"GET / HTTP/1.1\r\n" + lines + b"\r\n"), stream_defect([*STREAM, *fields])):
        assert defect is not None
        assert defect.status == status


def test_a_bad_authority_of_a_stream_is_a_bad_host():
    """As in a CONNECT: userinfo, ports and spellings have one reader."""
    stream = [*STREAM[:3], (b":authority", b"ok.test@evil.test")]

    defect = stream_defect(stream)

    assert defect is not None
    assert defect.reason is ReasonCode.BAD_HOST
