"""http://llm.internal on the wire: open to whom the daemon opened it, and the router is told whose request it is."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.llm import LLM_HOST, with_llm
from proxy.policy.model import AllowRule
from tests.wire.conftest import Rig
from tests.wire.origin import close_all
from tests.wire.raw import open_tunnel
from tests.wire.secrets import DB, DB_SECRET, KEY, STAND_IN, keyed_policy
from tests.wire.test_names import ask
from tests.wire.test_refusals import client

URL = f"http://{LLM_HOST}/v1/chat/completions"


class Router:
    """Stands for the daemon's: keeps what it was asked, answers in two pieces."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.may_end = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                size = next((line for line in head.lower().split("\r\n") if "content-length" in line), "0:0")
                self.bodies.append(await reader.readexactly(int(size.split(":")[1])))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                writer.write(b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                await writer.drain()
                await self.may_end.wait()
                writer.write(b"4\r\nlast\r\n0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def router(rig: Rig) -> AsyncIterator[Router]:
    """A router on the socket, and a grant that opens it."""
    router = Router()
    path = rig.settings.llm_socket
    server = await asyncio.start_unix_server(router.serve, path)
    policy = with_llm(keyed_policy(rig))
    await rig.link.grant(rig.grant(revision=2, policy=policy, secrets=(KEY, DB_SECRET)))
    yield router
    server.close()
    await close_all(router.writers)


async def test_the_router_is_told_whose_request_it_is(rig: Rig, router: Router):
    """The client's credentials and its own word on the matter are gone; the rest is as it was sent."""
    router.may_end.set()
    headers = {
        "authorization": f"Bearer {STAND_IN}",
        "x-api-key": "anything",
        "cookie": "a=b",
        "x-orchbox-sandbox": "another",
        "X-Orchbox-More": "x",
    }

    async with client(rig) as http:
        answer = await http.post(URL, headers=headers, content=b'{"model":"default"}')

    assert (answer.status_code, answer.text) == (200, "firstlast")
    [head] = router.heads
    lines = head.lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    assert [line for line in lines if "orchbox" in line] == ["x-orchbox-sandbox: run-1"]
    assert not any(word in head for word in (STAND_IN, "anything", "a=b", "another"))
    assert f"host: {LLM_HOST}" in lines
    assert router.bodies == [b'{"model":"default"}']
    assert [(x["verdict"], x["rule_id"], x["host"], x["port"]) for x in rig.lines] == [
        ("allow", "llm", LLM_HOST, 80)
    ]
    assert rig.lookups == []


async def test_it_streams(rig: Rig, router: Router):
    """The first piece arrives while the router still holds the last."""
    async with client(rig) as http, http.stream("POST", URL, content=b"{}") as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"first"
        router.may_end.set()
        assert [piece async for piece in pieces] == [b"last"]


async def test_every_door_leads_there(rig: Rig, router: Router):
    """By its Host on port 80, in a tunnel, and by the name that the sink answers."""
    router.may_end.set()
    request = f"GET /v1/models HTTP/1.1\r\nHost: {LLM_HOST}\r\nConnection: close\r\n\r\n".encode()

    by_host = await rig.raw(request, port=rig.settings.host_port, until_close=True)
    reader, writer = await open_tunnel(rig, f"{LLM_HOST}:80")
    writer.write(request)
    async with asyncio.timeout(30):
        in_tunnel = await reader.read(1 << 16)
    reply = await ask(rig, LLM_HOST, "A", "udp")

    assert by_host.startswith(b"HTTP/1.1 200")
    assert in_tunnel.startswith(b"HTTP/1.1 200")
    assert [str(item) for record in reply.answer for item in record] == ["127.0.0.1"]
    assert len(router.heads) == 2
    assert rig.lookups == []


@pytest.mark.parametrize(
    ("method", "url", "reason"),
    [
        ("POST", f"http://{LLM_HOST}/admin", "path"),
        ("DELETE", URL, "method"),
        ("POST", f"http://{LLM_HOST}:8080/v1/models", "port"),
        ("GET", f"http://x.{LLM_HOST}/v1/models", "not_allowed_host"),
    ],
)
async def test_nothing_else_of_it_is_open(rig: Rig, router: Router, method: str, url: str, reason: str):
    """Two methods, one port, one folder."""
    async with client(rig) as http:
        answer = await http.request(method, url)

    assert (answer.status_code, answer.json()["reason_code"]) == (403, reason)
    assert router.heads == []


@pytest.mark.parametrize("body", [DB.encode(), STAND_IN.encode()])
async def test_no_secret_goes_into_a_prompt(rig: Rig, router: Router, body: bytes):
    """What the router is sent goes to a provider: the tripwire holds, and a placeholder is nothing to say."""
    router.may_end.set()
    async with client(rig) as http:
        answer = await http.post(URL, content=b'{"a":"' + body + b'"}')

    assert answer.status_code == 403
    assert answer.json()["reason_code"] in {"secret_leak", "credential_host"}
    assert not any(body in got for got in router.bodies)


async def test_without_a_route_it_is_closed(rig: Rig):
    """Neither an absent rule nor an operator's own rule for the name opens it, and nobody is asked for it."""
    own = AllowRule("own", HostPattern(LLM_HOST), ports=frozenset({80}))
    policy = dataclasses.replace(rig.policy(), allow=(own,))
    async with client(rig) as http:
        absent = await http.post(URL, content=b"{}")
        await rig.link.grant(rig.grant(revision=2, policy=policy))
        listed = await http.post(URL, content=b"{}")

    assert [a.json()["reason_code"] for a in (absent, listed)] == ["not_allowed_host"] * 2
    assert "manifest" in listed.json()["detail"]
    assert rig.lookups == []
    assert len(rig.lines) == 2


async def test_a_router_that_is_away_is_told_as_such(rig: Rig, router: Router):
    """No socket, no answer: a 502 that is no refusal."""
    rig.settings.llm_socket.unlink()
    async with client(rig) as http:
        answer = await http.post(URL, content=b"{}")

    assert (answer.status_code, answer.json()["reason_code"]) == (502, None)
