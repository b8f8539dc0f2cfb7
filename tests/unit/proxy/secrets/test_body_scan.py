"""Bodies with a content coding: decoded within bounds, searched, and cut before the secret is complete."""

from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest

from proxy.secrets import body_codings, body_scan
from proxy.secrets.body_codings import UnreadableBodyError, decoder_of
from proxy.secrets.body_scan import BodyScan
from proxy.secrets.leak_scan import LeakError
from tests.unit.proxy.secrets.test_forms import FORMS, RAW

TEXT = b"The quick brown fox. " * 2000


def bare_deflate(data: bytes) -> bytes:
    """deflate without zlib's wrapper, as some clients send it."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODINGS = {
    "gzip": ("gzip", gzip.compress),
    "gzip by its old name": ("X-GZIP", gzip.compress),
    "gzip in two members": ("gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
    "gzip, stored": ("gzip", lambda data: gzip.compress(data, 0)),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare_deflate),
    "br": ("br", brotli.compress),
    "one coding and identity": ("identity, gzip", gzip.compress),
}


def pour(scan: BodyScan, body: bytes, size: int) -> bytes:
    """What comes out."""
    out = b"".join(scan.feed(body[at : at + size]) for at in range(0, len(body), size))
    return out + scan.finish()


@pytest.mark.parametrize("size", [1, 17, 100_000])
@pytest.mark.parametrize("name", CODINGS)
def test_a_secret_in_a_coded_body_is_found(name: str, size: int) -> None:
    """In every coding that is read, over any pieces; the body's end never leaves."""
    coding, encode = CODINGS[name]
    with pytest.raises(LeakError):
        pour(BodyScan([FORMS], [coding]), encode(TEXT + RAW + TEXT), size)


@pytest.mark.parametrize("size", [1, 1000, 100_000])
@pytest.mark.parametrize("name", CODINGS)
def test_a_coded_body_goes_on_as_it_came(name: str, size: int) -> None:
    """It is looked into, not recoded."""
    coding, encode = CODINGS[name]
    body = encode(TEXT + RAW[:-1])
    assert body == pour(BodyScan([FORMS], [coding]), body, size)


def test_the_piece_with_which_a_form_begins_waits() -> None:
    """Coded bytes leave once what they decode to can no longer become a secret."""
    stream = zlib.compressobj()
    first = stream.compress(b"text " + RAW[:9]) + stream.flush(zlib.Z_SYNC_FLUSH)
    second = stream.compress(b" no more.") + stream.flush(zlib.Z_SYNC_FLUSH)
    scan = BodyScan([FORMS], ["deflate"])
    assert scan.feed(first) == b""
    assert scan.feed(second) == first + second


def test_text_beside_the_coded_bytes_is_searched_too() -> None:
    """A gzip header has room for a file name."""
    body = bytearray(gzip.compress(b"x"))
    body[3] |= 8  # FNAME
    body[10:10] = RAW + b"\0"
    with pytest.raises(LeakError):
        BodyScan([FORMS], ["gzip"]).feed(bytes(body))


UNREADABLE = {
    "an unknown coding": ("zstd", b""),
    "two codings": ("gzip, br", b""),
    "what is no gzip": ("gzip", b"plain text"),
    "what is no br": ("br", b"\xff" * 100),
    "bytes behind the end of deflate": ("deflate", zlib.compress(b"x") + b"secret"),
    "bytes behind the end of gzip": ("gzip", gzip.compress(b"x") + b"plain text"),
    "bytes behind the end of br": ("br", brotli.compress(b"x") + b"plain text"),
}


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(("coding", "body"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_looked_into_is_refused(coding: str, body: bytes, size: int) -> None:
    """Never let through unread."""
    with pytest.raises(UnreadableBodyError):
        pour(BodyScan([FORMS], [coding]), body, size)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br"])
def test_a_bomb_is_refused_at_the_bound_and_decoded_in_pieces(name: str) -> None:
    """What is decoded is bounded against what came, and at a time."""
    coding, encode = CODINGS[name]
    decoder = decoder_of([coding])
    sizes = []
    with pytest.raises(UnreadableBodyError, match="longer"):
        sizes.extend(len(piece) for piece in decoder.decode(encode(bytes(2 << 20))))
    assert max(sizes) <= body_codings.PIECE_BYTES + (1 << 15)
    assert sum(sizes) <= (1 << 20) + 100 * len(encode(bytes(2 << 20)))


@pytest.mark.parametrize("name", ["gzip", "deflate", "br"])
def test_what_is_looked_into_is_bounded_in_all(name: str, monkeypatch) -> None:
    """However little a body is compressed."""
    assert body_codings.MAX_DECODED_BYTES == 64 << 20
    monkeypatch.setattr(body_codings, "MAX_DECODED_BYTES", 1 << 16)
    coding, encode = CODINGS[name]
    body = encode(random.Random(1).randbytes(1 << 17))
    with pytest.raises(UnreadableBodyError, match="longer"):
        pour(BodyScan([FORMS], [coding]), body, 1000)


def test_coded_bytes_that_decode_to_nothing_wait_for_a_while_only(monkeypatch) -> None:
    """Empty blocks behind the beginning of a form cannot fill the memory."""
    monkeypatch.setattr(body_scan, "MAX_HELD_BYTES", 1000)
    stream = zlib.compressobj()
    scan = BodyScan([FORMS], ["deflate"])
    scan.feed(stream.compress(RAW[:9]) + stream.flush(zlib.Z_SYNC_FLUSH))
    empty_block = b"\x00\x00\x00\xff\xff"
    for _ in range(100):
        assert scan.feed(empty_block) == b""
    with pytest.raises(UnreadableBodyError):
        scan.feed(empty_block * 200)


@pytest.mark.parametrize("codings", [[], [""], ["identity"], ["Identity , "]])
def test_no_coding_is_no_decoder(codings: list[str]) -> None:
    """A plain body is searched as it is."""
    assert decoder_of(codings) is None
