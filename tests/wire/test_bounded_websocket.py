"""What is held of a WebSocket's messages: bounded, whatever the pieces, and never inflated."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proxy.layers import websocket
from tests.wire.conftest import Rig
from tests.wire.memory import MIB, peak_memory
from tests.wire.raw import open_door, refusals, request_line


def frame(size: int, *, opcode: int = 2, is_final: bool = True, rsv1: bool = False, is_masked: bool) -> bytes:
    """The head of a frame; masked with zeros as a client's."""
    mask = 0x80 if is_masked else 0
    first = (0x80 if is_final else 0) | (0x40 if rsv1 else 0) | opcode
    if size < 126:
        length = bytes([mask | size])
    elif size < 1 << 16:
        length = bytes([mask | 126]) + struct.pack("!H", size)
    else:
        length = bytes([mask | 127]) + struct.pack("!Q", size)
    return bytes([first]) + length + bytes(4 if is_masked else 0)


def unfinished(kind: str, *, is_masked: bool) -> Iterator[bytes]:
    """A message of 48 MiB (or of frames without number) whose end does not come."""
    piece = b"x" * 65536
    match kind:
        case "one frame":
            yield frame(64 * MIB, is_masked=is_masked)
            for _ in range(48 * 16):
                yield piece
        case "many frames":
            for number in range(48 * 16):
                opcode = 0 if number else 1
                yield frame(len(piece), opcode=opcode, is_final=False, is_masked=is_masked) + piece
        case "empty frames":
            yield frame(0, is_final=False, is_masked=is_masked)
            empty = frame(0, opcode=0, is_final=False, is_masked=is_masked) * 4096
            for _ in range(64):
                yield empty


@dataclass
class Socket:
    """A WebSocket that was upgraded through the proxy, and the upstream's end of it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    far_reader: asyncio.StreamReader
    far_writer: asyncio.StreamWriter
    answer: bytes

    async def push(self, pieces: Iterator[bytes], *, is_far: bool) -> None:
        """Send until all is sent or the proxy hangs up."""
        writer = self.far_writer if is_far else self.writer
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()


async def upgrade(rig: Rig, offered: str = "", chosen: str = "") -> Socket:
    """A WebSocket at the Host door; `offered` and `chosen` are extensions."""
    ends: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def respond(_head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        extensions = f"sec-websocket-extensions: {chosen}\r\n" if chosen else ""
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo8=\r\n{extensions}\r\n".encode()
        )
        ends.put_nowait((reader, writer))
        await asyncio.Event().wait()

    rig.upstream.respond = respond
    reader, writer = await open_door(rig, "host")
    extensions = f"Sec-WebSocket-Extensions: {offered}\r\n" if offered else ""
    writer.write(
        request_line(rig, "host")
        + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\n{extensions}\r\n".encode()
    )
    far = await asyncio.wait_for(ends.get(), 30)
    answer = b""
    with contextlib.suppress(asyncio.IncompleteReadError):
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    return Socket(reader, writer, *far, answer)


def close_code(told: bytes) -> int:
    """The code of the close frame that these bytes begin with."""
    assert told[0] == 0x88
    is_masked = bool(told[1] & 0x80)
    key, code = (told[2:6], told[6:8]) if is_masked else (bytes(4), told[2:4])
    return int.from_bytes(code) ^ int.from_bytes(key[:2])


@pytest.mark.parametrize("kind", ["one frame", "many frames", "empty frames"])
@pytest.mark.parametrize("is_far", [False, True], ids=["from the sandbox", "from the upstream"])
async def test_a_websocket_message_without_an_end_is_bounded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str, *, is_far: bool
):
    """A2: what is held of a message has an end; both sides are told 1009, the audit has a line."""
    monkeypatch.setattr(websocket, "MAX_MESSAGE_BYTES", MIB)
    socket = await upgrade(rig)
    with peak_memory() as peak:
        push = asyncio.create_task(socket.push(unfinished(kind, is_masked=not is_far), is_far=is_far))
        told = await asyncio.wait_for((socket.reader if is_far else socket.far_reader).read(200), 60)
        await asyncio.wait_for(push, 60)
    await rig.settled()

    assert close_code(told) == 1009
    assert refusals(rig) == ["bad_answer" if is_far else "bad_request"]
    assert peak.held < 6 * MIB


@pytest.mark.parametrize("is_far", [False, True], ids=["from the sandbox", "from the upstream"])
async def test_a_long_websocket_message_in_small_pieces_arrives(rig: Rig, *, is_far: bool):
    """Up to the bound a message passes as it was sent: its bytes, its frames."""
    socket = await upgrade(rig)
    text = ("grün " * 100_000).encode()
    cuts = [0, 1, 3, 4, 200_003, len(text)]  # 3 is in the midst of a letter
    sent = b""
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        opcode, is_last = (0 if number else 1), end == len(text)
        sent += frame(end - start, opcode=opcode, is_final=is_last, is_masked=not is_far) + text[start:end]
    await socket.push((sent[at : at + 777] for at in range(0, len(sent), 777)), is_far=is_far)
    reader = socket.reader if is_far else socket.far_reader

    got, payload, is_final = [], b"", False
    while not is_final:
        first, length = await asyncio.wait_for(reader.readexactly(2), 30)
        size = length & 0x7F
        if size == 126:
            [size] = struct.unpack("!H", await reader.readexactly(2))
        elif size == 127:
            [size] = struct.unpack("!Q", await reader.readexactly(8))
        mask = await reader.readexactly(4) if length & 0x80 else bytes(4)
        data = await reader.readexactly(size)
        key = (mask * (size // 4 + 1))[:size]
        payload += (int.from_bytes(data) ^ int.from_bytes(key)).to_bytes(size)
        is_final = bool(first & 0x80)
        got.append(first & 0x0F)
    assert payload == text
    assert got == [1, 0, 0, 0, 0]
    assert refusals(rig) == []


async def test_websocket_compression_is_offered_to_nobody(rig: Rig):
    """A2: neither side is told that the other could inflate."""
    socket = await upgrade(rig, offered="permessage-deflate; client_max_window_bits")
    assert socket.answer.startswith(b"HTTP/1.1 101 ")
    assert "extensions" not in rig.upstream.heads[-1].lower()


@pytest.mark.parametrize(
    "chosen", ["permessage-deflate", "x-other", "permessage-deflate; server_no_context_takeover"]
)
@pytest.mark.parametrize("offered", ["", "permessage-deflate"])
async def test_an_upstream_that_compresses_unasked_is_refused(rig: Rig, chosen: str, offered: str):
    """A2: an extension that was not offered is never entered into."""
    socket = await upgrade(rig, offered=offered, chosen=chosen)
    await rig.settled()
    assert socket.answer == b""
    assert refusals(rig) == ["bad_answer"]


@pytest.mark.parametrize("is_far", [False, True], ids=["from the sandbox", "from the upstream"])
async def test_a_compressed_frame_is_never_inflated(rig: Rig, *, is_far: bool):
    """A2: 65 kB that would be 64 MiB, without FIN, end the connection as they are."""
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(64 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
    socket = await upgrade(rig, offered="permessage-deflate")
    head = frame(len(bomb), is_final=False, rsv1=True, is_masked=not is_far)
    with peak_memory() as peak:
        await socket.push(iter([head, bomb]), is_far=is_far)
        told = await asyncio.wait_for((socket.far_reader if is_far else socket.reader).read(200), 30)
    assert close_code(told) == 1002
    assert peak.held < 4 * MIB
