"""The audit's lines: each carries the hash of the one before it, so that none can be changed, cut or moved.

    {"seq":7,"at":1764000000.0,"kind":"api.call","who":"uid:0",...,"prev":"<of line 6>","hash":"<of this>"}

The hash is SHA-256 over the line's own bytes up to `,"hash"`, so that there is one form of a line and nothing
to normalise. The first line's `prev` names the installation: another one's files do not continue these. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_LINE_BYTES = 64 << 10
_END = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n\Z')
_RESERVED = frozenset({"seq", "prev", "hash"})


class Head(NamedTuple):
    """Where a chain has come to."""

    seq: int
    """Of its last line; 0 before the first."""
    hash: str


class Broken(NamedTuple):
    """One thing that is wrong with a chain."""

    place: str
    """`FILE:LINE`."""
    what: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read."""

    place: str
    head: Head
    """It, as the head of the chain."""
    prev: str
    entry: Mapping[str, Any]


def genesis(installation: str) -> Head:
    """The head of a chain without lines."""
    return Head(0, hashlib.sha256(f"orchbox audit of {installation}".encode()).hexdigest())


def seal(entry: Mapping[str, object], head: Head) -> tuple[bytes, Head]:
    """The next line of a chain, and the chain's head with it.

    Raises ValueError for an entry that is no JSON, is too long, or has a field of the chain's own.
    """
    if _RESERVED & entry.keys():
        raise ValueError("the entry has a field of the chain's own")
    seq = head.seq + 1
    body = json.dumps({"seq": seq, **entry, "prev": head.hash}, allow_nan=False, separators=(",", ":"))
    front = body.removesuffix("}").encode("ascii")
    digest = hashlib.sha256(front).hexdigest()
    line = front + f',"hash":"{digest}"}}\n'.encode()
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the entry is longer than {MAX_LINE_BYTES} bytes")
    return line, Head(seq, digest)


def read_line(data: bytes, place: str) -> Line | Broken:
    """One line, whose own hash is right, or what is wrong with it."""
    end = _END.search(data)
    if end is None:
        return Broken(place, "no line of an audit, or one that was cut short")
    digest = end[1].decode()
    if hashlib.sha256(data[: end.start()]).hexdigest() != digest:
        return Broken(place, "the line was changed")
    try:
        entry = json.loads(data, parse_constant=_refuse)
        seq, prev = entry.pop("seq"), entry.pop("prev")
    except (ValueError, KeyError, AttributeError, RecursionError):
        return Broken(place, "no line of an audit")
    if type(seq) is not int or not isinstance(prev, str):
        return Broken(place, "no line of an audit")
    del entry["hash"]
    return Line(place, Head(seq, digest), prev, entry)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def follow(lines: Iterable[tuple[str, bytes]], head: Head) -> Iterator[Line | Broken]:
    """Every line behind this head, and what is wrong with the chain, at the place where it shows.

    `lines` are places and bytes. Behind a fault the chain is followed from the next line that is whole, so
    that each fault is told once.
    """
    lost = 0
    for place, data in lines:
        line = read_line(data, place)
        if isinstance(line, Broken):
            yield line
            lost += 1
            continue
        if (fault := _fault(line, head, lost)) is not None:
            yield Broken(place, fault)
        yield line
        lost, head = 0, line.head


def _fault(line: Line, head: Head, lost: int) -> str | None:
    """`lost` is how many stand in between that are no lines: put there, or in the place of some that were."""
    if lost and line.head.seq == head.seq + 1 and line.prev == head.hash:
        return None
    seq = head.seq + 1 + lost
    if line.head.seq > seq:
        missing = f"line {seq} is" if line.head.seq == seq + 1 else f"lines {seq} to {line.head.seq - 1} are"
        return f"{missing} missing before it"
    if line.head.seq < seq:
        return f"line {line.head.seq} stands where line {seq} belongs"
    if line.prev != head.hash and seq == 1:
        return "line 1 does not begin this installation's audit: it was changed, or is another installation's"
    if line.prev != head.hash and not lost:
        return f"line {seq} does not continue the line before it"
    return None
