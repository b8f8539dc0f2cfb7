"""The DNS sink on the wire: policy answers, DNS is never asked."""

from __future__ import annotations

import asyncio
import socket

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from tests.wire.conftest import Rig


async def ask(rig: Rig, name: str, kind: str, over: str, *, within_s: float = 30) -> dns.message.Message:
    """One query to the sink."""
    send = {"udp": dns.asyncquery.udp, "tcp": dns.asyncquery.tcp}[over]
    return await send(
        dns.message.make_query(name, kind), "127.0.0.1", port=rig.settings.dns_port, timeout=within_s
    )


@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_allowed_name_is_the_proxys_own_address(rig: Rig, over: str):
    """An allowed name leads to the proxy, whatever it would resolve to."""
    reply = await ask(rig, "ok.test", "A", over)

    assert [str(item) for record in reply.answer for item in record] == ["127.0.0.1"]
    assert rig.lookups == []


@pytest.mark.parametrize("kind", ["AAAA", "TXT", "MX", "NULL", "HTTPS", "ANY"])
async def test_allowed_name_has_no_other_records(rig: Rig, kind: str):
    """Only A is answered, so neither IPv6 nor ECH keys nor text come back."""
    reply = await ask(rig, "ok.test", kind, "udp")

    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "PTR"])
async def test_other_names_do_not_exist(rig: Rig, kind: str):
    """NXDOMAIN for everything else, with one audit line however often it is asked."""
    for _ in range(3):
        reply = await ask(rig, "exfil-data.evil.test", kind, "udp")
        assert reply.rcode() == dns.rcode.NXDOMAIN

    assert [(line["entry"], line["reason_code"]) for line in rig.lines] == [("dns", "not_allowed_host")]
    assert rig.lookups == []


async def datagrams(rig: Rig, *sent: bytes) -> list[bytes]:
    """What comes back to one source port that sends these, each after the answer to the one before it."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", rig.settings.dns_port))
        answers = []
        for data in sent:
            await loop.sock_sendall(sock, data)
            if data.endswith(QUESTION[12:]):
                answers.append(await asyncio.wait_for(loop.sock_recv(sock, 4096), 5))
        return answers


QUESTION = dns.message.make_query("ok.test", "A", id=7, use_edns=False).to_wire()


@pytest.mark.parametrize("nonsense", [b"", b"\0", b"nonsense", QUESTION[:-3], QUESTION[:12] + b"\xff" * 40])
async def test_a_source_port_that_was_used_before_is_like_a_new_one(rig: Rig, nonsense: bytes):
    """What was sent from it ends nothing: the next question from there is answered (fault A17)."""
    answers = await datagrams(rig, QUESTION, nonsense, QUESTION, nonsense, nonsense, QUESTION)

    assert answers == [answers[0]] * 3
    assert dns.message.from_wire(answers[0]).rcode() == dns.rcode.NOERROR


async def test_nothing_is_kept_of_who_asks_by_datagram(rig: Rig):
    """Neither a session nor a counted client outlives an answer, from however many ports they come."""
    for _ in range(50):
        await datagrams(rig, QUESTION)

    assert rig.server.hooks.clients.sessions == {}
    assert rig.server.hooks.clients.meters.of("run-1").name_peers == 0
    assert rig.server.master.addons.get("proxyserver").connections == {}


@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_no_grant_no_answer(rig: Rig, over: str):
    """Without a grant the sink is silent."""
    await rig.link.revoke("run-1")

    with pytest.raises((EOFError, ConnectionError, dns.exception.Timeout)):
        await ask(rig, "ok.test", "A", over, within_s=0.5)
