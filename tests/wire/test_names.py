"""The DNS sink on the wire: policy answers, DNS is never asked."""

from __future__ import annotations

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from tests.wire.conftest import Rig


async def ask(rig: Rig, name: str, kind: str, over: str) -> dns.message.Message:
    """One query to the sink."""
    send = {"udp": dns.asyncquery.udp, "tcp": dns.asyncquery.tcp}[over]
    return await send(dns.message.make_query(name, kind), "127.0.0.1", port=rig.settings.dns_port, timeout=30)


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


async def test_no_grant_no_answer(rig: Rig):
    """Without a grant the sink is silent."""
    await rig.link.revoke("run-1")

    with pytest.raises((EOFError, ConnectionError, dns.exception.Timeout)):
        await ask(rig, "ok.test", "A", "tcp")
