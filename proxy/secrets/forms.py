"""The shapes a secret can take in a request: as it is, escaped, in base64, in hex.

Escapes (percent, JSON) are undone in the text, up to twice, rather than listed here. White space inside
base64 is skipped, its URL-safe letters are read as the standard ones, and hex is read in either case.

    SecretForms.of("STRIPE_KEY", "sk_live_...", ReasonCode.SECRET_LEAK)
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proxy.policy.reasons import ReasonCode

MIN_WATCHED_BYTES = 8
"""Shorter values stand in ordinary text by chance: they are neither watched nor scrubbed."""
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
    """What to look for, for one secret; its text form shows the name only."""

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
        raw = value.encode(errors="surrogatepass").strip()
        if len(raw) < MIN_WATCHED_BYTES:
            return None
        return cls(
            name,
            reason,
            tuple(dict.fromkeys((raw, raw.replace(b" ", b"+")))),  # an HTML form writes a space as +
            tuple(dict.fromkeys(_aligned_base64(raw, shift) for shift in range(3))),
            raw.hex().encode(),
        )

    @property
    def longest(self) -> int:
        """Bytes that the longest spelling of a form can take."""
        return MAX_ESCAPED_LENGTH * max(len(form) for form in (*self.plain, *self.base64, self.hexed))


def _aligned_base64(raw: bytes, shift: int) -> bytes:
    """The letters that only `raw` decides, where `shift` bytes stand before it in its group of three."""
    encoded = base64.b64encode(b"\0" * shift + raw)
    return encoded[(0, 2, 3)[shift] : (shift + len(raw)) * 8 // 6]


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
