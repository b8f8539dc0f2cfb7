"""Takes the values of every sandbox's secrets out of what the process logs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.admission.grants import GrantRegistry
from proxy.contract.decision_line import MASK
from proxy.hooks.known import KnownSecrets
from proxy.secrets.cover import StreamCover
from proxy.secrets.forms import SecretForms, find_in_name, make_search
from proxy.secrets.search import Search

KEPT_S = 10.0
"""After a grant's end, while the ends of its connections are still logged."""
_NAME = re.compile(r"[A-Za-z0-9._+/=-]{8,}")


@dataclass(slots=True)
class _Masked:
    values: tuple[SecretForms, ...]
    search: Search[SecretForms]
    until: float


class LogMask:
    """Knows the secrets of the grants that are held, and for some seconds of those that were."""

    def __init__(
        self, grants: GrantRegistry, known: KnownSecrets, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._grants = grants
        self._known = known
        self._clock = clock
        self._by_sandbox: dict[str, _Masked] = {}

    def __call__(self, text: str) -> str:
        """The text without any value, in any spelling, and without a name that holds one."""
        self.sweep()
        for masked in self._by_sandbox.values():
            cover = StreamCover(masked.search)
            pieces = [*cover.feed(text.encode(errors="surrogateescape")), *cover.finish()]
            if any(piece.is_covered for piece in pieces):
                text = "".join(
                    MASK if piece.is_covered else piece.text.decode(errors="replace")
                    for piece in pieces
                    if not piece.offset
                )
            values = masked.values
            text = _NAME.sub(lambda name: MASK if find_in_name(values, name[0]) else name[0], text)  # noqa: B023
        return text

    def sweep(self) -> None:
        """Take over what is held by now, and forget what was long ago."""
        now = self._clock()
        for grant in self._grants.held():
            values = self._known.of(grant).values
            kept = self._by_sandbox.get(grant.sandbox_id)
            if kept is None or kept.values is not values:
                kept = self._by_sandbox[grant.sandbox_id] = _Masked(values, make_search(values), 0.0)
            kept.until = now + KEPT_S
        for sandbox_id in [each for each, kept in self._by_sandbox.items() if now >= kept.until]:
            del self._by_sandbox[sandbox_id]
