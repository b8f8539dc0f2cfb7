"""Requests as bytes: routes of a description with hostile values, and what is hardly HTTP. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.harness.hostile.values import document, fitting, text

MULTIPART = "multipart/form-data"
RAW = (
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /v1/runs HTTP/1.0\r\n\r\n",
    b"GET /v1/runs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/runs HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /v1/runs HTTP/1.1\nHost: x\n\n",
    b"GET http://x/v1/runs HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "X" * 300)


def hostile(
    description: dict[str, Any], seed: int, count: int, headers: dict[str, str]
) -> Iterator[tuple[bytes, bool]]:
    """So many requests, the same ones for a seed, and whether each is whole: else nobody waits for an answer.

    `description` is OpenAPI; `headers` say who calls.
    """
    chance = random.Random(seed)
    routes = [
        (path, method.upper(), operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
        if not path.endswith("/events")  # one that ends only with its run
    ]
    schemas = description.get("components", {}).get("schemas", {})
    for number in range(count):
        if number < len(RAW):
            yield _with_headers(RAW[number], headers), False
        else:
            path, method, operation = chance.choice(routes)
            yield _request(path, method, _resolved(operation, schemas), chance, headers), True


def _request(
    path: str, method: str, operation: dict[str, Any], chance: random.Random, headers: dict[str, str]
) -> bytes:
    body, kind = _body(operation, chance)
    query = []
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "path":
            word = text(chance)
            path = path.replace(f"{{{name}}}", word if chance.random() < 0.3 else quote(word, safe=""))
        elif parameter["in"] == "query" and chance.random() < 0.7:
            query.append(f"{name}={quote(str(fitting(parameter.get('schema', {}), chance)))}")
    if chance.random() < 0.1:
        query.append(text(chance))
    if chance.random() < 0.1:
        method = chance.choice(METHODS)
    target = path + ("?" + "&".join(query) if query else "")
    target = "".join(c if 0x20 < ord(c) < 0x7F else quote(c, safe="", errors="replace") for c in target)
    said = {"Host": "x", "Connection": "close", **headers}
    if body or method in {"POST", "PUT", "PATCH"}:
        said |= {"Content-Length": str(len(body)), "Content-Type": kind}
    for name in ("Accept", "Idempotency-Key", "Last-Event-ID", "If-Match", "Cookie", "X-Forwarded-For"):
        if chance.random() < 0.1:
            said[name] = text(chance).encode("ascii", "ignore").decode().replace("\r", "").replace("\n", "")
    head = "".join(f"{name}: {word}\r\n" for name, word in said.items())
    return f"{method} {target or '/'} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace") + body


def _body(operation: dict[str, Any], chance: random.Random) -> tuple[bytes, str]:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return (b"", "text/plain") if chance.random() < 0.9 else (document({}, chance), "application/json")
    kind, described = next(iter(content.items()))
    schema = described.get("schema", {})
    if kind == MULTIPART:
        return _multipart(schema, chance)
    wrong = chance.choice(("text/plain", "application/xml", "", "application/json; charset=utf-7", MULTIPART))
    return document(schema, chance), (kind if chance.random() < 0.85 else wrong)


def _multipart(schema: dict[str, Any], chance: random.Random) -> tuple[bytes, str]:
    boundary = chance.choice(("b", "b" * 70, "b" * 300, "", 'a"b', "a b"))
    parts = b""
    for name, described in schema.get("properties", {}).items():
        if chance.random() < 0.8:
            said = name if chance.random() < 0.8 else text(chance)
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{said}"; filename="{text(chance)[:80]}"\r\n\r\n'
            parts += head.encode("utf-8", "replace") + document(described, chance) + b"\r\n"
    end = chance.choice((f"--{boundary}--\r\n".encode(), b"", b"--", b"--other--\r\n"))
    quoted = f'{MULTIPART}; boundary="{boundary}"'
    return parts + end, chance.choice((f"{MULTIPART}; boundary={boundary}", quoted, MULTIPART))


def _resolved(found: Any, schemas: dict[str, Any], depth: int = 8) -> Any:
    """With every `$ref` in the place of its name."""
    if isinstance(found, dict):
        if "$ref" in found:
            return (
                _resolved(schemas.get(found["$ref"].rpartition("/")[2], {}), schemas, depth - 1)
                if depth
                else {}
            )
        return {name: _resolved(each, schemas, depth) for name, each in found.items()}
    if isinstance(found, list):
        return [_resolved(each, schemas, depth) for each in found]
    return found


def _with_headers(raw: bytes, headers: dict[str, str]) -> bytes:
    said = "".join(f"{name}: {word}\r\n" for name, word in headers.items()).encode()
    return raw.replace(b"Host: x\r\n", b"Host: x\r\n" + said, 1)
