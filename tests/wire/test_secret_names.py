"""A secret in a host name is refused before anything is looked up, on every way in.

A lookup carries the name to its own domain's servers, so that an allowed wildcard would be a way out.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import dns.rcode
import pytest

from proxy.hooks import dials, recorder
from tests.wire.conftest import Rig
from tests.wire.raw import open_door
from tests.wire.secrets import DB, STAND_IN, give_keys
from tests.wire.test_names import ask
from tests.wire.test_tls_corpus import client_hello, names


async def connect(rig: Rig, host: str) -> None:
    """The authority of a CONNECT."""
    assert b" 403 " in (await rig.connect(f"{host}:443"))[:20] or rig.lookups


async def explained_connect(rig: Rig, host: str) -> None:
    """The same by a client that hears the refusal inside its tunnel."""
    await rig.connect(f"{host}:443", "explain")


async def server_name(rig: Rig, host: str) -> None:
    """The ClientHello's server name on port 443."""
    reader, writer = await open_door(rig, "sni")
    writer.write(client_hello(names((0, host.encode()))))
    await reader.read(1)


async def host_header(rig: Rig, host: str) -> None:
    """The Host header on port 80."""
    await rig.raw(
        f"GET / HTTP/1.1\r\nHost: {_plain(rig, host)}\r\n\r\n".encode(), port=rig.settings.host_port
    )


async def absolute_form(rig: Rig, host: str) -> None:
    """The target of a request to the explicit proxy."""
    where = _plain(rig, host)
    await rig.raw(f"GET http://{where}/ HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())


def _plain(rig: Rig, host: str) -> str:
    return f"{host}:{rig.upstream.plain_port}"


WAYS: dict[str, Callable[[Rig, str], Awaitable[None]]] = {
    way.__name__: way for way in (connect, explained_connect, server_name, host_header, absolute_form)
}
SPELLINGS = {
    "as it is": DB,
    "in hex": DB.encode().hex(),
    "over two labels": f"{DB[:12]}.{DB[12:]}",
    "a placeholder": STAND_IN,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_in_a_name_is_refused_before_it_is_looked_up(rig: Rig, way: str, spelling: str):
    """Whichever door names the destination: no lookup, a refusal on record, the secret in no line."""
    await give_keys(rig)

    await WAYS[way](rig, f"{SPELLINGS[spelling]}.wild.test")

    assert rig.lookups == []
    assert rig.lines[-1]["reason_code"] == (
        "credential_host" if spelling == "a placeholder" else "secret_leak"
    )
    assert not [line for line in rig.lines if line["verdict"] == "allow"]
    assert DB not in json.dumps(rig.lines)
    assert rig.upstream.accepts == 0


@pytest.mark.parametrize("way", WAYS)
async def test_without_the_check_the_name_would_be_looked_up(rig: Rig, monkeypatch, way: str):
    """The test above can fail: it is this one check, in this one place, that each way in rests on."""
    monkeypatch.setattr(dials, "find_in_name", lambda *_: None)
    await give_keys(rig)

    await WAYS[way](rig, f"{DB}.wild.test")

    assert rig.lookups == [f"{DB}.wild.test"]


@pytest.mark.parametrize("over", ["udp", "tcp"])
@pytest.mark.parametrize("zone", ["wild.test", "evil.test"])
async def test_a_secret_in_a_question_goes_nowhere(rig: Rig, zone: str, over: str):
    """The DNS sink asks nobody, whether it allows the name or not, and writes no secret down."""
    await give_keys(rig)

    reply = await ask(rig, f"{DB}.{zone}", "A", over)

    assert reply.rcode() == (dns.rcode.NOERROR if zone == "wild.test" else dns.rcode.NXDOMAIN)
    assert [str(item) for record in reply.answer for item in record] in ([], ["127.0.0.1"])
    assert rig.lookups == []
    assert [line["host"] for line in rig.lines] == ([] if zone == "wild.test" else ["***"])


async def test_without_the_mask_a_question_would_be_written_down(rig: Rig, monkeypatch):
    """The test above can fail: the line of a refused name is masked by the recorder alone."""
    monkeypatch.setattr(recorder, "find_form", lambda *_: None)
    monkeypatch.setattr(recorder, "find_in_name", lambda *_: None)
    await give_keys(rig)

    await ask(rig, f"{DB}.evil.test", "A", "udp")

    assert [line["host"] for line in rig.lines] == [f"{DB}.evil.test"]
