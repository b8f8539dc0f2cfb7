"""runtime.probe.inside.hello and http2: bytes that a real parser reads."""

from __future__ import annotations

from hpack import Decoder
from mitmproxy.proxy.layers.tls import parse_client_hello

from runtime.probe.inside.hello import client_hello
from runtime.probe.inside.http2 import frame, pack


def test_a_plain_hello_is_one_that_mitmproxy_reads():
    """So that a refusal is for what is odd about the others."""
    parsed = parse_client_hello(client_hello({"names": [[0, "ok.test"]]}))

    assert parsed is not None
    assert parsed.sni == "ok.test"


def test_a_hello_in_pieces_is_the_same():
    """Cut into records, padded, and still read."""
    args = {"names": [[0, "ok.test"]], "records": 3, "extra": [[21, 12000]]}

    parsed = parse_client_hello(client_hello(args))

    assert parsed is not None
    assert parsed.sni == "ok.test"


def test_headers_are_packed_as_they_stand():
    """An HPACK decoder gives back each field, line breaks and all."""
    fields = [[":path", "/a\r\nb"], ["x", "y" * 300]]

    assert [[k, v] for k, v in Decoder().decode(pack(fields))] == fields


def test_a_frame_has_its_length():
    """RFC 9113 section 4.1."""
    assert frame(4, 0, 0, b"abc") == b"\0\0\3\4\0\0\0\0\0abc"
