"""What is allowed arrives unchanged, verified, streamed, and over the address that was checked."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
from cryptography import x509

from tests.wire.conftest import TOKEN, Rig
from tests.wire.origin import UPSTREAM
from tests.wire.test_refusals import client, tunnel


async def test_inspected_request_arrives(rig: Rig):
    """Host, SNI and path are the client's own; proxy headers and way-out hints are gone."""
    async with client(rig) as http:
        response = await http.get(
            f"https://ok.test:{rig.upstream.tls_port}/a?b=c",
            headers={"X-Forwarded-For": "1.2.3.4", "TE": "trailers"},
        )

    head = rig.upstream.heads[0].lower()
    assert response.text == "ok"
    assert "alt-svc" not in response.headers
    assert head.startswith("get /a?b=c http/1.1\r\n")
    assert f"host: ok.test:{rig.upstream.tls_port}" in head
    assert not any(word in head for word in ("proxy-", "x-forwarded-for", "te: trailers", TOKEN))
    assert rig.upstream.server_names == ["ok.test"]
    assert [(line["verdict"], line["rule_id"], line["tls"]) for line in rig.lines] == [
        ("allow", "t.allow[0]", "inspect")
    ]


@pytest.mark.parametrize("target", ["/x{}", "{}", "/x?a={}"])
@pytest.mark.parametrize("is_tls", [True, False], ids=["https", "http"])
async def test_nothing_is_answered_in_the_upstreams_place(rig: Rig, target: str, *, is_tls: bool):
    """The revocation list of mitmproxy's own CA is a path like any other: the upstream is asked."""
    serial = x509.load_pem_x509_certificate(rig.link.ca_pem.encode()).serial_number
    path = target.format(f"/mitmproxy-{serial}.crl")
    scheme, port = ("https", rig.upstream.tls_port) if is_tls else ("http", rig.upstream.plain_port)

    async with client(rig) as http:
        response = await http.get(f"{scheme}://ok.test:{port}{path}")

    assert response.text == "ok"
    assert [text.split()[1] for text in rig.upstream.heads] == [path]


async def test_keep_alive_uses_one_upstream_connection(rig: Rig):
    """Pinning the dial address does not cost mitmproxy's connection reuse (12.2 compares addresses)."""
    async with client(rig) as http:
        for _ in range(3):
            await http.get(f"https://ok.test:{rig.upstream.tls_port}/")

    assert len(rig.upstream.heads) == 3
    assert rig.upstream.accepts == 1


async def test_passthrough_shows_the_upstreams_own_certificate(rig: Rig):
    """A passed-through connection is not intercepted, and has one line."""
    reader, writer = await tunnel(rig, f"pass.test:{rig.upstream.tls_port}")
    context = ssl.create_default_context(cadata=rig.upstream.ca_pem)
    await asyncio.wait_for(writer.start_tls(context, server_hostname="pass.test"), 30)
    writer.write(b"GET / HTTP/1.1\r\nHost: pass.test\r\n\r\n")

    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert [(line["verdict"], line["tls"]) for line in rig.lines] == [("allow", "passthrough")]
    writer.close()


async def test_one_lookup_and_the_checked_address_is_dialled(rig: Rig):
    """A name that would resolve differently a second time is never asked a second time."""
    rig.names["a.wild.test"] = [UPSTREAM]
    async with client(rig) as http:
        await http.get(f"https://a.wild.test:{rig.upstream.tls_port}/")
        rig.names["a.wild.test"] = ["10.0.0.1"]
        await http.get(f"https://a.wild.test:{rig.upstream.tls_port}/")

    assert rig.lookups == ["a.wild.test"]
    assert rig.upstream.accepts == 1


async def test_every_answer_is_checked(rig: Rig):
    """One private answer among the answers refuses the name."""
    rig.names["b.wild.test"] = [UPSTREAM, "192.168.0.1"]
    async with client(rig) as http:
        response = await http.get("https://b.wild.test/")

    assert response.json()["reason_code"] == "private_address"
    assert rig.upstream.accepts == 0


async def test_unverifiable_upstream_is_never_passed_through(rig: Rig):
    """A wrong certificate ends in 502 problem+json that is told apart from a refusal."""
    await rig.link.revoke("run-1")
    policy = rig.policy()
    object.__setattr__(policy, "upstream_ca_pem", None)
    await rig.link.grant(rig.grant(sandbox_id="run-2", policy=policy))
    async with client(rig) as http:
        response = await http.get(f"https://ok.test:{rig.upstream.tls_port}/")

    assert response.status_code == 502
    assert response.json()["type"] == "urn:orchbox:upstream-failed"
    assert rig.upstream.heads == []


async def test_plain_http_on_a_listed_port(rig: Rig):
    """Clear text is carried where its port is listed."""
    async with client(rig) as http:
        response = await http.get(f"http://ok.test:{rig.upstream.plain_port}/")

    assert response.text == "ok"


async def test_response_streams_before_it_ends(rig: Rig):
    """The first chunk arrives although the body has no end yet."""
    rig.upstream.response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    async with client(rig) as http:
        async with http.stream("GET", f"https://ok.test:{rig.upstream.tls_port}/") as response:
            chunks = response.aiter_raw()
            assert await asyncio.wait_for(anext(chunks), 30) == b"first"


async def test_by_server_name_without_a_proxy_setting(rig: Rig):
    """A client that ignores proxies lands on the SNI door and is judged the same."""
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    answers = {}
    for name in ("evil.test", "pass.test"):
        reader, writer = await rig.open(rig.settings.sni_port)
        try:
            await asyncio.wait_for(writer.start_tls(context, server_hostname=name), 30)
            writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            answers[name] = await asyncio.wait_for(reader.read(), 30)
        except (ssl.SSLError, ConnectionError) as exc:
            answers[name] = type(exc).__name__.encode()
        writer.close()

    assert answers["evil.test"].startswith(b"HTTP/1.1 403")
    # pass.test would be dialled on 443, where this rig's upstream does not listen.
    assert not answers["pass.test"].startswith(b"HTTP/1.1 200")
    assert rig.lines[0]["entry"] == "sni"
    assert json.dumps(rig.lines).count("not_allowed_host") == 1


@pytest.mark.parametrize("alpn", [["h2"], ["http/1.1"]], ids=["h2", "http/1.1"])
async def test_refusal_speaks_the_clients_protocol(rig: Rig, alpn: list[str]):
    """The in-band refusal completes TLS with the protocol that the client offers."""
    reader, writer = await tunnel(rig, "evil.test:443", user="explain")
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    context.set_alpn_protocols(alpn)

    await asyncio.wait_for(writer.start_tls(context, server_hostname="evil.test"), 30)

    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == alpn[0]
    writer.close()


async def test_upload_streams_before_it_ends(rig: Rig):
    """The head and the first chunk are upstream while the last chunk has not been sent."""
    arrived = asyncio.Event()
    done = asyncio.Event()

    async def body():
        yield b"first"
        await asyncio.wait_for(arrived.wait(), 30)
        done.set()
        yield b"last"

    async def watch():
        while not rig.upstream.heads:
            await asyncio.sleep(0.01)
        arrived.set()

    watching = asyncio.create_task(watch())
    async with client(rig) as http:
        await http.post(f"https://ok.test:{rig.upstream.tls_port}/", content=body())
    await watching

    assert done.is_set()


@pytest.mark.parametrize("user", ["plain", "explain"])
async def test_a_name_in_its_ascii_form_is_that_name(rig: Rig, user: str):
    """`xn--...` is judged, dialled and forwarded as it was sent; mitmproxy shows it as Unicode."""
    host = "xn--bcher-kva.wild.test"
    rig.names[host] = [UPSTREAM]
    async with client(rig, user=user) as http:
        secure = await http.get(f"https://{host}:{rig.upstream.tls_port}/")
        plain = await http.get(f"http://{host}:{rig.upstream.plain_port}/")

    assert (secure.status_code, plain.status_code) == (200, 200)
    assert {line["host"] for line in rig.lines} == {host}
    assert all(f"{host}:" in head for head in rig.upstream.heads)
