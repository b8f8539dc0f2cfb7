"""What is held and done for each byte that comes, from either side: bounded, whatever the pieces."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.rrset
import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from proxy.destination import lookups, stub
from proxy.destination.lookups import SharedLookups
from proxy.layers import paced, websocket
from proxy.policy import limits
from tests.wire.conftest import UPSTREAM, Rig, close_all
from tests.wire.raw import open_door, refusals, request_line, send
from tests.wire.test_http2 import head
from tests.wire.test_limits import H2, budget, get, meter

MIB = 1 << 20


@dataclass
class Peak:
    """The most that was held at one time in this process, beyond what was held before."""

    held: int = 0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure what is allocated inside the block, the test's own side included."""
    gc.collect()
    peak = Peak()
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


# -- WebSocket -------------------------------------------------------------------------------------


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
    await asyncio.sleep(0.05)

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


# -- HTTP/2 windows ------------------------------------------------------------------------------------


@dataclass
class H2Upstream:
    """An upstream that speaks HTTP/2, and takes only what `takes` says."""

    takes: Callable[[str], bool] = lambda _path: False
    """Whether the window of a stream is opened again, by its path."""
    received: dict[str, int] = field(default_factory=dict)
    """Body bytes by path."""
    streams: int | None = None
    """The most streams that it allows at one time."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    connection: h2.connection.H2Connection | None = None
    answer: Callable[[h2.connection.H2Connection, int], None] = lambda connection, stream: (
        connection.send_headers(stream, [(":status", "200")], end_stream=True)
    )
    """What is done at the end of a request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request at its end; open windows as `takes` says."""
        self.writers.append(writer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.connection, paths = connection, {}
        if self.streams is not None:
            connection.local_settings.max_concurrent_streams = self.streams
            connection.local_settings.acknowledge()
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(1 << 16):
                for event in connection.receive_data(data):
                    self._take(connection, event, paths)
                writer.write(connection.data_to_send())
        writer.close()

    def _take(
        self, connection: h2.connection.H2Connection, event: h2.events.Event, paths: dict[int, str]
    ) -> None:
        if isinstance(event, h2.events.RequestReceived):
            paths[event.stream_id] = dict(event.headers)[b":path"].decode()
        elif isinstance(event, h2.events.DataReceived):
            path = paths[event.stream_id]
            self.received[path] = self.received.get(path, 0) + len(event.data)
            if self.takes(path):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(connection, event.stream_id)


@pytest.fixture
async def far(rig: Rig, tmp_path: Path) -> AsyncIterator[H2Upstream]:
    """ok.test speaks HTTP/2."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "upstream.pem")
    context.set_alpn_protocols(["h2"])
    upstream = H2Upstream()
    server = await asyncio.start_server(upstream.serve, UPSTREAM, 0, ssl=context)
    rig.upstream.tls_port = server.sockets[0].getsockname()[1]
    await rig.link.grant(rig.grant(revision=2))
    yield upstream
    server.close()
    await close_all(upstream.writers)


async def push_streams(peer: H2, streams: list[int], size: int) -> None:
    """Send a body on each stream as far as the windows go, until nothing more is let in."""
    left = dict.fromkeys(streams, size)
    idle = 0
    while any(left.values()) and idle < 5:
        moved = False
        for stream in streams:
            room = min(left[stream], peer.connection.local_flow_control_window(stream), 16384)
            if room > 0:
                left[stream] -= room
                peer.connection.send_data(stream, bytes(room), end_stream=not left[stream])
                moved = True
        peer.flush()
        if moved:
            idle = 0
            continue
        try:
            async with asyncio.timeout(0.05):
                await peer.read()
        except TimeoutError:
            await peer.rig.settled()
            idle += 1


def begin(rig: Rig, peer: H2, path: str) -> int:
    """A POST whose body is to come."""
    stream = peer.connection.get_next_available_stream_id()
    peer.connection.send_headers(stream, head(rig, "ok.test", path, "POST"))
    peer.flush()
    return stream


@pytest.mark.parametrize(
    ("count", "most_streams"), [(1, None), (30, None), (30, 10)], ids=["one stream", "many", "ten allowed"]
)
async def test_uploads_wait_for_an_http2_upstream(
    rig: Rig, far: H2Upstream, count: int, most_streams: int | None
):
    """A1: 300 MiB for an upstream that never opens its window wait at the client, by its windows."""
    far.streams = most_streams
    peer = await H2(rig).open()
    peer.connection.end_stream(begin(rig, peer, "/first"))  # what follows shares its connection
    peer.flush()
    while not any(isinstance(e, h2.events.StreamEnded) for e in peer.events):
        await peer.read()
    streams = [begin(rig, peer, f"/{number}") for number in range(count)]
    with peak_memory() as peak:
        await push_streams(peer, streams[most_streams or 0 :], 300 * MIB // count)
    assert peak.held < 16 * MIB
    [session] = rig.server.hooks.clients.sessions.values()
    assert 0 < sum(session.unsent_up.values()) <= limits.CONNECTION_WINDOW_BYTES + count * 65536
    assert sum(far.received.values()) == (0 if most_streams else 65535)
    peer.writer.transport.abort()


async def test_a_blocked_http2_upload_leaves_its_neighbours_free(rig: Rig, far: H2Upstream):
    """A1: one stream waits, the others of the same connection go on, and its own end is heard."""
    far.takes = lambda path: path != "/blocked"
    peer = await H2(rig).open()
    blocked, free = begin(rig, peer, "/blocked"), begin(rig, peer, "/free")
    await push_streams(peer, [blocked], 8 * MIB)
    assert far.received["/blocked"] == 65535
    far.connection.increment_flow_control_window(65535)
    far.writers[-1].write(far.connection.data_to_send())
    await push_streams(peer, [free], 4 * MIB)
    while not any(isinstance(e, h2.events.StreamEnded) for e in peer.events):
        await peer.read()
    assert far.received["/free"] == 4 * MIB
    peer.connection.reset_stream(blocked)
    peer.flush()
    [session] = rig.server.hooks.clients.sessions.values()
    async with asyncio.timeout(30):
        while session.unsent_up:
            await asyncio.sleep(0.02)
    peer.writer.transport.abort()


# -- answers that nobody takes -----------------------------------------------------------------------


async def test_one_byte_chunks_for_a_closed_window_are_held_as_bytes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    """A8: 60,000 chunks of a byte are 60,000 bytes in memory, and not so many frames when they go."""
    count = 60_000
    frames = []
    send = h2.connection.H2Connection.send_data

    def counted(
        self: h2.connection.H2Connection, stream_id: int, data: bytes, *more: object, **named: object
    ) -> None:
        if isinstance(self, paced.PacedH2Connection):
            frames.append(len(data))
        send(self, stream_id, data, *more, **named)

    monkeypatch.setattr(h2.connection.H2Connection, "send_data", counted)
    rig.upstream.response = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    )
    peer = H2(rig)
    peer.connection.local_settings.initial_window_size = 0
    peer.connection.local_settings.acknowledge()
    await peer.open()
    with peak_memory() as peak:
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/"), end_stream=True)
        peer.flush()
        [session] = rig.server.hooks.clients.sessions.values()
        async with asyncio.timeout(30):
            while session.unsent() < count:
                await asyncio.sleep(0.02)
    assert peak.held < 4 * MIB
    assert not frames

    got = 0
    peer.connection.increment_flow_control_window(count, stream)
    peer.connection.increment_flow_control_window(count)
    peer.flush()
    while got < count:
        seen = len(peer.events)
        await peer.read()
        got += sum(len(e.data) for e in peer.events[seen:] if isinstance(e, h2.events.DataReceived))
    assert got == count
    assert len(frames) < 50
    peer.writer.transport.abort()


# -- what an upstream says around its answer ---------------------------------------------------------

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


async def test_an_http2_upstreams_header_block_is_bounded(rig: Rig, far: H2Upstream):
    """A7: CONTINUATION frames are held until the last one has come."""
    piece = bytes(65536)

    def answer(connection: h2.connection.H2Connection, stream: int) -> None:
        writer = far.writers[-1]
        writer.write(connection.data_to_send())
        for number in range(60):
            kind = 9 if number else 1
            writer.write(len(piece).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4) + piece)

    far.answer = answer
    peer = await H2(rig).open()
    with peak_memory() as peak:
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, head(rig, "ok.test", "/"), end_stream=True)
        peer.flush()
        while not any(isinstance(e, h2.events.ResponseReceived) for e in peer.events):
            await peer.read()
    assert peak.held < 12 * MIB  # the test's own 4 MiB among it
    await rig.settled()
    assert "bad_answer" in refusals(rig)
    peer.writer.transport.abort()


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


# -- heads that name much ------------------------------------------------------------------------------


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


# -- lookups -----------------------------------------------------------------------------------------


class NameServer(asyncio.DatagramProtocol):
    """Answers with the upstream's address, but for names that begin with `silent`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.drops = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        self.drops -= 1
        if name.startswith("silent") or self.drops >= 0:
            return
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", UPSTREAM))
        self.transport.sendto(reply.to_wire(), addr)


@pytest.fixture
async def name_server(rig: Rig) -> AsyncIterator[NameServer]:
    """The proxy asks this one, as it asks its container's."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = stub.Resolver([transport.get_extra_info("sockname")], {}, loop.time)
    rig.server.hooks.dials._lookup = SharedLookups(resolver)
    yield server
    transport.close()


def ask_for(rig: Rig, name: str) -> asyncio.Task[bytes]:
    """A request to a name under *.wild.test."""
    port = rig.upstream.plain_port
    raw = f"GET http://{name}.wild.test:{port}/ HTTP/1.1\r\nHost: {name}.wild.test:{port}\r\n\r\n"
    return asyncio.create_task(rig.raw(raw.encode()))


async def test_names_that_never_answer_hold_up_nobody(rig: Rig, name_server: NameServer):
    """A6: a sandbox waits for 100 names; its other lookups are made meanwhile, and no thread is."""
    threads = threading.active_count()
    silent = [ask_for(rig, f"silent{number}") for number in range(100)]
    while len(name_server.asked) < 100:
        await asyncio.sleep(0.01)
    for number in range(5):
        assert b" 200 OK" in await ask_for(rig, f"good{number}")
    assert not any(task.done() for task in silent)
    assert threading.active_count() == threads
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)


async def test_many_requests_to_one_name_are_one_lookup(rig: Rig, name_server: NameServer):
    """D27: a burst to one name is one question, asked again where it is dropped, and not once a request."""
    name_server.drops = 1
    got = await asyncio.gather(*(ask_for(rig, "good") for _ in range(60)))
    got.append(await ask_for(rig, "good"))
    assert all(b" 200 OK" in answer for answer in got)
    assert name_server.asked == ["good.wild.test."] * 2


async def test_lookups_under_way_are_bounded(
    rig: Rig, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
):
    """A6: one more than the bound is told at once, and the audit has its line."""
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 3)
    silent = [ask_for(rig, f"silent{number}") for number in range(3)]
    while len(name_server.asked) < 3:
        await asyncio.sleep(0.01)
    assert b'"budget_requests"' in await ask_for(rig, "good")
    assert refusals(rig) == ["budget_requests"]
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)


# -- what a client can repeat ------------------------------------------------------------------------


def malformed(rig: Rig, kind: str) -> list[tuple[str, str]]:
    """The headers of a stream that is refused for its own sake."""
    good = head(rig, "ok.test", "/")
    match kind:
        case "a method in small letters":
            return [(name, "get" if name == ":method" else value) for name, value in good]
        case "too many headers":
            return [*good, *[("a", "b")] * 257]
        case _:
            return [*good, ("content-length", "+1")]


@pytest.mark.parametrize("kind", ["a method in small letters", "too many headers", "an odd length"])
async def test_malformed_streams_count_as_requests(rig: Rig, kind: str):
    """A9: what is over the budget ends the connection, and the next request is over it too."""
    await budget(rig, requests_per_minute=5)
    peer = await H2(rig).open()
    for _ in range(20):
        stream = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream, malformed(rig, kind), end_stream=True)
    peer.flush()
    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig)[:6] == ["bad_request"] * 5 + ["budget_requests"]
    assert len(refusals(rig)) < 9
    assert b" 429 " in await get(rig, "host")


async def test_malformed_heads_count_as_requests(rig: Rig):
    """A9: the same over HTTP/1, each on a connection of its own."""
    await budget(rig, requests_per_minute=2)
    for status in (b" 400 ", b" 400 ", b" 429 "):
        assert status in await send(rig, "host", b"GET  / HTTP/1.1\r\n\r\n")
    assert refusals(rig) == ["bad_request", "bad_request", "budget_requests"]


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\0", b""], ids=["hello", "noise", "none"]
)
@pytest.mark.parametrize("door", ["explicit", "sni", "host"])
async def test_connections_are_counted_whatever_comes_of_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, sent: bytes, door: str
):
    """A9: ClientHellos that fail, noise and silence; beyond the bound a connection is closed unread."""
    monkeypatch.setattr(limits, "CONNECTIONS_PER_MINUTE", 5)
    for _ in range(5):
        _, writer = await open_door(rig, door)
        writer.write(sent)
        writer.close()
    await asyncio.sleep(0.05)
    before = refusals(rig)
    assert "budget_connections" not in before
    assert await get(rig, "host") == b""
    assert refusals(rig)[len(before) :] == ["budget_connections"]
    rig.server.hooks.clients.meters.clock = lambda: asyncio.get_running_loop().time() + 61
    assert b" 200 " in await get(rig, "host")


@pytest.mark.parametrize("kind", ["pings", "settings", "priorities", "unknown frames"])
async def test_control_frames_are_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str):
    """A9: frames that belong to no request are bounded on each connection."""
    monkeypatch.setattr("proxy.layers.http2.MAX_CONTROL_FRAMES_PER_MINUTE", 50)
    peer = await H2(rig).open()
    for number in range(100):
        match kind:
            case "pings":
                peer.connection.ping(bytes(8))
            case "settings":
                peer.connection.update_settings({4: 70_000 + number})
            case "priorities":
                peer.connection.prioritize(2 * number + 1, weight=9)
    peer.flush()
    if kind == "unknown frames":
        peer.writer.write((b"\0\0\0\x77\0\0\0\0\0") * 100)
    assert await peer.until_closed() == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert refusals(rig) == ["bad_request"]
