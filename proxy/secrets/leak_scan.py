"""Looks for secrets in a stream and lets through only what can no longer become a match. Constant memory.

    scan = LeakScan(forms)
    upstream.write(scan.feed(chunk))   # raises LeakError before the form's last byte leaves
    upstream.write(scan.finish())

Held back is the end of what came, as far as it could be the beginning of a form: mostly nothing. Base64
that is stretched by more white space than the window holds may begin to leave, and may then be missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.secrets.forms import (
    ESCAPE,
    ESCAPE_DEPTH,
    TO_STANDARD_BASE64,
    WHITE_SPACE,
    SecretForms,
    find_form,
    open_length,
    unescape,
)

_PARTIAL_ESCAPE = re.compile(rb"(%[0-9A-Fa-f]?|\\(u(0(0[0-9A-Fa-f]?)?)?|x[0-9A-Fa-f]?)?)\Z")
_MAX_PARTIAL = 5


class LeakError(Exception):
    """A secret was found; `found` names it, the text does not show it."""

    def __init__(self, found: SecretForms) -> None:
        super().__init__(f"{found.name} was found")
        self.found = found


class LeakScan:
    """Looks for values in one stream, over the borders of its pieces."""

    def __init__(self, forms: Iterable[SecretForms]) -> None:
        self._forms = tuple(forms)
        self._window = max((form.longest for form in self._forms), default=0)
        self._seen = b""
        """The newest bytes, at most a window of them; the last `_held` have not left."""
        self._held = 0

    @property
    def is_holding(self) -> bool:
        """Whether bytes wait for what comes next."""
        return self._held > 0

    def feed(self, data: bytes) -> bytes:
        """What may leave now. Raises LeakError."""
        if not self._forms:
            return data
        text = self._seen + data
        if (found := find_form(self._forms, text)) is not None:
            raise LeakError(found)
        released = len(self._seen) - self._held
        tail = text[-self._window :]
        hold = len(text) - len(tail) + self._first_open(tail)
        hold = max(hold, released)
        self._held = len(text) - hold
        self._seen = tail
        return text[released:hold]

    def finish(self) -> bytes:
        """What was held back: the stream has ended, so it is the beginning of nothing."""
        rest = self._seen[len(self._seen) - self._held :]
        self._held = 0
        return rest

    def _first_open(self, tail: bytes) -> int:
        """Where in `tail` the first form begins that the next bytes could complete; else its length."""
        level, first, sources = tail, len(tail), [tail]
        for depth in range(ESCAPE_DEPTH + 1):
            partial = _PARTIAL_ESCAPE.search(level, max(0, len(level) - _MAX_PARTIAL))
            whole = level[: partial.start()] if partial else level
            at = min(self._first_open_plain(level), self._first_open_plain(whole), len(whole))
            if at < len(level):
                first = min(first, _origin(sources[:depth], at))
            plainer = unescape(whole)
            if plainer == whole and whole == level:
                break
            sources.append(plainer)
            level = plainer
        return first

    def _first_open_plain(self, text: bytes) -> int:
        lower = text.lower()
        standard = text.translate(TO_STANDARD_BASE64, WHITE_SPACE)
        longest, letters = 0, 0
        for secret in self._forms:
            longest = max(longest, open_length(lower, secret.hexed))
            longest = max(longest, *(open_length(text, form) for form in secret.plain))
            letters = max(letters, *(open_length(standard, form) for form in secret.base64))
        return min(len(text) - longest, _before_letters(text, letters))


def _before_letters(text: bytes, count: int) -> int:
    """Where the last `count` bytes that are not white space begin."""
    at = len(text)
    while count > 0:
        at -= 1
        count -= text[at] not in WHITE_SPACE
    return at


def _origin(sources: list[bytes], at: int) -> int:
    """Where in the first text the byte stands that is at `at` of the text unescaped from the last."""
    for source in reversed(sources):
        at = _position_before_unescape(source, at)
    return at


def _position_before_unescape(source: bytes, at: int) -> int:
    passed, end = 0, 0
    for match in ESCAPE.finditer(source):
        plain = match.start() - end
        if passed + plain >= at:
            break
        passed, end = passed + plain + 1, match.end()
    return end + at - passed
