"""The known spellings of a secret, one row each, and how a request is searched for them.

Broker and tripwire (FIND), scrubber (SCRUB) and the runtime's redactor (MASK) take them from one table. A new
spelling is one row.

A request's escapes (percent, JSON) are undone in its text, up to twice, white space inside base64 is
skipped, its URL-safe letters are read as the standard ones, and hex is read in either case: a row that is
found that way needs no form of its own there. Answers and logs are searched for the forms as they stand.

    SecretForms.of("STRIPE_KEY", "sk_live_...", ReasonCode.SECRET_LEAK)
    spelled("sk_live_...", Use.MASK)
"""

from __future__ import annotations

import base64
import enum
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from proxy.policy.reasons import ReasonCode

MIN_WATCHED_BYTES = 8
"""Shorter values stand in ordinary text by chance: they are neither watched nor scrubbed."""


# -- the table -----------------------------------------------------------------------------------


class Use(enum.Enum):
    """Who looks for a spelling."""

    FIND = "find"
    """Broker and tripwire, in what a sandbox sends: the request is refused."""
    SCRUB = "scrub"
    """In what a host answers: taken out at the same length."""
    MASK = "mask"
    """In output and logs: replaced by asterisks."""


class Spelling(NamedTuple):
    """One way to write a value."""

    name: str
    spell: Callable[[str], Iterable[str]]
    """The text that stands there, whatever is around it; several where that depends on what is around."""
    uses: frozenset[Use] = frozenset(Use)
    is_escape: bool = True
    """Whether it leaves letters, digits and `-._~` as they are."""


def _raw(value: str) -> bytes:
    return value.encode(errors="surrogatepass")


def _percent(value: str, *, safe: str = "") -> Iterator[str]:
    upper = quote(_raw(value), safe=safe)
    yield upper
    yield re.sub(r"%..", lambda escape: escape[0].lower(), upper)


def _form(value: str) -> Iterator[str]:
    yield value.replace(" ", "+")
    yield quote_plus(_raw(value))


def _json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _unicode_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _json_without(characters: str) -> Callable[[str], Iterator[str]]:
    """JSON whose writer escapes these by their number, in either case of its letters."""
    numbers = {ord(character): f"\\u{ord(character):04x}" for character in characters}
    pattern = re.compile(r"\\u[0-9a-f]{4}")

    def spell(value: str) -> Iterator[str]:
        for text in (_json(value), _unicode_json(value)):
            bare = text.replace('\\"', '"') if '"' in characters else text
            escaped = bare.translate(numbers)
            yield escaped
            yield pattern.sub(lambda escape: "\\u" + escape[0][2:].upper(), escaped)

    return spell


def _html(value: str) -> Iterator[str]:
    yield html.escape(value, quote=False)
    quoted = html.escape(value)
    yield quoted
    yield quoted.replace("&#x27;", "&#39;")
    yield quoted.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _base64(value: str) -> Iterator[str]:
    raw = _raw(value)
    if len(raw) >= MIN_WATCHED_BYTES:
        for shift in range(3):
            letters = _aligned_base64(raw, shift).decode()
            yield letters
            yield letters.replace("+", "-").replace("/", "_")


def _hex(value: str) -> Iterator[str]:
    raw = _raw(value)
    if len(raw) >= MIN_WATCHED_BYTES:
        yield raw.hex()
        yield raw.hex().upper()


def _each_byte(start: str, digits: str = "02x") -> Callable[[str], Iterator[str]]:
    return lambda value: iter(["".join(f"{start}{byte:{digits}}" for byte in _raw(value))])


def _aligned_base64(raw: bytes, shift: int) -> bytes:
    """The letters that only `raw` decides, where `shift` bytes stand before it in its group of three."""
    encoded = base64.b64encode(b"\0" * shift + raw)
    return encoded[(0, 2, 3)[shift] : (shift + len(raw)) * 8 // 6]


_FIND_ONLY = frozenset({Use.FIND})
"""What hides a value on purpose is looked for where it costs nothing: on its way out."""
SPELLINGS = (
    Spelling("as it is", lambda value: [value], is_escape=False),
    Spelling("percent", _percent),
    Spelling("percent, slashes kept", lambda value: _percent(value, safe="/")),
    Spelling("percent, JavaScript's component", lambda value: _percent(value, safe="!'()*~")),
    Spelling("percent, JavaScript's address", lambda value: _percent(value, safe="!'()*~;,/?:@&=+$#")),
    Spelling("percent, twice", lambda value: [quote(quote(_raw(value), safe=""), safe="")]),
    Spelling("a form", _form),
    Spelling("JSON", lambda value: [_json(value), _unicode_json(value)]),
    Spelling("JSON in JSON", lambda value: [_json(_json(value)), _unicode_json(_unicode_json(value))]),
    Spelling("JSON, slashes escaped (PHP)", lambda value: [_json(value).replace("/", "\\/")]),
    Spelling("JSON for HTML (Go, Rails)", _json_without("<>&")),
    Spelling("JSON for HTML (.NET)", _json_without("<>&'+`\"")),
    Spelling("HTML", _html),
    Spelling("base64", _base64, is_escape=False),
    Spelling("hex", _hex, is_escape=False),
    Spelling("every byte in percent", _each_byte("%"), _FIND_ONLY, is_escape=False),
    Spelling("every byte in percent, twice", _each_byte("%25", "02X"), _FIND_ONLY, is_escape=False),
    Spelling("every byte as JSON's number", _each_byte("\\u00"), _FIND_ONLY, is_escape=False),
    Spelling("every byte as a string's escape", _each_byte("\\x"), _FIND_ONLY, is_escape=False),
    Spelling("each of its lines", lambda value: value.splitlines(), frozenset({Use.MASK})),
)


_WITH_ESCAPES = re.compile(r"[^A-Za-z0-9._~-]")
_ESCAPES = tuple(row for row in SPELLINGS if row.is_escape and Use.FIND in row.uses)
_WITHOUT_ESCAPES = tuple(row for row in SPELLINGS if not row.is_escape)
"""All that there is for most keys, of which an answer is searched for each form."""


def spelled(value: str, use: Use) -> tuple[str, ...]:
    """Every form in which this user meets a value; each once, the value itself first."""
    rows = SPELLINGS if _WITH_ESCAPES.search(value) else _WITHOUT_ESCAPES
    forms = (form for row in rows if use in row.uses for form in row.spell(value))
    return tuple(dict.fromkeys(form for form in forms if form))


# -- the search of a request ---------------------------------------------------------------------

ESCAPE_DEPTH = 2
"""How often escapes are undone: %2541 is twice-escaped."""
MAX_ESCAPED_LENGTH = 6
"""Of one byte: `\\u0041`; twice-escaped percent (%2541) is shorter."""

TO_STANDARD_BASE64 = bytes.maketrans(b"-_", b"+/")
WHITE_SPACE = b" \t\r\n"
ESCAPE = re.compile(rb"(?:%|\\u00|\\x)[0-9A-Fa-f]{2}|\\[\"\\/bfnrt]")


def _unescaped_by_spelling() -> dict[bytes, bytes]:
    letters = "0123456789abcdefABCDEF"
    table = {
        (start + high + low).encode(): bytes([int(high + low, 16)])
        for start in ("%", "\\u00", "\\x")
        for high in letters
        for low in letters
    }
    simple = zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True)
    return table | {b"\\" + bytes([name]): bytes([meant]) for name, meant in simple}


_UNESCAPED = _unescaped_by_spelling()


@dataclass(frozen=True, slots=True)
class SecretForms:
    """What to look for in requests, for one secret; its text form shows the name only."""

    name: str
    reason: ReasonCode
    """Of the refusal when one of the forms is found."""
    plain: tuple[bytes, ...] = field(repr=False)
    base64: tuple[bytes, ...] = field(repr=False)
    """In the standard alphabet, for the three alignments."""
    hexed: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, value: str, reason: ReasonCode) -> SecretForms | None:
        """The forms of a value; None for one too short to be looked for."""
        value = value.strip()
        raw = _raw(value)
        if len(raw) < MIN_WATCHED_BYTES:
            return None
        aligned = tuple(dict.fromkeys(_aligned_base64(raw, shift) for shift in range(3)))
        own = cls(name, reason, (raw,), aligned, raw.hex().encode())
        return replace(own, plain=(raw, *own._unmet(value)))

    def _unmet(self, value: str) -> Iterator[bytes]:
        """The forms that the search does not meet by itself, as far as they are no longer than the hex.

        So the window of a scan does not grow with them, nor its work for a value of letters and digits.
        """
        rows = _ESCAPES if _WITH_ESCAPES.search(value) else ()
        for form in dict.fromkeys(_raw(form) for row in rows for form in row.spell(value)):
            if len(form) <= len(self.hexed) and find_form((self,), form) is None:
                yield form

    @property
    def longest(self) -> int:
        """Bytes that the longest spelling of a form can take."""
        return MAX_ESCAPED_LENGTH * max(len(form) for form in (*self.plain, *self.base64, self.hexed))


def unescape(text: bytes) -> bytes:
    """Undo percent and JSON escapes once."""
    if b"%" not in text and b"\\" not in text:
        return text
    return ESCAPE.sub(_unescaped, text)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return _UNESCAPED[match[0]]


def readings(text: bytes) -> Iterator[bytes]:
    """The text as it is, unescaped, and unescaped twice, as far as these differ."""
    yield text
    for _ in range(ESCAPE_DEPTH):
        plainer = unescape(text)
        if plainer == text:
            return
        yield plainer
        text = plainer


def find_form(forms: Iterable[SecretForms], text: bytes) -> SecretForms | None:
    """The first secret of which `text` holds any form."""
    forms = tuple(forms)
    for reading in readings(text) if forms else ():
        lower = reading.lower()
        standard = reading.translate(TO_STANDARD_BASE64, WHITE_SPACE)
        for secret in forms:
            if any(form in reading for form in secret.plain) or secret.hexed in lower:
                return secret
            if any(form in standard for form in secret.base64):
                return secret
    return None


def find_in_name(forms: Iterable[SecretForms], host: str) -> SecretForms | None:
    """The same in a host name, which has no case, and whose labels may cut a form into pieces."""
    whole = host.lower().encode(errors="surrogateescape")
    for secret in forms:
        shapes = [form.lower() for form in (*secret.plain, *secret.base64, secret.hexed)]
        if any(shape in name for name in (whole, whole.replace(b".", b"")) for shape in shapes):
            return secret
    return None


def open_length(text: bytes, form: bytes) -> int:
    """Length of the longest end of `text` that is a beginning of `form`, but not all of it."""
    at = max(0, len(text) - len(form) + 1)
    while (at := text.find(form[:4], at)) >= 0:
        if form.startswith(text[at:]):
            return len(text) - at
        at += 1
    return next((size for size in (3, 2, 1) if text.endswith(form[:size])), 0)
