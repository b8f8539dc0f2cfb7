"""Limits on names, certificates and lines of the audit: what a sandbox can ask for at length."""

from __future__ import annotations

import asyncio
import ssl

import dns.rcode
import pytest

from proxy.policy import limits
from tests.wire.budgets import budget, meter
from tests.wire.conftest import Rig
from tests.wire.raw import open_tunnel, refusals
from tests.wire.test_names import ask
from tests.wire.test_refusals import client


async def test_certificates_for_new_names_are_bounded(rig: Rig):
    """A sandbox that asks for ever new names of a wildcard gets a number a minute; the store has an end."""
    await budget(rig, new_names_per_minute=5)
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    outcomes = []
    for i in range(7):
        rig.names[f"n{i}.wild.test"] = rig.names["x.wild.test"]
        _reader, writer = await open_tunnel(rig, f"n{i}.wild.test:{rig.upstream.tls_port}")
        try:
            await asyncio.wait_for(writer.start_tls(context, server_hostname=f"n{i}.wild.test"), 30)
            outcomes.append("served")
        except (ssl.SSLError, ConnectionError):
            outcomes.append("refused")
        writer.close()
    await rig.settled()

    assert outcomes == ["served"] * 5 + ["refused"] * 2
    assert refusals(rig) == ["budget_requests"] * 2
    assert rig.upstream.accepts == 0


async def test_certificate_store_has_an_end(rig: Rig):
    """mitmproxy 12.2 keeps the last hundred leaves."""
    store = rig.server._tls.certstore
    for i in range(store.STORE_CAP + 20):
        store.get_cert(f"n{i}.wild.test", [])

    assert len(store.certs) == store.STORE_CAP


async def test_questions_are_bounded(rig: Rig):
    """Beyond the limit names are answered REFUSED without work; one line counts them."""
    await budget(rig, dns_questions_per_minute=2)
    codes = [(await ask(rig, "ok.test", "A", "tcp")).rcode() for _ in range(4)]
    rig.server.sweep()
    await rig.settled()

    assert codes == [dns.rcode.NOERROR] * 2 + [dns.rcode.REFUSED] * 2
    assert [(line["reason_code"], line["suppressed"]) for line in rig.lines] == [("budget_requests", 2)]


async def test_clients_of_the_sink_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Those over TCP, which mitmproxy keeps for a while after they closed: they have a number, and are let go."""
    monkeypatch.setattr(limits, "MAX_NAME_PEERS", 2)
    held = [await rig.open(rig.settings.dns_port) for _ in range(2)]
    while meter(rig).name_peers < 2:
        await asyncio.sleep(0.01)
    with pytest.raises((EOFError, ConnectionError)):
        await ask(rig, "ok.test", "A", "tcp")
    for _, writer in held:
        writer.close()
    for session in rig.server.hooks.clients.sessions.values():
        assert session.deadline is not None
        session.deadline = session.deadline._replace(at=0.0)
    rig.server.sweep()  # mitmproxy 12.2 holds on to a DNS client that has closed
    while meter(rig).name_peers:
        await asyncio.sleep(0.01)

    assert [(line["reason_code"], line["suppressed"]) for line in rig.lines] == [("budget_requests", 1)]
    assert (await ask(rig, "ok.test", "A", "tcp")).rcode() == dns.rcode.NOERROR


async def test_a_flood_of_refusals_is_counted_not_written(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Lines and counts together are every refusal; a revocation loses none."""
    monkeypatch.setattr(limits, "DENY_LINES_PER_MINUTE", 3)
    for i in range(10):
        await rig.connect(f"x{i}.evil.test:443")
    rig.server.sweep()
    for i in range(5):
        await rig.connect(f"y{i}.evil.test:443")
    await rig.link.revoke("run-1")
    await rig.settled()

    counts = [line["suppressed"] for line in rig.lines]
    assert counts == [0, 0, 0, 7, 5]
    assert {line["reason_code"] for line in rig.lines} == {"not_allowed_host"}
    assert {line["sandbox_id"] for line in rig.lines} == {"run-1"}


async def test_allowed_requests_always_have_their_line(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """What went out is never left out of the audit."""
    monkeypatch.setattr(limits, "DENY_LINES_PER_MINUTE", 0)
    async with client(rig) as http:
        for _ in range(3):
            await http.get(f"http://ok.test:{rig.upstream.plain_port}/")

    assert [line["verdict"] for line in rig.lines] == ["allow"] * 3
