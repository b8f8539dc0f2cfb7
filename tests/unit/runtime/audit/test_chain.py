"""runtime.audit.chain: any change to a chain of lines is seen, and named at its place."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from runtime.audit.chain import (
    MAX_LINE_BYTES,
    Broken,
    Head,
    Line,
    follow,
    genesis,
    read_line,
    seal,
)

START = genesis("an installation")


def chain(count: int, head: Head = START) -> tuple[list[bytes], Head]:
    """So many lines, and their head."""
    lines = []
    for number in range(count):
        line, head = seal({"at": 1.5, "kind": "api", "who": f"uid:{number}", "data": {"n": number}}, head)
        lines.append(line)
    return lines, head


def faults(lines: list[bytes], head: Head = START) -> list[Broken]:
    """What is wrong with them."""
    return [found for found in follow(placed(lines), head) if isinstance(found, Broken)]


def placed(lines: list[bytes]) -> list[tuple[str, bytes]]:
    """Each with its place."""
    return [(f"file:{number}", line) for number, line in enumerate(lines, 1)]


def test_a_chain_is_read_as_it_was_written():
    """Every entry, in its order, and the same head."""
    lines, head = chain(5)
    read = list(follow(placed(lines), START))

    assert all(isinstance(line, Line) for line in read)
    assert [line.entry["data"]["n"] for line in read] == list(range(5))
    assert read[-1].head == head
    assert faults(lines) == []


def test_it_goes_on_in_another_file():
    """From the head that the file before it has left."""
    first, head = chain(3)
    second, _ = chain(3, head)
    assert faults([*first, *second]) == []
    assert faults(second, head) == []


def test_another_installations_lines_do_not_continue_these():
    """A whole file from elsewhere is noticed at its first line."""
    lines, _ = chain(2, genesis("another installation"))
    assert [found.place for found in faults(lines)] == ["file:1"]


def changed(lines: list[bytes], at: int, chance: random.Random) -> list[bytes]:
    """One bit of one byte."""
    line = bytearray(lines[at])
    line[chance.randrange(len(line))] ^= 1 << chance.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def cut(lines: list[bytes], at: int, chance: random.Random) -> list[bytes]:
    """One line or several, the last one never: see `runtime.audit.verify`."""
    end = min(len(lines) - 1, at + chance.randrange(1, 4))
    return lines[:at] + lines[end:]


def moved(lines: list[bytes], at: int, chance: random.Random) -> list[bytes]:
    """One line to another place."""
    rest = [*lines[:at], *lines[at + 1 :]]
    other = chance.choice([place for place in range(len(lines)) if place != at])
    return [*rest[:other], lines[at], *rest[other:]]


def doubled(lines: list[bytes], at: int, chance: random.Random) -> list[bytes]:
    """One line twice."""
    other = chance.randrange(len(lines))
    return [*lines[:other], lines[at], *lines[other:]]


def made(lines: list[bytes], at: int, chance: random.Random) -> list[bytes]:
    """A line of somebody who knows the form, with a right hash of its own and the right number."""
    before = Head(at, f"{chance.getrandbits(256):064x}")
    line, _ = seal({"at": 1.5, "kind": "api", "who": "uid:0", "data": {}}, before)
    return [*lines[:at], line, *lines[at + 1 :]]


def sealed_anew(lines: list[bytes], at: int, chance: random.Random) -> list[bytes]:
    """A line with another content that continues the one before it: the next one gives it away."""
    head = START
    for line in lines[:at]:
        read = read_line(line, "")
        assert isinstance(read, Line)
        head = read.head
    line, _ = seal({"at": 1.5, "kind": "api", "who": "uid:4711", "data": {"n": chance.random()}}, head)
    return [*lines[:at], line, *lines[at + 1 :]]


@pytest.mark.parametrize("spoil", [changed, cut, moved, doubled, made, sealed_anew])
def test_every_change_is_found_where_it_is(spoil: Callable[..., list[bytes]]):
    """Two hundred of each kind; the first fault is named at the line that was touched, or at the one behind it."""
    chance = random.Random(7)
    lines, _ = chain(20)
    for _ in range(200):
        at = chance.randrange(19)
        spoilt = spoil(lines, at, chance)
        assert spoilt != lines
        found = faults(spoilt)
        assert found, (spoil, at)
        first = next(place for place, (a, b) in enumerate(zip(spoilt, lines, strict=False), 1) if a != b)
        assert int(found[0].place.partition(":")[2]) - first in {0, 1}, (found, first)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"seq":1}\n',
        b"null\n",
        b"x" * 100,
        chain(1)[0][0][:-1],
        chain(1)[0][0] + b" ",
        chain(1)[0][0].upper(),
    ],
)
def test_what_is_no_line_is_told(data: bytes):
    """And nothing of it is repeated."""
    found = read_line(data, "file:1")
    assert isinstance(found, Broken)
    assert found.place == "file:1"


@pytest.mark.parametrize(
    "entry",
    [{"seq": 1}, {"prev": ""}, {"hash": ""}, {"x": float("nan")}, {"x": "y" * MAX_LINE_BYTES}, {"x": {1, 2}}],
)
def test_what_cannot_be_a_line_is_refused(entry: dict[str, object]):
    """Before anything is written."""
    with pytest.raises((ValueError, TypeError)):
        seal(entry, START)


def test_text_of_any_kind_stays_on_its_line():
    """Line breaks and quotes of an agent make no line of their own."""
    line, _ = seal({"at": 1.0, "kind": "x", "who": 'a"\n\u2028,"hash":"' + "0" * 64 + '"}\n'}, START)
    assert line.count(b"\n") == 1
    assert faults([line]) == []
