"""Which runs a list shows, and where it goes on. Pure.

A list is in the order of its runs' creation, the newest first, and goes on behind the last one that was
shown: what is added meanwhile comes before it, so that nothing is shown twice or left out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from runtime.errors import InvalidInputError
from runtime.model.run import RunState, RunSummary

MAX_LISTED = 200
PREFIX_DIGITS = 7
"""Of an id: as many are enough to name a run."""
_ID_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{0,35}")
_RUN_ID = re.compile(r"[\x21-\x7e]{1,64}")
_HEAD = struct.Struct(">8sd")


def is_id_prefix(text: str, *, at_least: int = 1) -> bool:
    """Whether ids of runs may begin so."""
    return len(text) >= at_least and _ID_PREFIX.fullmatch(text) is not None


class Position(NamedTuple):
    """A run's place in the order of all runs."""

    created_at: float
    run_id: str


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What the runs of a list have in common; None is anything."""

    workspace: str | None = None
    state: RunState | None = None
    agent: str | None = None
    policy: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: float | None = None
    """Epoch seconds; a run of this very moment is not after it."""
    id_prefix: str | None = None

    def takes(self, run: RunSummary) -> bool:
        """Whether a run belongs to the list."""
        wanted = (
            (self.workspace, run.workspace),
            (self.state, run.state),
            (self.agent, run.agent_ref),
            (self.policy, run.policy_name),
        )
        return (
            all(want is None or want == has for want, has in wanted)
            and self.labels.items() <= run.labels.items()
            and (self.created_after is None or run.created_at > self.created_after)
            and (self.id_prefix is None or run.id.startswith(self.id_prefix))
        )

    def mark(self) -> bytes:
        """The same for the same list, so that a cursor of another one is noticed."""
        parts = [self.workspace, self.state, self.agent, self.policy]
        shown = json.dumps([*parts, sorted(self.labels.items()), self.created_after, self.id_prefix])
        return hashlib.sha256(shown.encode()).digest()[:8]


@dataclass(frozen=True, slots=True)
class RunQuery:
    """One page of a list."""

    limit: int
    filter: RunFilter = field(default_factory=RunFilter)
    after: Position | None = None
    """Where the page before ended."""

    @classmethod
    def read(cls, limit: int, which: RunFilter, cursor: str | None) -> Self:
        """The page that a cursor of this list leads to. Raises InvalidInputError."""
        return cls(limit, which, None if cursor is None else _position(cursor, which))

    def cursor(self, last: RunSummary) -> str:
        """Opaque: what `read` takes to go on behind this run."""
        data = _HEAD.pack(self.filter.mark(), last.created_at) + last.id.encode()
        return base64.urlsafe_b64encode(data).decode().rstrip("=")


class RunPage(NamedTuple):
    """A part of a list."""

    items: list[RunSummary]
    next_cursor: str | None
    """None where the list ends here."""


def _position(cursor: str, which: RunFilter) -> Position:
    """A cursor says where, never what: the filter is applied to each page anew."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, created_at = _HEAD.unpack_from(data)
        run_id = data[_HEAD.size :].decode("ascii")
    except (ValueError, binascii.Error, struct.error):
        raise _wrong("no cursor of a list") from None
    if not math.isfinite(created_at) or not _RUN_ID.fullmatch(run_id):
        raise _wrong("no cursor of a list")
    if mark != which.mark():
        raise _wrong("a cursor of a list with other filters")
    return Position(created_at, run_id)


def _wrong(what: str) -> InvalidInputError:
    hint = "send next_cursor as it was answered, with the same filters; without it the list begins anew"
    return InvalidInputError(f"cursor: {what}", hint=hint, param="cursor")
