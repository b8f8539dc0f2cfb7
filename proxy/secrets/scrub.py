"""Takes secrets out of what an upstream sends back, without changing its length or delaying it.

scrub = StreamScrub(forms)
client.write(scrub.feed(chunk))   # holds back no more than the beginning of a form
client.write(scrub.finish())
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.contract.grant import GrantSecret
from proxy.secrets.forms import MIN_WATCHED_BYTES, Use, open_length, spelled

_FILLER = b"*"


@dataclass(frozen=True, slots=True)
class Reflection:
    """The shapes in which an upstream may send a value back, each with what is put in its place."""

    replacements: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @classmethod
    def of(cls, secrets: Iterable[GrantSecret]) -> Reflection:
        """Of the brokered secrets among these; the longest shape first.

        A value becomes its placeholder where both are of one length, so that an address with a key in it
        still works, else asterisks.
        """
        found: dict[bytes, bytes] = {}
        for secret in secrets:
            value = secret.value.strip()
            if secret.placeholder is None or len(value.encode()) < MIN_WATCHED_BYTES:
                continue
            for shape in (form.encode() for form in spelled(value, Use.SCRUB)):
                found.setdefault(shape, _FILLER * len(shape))
            if len(secret.placeholder) == len(secret.value):
                found[secret.value.encode()] = secret.placeholder.encode()
        return cls(tuple(sorted(found.items(), key=lambda item: -len(item[0]))))

    def clean(self, text: bytes) -> bytes:
        """A whole text without them."""
        for shape, filler in self.replacements:
            text = text.replace(shape, filler)
        return text

    def open_length(self, text: bytes) -> int:
        """Length of the longest end of `text` that is a beginning of a shape, but not all of it."""
        return max((open_length(text, shape) for shape, _ in self.replacements), default=0)


class StreamScrub:
    """Takes values out of one body as it passes."""

    def __init__(self, reflection: Reflection) -> None:
        self._reflection = reflection
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on now; as long, in all, as what came."""
        text = self._reflection.clean(self._held + data)
        end = len(text) - self._reflection.open_length(text)
        self._held = text[end:]
        return text[:end]

    def finish(self) -> bytes:
        """The end of the body, held back until no value could begin in it."""
        rest, self._held = self._held, b""
        return rest
