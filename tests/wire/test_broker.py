"""Brokered keys on the wire: the upstream gets the true value, the sandbox never sees it, nobody else's passes."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import json
import ssl
from urllib.parse import quote

import httpx
import pytest

from proxy.contract.grant import GrantSecret
from proxy.policy.reasons import ReasonCode
from proxy.secrets import outgoing
from proxy.secrets.body_scan import BodyScan
from proxy.secrets.forms import SecretForms, find_form
from proxy.secrets.leak_scan import LeakScan
from proxy.secrets.scrub import StreamScrub
from tests.wire.conftest import Rig
from tests.wire.secrets import (
    DB,
    DB_SECRET,
    KEY,
    NEW_TRUE,
    OWN,
    STAND_IN,
    THIEF,
    TRUE,
    give_keys,
    reason,
    send,
    sent_head,
)
from tests.wire.test_fail_closed import boom
from tests.wire.test_http2 import converse, head
from tests.wire.test_refusals import client, tunnel


def basic(user: str, password: str) -> str:
    """A Basic pair."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


PLACES = {
    "Bearer": ("/v1/x", OWN, f"Bearer {TRUE}"),
    "x-api-key": ("/v1/x", {"x-api-key": STAND_IN}, TRUE),
    "x-goog-api-key": ("/v1/x", {"x-goog-api-key": STAND_IN}, TRUE),
    "Basic": ("/v1/x", {"authorization": basic("", STAND_IN)}, basic("", TRUE)),
    "key": (f"/v1/x?alt=sse&key={STAND_IN}", {}, f"/v1/x?alt=sse&key={TRUE} HTTP/1.1"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_the_upstream_gets_the_true_value(rig: Rig, place: str):
    """In each place; the audit shows neither it nor the placeholder."""
    await give_keys(rig)
    target, headers, expected = PLACES[place]

    response = await send(rig, "llm.test", target, headers=headers, content=b"x" * 1000)

    assert response.status_code == 200, response.text
    assert expected in sent_head(rig)
    assert STAND_IN not in sent_head(rig)
    assert rig.upstream.body == b"x" * 1000
    assert [line["path"] for line in rig.lines] == ["/v1/x"]
    assert not any(value in json.dumps(rig.lines) for value in (TRUE, STAND_IN))


async def test_http2_streams_are_brokered_one_by_one(rig: Rig):
    """One connection: a stream with the placeholder goes on, one with another key does not."""
    await give_keys(rig)
    answers = await converse(
        rig,
        "llm.test",
        (head(rig, "llm.test", "/v1/x", **OWN), b"", []),
        (head(rig, "llm.test", "/v1/x", x_api_key=THIEF), b"body", []),
        (head(rig, "llm.test", f"/v1/x?key={STAND_IN}", "POST"), b"body", []),
    )

    assert [answer.status for answer in answers] == [200, 403, 200]
    assert json.loads(answers[1].body)["reason_code"] == "foreign_credential"
    assert len(rig.upstream.heads) == 2
    assert all(TRUE in text for text in rig.upstream.heads)


THEFTS = {
    "openai: files": ("/v1/files", {"authorization": f"Bearer {THIEF}"}),
    "openai: uploads, beside one's own": ("/v1/uploads/u/parts", {**OWN, "api-key": THIEF}),
    "anthropic: files": ("/v1/files", {"x-api-key": THIEF}),
    "anthropic: batches, beside one's own": ("/v1/messages/batches", {**OWN, "x-api-key": THIEF}),
    "gemini: files": ("/upload/v1beta/files", {"x-goog-api-key": THIEF}),
    "gemini: files, by query": (f"/upload/v1beta/files?key={THIEF}", OWN),
    "gemini: another account's upload": (
        "/upload/v1beta/files?upload_id=theirs&upload_protocol=resumable",
        {},
    ),
    "a cookie": ("/v1/x", {**OWN, "cookie": f"session={THIEF}"}),
    "Basic": ("/v1/x", {"authorization": basic("u", THIEF)}),
    "a subprotocol": ("/v1/x", {**OWN, "sec-websocket-protocol": f"openai-insecure-api-key.{THIEF}"}),
    "a secret under a name in camelCase": (f"/v1/x?clientSecret={THIEF}", OWN),
    "a token under words run together": ("/v1/x", {**OWN, "x-apitoken": THIEF}),
    "a key under a name with dots": ("/v1/x", {**OWN, "x.api.key": THIEF}),
    "a bare key as a subprotocol": ("/v1/x", {**OWN, "sec-websocket-protocol": THIEF}),
    "headers that the query sets": (f"/v1/x?%24httpHeaders=X-Goog-Api-Key%3A{THIEF}%0D%0A", OWN),
    "nothing": ("/v1/files", {}),
}


@pytest.mark.parametrize("theft", THEFTS)
async def test_theft_no_upload_under_another_account_reaches_the_upstream(rig: Rig, theft: str):
    """An attacker's own key on the allowed host: refused before a byte of the body, 0 connections."""
    await give_keys(rig)
    target, headers = THEFTS[theft]

    response = await send(rig, "llm.test", target, headers=headers, content=b"stolen" * 10_000)

    assert (response.status_code, reason(response)) == (403, "foreign_credential")
    assert (rig.upstream.accepts, rig.upstream.heads) == (0, [])
    assert "THIEF" not in response.text + json.dumps(rig.lines)
    assert [line["reason_code"] for line in rig.lines] == ["foreign_credential"]


async def test_userinfo_is_basic_and_refused(rig: Rig):
    """What clients make of https://user:key@host."""
    await give_keys(rig)
    async with client(rig) as http:
        response = await http.get(f"https://u:{THIEF}@llm.test:{rig.upstream.tls_port}/v1/x")
    assert reason(response) == "foreign_credential"
    assert rig.upstream.accepts == 0


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("ok.test", {"headers": OWN}),
        ("ok.test", {"target": f"/x?key={STAND_IN}"}),
        ("ok.test", {"target": f"/{STAND_IN}"}),
        ("ok.test", {"headers": {"authorization": basic("u", STAND_IN)}}),
        ("llm.test", {"target": f"/v1/{STAND_IN}", "headers": OWN}),
        ("llm.test", {"target": "/v1/x", "headers": {**OWN, "x-debug": STAND_IN}}),
        ("ok.test", {"content": b"my key is " + STAND_IN.encode()}),
        ("llm.test", {"content": b"my key is " + STAND_IN.encode(), "headers": OWN}),
    ],
)
async def test_a_placeholder_elsewhere_is_refused_and_never_swapped(rig: Rig, host: str, more: dict):
    """Another host, the path, another header, a body: `credential_host`, and the true value stays here."""
    await give_keys(rig)
    response = await send(rig, host, **more)

    assert (response.status_code, reason(response)) == (403, "credential_host")
    assert STAND_IN not in "".join(rig.upstream.heads) + rig.upstream.body.decode()
    assert host == "llm.test" or TRUE not in "".join(rig.upstream.heads)


async def test_clear_text_never_carries_the_value(rig: Rig):
    """The bound host over http, on a port that its rule allows."""
    await give_keys(rig)
    async with client(rig) as http:
        response = await http.get(f"http://llm.test:{rig.upstream.plain_port}/v1/x", headers=OWN)
    assert reason(response) == "credential_host"
    assert rig.upstream.accepts == 0


async def test_a_redirect_never_carries_the_value(rig: Rig):
    """The proxy does not follow; what the client then sends is judged anew."""
    await give_keys(rig)
    rig.upstream.response = (
        f"HTTP/1.1 307 Moved\r\nlocation: https://ok.test:{rig.upstream.tls_port}/v1/x\r\ncontent-length: 0\r\n\r\n"
    ).encode()
    async with client(rig) as http:
        url = f"https://llm.test:{rig.upstream.tls_port}/v1/x"
        moved = await http.get(url, headers=OWN)
        assert len(rig.upstream.heads) == 1
        followed = await http.get(moved.headers["location"], headers=OWN)

    assert (moved.status_code, reason(followed)) == (307, "credential_host")
    assert len(rig.upstream.heads) == 1


async def test_rotation_and_revocation_hold_for_the_next_request(rig: Rig):
    """A running sandbox, one kept connection: the new value, then none."""
    await give_keys(rig)
    url = f"https://llm.test:{rig.upstream.tls_port}/v1/x"
    async with client(rig) as http:
        assert (await http.get(url, headers=OWN)).status_code == 200
        await give_keys(rig, GrantSecret("OPENAI_API_KEY", NEW_TRUE, STAND_IN), revision=3)
        assert (await http.get(url, headers=OWN)).status_code == 200
        await give_keys(rig, DB_SECRET, revision=4)
        refused = await http.get(url, headers=OWN)

    assert [TRUE in text for text in rig.upstream.heads] == [True, False]
    assert NEW_TRUE in rig.upstream.heads[1]
    assert reason(refused) == "foreign_credential"


async def test_an_upload_that_the_sandbox_began_goes_on(rig: Rig):
    """The id of an upload counts once the upstream gave it to this sandbox, and for this one only."""
    await give_keys(rig)
    where = (
        f"https://llm.test:{rig.upstream.tls_port}/upload/v1/files?upload_id=mine&upload_protocol=resumable"
    )
    rig.upstream.response = (
        f"HTTP/1.1 200 OK\r\nx-goog-upload-url: {where}\r\ncontent-length: 0\r\n\r\n"
    ).encode()
    async with client(rig) as http:
        early = await http.post(where, content=b"data")
        begun = await http.post(where.partition("?")[0], headers=OWN)
        later = await http.post(begun.headers["x-goog-upload-url"], content=b"data")
    await rig.link.revoke("run-1")
    await give_keys(rig, revision=3)
    anew = await send(rig, "llm.test", "/upload/v1/files?upload_id=mine", content=b"data")

    assert [early.status_code, begun.status_code, later.status_code, anew.status_code] == [403, 200, 200, 403]


async def test_an_upload_that_was_begun_without_its_own_key_is_not_its_own(rig: Rig):
    """An address that came in answer to anything else may be under any account."""
    await give_keys(rig, DB_SECRET)
    where = f"https://llm.test:{rig.upstream.tls_port}/upload/v1/files?upload_id=theirs"
    rig.upstream.response = (
        f"HTTP/1.1 200 OK\r\nx-goog-upload-url: {where}\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n"
    ).encode()
    async with client(rig) as http:
        assert (await http.get(where.partition("?")[0])).status_code == 200
        refused = await http.post(where, content=b"data")
    assert reason(refused) == "foreign_credential"


# -- reflection --------------------------------------------------------------------------------


async def test_a_reflected_value_is_scrubbed(rig: Rig):
    """From headers, the reason phrase and the body, in whole and in base64; the length stays."""
    await give_keys(rig)
    body = f'{{"key": "{TRUE}", "auth": "{basic("u", TRUE)}"}}'.encode()
    rig.upstream.response = (
        f"HTTP/1.1 200 {TRUE}\r\nx-echo: Bearer {TRUE}\r\nset-cookie: a={TRUE}\r\n"
        f"location: https://llm.test/?key={TRUE}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    response = await send(rig, "llm.test", headers=OWN)

    assert response.headers["x-echo"] == f"Bearer {STAND_IN}"
    assert response.headers["location"] == f"https://llm.test/?key={STAND_IN}"
    assert "set-cookie" not in response.headers
    assert len(response.content) == len(body)
    told = f"{response.extensions['reason_phrase']!r} {response.headers!r} {response.text}"
    assert TRUE not in told
    assert base64.b64encode(TRUE.encode()).decode()[2:-4] not in told
    assert json.loads(response.content)["key"] == STAND_IN


async def test_a_value_over_chunks_is_scrubbed_and_an_event_is_not_delayed(rig: Rig):
    """Each piece arrives before the upstream sends the next; only the beginning of the value waits."""
    await give_keys(rig)
    told = asyncio.Event()

    async def respond(_head, _reader, writer):
        def chunk(data: bytes) -> bytes:
            return b"%x\r\n%s\r\n" % (len(data), data)

        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for piece in (b"data: one\n\n", b"data: " + TRUE[:9].encode(), TRUE[9:].encode() + b"\n\n"):
            writer.write(chunk(piece))
            await writer.drain()
            await asyncio.wait_for(told.wait(), 30)
            told.clear()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    rig.upstream.respond = respond
    seen = []
    async with client(rig) as http:
        url = f"https://llm.test:{rig.upstream.tls_port}/v1/x"
        async with http.stream("GET", url, headers=OWN) as response:
            async for piece in response.aiter_raw():
                seen.append(piece)
                told.set()

    assert seen == [b"data: one\n\n", b"data: ", STAND_IN.encode() + b"\n\n"]


async def test_an_answer_is_asked_for_uncompressed_and_cut_if_it_is_not(rig: Rig):
    """What cannot be searched for the key does not reach the sandbox."""
    await give_keys(rig)
    rig.upstream.response = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\nsomething"
    with pytest.raises(httpx.TransportError):
        await send(rig, "llm.test", headers={**OWN, "accept-encoding": "gzip, br"})

    assert "accept-encoding: identity\r\n" in sent_head(rig).lower()
    assert [line["reason_code"] for line in rig.lines] == [None, "internal_error"]


@pytest.mark.parametrize(
    "name",
    [
        "transfer-encoding: gzip, chunked",
        "Transfer-Encoding: Deflate , chunked",
        "transfer-encoding: gzip",
        "x-content-encoding: gzip\r\ntransfer-encoding: chunked",
        "content_encoding: br\r\ntransfer-encoding: chunked",
        "content-encoding: identity\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked",
        "content-transfer-encoding: quoted-printable\r\ntransfer-encoding: chunked",
    ],
)
async def test_an_answer_that_is_coded_under_any_name_is_cut(rig: Rig, name: str):
    """Of the ways to say that a body is compressed the proxy asks for none and lets none through."""
    await give_keys(rig)
    coded = gzip.compress(f"the key is {TRUE}".encode())
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(coded), coded)
    rig.upstream.response = f"HTTP/1.1 200 OK\r\n{name}\r\n\r\n".encode() + body
    rig.upstream.respond = None
    try:
        response = await send(rig, "llm.test", headers=OWN)
    except httpx.TransportError:
        assert [line["reason_code"] for line in rig.lines] == [None, "internal_error"]
    else:  # mitmproxy itself finds the framing broken
        assert response.status_code == 502
        assert coded not in response.content


async def test_an_answer_that_is_merely_chunked_goes_on(rig: Rig):
    """Chunks are framing, no coding."""
    await give_keys(rig)
    rig.upstream.response = b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert (await send(rig, "llm.test", headers=OWN)).text == "ok"


SPECIAL = "sk-a/b+c=d&e<f>g'h~0123456789"
ECHOES = {
    "percent": quote(SPECIAL, safe=""),
    "percent, small letters": quote(SPECIAL, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "percent in part": quote(SPECIAL, safe="/+&"),
    "JSON of PHP": json.dumps(SPECIAL)[1:-1].replace("/", "\\/"),
    "JSON of Go": json.dumps(SPECIAL)[1:-1].replace("&", "\\u0026").replace("<", "\\u003C"),
    "HTML": SPECIAL.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;"),
    "base64 in lines": "\n".join(
        base64.b64encode(b"u:" + SPECIAL.encode()).decode()[at : at + 20] for at in range(0, 60, 20)
    ),
    "JSON in a form": quote(json.dumps({"k": SPECIAL}).replace("/", "\\/")),
}


@pytest.mark.parametrize("spelling", ECHOES)
async def test_a_key_of_special_characters_comes_back_in_no_spelling(rig: Rig, spelling: str):
    """The proxy itself writes it percent-encoded into `?key=`; what an upstream makes of it is taken out."""
    await give_keys(rig, GrantSecret("OPENAI_API_KEY", SPECIAL, STAND_IN))
    told, body = ECHOES[spelling], f'{{"echo": "{ECHOES[spelling]}"}}'.encode()
    location = told.replace("\n", "%0A")
    rig.upstream.response = (
        f"HTTP/1.1 302 Found\r\nlocation: https://llm.test/?key={location}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    response = await send(rig, "llm.test", f"/v1/x?key={STAND_IN}")

    assert quote(SPECIAL, safe="") in sent_head(rig)
    assert response.status_code == 302
    assert len(response.content) == len(body)
    form = SecretForms.of("K", SPECIAL, ReasonCode.SECRET_LEAK)
    for text in (response.content, response.headers["location"].encode()):
        assert b"*" * 20 in text
        assert find_form([form], text) is None


async def test_other_hosts_may_compress(rig: Rig):
    """Nothing is asked of a host that no key is bound to."""
    await give_keys(rig)
    assert (await send(rig, "ok.test", headers={"accept-encoding": "br"})).status_code == 200
    assert "accept-encoding: br\r\n" in sent_head(rig).lower()


# -- WebSocket ---------------------------------------------------------------------------------

UPGRADE = (
    "GET /v1/realtime HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


def frame(text: bytes, *, opcode: int = 1, is_masked: bool = True) -> bytes:
    """One short frame; masked with zeros as a client's."""
    return (
        bytes([0x80 | opcode, (0x80 if is_masked else 0) | len(text)]) + bytes(4 if is_masked else 0) + text
    )


async def websocket(
    rig: Rig, host: str, more: str
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """An upgraded connection through the proxy; the upstream echoes a frame's payload, unmasked."""

    async def respond(_head, reader, writer):
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo8=\r\n\r\n"
        )
        while True:
            start = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            payload = await reader.readexactly(start[1] & 0x7F)
            text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
            if start[0] & 0x0F == 8 and len(text) == 2:  # mitmproxy's own, when it is cut
                return
            rig.upstream.body += text
            if text.startswith(b"reflect"):
                opcode = int(text[7:])
                code = b"\x03\xe8" if opcode == 8 else b""
                writer.write(frame(code + TRUE.encode(), opcode=opcode, is_masked=False))
            else:
                writer.write(frame(text, is_masked=False))

    rig.upstream.respond = respond
    authority = f"{host}:{rig.upstream.tls_port}"
    reader, writer = await tunnel(rig, authority)
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    await asyncio.wait_for(writer.start_tls(context, server_hostname=host), 30)
    writer.write(UPGRADE.format(host=authority, more=more).encode())
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30), reader, writer


@pytest.mark.parametrize(
    "more",
    [
        f"Authorization: Bearer {STAND_IN}\r\n",
        f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{STAND_IN}\r\n",
    ],
)
async def test_a_websockets_upgrade_is_brokered_and_its_messages_scrubbed(rig: Rig, more: str):
    """The true value goes up with the upgrade, and does not come back in a message."""
    await give_keys(rig)
    answer, reader, writer = await websocket(rig, "llm.test", more)

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert TRUE in sent_head(rig)
    for opcode in (1, 9, 8):  # text, ping, close
        writer.write(frame(b"reflect%d" % opcode))
        code = b"\x03\xe8" if opcode == 8 else b""
        expected = frame(code + STAND_IN.encode(), opcode=opcode, is_masked=False)
        assert await asyncio.wait_for(reader.readexactly(len(expected)), 30) == expected


async def test_a_websockets_upgrade_with_another_key_is_refused(rig: Rig):
    """A subprotocol is a credential position too."""
    await give_keys(rig)
    more = f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{THIEF}\r\n"
    answer, _, _ = await websocket(rig, "llm.test", more)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert rig.upstream.accepts == 0


@pytest.mark.parametrize("opcode", [1, 2, 8, 9, 10], ids=["text", "binary", "close", "ping", "pong"])
async def test_a_websockets_message_with_a_value_is_dropped_and_the_connection_cut(rig: Rig, opcode: int):
    """The tripwire holds for what comes behind the upgrade: messages, and the frames that control them."""
    await give_keys(rig)
    answer, reader, writer = await websocket(rig, "ok.test", "")
    assert answer.startswith(b"HTTP/1.1 101 ")
    writer.write(frame(b"hello"))
    await asyncio.wait_for(reader.readexactly(7), 30)
    code = b"\x03\xe8" if opcode == 8 else b""
    writer.write(frame(code + DB.encode(), opcode=opcode))
    await asyncio.wait_for(reader.read(100), 30)

    assert rig.upstream.body == b"hello"
    assert rig.lines[-1]["reason_code"] == "secret_leak"


# -- failing closed, and telling nothing -------------------------------------------------------


@pytest.mark.parametrize("name", ["broker", "binding_of", "watched"])
async def test_a_failing_swap_denies(rig: Rig, monkeypatch, name: str):
    """An exception on the way to the swap is a 500, and nothing is sent."""
    await give_keys(rig)
    monkeypatch.setattr(outgoing, name, boom)
    response = await send(rig, "llm.test", headers=OWN, content=b"x")

    assert (response.status_code, reason(response)) == (500, "internal_error")
    assert rig.upstream.accepts == 0


async def test_a_failing_search_of_the_body_cuts_it_off(rig: Rig, monkeypatch):
    """No byte of a body that could not be searched leaves."""
    await give_keys(rig)
    monkeypatch.setattr(BodyScan, "feed", boom)
    response = await send(rig, "llm.test", headers=OWN, content=b"x" * 1000)

    assert (response.status_code, reason(response)) == (500, "internal_error")
    assert rig.upstream.body == b""


async def test_a_failing_scrub_cuts_the_answer_off(rig: Rig, monkeypatch):
    """No byte of an answer that could not be scrubbed arrives."""
    await give_keys(rig)
    monkeypatch.setattr(StreamScrub, "feed", boom)
    with pytest.raises(httpx.TransportError):
        await send(rig, "llm.test", headers=OWN)


async def test_a_failing_message_is_dropped(rig: Rig, monkeypatch):
    """A message that could not be searched does not leave."""
    await give_keys(rig)
    _, reader, writer = await websocket(rig, "ok.test", "")
    monkeypatch.setattr(LeakScan, "check", boom)
    writer.write(frame(b"hello"))
    await asyncio.wait_for(reader.read(100), 30)
    assert rig.upstream.body == b""


async def test_no_value_is_in_a_log_a_line_or_a_problem(rig: Rig, capfd, caplog):
    """Whatever the sandbox asks for, and however the upstream fails: stderr, audit, bodies, repr."""
    await give_keys(rig)
    seen = [
        await send(rig, "llm.test", headers=OWN),
        await send(rig, "ok.test", f"/{DB}?q={DB}"),
        await send(rig, "ok.test", content=b"a" * 99_999 + DB.encode()),
        await send(rig, "llm.test", headers={"authorization": f"Bearer {TRUE}"}),
    ]
    refused = [
        await rig.connect(f"{DB}.{zone}:{port}") for zone in ("wild.test", "evil.test") for port in (443, 1)
    ]
    rig.upstream.response = f"HTTP/1.1 200 OK\r\nbad header {TRUE}\r\n\r\n".encode()
    seen.append(await send(rig, "llm.test", headers=OWN))
    grant = rig.server.grants.held()[0]
    hooks = rig.server.hooks
    parts = [getattr(hooks, field.name) for field in dataclasses.fields(hooks)]
    out, err = capfd.readouterr()
    told = "".join(
        [out, err, caplog.text, json.dumps(rig.lines), repr(grant), repr([vars(part) for part in parts])]
    )
    told += "".join(f"{r.text} {r.headers!r}" for r in seen) + repr(refused)

    assert [r.status_code for r in seen] == [200, 403, 403, 403, 502]
    assert not any(value in told.lower() for value in (TRUE, DB, DB.encode().hex()))
    assert KEY.name in told
    assert rig.lookups == []
