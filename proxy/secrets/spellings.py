"""The catalogue: every known way to write a value, each once and each inside each other. Pure.

One table for the tripwire, the scrubber and the runtime's redactor. A new spelling is one row; what the
search then has to look for follows from it (`proxy.secrets.forms`).

    for name, text in catalogue("sk_live_..."): ...
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus


class Spelling(NamedTuple):
    """One way to write a value."""

    name: str
    spell: Callable[[bytes], Iterable[bytes]]
    """The texts that stand there; several where writers differ, or by what is around."""
    is_placed: bool = False
    """Whether what is around the value decides how it is written."""


def as_text(raw: bytes) -> str:
    """For writers of text; latin-1 where the bytes are no UTF-8."""
    try:
        return raw.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _lower(text: bytes, pattern: bytes) -> bytes:
    return re.sub(pattern, lambda escape: escape[0].lower(), text)


def _percent(safe: str) -> Callable[[bytes], Iterator[bytes]]:
    def spell(raw: bytes) -> Iterator[bytes]:
        upper = quote(raw, safe=safe).encode()
        yield upper
        yield _lower(upper, rb"%..")

    return spell


def _form(raw: bytes) -> Iterator[bytes]:
    yield raw.replace(b" ", b"+")
    yield (upper := quote_plus(raw).encode())
    yield _lower(upper, rb"%..")


def _json(raw: bytes) -> Iterator[bytes]:
    text = as_text(raw)
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="surrogatepass")


def _json_php(raw: bytes) -> Iterator[bytes]:
    return (text.replace(b"/", b"\\/") for text in _json(raw))


def _json_without(characters: str) -> Callable[[bytes], Iterator[bytes]]:
    """JSON whose writer escapes these by their number, in either case of its letters."""
    numbers = {character.encode(): f"\\u{ord(character):04x}".encode() for character in characters}

    def spell(raw: bytes) -> Iterator[bytes]:
        for text in _json(raw):
            escaped = text.replace(b'\\"', b'"') if b'"' in numbers else text
            for character, number in numbers.items():
                escaped = escaped.replace(character, number)
            yield escaped
            yield re.sub(rb"\\u[0-9a-f]{4}", lambda escape: b"\\u" + escape[0][2:].upper(), escaped)

    return spell


def _html(raw: bytes) -> Iterator[bytes]:
    text = as_text(raw)
    quoted = html.escape(text)
    for written in (
        html.escape(text, quote=False),
        quoted,
        quoted.replace("&#x27;", "&#39;"),
        quoted.replace("&quot;", "&#34;").replace("&#x27;", "&apos;"),
    ):
        yield written.encode(errors="surrogatepass")


def _base64(raw: bytes) -> Iterator[bytes]:
    """Behind none, one or two bytes of something else, in the standard and in the URL-safe alphabet."""
    for shift in range(3):
        letters = base64.b64encode(b"\0" * shift + raw)
        yield letters
        yield letters.translate(bytes.maketrans(b"+/", b"-_"))


def _wrapped_base64(raw: bytes) -> Iterator[bytes]:
    letters = base64.b64encode(raw)
    for end in (b"\n", b"\r\n"):
        yield end.join(letters[at : at + 16] for at in range(0, len(letters), 16))


def _hex(raw: bytes) -> Iterator[bytes]:
    yield raw.hex().encode()
    yield raw.hex().upper().encode()


def _utf16(order: str) -> Callable[[bytes], Iterable[bytes]]:
    return lambda raw: [as_text(raw).encode(f"utf-16-{order}", "surrogatepass")]


def _each_byte(start: str) -> Callable[[bytes], Iterator[bytes]]:
    def spell(raw: bytes) -> Iterator[bytes]:
        for digits in ("02x", "02X"):
            yield "".join(f"{start}{byte:{digits}}" for byte in raw).encode()

    return spell


def _each_unit(raw: bytes) -> Iterator[bytes]:
    units = as_text(raw).encode("utf-16-be", "surrogatepass")
    for digits in ("02x", "02X"):
        pairs = (units[at : at + 2] for at in range(0, len(units), 2))
        yield "".join(f"\\u{high:{digits}}{low:{digits}}" for high, low in pairs).encode()


SPELLINGS = (
    Spelling("as it is", lambda raw: [raw]),
    Spelling("percent", _percent("")),
    Spelling("percent, slashes kept", _percent("/")),
    Spelling("percent, JavaScript's component", _percent("!'()*~")),
    Spelling("percent, JavaScript's address", _percent("!'()*~;,/?:@&=+$#")),
    Spelling("percent, the rarest only", _percent("!\"'()*~;,/?:@&=+$#<>[]\\^`{|}")),
    Spelling("a form", _form),
    Spelling("JSON", _json),
    Spelling("JSON, slashes escaped (PHP)", _json_php),
    Spelling("JSON for HTML (Go, Rails)", _json_without("<>&")),
    Spelling("JSON for HTML (.NET)", _json_without("<>&'+`\"")),
    Spelling("HTML", _html),
    Spelling("base64", _base64, is_placed=True),
    Spelling("base64 in lines", _wrapped_base64, is_placed=True),
    Spelling("hex", _hex),
    Spelling("UTF-16, little end first", _utf16("le")),
    Spelling("UTF-16, big end first", _utf16("be")),
    Spelling("every byte in percent", _each_byte("%")),
    Spelling("every byte as a string's escape", _each_byte("\\x")),
    Spelling("every character as JSON's number", _each_unit),
)


def catalogue(value: str) -> Iterator[tuple[str, bytes]]:
    """Every text of the table for a value, then every one inside every other; each with its name.

    Left out is base64 in lines inside base64 or hex: where its lines end, only what is around it decides.
    """
    raw = value.encode(errors="surrogatepass")
    for outer in SPELLINGS:
        yield from ((outer.name, text) for text in dict.fromkeys(outer.spell(raw)))
    for outer in SPELLINGS[1:]:
        for inner in SPELLINGS[1:]:
            if inner.spell is _wrapped_base64 and outer.name in {"base64", "base64 in lines", "hex"}:
                continue
            name = f"{outer.name}, of {inner.name}"
            for text in dict.fromkeys(inner.spell(raw)):
                yield from ((name, written) for written in dict.fromkeys(outer.spell(text)))
