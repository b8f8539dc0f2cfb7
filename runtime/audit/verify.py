"""Is the audit as it was written? Reads every line, and trusts nothing but the public key. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runtime.audit.chain import Broken, Head, Line, follow, genesis, read_line
from runtime.audit.checkpoint import KIND, is_signed

MAX_FAULTS = 1000
"""That are told one by one; the others are counted."""


@dataclass(slots=True)
class Verdict:
    """What was found."""

    lines: int = 0
    checkpoints: int = 0
    head: Head | None = None
    broken: list[Broken] = field(default_factory=list)
    more: int = 0
    """Faults beyond those in `broken`."""

    def add(self, place: str, what: str) -> None:
        """One more fault."""
        if len(self.broken) < MAX_FAULTS:
            self.broken.append(Broken(place, what))
        else:
            self.more += 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, cut or moved."""
        return not self.broken


def verify(
    lines: Iterable[tuple[str, bytes]],
    installation: str,
    key: Ed25519PublicKey,
    *,
    kept: Collection[Head] = (),
) -> Verdict:
    """Look at all lines. `kept` are heads that are known to have been there.

    Without one, a chain that ends early cannot be told from one that is shorter. Lines at the beginning may
    be missing where a later line says that they were pruned.
    """
    verdict, missing = Verdict(), set(kept)
    pruned, ends = set[Head](), set[Head]()
    place, start, lines = begin(lines, installation)
    first = place
    for found in follow(lines, start):
        if isinstance(found, Broken):
            verdict.add(*found)
            continue
        if verdict.head is not None and _file(place) != _file(found.place):
            ends.add(verdict.head)
        verdict.lines, verdict.head, place = verdict.lines + 1, found.head, found.place
        missing.discard(found.head)
        _look(found, installation, key, verdict, pruned)
    # A file goes after another: what such a line vouches for may be there in part.
    is_vouched = start in pruned or any(head.seq > start.seq for head in pruned & ends)
    if start != genesis(installation) and not is_vouched:
        verdict.broken.insert(0, Broken(first, f"lines 1 to {start.seq} are missing before it"))
    for head in sorted(missing - {start}):
        what = "is missing or another one"
        if head.seq < start.seq and is_vouched:
            # Nobody knows: with the key, a chain that begins anywhere is made in the place of all before it.
            what = "was pruned: it cannot be checked any more"
        verdict.add(place, f"line {head.seq}, which is known to have been there, {what}")
    return verdict


class Beginning(NamedTuple):
    """Of the lines that are there."""

    place: str
    head: Head
    """What the first of them says that it goes on from: more than nothing where others were pruned."""
    lines: Iterable[tuple[str, bytes]]
    """All of them."""


def begin(lines: Iterable[tuple[str, bytes]], installation: str) -> Beginning:
    """Look at the first one."""
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        return Beginning("the end", genesis(installation), ())
    line, head = read_line(first[1], first[0]), genesis(installation)
    if isinstance(line, Line) and line.head.seq > 1:
        head = Head(line.head.seq - 1, line.prev)
    return Beginning(first[0], head, itertools.chain([first], lines))


def _look(line: Line, installation: str, key: Ed25519PublicKey, verdict: Verdict, pruned: set[Head]) -> None:
    kind, data = line.entry.get("kind"), line.entry.get("data")
    if kind == KIND:
        verdict.checkpoints += 1
        if not isinstance(data, dict) or not is_signed(
            data, installation, Head(line.head.seq - 1, line.prev), key
        ):
            verdict.add(line.place, "the checkpoint is not signed with this key")
    elif kind == "audit.pruned" and isinstance(data, dict):
        if type(seq := data.get("seq")) is int:
            pruned.add(Head(seq, str(data.get("hash"))))
    elif kind == "audit.missing" and isinstance(data, dict):
        what = "before it the daemon found no head that it had signed: what had been written is not known"
        if type(seq := data.get("seq")) is int:
            what = f"before it the daemon missed lines up to {seq}, which had been written"
        verdict.add(line.place, what)


def _file(place: str) -> str:
    return place.partition(":")[0]
