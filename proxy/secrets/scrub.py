"""Takes secrets out of what an upstream sends back, without changing its length or delaying it.

scrub = StreamScrub(reflection)
client.write(scrub.feed(chunk))   # holds back no more than the beginning of a form
client.write(scrub.finish())
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.contract.grant import GrantSecret
from proxy.policy.reasons import ReasonCode
from proxy.secrets.cover import Piece, StreamCover
from proxy.secrets.forms import SecretForms, search_of

_FILLER = b"*"


@dataclass(frozen=True, slots=True)
class Reflection:
    """The values that an upstream may send back, and the placeholders that take their place."""

    forms: tuple[SecretForms, ...] = field(repr=False)
    placeholders: dict[SecretForms, bytes] = field(repr=False)
    """Of those that are as long as the value: an address with a key in it then still works."""

    @classmethod
    def of(cls, secrets: Iterable[GrantSecret], values: Iterable[SecretForms] = ()) -> Reflection:
        """Of the brokered secrets among these; `values` are forms that are there already, by name."""
        by_name = {form.name: form for form in values}
        forms, placeholders = [], {}
        for secret in secrets:
            if secret.placeholder is None:
                continue
            form = by_name.get(secret.name)
            form = form or SecretForms.of(secret.name, secret.value, ReasonCode.SECRET_LEAK)
            if form is None:
                continue
            forms.append(form)
            if len(secret.placeholder) == len(secret.value):
                placeholders[form] = secret.placeholder.encode()
        return cls(tuple(forms), placeholders)

    def clean(self, text: bytes) -> bytes:
        """A whole text without them."""
        scrub = StreamScrub(self)
        return scrub.feed(text) + scrub.finish() if self.forms else text


class StreamScrub:
    """Takes values out of one body as it passes."""

    def __init__(self, reflection: Reflection) -> None:
        self._placeholders = reflection.placeholders
        self._cover = StreamCover(search_of(reflection.forms))

    def feed(self, data: bytes) -> bytes:
        """What may go on now; as long, in all, as what came."""
        return b"".join(map(self._filled, self._cover.feed(data)))

    def finish(self) -> bytes:
        """The end of the body, held back until no value could begin in it."""
        return b"".join(map(self._filled, self._cover.finish()))

    def _filled(self, piece: Piece[SecretForms]) -> bytes:
        if not piece.is_covered:
            return piece.text
        placeholder = self._placeholders.get(piece.alone) if piece.alone is not None else None
        if placeholder is None:
            return _FILLER * len(piece.text)
        return placeholder[piece.offset : piece.offset + len(piece.text)]
