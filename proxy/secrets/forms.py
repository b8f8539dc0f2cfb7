"""What is looked for of a secret: derived from the catalogue of spellings, once for each secret.

forms = SecretForms.of("STRIPE_KEY", "sk_live_...", ReasonCode.SECRET_LEAK)
find_form([forms], text)
search_of((forms,)).spans(text)
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from proxy.policy.reasons import ReasonCode
from proxy.secrets.escapes import readings
from proxy.secrets.search import TO_STANDARD_BASE64, Fold, Search
from proxy.secrets.spellings import SPELLINGS, as_text

MIN_WATCHED_BYTES = 8
"""Shorter values stand in ordinary text by chance: they are neither watched, scrubbed nor masked."""
SEGMENT_BYTES = 1 << 10
"""Of a value that is coded (base64, hex): a longer one is looked for piece by piece."""
_STEP_BYTES = SEGMENT_BYTES - 16
"""So that what one piece leaves of its first and last letters lies within another."""
NESTED_BYTES = 512
"""Of a value that is coded twice, only its beginning is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class SecretForms:
    """What to look for, for one secret; its text form shows the name only. Compared by identity."""

    name: str
    reason: ReasonCode
    """Of the refusal when one of the forms is found."""
    plain: tuple[bytes, ...] = field(repr=False)
    """The value, first as it is."""
    form: tuple[bytes, ...] = field(repr=False)
    """The value with spaces for `+`, where a form would write one for the other."""
    base64: tuple[bytes, ...] = field(repr=False)
    """In the standard alphabet, for the three alignments."""
    hexed: tuple[bytes, ...] = field(repr=False)
    in_names: tuple[bytes, ...] = field(repr=False)
    """In small letters: the value, its base64 and its hex, as far as a host name has room."""

    @classmethod
    def of(cls, name: str, value: str, reason: ReasonCode) -> SecretForms | None:
        """The forms of a value; None for one too short to be looked for."""
        raw = value.strip().encode(errors="surrogatepass")
        if len(raw) < MIN_WATCHED_BYTES:
            return None
        coded = dict.fromkeys((*_segments(raw), *_inner(raw[:NESTED_BYTES])))
        aligned = dict.fromkeys(_aligned_base64(text, shift) for text in coded for shift in range(3))
        plain = _plain(raw)
        own = (*plain, *(_aligned_base64(raw, shift) for shift in range(3)), raw.hex().encode())
        return cls(
            name,
            reason,
            plain,
            tuple(form.replace(b"+", b" ") for form in plain if b" " in form),
            tuple(aligned),
            tuple(dict.fromkeys(text.hex().encode() for text in coded)),
            tuple(dict.fromkeys(shape.lower() for shape in own if len(shape) <= MAX_NAME_BYTES)),
        )

    @classmethod
    def of_line(cls, name: str, line: str, reason: ReasonCode) -> SecretForms | None:
        """Of one line of a value: as it is and escaped, and in no other coding."""
        raw = line.strip().encode(errors="surrogatepass")
        return cls(name, reason, (raw,), (), (), (), ()) if len(raw) >= MIN_WATCHED_BYTES else None


MAX_NAME_BYTES = 253


def _plain(raw: bytes) -> tuple[bytes, ...]:
    """The value as readings of a text show it: one that looks escaped loses that with what is around it."""
    found = [*readings(raw)]
    if not raw.isascii() and len(raw) <= NESTED_BYTES:
        for text in map(as_text, tuple(found)):
            found += readings(text.encode("latin-1", "replace"))
            for order in ("le", "be"):
                found += readings(text.encode(f"utf-16-{order}", "surrogatepass").replace(b"\0", b""))
        found += [form.decode("latin-1").encode() for form in found]  # each byte written as a character
    return tuple(dict.fromkeys(form for form in found if len(form) >= MIN_WATCHED_BYTES))


def _segments(raw: bytes) -> Iterator[bytes]:
    """The whole, or overlapping pieces that cover it."""
    if len(raw) <= SEGMENT_BYTES:
        yield raw
        return
    for at in range(0, len(raw) - SEGMENT_BYTES, _STEP_BYTES):
        yield raw[at : at + SEGMENT_BYTES]
    yield raw[-SEGMENT_BYTES:]


def _inner(raw: bytes) -> Iterator[bytes]:
    """The value in every spelling, as base64 or hex may hold it."""
    for row in SPELLINGS[1:]:
        if not row.is_placed:
            for text in row.spell(raw):
                yield from _segments(text) if text != raw else ()
    for shift in range(3):
        letters = _aligned_base64(raw, shift)
        yield from _segments(letters)
        yield from _segments(letters.translate(bytes.maketrans(b"+/", b"-_")))


def _aligned_base64(raw: bytes, shift: int) -> bytes:
    """The letters that only `raw` decides, where `shift` bytes stand before it in its group of three."""
    encoded = base64.b64encode(b"\0" * shift + raw)
    return encoded[(0, 2, 3)[shift] : (shift + len(raw)) * 8 // 6]


@lru_cache(maxsize=64)
def search_of(forms: tuple[SecretForms, ...]) -> Search[SecretForms]:
    """The search for these secrets; kept, for each request asks for one (see `forget_searches`)."""
    return make_search(forms)


def make_search(forms: Collection[SecretForms]) -> Search[SecretForms]:
    """The search for these secrets."""
    return Search(
        {
            Fold.PLAIN: [(needle, each) for each in forms for needle in each.plain],
            Fold.FORM: [(needle, each) for each in forms for needle in each.form],
            Fold.HEX: [(needle, each) for each in forms for needle in each.hexed],
            Fold.BASE64: [(needle, each) for each in forms for needle in each.base64],
        }
    )


def forget_searches() -> None:
    """Keep nothing of secrets that are gone."""
    search_of.cache_clear()


def find_form(forms: Iterable[SecretForms], text: bytes) -> SecretForms | None:
    """A secret of which `text` holds any form."""
    return search_of(tuple(forms)).find(text)


def find_in_name(forms: Iterable[SecretForms], host: str) -> SecretForms | None:
    """The same in a host name, which has no case, and whose labels may cut a form into pieces."""
    whole = host.lower().encode(errors="surrogateescape")
    names = {whole, whole.replace(b".", b"")}
    names |= {name.translate(TO_STANDARD_BASE64) for name in names}
    for secret in forms:
        if any(shape in name for name in names for shape in secret.in_names):
            return secret
    return None
