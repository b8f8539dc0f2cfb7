"""Malformed and odd protocols at every door (attacks.md sections 1 and 3, ids in front of each row).

Every row asserts what the client gets, the reason on record, one line, and what came upstream.
"""

from __future__ import annotations

import pytest

from tests.wire.conftest import Rig
from tests.wire.raw import SMUGGLED, refusals, request_line, send

DOORS = ("explicit", "host", "tunnel")

# The bytes stand behind `METHOD target HTTP/1.1 CR LF Host: ... CR LF`, and end the head.
BAD_HEADS = {
    "P-19 a folded line": (b"X: a\r\n Host: evil.test\r\n\r\n", 400),
    "P-19 a folded first header value by tab": (b"X: a\r\n\tb\r\n\r\n", 400),
    "P-20 bare line feeds": (b"X: a\nY: b\r\n\r\n", 400),
    "P-20 a head that ends in bare line feeds": (b"X: a\n\n", 400),
    "P-20 a head that ends in LF CR LF": (b"X: a\n\r\n", 400),
    "P-20 a bare carriage return": (b"X: a\rY: b\r\n\r\n", 400),
    "P-20 a NUL in a value": (b"X: a\x00b\r\n\r\n", 400),
    "P-20 a control byte in a value": (b"X: a\x07b\r\n\r\n", 400),
    "P-20 DEL in a value": (b"X: a\x7fb\r\n\r\n", 400),
    "P-20 a space before the colon": (b"X : a\r\n\r\n", 400),
    "P-20 a header without a colon": (b"no colon here\r\n\r\n", 400),
    "P-20 a header without a name": (b": a\r\n\r\n", 400),
    "P-20 a name that is no token": (b"X(y): a\r\n\r\n", 400),
    "N-31 a second Host": (b"Host: evil.test\r\n\r\n", 400),
    "N-31 Host with a space before the colon": (b"Host : evil.test\r\n\r\n", 400),
    "P-17 a length with a sign": (b"Content-Length: +5\r\n\r\nhello", 400),
    "P-17 a list of lengths": (b"Content-Length: 5,5\r\n\r\nhello", 400),
    "P-17 a length with a zero in front": (b"Content-Length: 05\r\n\r\nhello", 400),
    "P-17 a hexadecimal length": (b"Content-Length: 0x5\r\n\r\nhello", 400),
    "P-17 two equal lengths": (b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "P-17 two lengths": (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "P-17 a negative length": (b"Content-Length: -1\r\n\r\n", 400),
    "P-17 a length beyond 64 bits": (b"Content-Length: 18446744073709551616\r\n\r\n", 400),
    "P-17 an empty length": (b"Content-Length: \r\n\r\n", 400),
    "P-16 xchunked": (b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    "P-16 a vertical tab before chunked": (
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        400,
    ),
    "P-16 two codings": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "P-16 a coding and a length": (
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
        400,
    ),
    "P-16 chunked, identity": (b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    "P-16 identity": (b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED, 400),
    "P-23 an odd expectation": (b"Expect: 200-maybe\r\n\r\n", 417),
    "P-32 too many headers": (b"".join(b"X-%d: a\r\n" % i for i in range(300)) + b"\r\n", 431),
    "P-32 a header too long": (b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "P-32 a head without an end": (b"X: " + b"a" * 70_000, 431),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BAD_HEADS, ids=lambda c: c)
async def test_bad_head_is_refused_before_anything_is_dialled(rig: Rig, case: str, door: str):
    """A head that can be read in two ways is answered once, recorded once, and closes the connection."""
    rest, status = BAD_HEADS[case]

    got = await send(rig, door, request_line(rig, door, "POST") + rest)

    assert got.startswith(b"HTTP/1.1 %d " % status), got[:200]
    assert got.count(b"HTTP/1.1 ") == 1
    assert refusals(rig) == ["bad_request"] == [line["reason_code"] for line in rig.lines]
    assert rig.upstream.accepts == 0


BAD_LINES = {
    "P-20 leading empty lines": b"\r\nGET {target} HTTP/1.1",
    "P-20 a leading line feed": b"\nGET {target} HTTP/1.1",
    "N-47 two spaces": b"GET  {target} HTTP/1.1",
    "N-47 a space at the end": b"GET {target} HTTP/1.1 ",
    "N-47 a tab": b"GET {target}\tHTTP/1.1",
    "N-47 a vertical tab": b"GET {target}\x0bHTTP/1.1",
    "N-47 a form feed": b"GET {target}\x0cHTTP/1.1",
    "N-47 HTTP/0.9": b"GET {target}",
    "N-47 HTTP/3.0": b"GET {target} HTTP/3.0",
    "N-47 HTTP/2.0": b"GET {target} HTTP/2.0",
    "N-47 HTTP/1.2": b"GET {target} HTTP/1.2",
    "N-47 http in small letters": b"GET {target} http/1.1",
    "N-47 connect in small letters": b"connect ok.test:443 HTTP/1.1",
    "N-45 a fragment": b"GET {target}#x HTTP/1.1",
    "N-45 a NUL in the target": b"GET {target}\x00 HTTP/1.1",
    "N-45 a byte beyond ASCII in the target": b"GET {target}\xe9 HTTP/1.1",
    "N-34 https in clear text": b"GET https://ok.test/ HTTP/1.1",
    "P-30 ftp": b"GET ftp://ok.test/ HTTP/1.1",
    "P-30 gopher": b"GET gopher://ok.test/ HTTP/1.1",
    "P-30 file": b"GET file:///etc/passwd HTTP/1.1",
    "P-30 urn": b"GET urn:x:y HTTP/1.1",
    "N-34 ws": b"GET ws://ok.test/ HTTP/1.1",
    "P-31 OPTIONS without a target": b"OPTIONS  HTTP/1.1",
    "P-31 a star for another method": b"GET * HTTP/1.1",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BAD_LINES, ids=lambda c: c)
async def test_bad_first_line_is_refused(rig: Rig, case: str, door: str):
    """There is one way to write a request line; every other is closed with nothing dialled."""
    proper = request_line(rig, door)
    target, host = proper.split()[1], proper.split(b"\r\n")[1]
    got = await send(rig, door, BAD_LINES[case].replace(b"{target}", target) + b"\r\n" + host + b"\r\n\r\n")

    assert got == b"" or got.startswith(b"HTTP/1.1 400 "), got[:200]
    assert refusals(rig) in (["bad_request"], ["not_tls_or_http"])
    assert len(rig.lines) == 1
    assert rig.upstream.accepts == 0


BAD_CONNECTS = {
    "N-47 no port": (b"ok.test", "bad_host"),
    "N-10 an empty port": (b"ok.test:", "bad_host"),
    "N-10 port 0": (b"ok.test:0", "bad_host"),
    "N-10 a port too high": (b"ok.test:65536", "bad_host"),
    "N-10 a negative port": (b"ok.test:-1", "bad_host"),
    "N-10 a service name": (b"ok.test:https", "bad_host"),
    "N-10 a port with a sign": (b"ok.test:+443", "bad_host"),
    "N-11 zeros in front": (b"ok.test:00443", "bad_host"),
    "N-10 two ports": (b"ok.test:443:80", "bad_host"),
    "N-10 full-width digits": ("ok.test:４４３".encode(), "bad_request"),  # noqa: RUF001
    "N-08 userinfo": (b"ok.test@evil.test:443", "bad_host"),
    "N-12 a NUL": (b"evil.test\x00.ok.test:443", "bad_request"),
    "N-12 an encoded NUL": (b"evil.test%00.ok.test:443", "bad_host"),
    "N-14 a tab": (b"ok.test\t:443", "bad_request"),
    "N-14 an encoded dot": (b"ok%2etest:443", "bad_host"),
    "N-16 no host": (b":443", "bad_host"),
    "N-04 an empty label": (b"ok..test:443", "bad_host"),
    "N-05 brackets around a name": (b"[ok.test]:443", "bad_host"),
    "N-17 a label of 64": (b"a" * 64 + b".test:443", "bad_host"),
    "N-17 100 kB of host": (b"a" * 100_000 + b":443", "bad_request"),
    "N-18 a name beyond ASCII": ("api。ok。test:443".encode(), "bad_request"),
    "N-43 a zone": (b"[::1%25lo]:443", "bad_host"),
    "A-05 an address in hexadecimal": (b"0x7f000001:443", "bad_host"),
    "A-05 an address as a number": (b"2130706433:443", "bad_host"),
    "P-30 an absolute URI": (b"http://ok.test:443/", "bad_host"),
}


@pytest.mark.parametrize("case", BAD_CONNECTS, ids=lambda c: c)
async def test_bad_connect_is_refused(rig: Rig, case: str):
    """A CONNECT names one host and one port, written the usual way."""
    authority, reason = BAD_CONNECTS[case]

    got = await send(rig, "explicit", b"CONNECT " + authority + b" HTTP/1.1\r\nHost: ok.test\r\n\r\n")

    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 414 ")), got[:200]
    assert refusals(rig) == [reason]
    assert (rig.upstream.accepts, rig.lookups) == (0, [])


async def test_connect_whose_host_header_differs_is_refused(rig: Rig):
    """N-29: the Host of a CONNECT names the tunnel's destination, with or without its port."""
    for host, reason in (("ok.test:22", "host_mismatch"), ("evil.test", "host_mismatch")):
        got = await send(
            rig,
            "explicit",
            f"CONNECT ok.test:443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(),
            until_close=False,
        )
        assert got.startswith(b"HTTP/1.1 421 ")
        assert refusals(rig)[-1] == reason
    got = await send(
        rig, "explicit", b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n", until_close=False
    )

    assert got.startswith(b"HTTP/1.1 200 ")


# A chunked body behind an allowed head.
BAD_CHUNKS = {
    "P-18 a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "P-18 an extension": b"5;ext=1\r\nhello\r\n0\r\n\r\n",
    "P-18 a space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "P-18 a negative size": b"-1\r\nhello\r\n0\r\n\r\n",
    "P-18 a size of 17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "P-18 a bare line feed behind the size": b"5\nhello\r\n0\r\n\r\n",
    "P-18 a bare line feed behind the data": b"5\r\nhello\n0\r\n\r\n",
    "P-18 data longer than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "P-18 no size": b"\r\nhello\r\n0\r\n\r\n",
    "P-18 an endless size": b"0" * 100,
    "P-26 a trailer that is no header": b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "P-26 a trailer with bare line feeds": b"5\r\nhello\r\n0\r\nX: a\n\n",
    "P-26 a trailer without an end": b"5\r\nhello\r\n0\r\nX: " + b"a" * 20_000,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BAD_CHUNKS, ids=lambda c: c)
async def test_bad_chunk_never_becomes_a_request(rig: Rig, case: str, door: str):
    """A body whose framing breaks off ends the exchange, told and recorded; what follows is never parsed."""
    head = request_line(rig, door, "POST") + b"Transfer-Encoding: chunked\r\n\r\n"

    got = await send(rig, door, head + BAD_CHUNKS[case] + SMUGGLED)

    assert got.startswith(b"HTTP/1.1 400 "), got[:200]
    assert [line["verdict"] for line in rig.lines] == ["allow", "deny"]
    assert refusals(rig) == ["bad_request"]
    assert "smuggled" not in "".join(rig.upstream.heads)
    assert len(rig.upstream.heads) <= 1


@pytest.mark.parametrize("door", DOORS)
async def test_trailers_are_read_and_dropped(rig: Rig, door: str):
    """P-26: what comes behind the last chunk never crosses, and the connection goes on."""
    head = request_line(rig, door, "POST") + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"5\r\nhello\r\n0\r\nAuthorization: theirs\r\nHost: evil.test\r\n\r\n"

    got = await send(rig, door, (head + body) * 2, until_close=False)

    assert got.count(b"HTTP/1.1 200 ") == 2
    assert rig.upstream.body_bytes == 10
    assert "theirs" not in "".join(rig.upstream.heads)
    assert [line["verdict"] for line in rig.lines] == ["allow", "allow"]


@pytest.mark.parametrize("door", DOORS)
async def test_half_a_body_is_no_request(rig: Rig, door: str):
    """P-18: without the last CR LF nothing is answered; the upstream never sees an end."""
    head = request_line(rig, door, "POST") + b"Transfer-Encoding: chunked\r\n\r\n"

    got = await send(rig, door, head + b"5\r\nhello\r\n0\r\n", until_close=False)

    assert got == b""
    assert rig.upstream.body_bytes == 0


@pytest.mark.parametrize("door", DOORS)
async def test_pipelined_requests_are_judged_one_by_one(rig: Rig, door: str):
    """P-22: allowed then refused in one segment, each with its own line; refused then allowed ends there."""
    good, bad = (
        request_line(rig, door) + b"\r\n",
        b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    )
    if door != "explicit":
        bad = b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"

    first = await send(rig, door, good + bad)
    verdicts = [line["verdict"] for line in rig.lines]
    second = await send(rig, door, bad + good)

    assert (first.count(b"HTTP/1.1 200 "), first.count(b"problem+json")) == (1, 1)
    assert (second.count(b"HTTP/1.1 200 "), second.count(b"problem+json")) == (0, 1)
    assert verdicts == ["allow", "deny"]
    assert len(rig.lines) == 3
    assert len(rig.upstream.heads) == 1


NOT_HTTP = {
    "P-05 a SOCKS5 greeting": b"\x05\x01\x00",
    "P-05 a SOCKS4 greeting": b"\x04\x01\x01\xbb\x7f\x00\x00\x02\x00",
    "P-08 an SSH banner": b"SSH-2.0-x\r\n",
    "P-08 Redis": b"*1\r\n$4\r\nPING\r\n",
    "P-08 zeros": b"\x00" * 10,
    "P-25 the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "P-28 PROXY version 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    "P-31 a method of 8 kB": b"A" * 8192 + b" / HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "P-10 no space": b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "P-10 a line feed before the space": b"GET\n",
}


@pytest.mark.parametrize("door", ["explicit", "host", "sni", "tunnel"])
@pytest.mark.parametrize("case", NOT_HTTP, ids=lambda c: c)
async def test_other_protocols_are_closed(rig: Rig, case: str, door: str):
    """What is neither TLS nor HTTP is closed unanswered, inside a tunnel's TLS too, with one line."""
    got = await send(rig, door, NOT_HTTP[case])

    assert got == b""
    assert refusals(rig) == ["not_tls_or_http"] == [line["reason_code"] for line in rig.lines]
    assert rig.upstream.accepts == 0


@pytest.mark.parametrize("sent", [b"PROXY TCP4 10.0.0.9 10.0.0.1 1 443\r\n", b"EHLO x\r\n"], ids=repr)
@pytest.mark.parametrize("door", DOORS)
async def test_a_greeting_that_looks_like_a_request_line_is_malformed(rig: Rig, sent: bytes, door: str):
    """P-28, P-08: a PROXY preamble changes no identity; it is a bad head, refused once."""
    got = await send(rig, door, sent + request_line(rig, door) + b"\r\n")

    assert got.startswith(b"HTTP/1.1 400 ")
    assert refusals(rig) == ["bad_request"]
    assert rig.lines[0]["sandbox_id"] == "run-1"
    assert rig.upstream.accepts == 0


REFUSED_REQUESTS = {
    "P-31 TRACE": ("TRACE", b"", 403, "method"),
    "P-12 a nested CONNECT": (
        "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
        b"",
        400,
        None,
    ),
    "N-33 absolute form to another host": (
        "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"",
        421,
        None,
    ),
    "N-29 Host of another": ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", b"", 421, None),
    "N-16 no Host": ("GET / HTTP/1.1\r\n\r\n", b"", 400, None),
}


@pytest.mark.parametrize("case", REFUSED_REQUESTS, ids=lambda c: c)
async def test_request_inside_a_tunnel_stays_inside(rig: Rig, case: str):
    """What is asked inside TLS goes to the tunnel's host or nowhere; nothing else is dialled."""
    method, rest, status, _reason = REFUSED_REQUESTS[case]
    raw = method.encode() if " " in method else request_line(rig, "tunnel", method) + rest + b"\r\n"

    got = await send(rig, "tunnel", raw)

    assert got.startswith(b"HTTP/1.1 %d " % status), got[:200]
    assert len(refusals(rig)) == len(rig.lines) == 1
    assert (rig.upstream.accepts, rig.lookups) == (0, [])


FORWARDED = {
    "P-27 headers that Connection names": (b"Connection: X-Gone, Authorization\r\nX-Gone: 1\r\nAuthorization: a\r\n", b"x-gone"),
    "P-27 Proxy-Connection and TE": (b"Proxy-Connection: keep-alive\r\nTE: trailers\r\n", b"trailers"),
    "P-29 X-Forwarded-For": (b"X-Forwarded-For: 10.0.0.9\r\nX-Real-IP: 10.0.0.9\r\n", b"10.0.0.9"),
    "P-29 Forwarded": (b"Forwarded: for=10.0.0.9\r\nVia: 1.1 x\r\n", b"10.0.0.9"),
    "P-25 an upgrade to h2c": (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", b"upgrade"),
    "P-31 Max-Forwards": (b"Max-Forwards: 0\r\n", b"max-forwards"),
    "A-21 an upstream proxy of the client's": (b"X-Upstream-Https-Proxy: http://evil.test\r\n", None),
    "P-20 bytes beyond ASCII in a value": (b"X: \xc3\xa9\r\n", None),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", FORWARDED, ids=lambda c: c)
async def test_hop_by_hop_headers_never_cross(rig: Rig, case: str, door: str):
    """An allowed request arrives once, without what is meant for the proxy or claims an identity."""
    sent, gone = FORWARDED[case]

    got = await send(rig, door, request_line(rig, door) + sent + b"\r\n", until_close=False)

    assert got.startswith(b"HTTP/1.1 200 ")
    [head] = rig.upstream.heads
    assert gone is None or gone.decode() not in head.lower()
    assert [line["verdict"] for line in rig.lines] == ["allow"]


async def test_mitmproxys_own_page_does_not_exist(rig: Rig):
    """N-49: mitm.it is a name like any other: not listed."""
    got = await send(
        rig, "explicit", b"GET http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\n\r\n", until_close=False
    )

    assert got.startswith(b"HTTP/1.1 403 ")
    assert b"mitmproxy" not in got.lower()
    assert refusals(rig) == ["not_allowed_host"]


async def test_http10_is_served_and_has_no_chunks(rig: Rig):
    """P-24: HTTP/1.0 works; chunks in it are refused."""
    head = request_line(rig, "explicit", "POST").replace(b"HTTP/1.1", b"HTTP/1.0")
    good = await send(rig, "explicit", head + b"Content-Length: 2\r\n\r\nhi")
    bad = await send(rig, "explicit", head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    assert good.startswith(b"HTTP/1.1 200 ")
    assert bad.startswith(b"HTTP/1.1 400 ")
    assert len(rig.upstream.heads) == 1
    assert refusals(rig) == ["bad_request"]


async def test_expectation_of_a_refused_request_is_not_met(rig: Rig):
    """P-23: the final answer comes without a 100 before it; an allowed one gets its 100 from the proxy."""
    expect = b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    bad = await send(
        rig, "explicit", b"POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n" + expect, until_close=False
    )
    good = await send(
        rig, "explicit", request_line(rig, "explicit", "POST") + expect + b"hi", until_close=False
    )

    assert bad.startswith(b"HTTP/1.1 403 ")
    assert good.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert "expect" not in rig.upstream.heads[0].lower()


async def test_what_is_sent_ahead_of_an_answer_is_bounded(rig: Rig):
    """P-34: while an answer is due the next requests wait in a buffer that has an end (mitmproxy's has none)."""
    rig.upstream.response = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"
    flood = request_line(rig, "explicit", "POST") + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000

    await send(rig, "explicit", request_line(rig, "explicit") + b"\r\n" + flood)

    assert refusals(rig) == ["bad_request"]
    assert len(rig.upstream.heads) == 1
