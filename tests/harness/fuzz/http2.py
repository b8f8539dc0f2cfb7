"""HTTP/2 frames, by hyperframe's own serialiser where they are right, as a client and as an upstream."""

from __future__ import annotations

import random
from collections.abc import Callable

import hpack
from hyperframe import frame as frames

from tests.harness.fuzz.cases import Case, Step, in_pieces, mutated, scrambled
from tests.harness.fuzz.place import HELD, HOSTILE, KEYED, PASSED, STAND_IN, TLS_PORT

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
IDS = (0, 1, 1, 1, 3, 5, 7, 2, 9, 101, 2**31 - 1)
SIZES = (0, 1, 100, 16_384, 65_535, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)


def conversation(rng: random.Random, number: int) -> Case:
    """A preface and frames behind it, in a tunnel or at the door for TLS."""
    name = rng.choice((HOSTILE, HOSTILE, HOSTILE, KEYED, PASSED))
    units = [PREFACE + _plain(frames.SettingsFrame(0, _settings(rng)))]
    encoder = hpack.Encoder()
    for stream in range(1, rng.choice((2, 4, 12)), 2):
        units += _request(rng, encoder, stream, name, number)
    units += [frame(rng) for _ in range(rng.choice((0, 2, 10, 40)))]
    if rng.random() < 0.3:
        units += flood(rng, encoder, name)
    if rng.random() < 0.7:
        units = scrambled(rng, units)
    steps = [Step(piece, waits=rng.random() < 0.05) for u in units for piece in in_pieces(rng, u)]
    door = rng.choice(("explicit", "sni"))
    connect = f"{name}:{TLS_PORT}" if door == "explicit" else ""
    return Case("http2", number, door, tuple(steps), connect, name, "h2")


def answer(rng: random.Random) -> list[bytes]:
    """What an upstream says, its settings first; it has read nothing of the requests."""
    encoder = hpack.Encoder()
    units = [_plain(frames.SettingsFrame(0, _settings(rng))), _plain(frames.SettingsFrame(0, flags=["ACK"]))]
    for stream in (1, 3, 5):
        headers = [
            (":status", rng.choice(("200", "200", "204", "100", "abc", ""))),
            ("x", rng.choice(("y", HELD))),
        ]
        block = encoder.encode(headers * rng.choice((1, 1, 1, 400)))
        head = frames.HeadersFrame(stream, block, flags=["END_HEADERS"])
        if rng.random() < 0.2:
            head.flags.add("END_STREAM")
        units.append(_plain(head))
        sizes = [rng.choice((0, 1, 2000, 16_000)) for _ in range(rng.choice((0, 1, 3, 50)))]
        units += [_plain(frames.DataFrame(stream, rng.randbytes(size))) for size in sizes]
        units.append(_plain(frames.DataFrame(stream, b"", flags=["END_STREAM"])))
    units += [frame(rng) for _ in range(rng.choice((0, 0, 3, 20)))]
    if rng.random() < 0.6:
        units = scrambled(rng, units)
    pieces = [piece for unit in units for piece in in_pieces(rng, unit)]
    return [*pieces, b""] if rng.random() < 0.7 else pieces


def frame(rng: random.Random) -> bytes:
    """One frame of any type, often with a header that does not fit it."""
    told, payload = rng.choice(IDS), rng.randbytes(rng.choice((0, 1, 4, 5, 8, 9, 200, 5000)))
    stream = told or 1  # hyperframe makes none of stream 0
    makers: tuple[Callable[[], frames.Frame], ...] = (
        lambda: frames.DataFrame(stream, payload, pad_length=rng.choice((0, 10)), flags=["PADDED"]),
        lambda: frames.HeadersFrame(stream, payload, flags=[rng.choice(("END_HEADERS", "END_STREAM"))]),
        lambda: frames.PriorityFrame(stream, depends_on=rng.choice(IDS), stream_weight=rng.randrange(256)),
        lambda: frames.RstStreamFrame(stream, error_code=rng.choice((0, 1, 8, 2**32 - 1))),
        lambda: frames.SettingsFrame(0, _settings(rng)),
        lambda: frames.PushPromiseFrame(stream, rng.choice(IDS), payload, flags=["END_HEADERS"]),
        lambda: frames.PingFrame(0, payload[:8].ljust(8)),
        lambda: frames.GoAwayFrame(0, last_stream_id=rng.choice(IDS), additional_data=payload),
        lambda: frames.WindowUpdateFrame(stream, window_increment=rng.choice((1, 1000, 2**31 - 1))),
        lambda: frames.ContinuationFrame(stream, payload, flags=rng.choice(([], ["END_HEADERS"]))),
        lambda: frames.AltSvcFrame(stream, b"ok.test", payload),
        lambda: frames.ExtensionFrame(rng.choice((11, 12, 16, 200)), stream, rng.randrange(256), payload),
    )
    made = rng.choice(makers)()
    data = _plain(made)
    if made.stream_id and not told:
        data = data[:5] + bytes(4) + data[9:]
    return _misfit(rng, data) if rng.random() < 0.4 else data


def flood(rng: random.Random, encoder: hpack.Encoder, name: str) -> list[bytes]:
    """Many of one kind, as the known attacks on HTTP/2 send them; bounded in count."""
    many = rng.choice((20, 250))
    head = encoder.encode(_head(name, "/"))
    open_head = _plain(frames.HeadersFrame(21, head, flags=["END_HEADERS"]))
    named = b"\x40\x01x\x7f\x81\x1e" + b"a" * 4000 + b"\xbe" * many  # an entry of 4 KB, again and again
    floods: tuple[Callable[[], list[bytes]], ...] = (
        lambda: [
            part for stream in range(21, 21 + 2 * many, 2) for part in _taken_back(encoder, name, stream)
        ],
        lambda: [_plain(frames.PingFrame(0, bytes(8)))] * many,
        lambda: [
            _plain(frames.HeadersFrame(21, head)),
            *[_plain(frames.ContinuationFrame(21, bytes(rng.choice((0, 1, 900)))))] * many,
        ],
        lambda: [_plain(frames.SettingsFrame(0, _settings(rng))) for _ in range(many)],
        lambda: [open_head, *[_plain(frames.DataFrame(21, b""))] * many],
        lambda: [_plain(frames.HeadersFrame(21, named, flags=["END_HEADERS", "END_STREAM"]))],
        lambda: [_plain(frames.WindowUpdateFrame(0, window_increment=1))] * many,
    )
    return rng.choice(floods)()


def _taken_back(encoder: hpack.Encoder, name: str, stream: int) -> list[bytes]:
    block = encoder.encode(_head(name, "/reset"))
    head = frames.HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"])
    return [_plain(head), _plain(frames.RstStreamFrame(stream, error_code=8))]


def _request(rng: random.Random, encoder: hpack.Encoder, stream: int, name: str, number: int) -> list[bytes]:
    head = _head(rng.choice((name, name, name, "evil.test")), f"/v1/{number}")
    if rng.random() < 0.5:
        more = (
            ("authorization", f"Bearer {STAND_IN}"), ("x-key", HELD), ("Upper", "x"), ("te", "gzip"), (":path", "/twice"),
            ("connection", "x"), ("cookie", "a=b"), ("content-length", "7"), ("transfer-encoding", "chunked"), ("", ""),
        )  # fmt: skip
        head += [rng.choice(more) for _ in range(rng.choice((1, 3, 280)))]
    if rng.random() < 0.2:
        rng.shuffle(head)
    block = encoder.encode(head, huffman=rng.random() < 0.5)
    has_body = rng.random() < 0.5
    cut = rng.randrange(len(block) + 1) if rng.random() < 0.2 else len(block)
    first = frames.HeadersFrame(stream, block[:cut], flags=[] if has_body else ["END_STREAM"])
    if cut == len(block):
        first.flags.add("END_HEADERS")
    units = [_plain(first)]
    if cut < len(block):
        units.append(_plain(frames.ContinuationFrame(stream, block[cut:], flags=["END_HEADERS"])))
    if has_body:
        data = rng.choice((b"hello", HELD.encode(), rng.randbytes(9000), b""))
        units += [
            _plain(frames.DataFrame(stream, data)),
            _plain(frames.DataFrame(stream, b"", flags=["END_STREAM"])),
        ]
        if rng.random() < 0.2:
            trailer = encoder.encode([("x-trailer", "y")])
            units.append(_plain(frames.HeadersFrame(stream, trailer, flags=["END_HEADERS", "END_STREAM"])))
    return units


def _head(name: str, path: str) -> list[tuple[str, str]]:
    method = "POST" if path.startswith("/v1") else "GET"
    return [(":method", method), (":scheme", "https"), (":authority", name), (":path", path)]


def _settings(rng: random.Random) -> dict[int, int]:
    keys = rng.sample((1, 2, 3, 4, 5, 6, 8, 9, 0xFFFF), rng.choice((0, 1, 3)))
    return {key: rng.choice(SIZES) % 2**32 for key in keys}


def _plain(made: frames.Frame) -> bytes:
    return bytes(made.serialize())


def _misfit(rng: random.Random, data: bytes) -> bytes:
    """With another length, type, flags or stream in its header."""
    head, body = bytearray(data[:9]), data[9:]
    match rng.randrange(5):
        case 0:
            head[0:3] = rng.choice((0, 1, len(body) + 1, 2**14 + 1, 2**17 + 1, 2**24 - 1)).to_bytes(3)
        case 1:
            head[3] = rng.randrange(256)
        case 2:
            head[4] = rng.randrange(256)
        case 3:
            head[5:9] = rng.randrange(2**32).to_bytes(4)
        case _:
            return mutated(rng, data)
    return bytes(head) + body
