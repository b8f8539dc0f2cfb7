"""What `orch policy explain` says of a request is what the proxy does with it: each is asked both ways."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl

import pytest

from proxy.contract.decision_line import MASK
from runtime.explain.asked import Asked
from runtime.explain.document import explain
from runtime.explain.sandbox import Question, sandbox_for
from runtime.policies.places import LoadedPolicy
from tests.wire.conftest import Rig
from tests.wire.secrets import DB, STAND_IN, THIEF, give_keys, keyed_policy

OWN = ("Authorization", "Bearer ${OPENAI_API_KEY}")
UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)
OK, PATHS, LLM = "https://ok.test:TLS", "https://paths.test:TLS", "https://llm.test:TLS"

REQUESTS: dict[str, tuple] = {
    # -- hosts ----------------------------------------------------------------------------------
    "an allowed request": ("GET", f"{OK}/"),
    "no path": ("GET", OK),
    "a query without a path": ("GET", f"{OK}?a=1"),
    "clear text": ("GET", "http://ok.test:PLAIN/x"),
    "clear text without a path": ("GET", "http://ok.test:PLAIN"),
    "capitals and a final dot": ("GET", "https://OK.Test.:TLS/"),
    "capitals in clear text": ("GET", "http://OK.test:PLAIN/"),
    "a host that is not listed": ("GET", "https://evil.test/"),
    "one that is not listed, in clear text": ("GET", "http://evil.test/"),
    "a host that only ends like a listed one": ("GET", "https://notok.test/"),
    "a host below a wildcard": ("GET", "https://x.wild.test:TLS/"),
    "the apex of a wildcard": ("GET", "https://wild.test/"),
    "a denied host below a wildcard": ("GET", "https://denied.wild.test/"),
    "one with more labels below it": ("GET", "https://a.denied.wild.test:TLS/"),
    "the name of an address that is private": ("GET", "https://private.test/"),
    "a name that does not resolve": ("GET", "https://rebind.test/"),
    "a name that does not resolve, in clear text": ("GET", "http://rebind.test:PLAIN/"),
    "the LLM router, which this agent has not": ("GET", "http://llm.internal/v1/models"),
    # -- spellings ------------------------------------------------------------------------------
    "userinfo": ("GET", "https://ok.test@evil.test/"),
    "userinfo with a password": ("GET", "https://a:b@ok.test:TLS/"),
    "userinfo in clear text": ("GET", "http://ok.test@evil.test/"),
    "a name in another script": ("GET", "https://xn--bcher-kva.test/"),
    "one that is listed below a wildcard": ("GET", "https://xn--bcher-kva.wild.test:TLS/"),
    "a name that is no punycode": ("GET", "https://xn--a-ecp.ru.xn--/"),
    "an escaped dot in the name": ("GET", "https://ok%2etest/"),
    "a name with a backslash": ("GET", "https://ok.test\\.evil.test/"),
    "an underscore": ("GET", "https://_dmarc.ok.test/"),
    "an empty label": ("GET", "https://ok..test/"),
    "a label of 64 characters": ("GET", f"https://{'a' * 64}.test/"),
    "an address": ("GET", "https://93.184.216.34/"),
    "an address in clear text": ("GET", "http://93.184.216.34/"),
    "an address as one number": ("GET", "http://2130706433/"),
    "an address in hex": ("GET", "http://0x7f.0.0.1/"),
    "an address with an octal part": ("GET", "http://0177.0.0.1/"),
    "an address of two parts": ("GET", "https://127.1/"),
    "the metadata address": ("GET", "http://169.254.169.254/latest/meta-data/"),
    "the metadata address over TLS": ("GET", "https://169.254.169.254/"),
    "loopback in IPv6": ("GET", "http://[::1]/"),
    "an IPv4 address within IPv6": ("GET", "https://[::ffff:169.254.169.254]/"),
    "an IPv6 zone": ("GET", "https://[fe80::1%25eth0]/"),
    # -- ports ----------------------------------------------------------------------------------
    "another port": ("GET", "https://ok.test:22/"),
    "another port in clear text": ("GET", "http://ok.test:8080/"),
    "clear text on 443": ("GET", "http://ok.test:443/"),
    "a port with a zero before it": ("GET", "https://ok.test:0443/"),
    "a port that is too large": ("GET", "https://ok.test:65536/"),
    "an empty port": ("GET", "https://ok.test:/"),
    # -- methods and paths ----------------------------------------------------------------------
    "a path and a method that are listed": ("GET", f"{PATHS}/v1/models?x=1"),
    "a path that is not": ("GET", f"{PATHS}/v2"),
    "a method that is not": ("POST", f"{PATHS}/v1/x", (), b"x"),
    "a method in lower case": ("get", f"{OK}/"),
    "TRACE": ("TRACE", f"{OK}/"),
    "TRACE in clear text": ("TRACE", "http://ok.test:PLAIN/"),
    "a path that climbs": ("GET", f"{PATHS}/v1/../v2"),
    "an escaped climb": ("GET", f"{PATHS}/v1/%2e%2e/v2"),
    "an escaped slash": ("GET", f"{PATHS}/v1%2fx"),
    "doubled slashes": ("GET", f"{PATHS}//v1/x"),
    "doubled slashes in clear text": ("GET", "http://paths.test:PLAIN//v1/x"),
    "doubled slashes within": ("GET", f"{PATHS}/v1//x"),
    "a path parameter": ("GET", f"{PATHS}/v1/x;y"),
    "an escaped percent sign": ("GET", f"{PATHS}/v1/%252e"),
    "a backslash": ("GET", f"{PATHS}/v1/\\..\\v2"),
    "overlong UTF-8": ("GET", f"{PATHS}/v1/%c0%ae"),
    "a climb where no rule is about paths": ("GET", f"{OK}/a/../b"),
    "a header that overrides the method": ("GET", f"{PATHS}/v1/x", (("X-HTTP-Method-Override", "DELETE"),)),
    "a parameter that does": ("GET", f"{PATHS}/v1/x?_method=delete"),
    "a header that names a path": ("GET", f"{PATHS}/v1/x", (("X-Route-Path", "/v2"),)),
    "a header that rewrites, which is dropped": ("GET", f"{PATHS}/v1/x", (("X-Original-URL", "/v2"),)),
    "an override where no rule is about it": ("GET", f"{OK}/", (("X-HTTP-Method-Override", "DELETE"),)),
    # -- heads ----------------------------------------------------------------------------------
    "a Host header of another host": ("GET", f"{OK}/", (("Host", "evil.test"),)),
    "one in clear text": ("GET", "http://ok.test:PLAIN/", (("Host", "evil.test"),)),
    "a Host header without the port": ("GET", f"{OK}/", (("Host", "ok.test"),)),
    "two Host headers": ("GET", f"{OK}/", (("Host", "ok.test:TLS"), ("Host", "evil.test"))),
    "a Host header that is not ASCII": ("GET", f"{OK}/", (("Host", "\u00f6k.test"),)),
    "both framings": ("POST", f"{OK}/", (("Content-Length", "1"), ("Transfer-Encoding", "chunked")), b""),
    "an odd transfer coding": ("POST", f"{OK}/", (("Transfer-Encoding", "gzip, chunked"),)),
    "an odd expectation": ("POST", f"{OK}/", (("Expect", "a-cookie"),)),
    "a header without a name": ("GET", f"{OK}/", (("", "x"),)),
    "a control character in a header": ("GET", f"{OK}/", (("X-A", "a\x01b"),)),
    "a target that is too long": ("GET", f"{OK}/{'a' * 9000}"),
    "too many headers": ("GET", f"{OK}/", tuple((f"x-{number}", "1") for number in range(200))),
    "too many connection options": ("GET", f"{OK}/", (("Connection", ", ".join("a" * 40)),)),
    # -- CONNECT, passing through, WebSocket ----------------------------------------------------
    "a tunnel": ("CONNECT", OK),
    "a tunnel to a host that is not listed": ("CONNECT", "https://evil.test:443"),
    "CONNECT in clear text": ("CONNECT", "http://evil.test/"),
    "a host that is passed through": ("DELETE", "https://pass.test:TLS/any"),
    "one that is not, for the sake of the tripwire": ("GET", "https://a.wild.test:TLS/"),
    "a WebSocket": ("GET", f"{OK}/ws", UPGRADE),
    "a WebSocket to a path that is not listed": ("GET", f"{PATHS}/ws", UPGRADE),
    "a WebSocket with a key of another's": (
        *("GET", f"{LLM}/v1/ws"),
        (*UPGRADE, OWN, ("Sec-WebSocket-Protocol", f"openai-insecure-api-key.{THIEF}")),
    ),
    "an upgrade to HTTP/2": ("GET", f"{OK}/", (("Connection", "Upgrade"), ("Upgrade", "h2c"))),
    # -- secrets --------------------------------------------------------------------------------
    "its own key": ("POST", f"{LLM}/v1/x", (OWN,), b"{}"),
    "its own key in a parameter": ("GET", f"{LLM}/v1/x?key=${{OPENAI_API_KEY}}"),
    "its own key twice": ("GET", f"{LLM}/v1/x", (OWN, OWN)),
    "no key at a pinned host": ("GET", f"{LLM}/v1/x"),
    "another's key": ("GET", f"{LLM}/v1/x", (("Authorization", f"Bearer {THIEF}"),)),
    "another's beside its own": ("GET", f"{LLM}/v1/x", (OWN, ("X-Api-Key", THIEF))),
    "another's in a parameter": ("GET", f"{LLM}/v1/x?access_token={THIEF}", (OWN,)),
    "its own key on a path that is not listed": ("GET", f"{LLM}/v2", (OWN,)),
    "its own key in clear text": ("GET", "http://llm.test:PLAIN/v1/x", (OWN,)),
    "its own key to another host": ("GET", f"{OK}/", (OWN,)),
    "its own key in a name": ("GET", "https://${OPENAI_API_KEY}.wild.test/"),
    "an override at a pinned host": ("GET", f"{LLM}/v1/x", (OWN, ("X-HTTP-Method", "DELETE"))),
    "a batch at a pinned host": ("POST", f"{LLM}/v1/x", (OWN, ("Content-Type", "multipart/mixed")), b"x"),
    "a value in a header": ("GET", f"{OK}/", (("X-Note", "${DB_PASSWORD}"),)),
    "a value in a query": ("GET", f"{OK}/?q=${{DB_PASSWORD}}"),
    "a value in a body": ("POST", f"{OK}/", (), b"a=${DB_PASSWORD}&b=1"),
    "a value in a body, in clear text": ("POST", "http://ok.test:PLAIN/", (), b"a=${DB_PASSWORD}"),
    "a value where it may go": ("GET", f"{PATHS}/v1/x", (("X-Note", "${DB_PASSWORD}"),)),
    "a body that cannot be looked into": ("POST", f"{OK}/", (("Content-Encoding", "zstd"),), b"x"),
    "a placeholder in a body": ("POST", f"{LLM}/v1/x", (OWN,), b"${OPENAI_API_KEY}"),
}


def question(rig: Rig, case: str) -> Question:
    """The case with this rig's ports."""

    def ported(text: str) -> str:
        return text.replace("TLS", str(rig.upstream.tls_port)).replace("PLAIN", str(rig.upstream.plain_port))

    method, url, headers, body = (*REQUESTS[case], (), b"")[:4]
    if len(REQUESTS[case]) < 4:
        headers, body = (REQUESTS[case][2] if len(REQUESTS[case]) > 2 else ()), b""
    return Question(
        url=ported(url),
        method=method,
        headers=tuple((name, ported(value)) for name, value in headers),
        body=body,
        secrets=("OPENAI_API_KEY", "DB_PASSWORD"),
    )


def as_sent(rig: Rig, asked: Question) -> Asked:
    """The request with what the rig's own sandbox holds in the places of its secrets."""
    made = sandbox_for(keyed_policy(rig), asked)
    held = {"${OPENAI_API_KEY}": STAND_IN, "${DB_PASSWORD}": DB}
    own = {value: held[reference] for value, reference in made.known.items()}

    def swap(text: str) -> str:
        for value, ours in own.items():
            text = text.replace(value, ours)
        return text

    body = made.asked.body
    for value, ours in own.items():
        body = body.replace(value.encode(), ours.encode())
    return Asked(
        method=made.asked.method,
        scheme=made.asked.scheme,
        authority=swap(made.asked.authority),
        target=swap(made.asked.target),
        headers=tuple((name, swap(value)) for name, value in made.asked.headers),
        body=body,
    )


async def ask_the_proxy(rig: Rig, asked: Asked) -> bytes:
    """Send the request as a client does; what comes back to the last step that it came to."""
    reader, writer = await rig.open(rig.settings.explicit_port)
    if asked.scheme == "https":
        writer.write(asked.tunnel_head)
        answer = await _head(reader)
        if asked.method == "CONNECT" or not answer.startswith(b"HTTP/1.1 200"):
            return answer
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        host = asked.tunnel_authority.rpartition(":")[0].removesuffix(".")  # as clients write it here
        try:
            await asyncio.wait_for(writer.start_tls(context, server_hostname=host), 30)
        except (ssl.SSLError, ConnectionError):
            return b""
    writer.write(asked.request_head + asked.body)
    answer = await _head(reader)
    writer.close()
    return answer


async def _head(reader: asyncio.StreamReader) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        async with asyncio.timeout(30):
            got = await reader.readuntil(b"\r\n\r\n")
            for line in got.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    got += await reader.readexactly(int(line.split(b":")[1]))
    return got


async def ask_for_an_explanation(rig: Rig, asked: Question) -> dict:
    """The document, with the rig's names in the resolver's place."""

    async def lookup(host: str) -> list[str]:
        if host not in rig.names:
            raise OSError("no such name")
        return rig.names[host]

    loaded = LoadedPolicy(keyed_policy(rig), {})
    return await explain(loaded, asked, lookup=lookup, is_for_operator=True)


def test_there_are_enough_of_them():
    """Sixty at the least, hostile ones among them."""
    assert len(REQUESTS) >= 60


@pytest.mark.parametrize("case", REQUESTS)
async def test_an_explanation_is_what_the_proxy_does(rig: Rig, case: str):
    """The same verdict, reason and rule; and where it is refused, the same answer word for word."""
    await give_keys(rig)
    asked = question(rig, case)

    told = await ask_for_an_explanation(rig, asked)
    answer = await ask_the_proxy(rig, as_sent(rig, asked))
    await rig.settled()

    if not rig.lines:  # a tunnel that is open, and nothing asked in it yet
        assert (told["verdict"], answer[:12]) == ("allow", b"HTTP/1.1 200")
        return
    line = rig.lines[-1]
    is_masked = told["host"] == MASK  # a placeholder is nothing to hide in the audit
    seen = {
        name: line[name] for name in ("verdict", "reason_code", "rule_id", *(() if is_masked else ("host",)))
    }
    assert {name: told[name] for name in seen} == seen
    assert (told["port"] or None) == line["port"]
    assert THIEF not in json.dumps(told)
    if told["verdict"] == "allow":
        assert (told["tls"], told["agent_sees"]) == (line["tls"], None)
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split(b" ")[1]) == told["agent_sees"]["status"]
    problem = json.loads(body)
    assert {name: problem.get(name) for name in told["agent_sees"]} == told["agent_sees"]
