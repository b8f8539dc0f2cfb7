"""An exception inside any deciding hook refuses; the exception is injected where the hook decides."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from proxy.hooks import requests
from proxy.layers import routes
from tests.wire.conftest import Rig
from tests.wire.test_refusals import client, problem, tunnel


def boom(*_args, **_kwargs):
    """Stands for any bug."""
    raise ZeroDivisionError("a bug that mentions secret-marker")


async def test_client_connected_denies(rig: Rig, monkeypatch):
    """A failing identity check closes the connection."""
    monkeypatch.setattr(rig.server.grants, "find", boom)

    assert await rig.raw(b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n", until_close=True) == b""
    assert rig.lines[-1]["reason_code"] == "internal_error"
    assert rig.lines[-1]["client_port"] is not None


async def test_http_connect_denies(rig: Rig, monkeypatch):
    """A failing CONNECT decision is a 500 that opens no tunnel."""
    monkeypatch.setattr(requests, "judge_connect", boom)

    raw = await rig.connect("ok.test:443")

    assert raw.startswith(b"HTTP/1.1 500 ")
    assert problem(raw)["reason_code"] == "internal_error"
    assert problem(raw)["request_id"] == rig.lines[-1]["request_id"]
    assert b"secret-marker" not in raw
    assert rig.upstream.accepts == 0


async def test_next_layer_denies(rig: Rig, monkeypatch):
    """A failing layer choice speaks nothing."""
    reader, writer = await tunnel(rig, f"pass.test:{rig.upstream.tls_port}")
    monkeypatch.setattr(routes, "judge_server_name", boom)
    context = ssl.create_default_context()

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.wait_for(writer.start_tls(context, server_hostname="pass.test"), 30)

    assert rig.upstream.accepts == 0
    assert rig.lines[-1]["reason_code"] == "internal_error"
    writer.close()


async def test_requestheaders_denies(rig: Rig, monkeypatch):
    """A failing request decision is a 500 and nothing is sent."""
    monkeypatch.setattr(requests, "judge_request", boom)
    async with client(rig) as http:
        response = await http.post(f"https://ok.test:{rig.upstream.tls_port}/", content=b"x" * 100_000)

    assert (response.status_code, response.json()["reason_code"]) == (500, "internal_error")
    assert rig.upstream.accepts == 0


async def test_unchecked_destination_is_not_dialled(rig: Rig, monkeypatch):
    """A dial whose destination was never checked does not happen."""

    async def forget(*_args):
        return None

    monkeypatch.setattr(rig.server.hooks.dials, "vet", forget)
    async with client(rig) as http:
        response = await http.get(f"https://ok.test:{rig.upstream.tls_port}/")

    assert (response.status_code, response.json()["type"]) == (502, "urn:orchbox:upstream-failed")
    assert rig.upstream.accepts == 0


async def test_server_connect_denies(rig: Rig, monkeypatch):
    """A failing look at the checked addresses leaves the upstream undialled."""

    async def break_pins(session, *_args):
        session.pins = _NoPins()

    monkeypatch.setattr(rig.server.hooks.dials, "vet", break_pins)
    async with client(rig) as http:
        response = await http.get(f"https://ok.test:{rig.upstream.tls_port}/")

    assert response.status_code == 502
    assert rig.upstream.accepts == 0
    assert rig.lines[-1]["reason_code"] == "internal_error"


class _NoPins(dict):
    """Pins that cannot be looked up."""

    def get(self, key, default=None):
        raise ZeroDivisionError


async def test_server_connected_denies(rig: Rig, monkeypatch):
    """A peer that is not the checked address is cut off before a byte of the request is sent."""
    original = rig.server.hooks.clients.sessions
    async with client(rig) as http:
        monkeypatch.setattr(rig.server.hooks.clients, "sessions", _OtherPeer(original, rig))
        with pytest.raises(Exception):  # noqa: B017, PT011 - the connection just ends
            await http.get(f"https://ok.test:{rig.upstream.tls_port}/")

    assert rig.upstream.heads == []
    assert rig.lines[-1]["reason_code"] == "dns_rebind"


class _OtherPeer(dict):
    """Sessions whose pin changes between the dial and the check of the peer."""

    def __init__(self, sessions, rig):
        super().__init__(sessions)
        self.rig = rig

    def __getitem__(self, key):
        session = super().__getitem__(key)
        if self.rig.upstream.accepts:
            session.pins = dict.fromkeys(session.pins, "192.0.2.1")
        return session


async def test_responseheaders_denies(rig: Rig, monkeypatch):
    """A failing response hook cuts the exchange: nothing of the response reaches the sandbox."""
    monkeypatch.setattr(requests, "clean_response_headers", boom)
    async with client(rig) as http:
        with pytest.raises(Exception):  # noqa: B017, PT011 - the connection just ends
            await http.get(f"https://ok.test:{rig.upstream.tls_port}/")


async def test_dns_request_denies(rig: Rig, monkeypatch):
    """A failing name decision answers REFUSED and asks nobody."""
    import dns.asyncquery
    import dns.message
    import dns.rcode

    monkeypatch.setattr(rig.server.hooks.dns.answers, "answer", boom)
    reply = await dns.asyncquery.tcp(
        dns.message.make_query("ok.test", "A"), "127.0.0.1", port=rig.settings.dns_port, timeout=30
    )

    assert reply.rcode() == dns.rcode.REFUSED
    assert rig.lookups == []
