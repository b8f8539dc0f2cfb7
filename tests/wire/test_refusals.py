"""What is refused, how the client is told, and that nothing went upstream meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl

import httpx
import pytest

from proxy.layers.http import MAX_DRAIN_BYTES
from tests.wire.conftest import TOKEN, Rig


def problem(raw: bytes) -> dict:
    """The JSON body of a raw response."""
    return json.loads(raw.partition(b"\r\n\r\n")[2])


def client(rig: Rig, user: str = "explain") -> httpx.AsyncClient:
    """An ordinary client that has only the proxy URL and the CA bundle."""
    context = ssl.create_default_context(cadata=rig.link.ca_pem)
    return httpx.AsyncClient(proxy=rig.proxy_url(user), verify=context, timeout=30)


REFUSED_AT_CONNECT = {
    "a host that is not listed": ("evil.test:443", 403, "not_allowed_host"),
    "a host whose name merely ends like a listed one": ("notok.test:443", 403, "not_allowed_host"),
    "a denied host under an allowed wildcard": ("denied.wild.test:443", 403, "denied_rule"),
    "the apex of a wildcard": ("wild.test:443", 403, "not_allowed_host"),
    "an unlisted port of a listed host": ("ok.test:22", 403, "port"),
    "an address in place of a name": ("93.184.216.34:443", 403, "ip_literal"),
    "the metadata address": ("169.254.169.254:80", 403, "metadata_address"),
    "a listed name that resolves to a private address": ("private.test:443", 403, "private_address"),
    "a listed name that does not resolve": ("rebind.test:443", 502, "dns_failure"),
}


@pytest.mark.parametrize("case", REFUSED_AT_CONNECT, ids=lambda c: c)
async def test_connect_is_refused(rig: Rig, case: str):
    """CONNECT is answered with problem+json, one audit line is written, and nothing goes upstream."""
    authority, status, reason = REFUSED_AT_CONNECT[case]

    raw = await rig.connect(authority)

    head = raw.partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith(f"http/1.1 {status} ")
    assert "content-type: application/problem+json" in head
    assert problem(raw)["reason_code"] == reason
    assert [(line["verdict"], line["reason_code"]) for line in rig.lines] == [("deny", reason)]
    assert rig.upstream.accepts == 0


async def test_refused_host_is_never_looked_up(rig: Rig):
    """A name that the policy does not list costs no DNS query."""
    await rig.connect("evil.test:443")

    assert rig.lookups == []


async def test_explained_refusal_reaches_the_client(rig: Rig):
    """With the explaining proxy user a client sees the 403 body itself, once audited, nothing dialled."""
    async with client(rig) as http:
        response = await http.get("https://evil.test/secret?q=1")

    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reason_code"] == "not_allowed_host"
    assert response.json()["retry"] == "will not help"
    assert [line["reason_code"] for line in rig.lines] == ["not_allowed_host"]
    assert response.json()["request_id"] == rig.lines[0]["request_id"]
    assert rig.upstream.accepts == 0
    assert rig.lookups == []


async def test_path_and_method_are_judged_inside_tls(rig: Rig):
    """A rule with methods and paths allows just those, each refusal with its own reason."""
    url = f"https://paths.test:{rig.upstream.tls_port}"
    async with client(rig) as http:
        allowed = await http.get(f"{url}/v1/models?key=k")
        by_path = await http.get(f"{url}/v2/models")
        by_method = await http.post(f"{url}/v1/models", content=b"x")

    assert allowed.status_code == 200
    assert (by_path.status_code, by_path.json()["reason_code"]) == (403, "path")
    assert (by_method.status_code, by_method.json()["reason_code"]) == (403, "method")
    assert len(rig.upstream.heads) == 1
    assert [line["path"] for line in rig.lines] == ["/v1/models", "/v2/models", "/v1/models"]


async def test_plain_request_to_unlisted_host_is_refused(rig: Rig):
    """An absolute-form request is judged like a CONNECT."""
    async with client(rig) as http:
        response = await http.get("http://evil.test/")

    assert (response.status_code, response.json()["reason_code"]) == (403, "not_allowed_host")
    assert len(rig.lines) == 1


MISMATCHES = {
    "the Host header names another host": ("ok.test", "evil.test", "host_mismatch"),
    "the Host header names another allowed host": ("ok.test", "paths.test", "host_mismatch"),
    "two Host headers": ("ok.test", "ok.test\r\nHost: evil.test", "bad_request"),
}


@pytest.mark.parametrize("case", MISMATCHES, ids=lambda c: c)
async def test_plain_request_whose_hosts_disagree_is_refused(rig: Rig, case: str):
    """Fronting by the Host header never goes upstream."""
    target, host, reason = MISMATCHES[case]
    port = rig.upstream.plain_port
    auth = base64.b64encode(f"x:{TOKEN}".encode()).decode()
    host = host.replace("ok.test", f"ok.test:{port}")
    raw = await rig.raw(
        f"GET http://{target}:{port}/ HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode()
    )

    assert problem(raw)["reason_code"] == reason
    assert rig.upstream.accepts == 0
    assert [line["reason_code"] for line in rig.lines] == [reason]


async def tunnel(
    rig: Rig, authority: str, user: str = "plain"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open CONNECT tunnel."""
    reader, writer = await rig.open(rig.settings.explicit_port)
    auth = base64.b64encode(f"{user}:{TOKEN}".encode()).decode()
    writer.write(
        f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 200"), head
    return reader, writer


@pytest.mark.parametrize("sni", ["evil.test", "paths.test"], ids=["unlisted name", "another listed name"])
@pytest.mark.parametrize("host", ["ok.test", "pass.test"], ids=["inspected", "passed through"])
async def test_server_name_must_equal_the_tunnel(rig: Rig, host: str, sni: str):
    """A ClientHello that names another host than the CONNECT ends in an alert, before any dial."""
    reader, writer = await tunnel(rig, f"{host}:{rig.upstream.tls_port}")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.wait_for(writer.start_tls(context, server_hostname=sni), 30)

    assert rig.upstream.accepts == 0
    assert [line["reason_code"] for line in rig.lines] == ["sni_mismatch"]
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-x\r\n", b"\x00" * 10, b"*1\r\n$4\r\nPING\r\n", b"\x16\x03\x01\x00\x05hello"], ids=repr
)
@pytest.mark.parametrize("host", ["ok.test", "pass.test"])
async def test_tunnel_carries_only_tls_and_http(rig: Rig, host: str, sent: bytes):
    """Bytes that are neither are answered by closing; the upstream never hears of them."""
    reader, writer = await tunnel(rig, f"{host}:{rig.upstream.tls_port}")

    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 30)

    assert b"SSH" not in answer
    assert rig.upstream.heads == []
    assert rig.upstream.accepts == 0
    writer.close()


async def test_wrong_token_is_refused_and_no_token_is_no_claim(rig: Rig):
    """Identity is the network: a client that sends no token is judged like any, a wrong token is refused."""
    none = await rig.raw(b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n")
    wrong = await rig.raw(
        b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
    )
    garbage = await rig.raw(
        b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nProxy-Authorization: x\r\n\r\n"
    )

    assert [problem(raw)["reason_code"] for raw in (none, wrong, garbage)] == [
        "not_allowed_host",
        "no_grant",
        "no_grant",
    ]
    assert rig.upstream.accepts == 0
    assert TOKEN not in json.dumps(rig.lines)


async def test_no_grant_no_traffic(rig: Rig):
    """After a revocation even the connection is closed."""
    await rig.link.revoke("run-1")

    raw = await rig.raw(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n", until_close=True)

    assert raw == b""
    assert rig.lines[-1]["reason_code"] == "no_grant"


async def test_revocation_cuts_an_open_tunnel(rig: Rig):
    """A running passthrough tunnel does not outlive its grant."""
    reader, writer = await tunnel(rig, f"pass.test:{rig.upstream.tls_port}")
    context = ssl.create_default_context(cadata=rig.upstream.ca_pem)
    await asyncio.wait_for(writer.start_tls(context, server_hostname="pass.test"), 30)

    await rig.link.revoke("run-1")

    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_expired_grant_denies(rig: Rig):
    """Time over means nothing passes, with its own reason."""
    await rig.link.grant(rig.grant(revision=2, expires_in_s=0.05))
    reader, writer = await rig.open(rig.settings.explicit_port)
    while not rig.server.grants.expired():
        await asyncio.sleep(0.01)

    answer = b""
    with contextlib.suppress(ConnectionError):  # the sweep of each second may have cut it already
        writer.write(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 30)

    assert not answer.startswith(b"HTTP/1.1 200")
    assert rig.upstream.accepts == 0
    writer.close()


async def test_losing_the_daemon_drops_every_grant(rig: Rig):
    """Nobody reads the audit any more, so nothing is allowed any more."""
    await rig.link.close()
    assert rig.server.grants.held() == []

    await asyncio.wait_for(rig.running, 30)  # the process ends with its connection
    with pytest.raises(ConnectionRefusedError):
        await rig.open(rig.settings.explicit_port)


async def test_malformed_head_is_a_recorded_problem(rig: Rig):
    """mitmproxy's HTML error page never appears."""
    raw = await rig.raw(b"GET http://ok.test/ HTTP/1.1\r\nno colon here\r\n\r\n")

    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"html" not in raw.lower()
    assert problem(raw)["reason_code"] == "bad_request"
    assert [line["reason_code"] for line in rig.lines] == ["bad_request"]


async def test_endless_head_is_cut_off(rig: Rig):
    """A head without an end is refused at its bound."""
    raw = await rig.raw(b"GET http://ok.test/ HTTP/1.1\r\nx: " + b"a" * 80_000)

    assert raw.startswith(b"HTTP/1.1 ")
    assert [line["reason_code"] for line in rig.lines] == ["bad_request"]


async def test_refused_body_is_answered_before_it_is_sent(rig: Rig):
    """The 403 comes after the head; the body is never waited for, nor a 100 Continue sent."""
    auth = base64.b64encode(f"x:{TOKEN}".encode()).decode()
    raw = await rig.raw(
        "POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 1000000000\r\n"
        f"Expect: 100-continue\r\nProxy-Authorization: Basic {auth}\r\n\r\npart".encode()
    )

    assert raw.startswith(b"HTTP/1.1 403 ")
    assert len(rig.lines) == 1


async def test_endless_refused_body_is_cut_off(rig: Rig):
    """What is still sent after a refusal is dropped, and beyond its bound the connection is closed."""
    auth = base64.b64encode(f"x:{TOKEN}".encode()).decode()
    reader, writer = await rig.open(rig.settings.explicit_port)
    writer.write(
        "POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nTransfer-Encoding: chunked\r\n"
        f"Proxy-Authorization: Basic {auth}\r\n\r\n".encode()
    )
    sent, chunk = 0, b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(60):
            while sent < 200 << 20 and not writer.is_closing():
                writer.write(chunk)
                await writer.drain()
                sent += 1 << 20

    assert MAX_DRAIN_BYTES <= sent < 100 << 20
    writer.close()


REPLACED = {
    "a method by header": ("/v1/x", {"X-HTTP-Method-Override": "DELETE"}, "method"),
    "a method by a header with underscores": ("/v1/x", {"X_HTTP_METHOD": "DELETE"}, "method"),
    "a method by parameter": ("/v1/x?a=b&_method=delete", {}, "method"),
    "a method by an escaped parameter": ("/v1/x?%24httpMethod=DELETE", {}, "method"),
    "headers by parameter": ("/v1/x?$httpHeaders=X-HTTP-Method:DELETE", {}, "method"),
    "a path by header": ("/v1/x", {"Destination": "https://paths.test/admin"}, "path"),
    "overlong dots in the path": ("/v1/%c0%ae%c0%ae/admin", {}, "path"),
    "a tab between dots in the path": ("/v1/.%09./admin", {}, "path"),
}


@pytest.mark.parametrize("case", REPLACED)
async def test_what_was_judged_is_what_the_upstream_reads(rig: Rig, case: str):
    """Nothing goes upstream that names another method or path than the policy has seen."""
    target, headers, reason = REPLACED[case]
    async with client(rig) as http:
        response = await http.get(f"https://paths.test:{rig.upstream.tls_port}{target}", headers=headers)

    assert (response.status_code, response.json()["reason_code"]) == (403, reason)
    assert rig.upstream.accepts == 0


async def test_where_no_rule_is_about_requests_an_override_goes_on(rig: Rig):
    """Every method and path is allowed there; only what a proxy would say is taken off."""
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/admin", "x_rewrite_url": "/admin"}
    async with client(rig) as http:
        response = await http.post(
            f"https://ok.test:{rig.upstream.tls_port}/v1/x?_method=PUT", headers=headers
        )

    head = rig.upstream.heads[0].lower()
    assert response.status_code == 200
    assert "x-http-method-override: delete" in head
    assert "admin" not in head
