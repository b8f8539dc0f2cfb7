"""Values that go where others belong. Pure, from a given source of chance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

TEXTS = (
    "",
    "0",
    "-",
    "..",
    "../../etc/passwd",
    "%2e%2e%2f",
    "%00",
    "%",
    "%zz",
    "%ff%fe",
    "a" * 5000,
    "'; DROP TABLE runs; --",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/x}",
    "\u202e\u0000x",
    "\U0001f511" * 50,
    "\r\nX-Injected: 1",
    "null",
    "NaN",
    "1e999",
    "-1",
    "9" * 400,
    "true",
    "[]",
    " ",
    "*",
    "default",
    "orch_" + "0" * 64,
)
NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, -0.0)


def text(chance: random.Random) -> str:
    """One of those, or noise."""
    if chance.random() < 0.8:
        return chance.choice(TEXTS)
    return "".join(chr(chance.choice((*range(1, 128), 0x80, 0x2028, 0xFFFD, 0x1F511))) for _ in range(20))


def value(chance: random.Random, depth: int = 3) -> Any:
    """Anything that JSON can say."""
    leaf: tuple[Callable[[], Any], ...] = (
        lambda: text(chance),
        lambda: chance.choice(NUMBERS),
        lambda: None,
        lambda: chance.choice((True, False)),
    )
    if depth == 0 or chance.random() < 0.6:
        return chance.choice(leaf)()
    size = chance.randrange(4)
    if chance.random() < 0.5:
        return [value(chance, depth - 1) for _ in range(size)]
    return {text(chance)[:50]: value(chance, depth - 1) for _ in range(size)}


def fitting(schema: dict[str, Any], chance: random.Random) -> Any:
    """Something near to what a schema asks for: right in most places, so that what is behind is reached."""
    if chance.random() < 0.25:
        return value(chance)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return fitting(chance.choice(schema[choice]), chance)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kinds: dict[str, Callable[[], Any]] = {
        "object": lambda: _object(schema, chance),
        "array": lambda: [fitting(schema.get("items", {}), chance) for _ in range(chance.randrange(3))],
        "integer": lambda: chance.choice(NUMBERS),
        "number": lambda: chance.choice(NUMBERS),
        "boolean": lambda: chance.choice((True, False)),
        "null": lambda: None,
        "string": lambda: text(chance),
    }
    return kinds.get(str(schema.get("type")), lambda: value(chance))()


def _object(schema: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    properties = schema.get("properties", {}).items()
    known = {name: fitting(each, chance) for name, each in properties if chance.random() < 0.8}
    return {**known, **({text(chance)[:50]: value(chance)} if chance.random() < 0.2 else {})}


def document(schema: dict[str, Any], chance: random.Random) -> bytes:
    """A body: JSON that nearly fits, or what only looks like JSON."""
    broken: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: b"{",
        lambda: b"\xff\xfe{\x00}\x00",
        lambda: b"\xef\xbb\xbf{}",
        lambda: b'{"a":1,"a":2}',
        lambda: b"[" * 20_000,
        lambda: b'{"a":' * 5000 + b"1" + b"}" * 5000,
        lambda: b'{"name":"\\ud800"}',
        lambda: b'{"name":' + b"9" * 5000 + b"}",
        lambda: b"NaN",
        lambda: bytes(chance.randrange(256) for _ in range(200)),
    )
    if chance.random() < 0.3:
        return chance.choice(broken)()
    return json.dumps(fitting(schema, chance)).encode("utf-8", "surrogatepass")
