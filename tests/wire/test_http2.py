"""HTTP/2 from the sandbox to an HTTP/1 upstream: streams are judged one by one, bodies stay bodies."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import pytest

from tests.wire.conftest import Rig
from tests.wire.test_refusals import tunnel

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n"


@dataclass
class Answer:
    """One stream's response; status 0 for a stream that was reset."""

    status: int = 0
    body: bytes = b""


async def converse(
    rig: Rig,
    host: str,
    *requests: tuple[list[tuple[str, str]], bytes, list[tuple[str, str]]],
    split: int | None = None,
) -> list[Answer]:
    """Send every (headers, body, trailers) on one connection, then read all answers.

    With `split` an empty frame stands in each body after so many bytes.
    """
    port = rig.upstream.tls_port
    reader, writer = await tunnel(rig, f"{host}:{port}", user="explain")
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    context.set_alpn_protocols(["h2"])
    await asyncio.wait_for(writer.start_tls(context, server_hostname=host), 30)
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    )
    connection.initiate_connection()
    answers: dict[int, Answer] = {}
    for headers, body, trailers in requests:
        stream = connection.get_next_available_stream_id()
        answers[stream] = Answer()
        connection.send_headers(stream, headers, end_stream=not body and not trailers)
        pieces = [body] if split is None else [body[:split], b"", body[split:]]
        for number, piece in enumerate(pieces if body else [], 1):
            connection.send_data(stream, piece, end_stream=number == len(pieces) and not trailers)
        if trailers:
            connection.send_headers(stream, trailers, end_stream=True)
    writer.write(connection.data_to_send())
    open_streams = set(answers)
    async with asyncio.timeout(30):
        while open_streams and (data := await reader.read(1 << 16)):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    answers[event.stream_id].status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    answers[event.stream_id].body += event.data
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    open_streams.discard(event.stream_id)
                elif isinstance(event, h2.events.ConnectionTerminated):
                    open_streams.clear()
            writer.write(connection.data_to_send())
    writer.close()
    return list(answers.values())


def head(rig: Rig, host: str, path: str, method: str = "GET", **more: str) -> list[tuple[str, str]]:
    """A request's headers."""
    authority = f"{host}:{rig.upstream.tls_port}"
    pseudo = [(":method", method), (":authority", authority), (":scheme", "https"), (":path", path)]
    return [*pseudo, *((name.replace("_", "-"), value) for name, value in more.items())]


@pytest.mark.parametrize("length", [{"content_length": str(len(SMUGGLED))}, {}], ids=["length", "no length"])
async def test_body_never_becomes_a_second_request(rig: Rig, length: dict[str, str]):
    """A body without a length goes upstream chunked.

    mitmproxy 12.2 writes it raw behind a head that announces none, so that the upstream would read
    the body as the next request, which no policy has seen (measured).
    """
    [answer] = await converse(
        rig, "ok.test", (head(rig, "ok.test", "/upload", "POST", **length), SMUGGLED, [])
    )

    assert answer.status == 200
    assert [text.split()[1] for text in rig.upstream.heads] == ["/upload"]
    assert rig.upstream.body_bytes == len(SMUGGLED)
    assert len(rig.lines) == 1


async def test_trailers_are_dropped(rig: Rig):
    """Trailers cannot carry a credential or a Host past the checks on the head."""
    request = (head(rig, "ok.test", "/upload", "POST"), b"x", [("authorization", "Bearer theirs")])
    [answer] = await converse(rig, "ok.test", request)

    assert answer.status == 200
    assert "theirs" not in "".join(rig.upstream.heads)


async def test_streams_are_judged_one_by_one(rig: Rig):
    """On one connection an allowed stream passes while others are refused."""
    answers = await converse(
        rig,
        "paths.test",
        (head(rig, "paths.test", "/v1/x"), b"", []),
        (head(rig, "paths.test", "/other"), b"", []),
        (head(rig, "evil.test", "/v1/x"), b"", []),
        (head(rig, "ok.test", "/v1/x"), b"", []),
    )

    assert [answer.status for answer in answers] == [200, 403, 421, 421]
    assert json.loads(answers[1].body)["reason_code"] == "path"
    assert [text.split()[1] for text in rig.upstream.heads] == ["/v1/x"]
    assert "transfer-encoding" not in rig.upstream.heads[0].lower()
    assert len(rig.lines) == 4


@pytest.mark.parametrize("path", ["/v1/x?a=b#c", "/v1/x#/../admin", "/v1/#?key=x", "https://evil.test/"])
async def test_a_stream_that_no_http1_request_could_be_is_reset(rig: Rig, path: str):
    """The upstream speaks HTTP/1: what a head of HTTP/1 is refused for never gets there by HTTP/2."""
    [answer] = await converse(rig, "ok.test", (head(rig, "ok.test", path), b"", []))

    assert answer.status == 0
    assert rig.upstream.heads == []
    assert [line["reason_code"] for line in rig.lines] == ["bad_request"]
