"""What is held of an answer around its body, and done for a head's names: bounded, whatever the pieces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from proxy.policy import limits
from tests.wire.budgets import budget, get, meter
from tests.wire.conftest import Rig
from tests.wire.memory import MIB, peak_memory
from tests.wire.raw import refusals, request_line, send

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def endless(start: bytes, piece: bytes) -> Callable[..., Awaitable[None]]:
    """An upstream that begins an answer and goes on with it for 150 MiB, or until nobody reads."""

    async def respond(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        more = piece * (65536 // len(piece))
        with contextlib.suppress(ConnectionError):
            for _ in range(150 * 16):
                writer.write(more)
                await writer.drain()
        writer.close()

    return respond


ENDLESS = {
    "a header": (OK + b"x: ", b"y"),
    "headers": (OK, b"x: y\r\n"),
    "a first line": (b"HTTP/1.1 200 ", b"y"),
    "a chunk extension": (CHUNKED + b"1;", b"y"),
    "a chunk size": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"x: y\r\n"),
    "what follows an end of chunk": (CHUNKED + b"1\r\nx", b"y"),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_an_answer_without_an_end_is_bounded(rig: Rig, what: str):
    """A7: what is no body is held up to a bound; beyond it the answer ends, with a line in the audit."""
    rig.upstream.respond = endless(*ENDLESS[what])
    with peak_memory() as peak:
        got = await get(rig, "host")
    assert peak.held < 4 * MIB
    assert got.startswith(b"HTTP/1.1 200 " if ENDLESS[what][0].startswith(CHUNKED) else b"HTTP/1.1 502 ")
    assert refusals(rig) == ["bad_answer"]
    assert meter(rig).bytes_in < 4 * MIB


@pytest.mark.parametrize("line", [b"a:\r\n", b" x\r\n", b"a:\n"], ids=["headers", "folds", "bare line feeds"])
async def test_many_short_headers_are_bounded(rig: Rig, line: bytes):
    """A7: each header is an object, and each fold a copy of all before it, so they are counted too."""
    rig.upstream.response = OK + line * (limits.MAX_ANSWER_HEADERS + 2) + b"\r\n"
    assert b'"bad_answer"' in await get(rig, "host")
    assert refusals(rig) == ["bad_answer"]


async def test_an_ordinary_answer_around_its_body_passes(rig: Rig):
    """Long heads, chunk extensions and trailers are lawful; the latter two are dropped."""
    rig.upstream.response = (
        OK + b"x: " + b"y" * 100_000 + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2 ;a=b\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 1\r\n\r\n"
    )
    got = await get(rig, "host")
    assert got.endswith(b"3\r\nabc\r\n0\r\n\r\n")
    assert len(got) > 100_000
    assert refusals(rig) == []


async def test_what_surrounds_an_answer_is_counted(rig: Rig):
    """A7: a byte of body in a line of 3 kB is 3 kB of the budget."""
    await budget(rig, bytes_in=1 << 20)
    rig.upstream.response = CHUNKED + (b"1;" + b"x" * 3000 + b"\r\ny\r\n") * 1000 + b"0\r\n\r\n"
    await get(rig, "host")
    assert refusals(rig) == ["budget_bytes"]
    assert meter(rig).bytes_in < 3 << 19


# -- heads that name much --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    ["a," * 15_300, ",".join(f"x{n}" for n in range(9_000)), "close," * 33],
    ids=["one", "many", "close"],
)
@pytest.mark.parametrize("door", ["explicit", "host", "tunnel"])
async def test_connection_names_few_headers(rig: Rig, door: str, named: str):
    """A5: each name is looked for in each header, so there are few of them."""
    more = "".join(f"h{number}: v\r\n" for number in range(250))
    raw = request_line(rig, door) + f"Connection: {named}\r\n{more}\r\n".encode()
    assert b'"bad_request"' in await send(rig, door, raw)
    assert refusals(rig) == ["bad_request"]
    assert rig.upstream.heads == []


async def test_connection_names_are_counted_over_all_its_lines(rig: Rig):
    """A5: 200 headers with one name each are 200 names; 32 names pass, and are dropped."""
    many = "".join(f"Connection: x{number}\r\n" for number in range(200))
    raw = request_line(rig, "host") + many.encode() + b"\r\n"
    assert b'"bad_request"' in await send(rig, "host", raw)

    few = ", ".join(["close", *(f"x{number}" for number in range(31))])
    raw = request_line(rig, "host") + f"Connection: {few}\r\nX1: a\r\nX99: b\r\n\r\n".encode()
    assert (await send(rig, "host", raw)).startswith(b"HTTP/1.1 200 ")
    assert "x99: b\r\n" in rig.upstream.heads[-1].lower()
    assert "x1: a" not in rig.upstream.heads[-1].lower()
