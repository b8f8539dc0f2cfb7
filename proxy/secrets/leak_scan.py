"""Looks for secrets in a stream and lets through only what can no longer become a match. Constant memory.

    scan = LeakScan(forms)
    upstream.write(scan.feed(chunk))   # raises LeakError before the form's last byte leaves
    upstream.write(scan.finish())      # raises LeakError too

Held back is the end of what came, as far as it could be the beginning of a form: mostly nothing. Base64
that is stretched by more white space than the window holds may begin to leave, and may then be missed.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.secrets.forms import SecretForms, search_of
from proxy.secrets.held import Held


class LeakError(Exception):
    """A secret was found; `found` names it, the text does not show it."""

    def __init__(self, found: SecretForms) -> None:
        super().__init__(f"{found.name} was found")
        self.found = found


class LeakScan:
    """Looks for values in one stream, over the borders of its pieces."""

    def __init__(self, forms: Iterable[SecretForms]) -> None:
        self._search = search_of(tuple(forms))
        self._held = Held()

    @property
    def is_holding(self) -> bool:
        """Whether bytes wait for what comes next."""
        return len(self._held) > 0

    def feed(self, data: bytes) -> bytes:
        """What may leave now. Raises LeakError."""
        self._held.add(data)
        return self._look() if self._held.is_due else b""

    def check(self, message: bytes) -> None:
        """Look at what leaves as a whole, whatever it begins. Raises LeakError."""
        self._held.add(message)
        self._look()

    def finish(self) -> bytes:
        """What was held back: the stream has ended, so it is the beginning of nothing. Raises LeakError."""
        rest = self._held.take()
        self._refuse(rest)
        return rest

    def _look(self) -> bytes:
        text = self._held.take()
        self._refuse(text)
        at = self._search.open_from(text)
        self._held.keep(text[at:])
        return text[:at]

    def _refuse(self, text: bytes) -> None:
        if (found := self._search.find(text)) is not None:
            raise LeakError(found)
