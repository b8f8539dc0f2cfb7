"""HTTP/1: requests for the worker, and answers of an upstream that means harm."""

from __future__ import annotations

import base64
import gzip
import random

from tests.harness.fuzz.cases import Case, Step, in_pieces, mutated, scrambled
from tests.harness.fuzz.place import HELD, HOSTILE, KEYED, PATHS, STAND_IN, TLS_PORT, TRUE, WILD

HOSTS = (
    HOSTILE,
    HOSTILE,
    HOSTILE,
    KEYED,
    PATHS,
    WILD,
    "evil.test",
    "OK.TEST.",
    "ok.test:443",
    "127.0.0.1",
    "",
)
METHODS = (
    "GET",
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "OPTIONS",
    "DELETE",
    "TRACE",
    "CONNECT",
    "PRI",
    "get",
    "M" * 40,
)
VERSIONS = ("HTTP/1.1",) * 8 + ("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "")
LONG = "a" * 3000
HEADERS = (
    "Accept: */*", "Connection: keep-alive", "Connection: close", "Connection: x, y, te, host", "Expect: 100-continue",
    "Upgrade: h2c", "Upgrade: websocket", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked", "TE: trailers",
    "Content-Length: 5", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length: 99999999999999999999", "Trailer: x",
    "Content-Encoding: gzip", "Content-Encoding: br", "Content-Type: application/json", "X: \x80\xff", "X : y", " folded",
    f"Authorization: Bearer {STAND_IN}", f"X-Api-Key: {HELD}", "Cookie: a=b", f"X-Long: {LONG}", "Host: evil.test",
    "X-HTTP-Method-Override: DELETE", "Proxy-Authorization: Basic AAAA", "Range: bytes=0-", "Accept-Encoding: gzip, br, zstd",
)  # fmt: skip
STATUSES = (
    "200 OK", "200 OK", "200 OK", "100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified", "500 X", "999 Y",
    "101 Switching Protocols", "200", "20", "abc OK", "000 Z", "407 Proxy Authentication Required", "200 \x80\xff\x00",
)  # fmt: skip


def requests(rng: random.Random, number: int, doors: str = "explicit,host,sni") -> Case:
    """One to four requests on a connection, through a tunnel with TLS or without."""
    door = rng.choice(doors.split(","))
    is_secure = door == "sni" or (door == "explicit" and rng.random() < 0.4)
    units = [_request(rng, number, "absolute" if door == "explicit" and not is_secure else "origin")]
    units *= rng.choice((1, 1, 1, 2, 4))
    if rng.random() < 0.6:
        units = scrambled(rng, units)
    steps = [Step(piece) for unit in units for piece in in_pieces(rng, unit)]
    if not is_secure:
        return Case("http1", number, door, tuple(steps))
    name = rng.choice((HOSTILE, HOSTILE, KEYED))
    connect = f"{name}:{TLS_PORT}" if door == "explicit" else ""
    return Case("http1", number, door, tuple(steps), connect, name, rng.choice(("http/1.1", "")))


def chunked(rng: random.Random, number: int) -> Case:
    """A body in chunks with its trailers, in which most goes wrong."""
    host = rng.choice((HOSTILE, KEYED))
    head = f"POST http://{host}/{number} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    units = _chunks(rng)
    if rng.random() < 0.8:
        units = scrambled(rng, units)
    steps = [Step(head.encode()), *(Step(p) for unit in units for p in in_pieces(rng, unit))]
    return Case("chunked", number, "explicit", tuple(steps))


def answer(rng: random.Random) -> list[bytes]:
    """What an upstream says to one request, in pieces; an empty last one leaves the connection open."""
    head = f"HTTP/1.1 {rng.choice(STATUSES)}\r\n".encode("latin-1")
    for _ in range(rng.choice((0, 1, 3, 8, 300))):
        head += rng.choice(HEADERS).encode("latin-1") + b"\r\n"
    body = rng.choice(
        (b"ok", b"", b"x" * 70_000, gzip.compress(HELD.encode() * 50), TRUE.encode() * 20, rng.randbytes(500))
    )
    match rng.randrange(7):
        case 0:
            units = [head + b"Transfer-Encoding: chunked\r\n\r\n", *_chunks(rng)]
        case 1:
            units = [head + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body), body]
        case 2:
            units = [head + b"\r\n", body]  # until the end
        case 3:
            units = [head + b"X: " + b"y" * rng.choice((1000, 200_000)) + b"\r\n\r\n", body]
        case 4:
            units = [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * rng.choice((1, 40)) + [head + b"\r\n"]
        case 5:
            units = [rng.randbytes(rng.choice((1, 30, 3000)))]
        case _:
            units = [head + b"Content-Length: %d\r\n\r\n" % len(body), body]
    if rng.random() < 0.5:
        units = scrambled(rng, units)
    pieces = [piece for unit in units for piece in in_pieces(rng, unit)]
    return [*pieces, b""] if rng.random() < 0.5 else pieces


def _request(rng: random.Random, number: int, form: str) -> bytes:
    host = rng.choice(HOSTS)
    path = rng.choice(
        (f"/{number}", f"/v1/{number}?key={STAND_IN}", f"/%2e%2e/{number}", "*", f"/{LONG}", "", "/a#b")
    )
    target = f"http://{host}{path}" if form == "absolute" and rng.random() < 0.9 else path
    lines = [f"{rng.choice(METHODS)} {target} {rng.choice(VERSIONS)}"]
    if rng.random() < 0.9:
        lines.append(f"Host: {host}")
    lines += [rng.choice(HEADERS) for _ in range(rng.choice((0, 1, 2, 4, 260)))]
    body = b""
    match rng.randrange(4):
        case 0:
            body = rng.choice(
                (b"", b"hello", HELD.encode(), base64.b64encode(HELD.encode()), rng.randbytes(4000))
            )
            lines.append(f"Content-Length: {len(body) + rng.choice((0, 0, 0, 1, -1))}")
        case 1:
            body = b"".join(_chunks(rng))
            lines.append("Transfer-Encoding: chunked")
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    return mutated(rng, data) if rng.random() < 0.5 else data


def _chunks(rng: random.Random) -> list[bytes]:
    units = []
    for _ in range(rng.choice((0, 1, 3, 30))):
        data = rng.choice(
            (b"x", b"hello", rng.randbytes(1000), HELD[:14].encode(), HELD[14:].encode(), b"%41" * 300)
        )
        extension = rng.choice(("", "", "", ";a=b", ";" + LONG * 2, " ", ";\x00"))
        units.append(f"{len(data):x}{extension}\r\n".encode("latin-1") + data + b"\r\n")
    trailers = rng.choice(
        (b"", b"", b"x: y\r\n", b"Host: evil.test\r\n", b"y: " + LONG.encode() * 8 + b"\r\n", b"broken\r\n")
    )
    return [*units, b"0\r\n" + trailers + b"\r\n"]
