"""Outbound connections of the router: the run's own policy decides, as it does for the sandbox.

Each request is judged, its host resolved (pins first) and every answer checked; the checked address is
dialled with server name and certificate name unchanged. No environment proxy, no redirect, no retry, and
TLS is always verified. The credential is set here and nowhere else, and only known headers go out, so that
nothing of the daemon's own environment (ANTHROPIC_CUSTOM_HEADERS, OPENAI_ORG_ID) can ride along.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import httpx2

from proxy.destination.resolve import Lookup, lookup_ipv4, vetted_address
from proxy.policy.decide import decide
from proxy.policy.model import Decision, Policy, Request, Verdict
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError
from runtime.llm.upstream.timeouts import Timeouts
from runtime.model.secret import Secret

MAX_CONNECTIONS = 64
KEEP_ALIVE_S = 30.0

_SENT = frozenset(
    (
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    )
)


class Credential(NamedTuple):
    """The header a provider reads its key from."""

    header: str
    prefix: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Dial:
    """How one provider is reached on behalf of one run."""

    policy: Policy
    host: str
    port: int
    credential: Credential
    context: ssl.SSLContext
    timeouts: Timeouts
    own_headers: frozenset[str] = frozenset()
    """Headers of this provider's dialect that go out beside the common ones; in lower case."""
    lookup: Lookup = lookup_ipv4

    async def prepare(self, request: Any) -> None:
        """Judge a request of either httpx and point it at the checked address. Raises RefusedError."""
        url = request.url
        if (url.scheme, url.host, url.port or 443) != ("https", self.host, self.port):
            raise RefusedError(
                Decision(reason_code=ReasonCode.NOT_ALLOWED_HOST, detail="another host than the provider's")
            )
        target = url.raw_path.decode("ascii")
        asked = Request(self.host, self.port, "https", method=request.method, path=target)
        decision = decide(self.policy, asked)
        if decision.verdict is not Verdict.ALLOW:
            raise RefusedError(decision)
        address = await vetted_address(self.policy, self.host, own_addresses=set(), lookup=self.lookup)
        for name in list(request.headers):
            if name.lower() not in _SENT | self.own_headers:
                del request.headers[name]
        request.headers[self.credential.header] = self.credential.prefix + self.credential.secret.reveal()
        request.url = url.copy_with(host=address)
        request.extensions = {
            **request.extensions,
            "sni_hostname": self.host,
            "timeout": {
                "connect": self.timeouts.connect_s,
                "read": self.timeouts.answer_s,
                "write": self.timeouts.first_byte_s,
                "pool": self.timeouts.connect_s,
            },
        }


def trust(policy: Policy) -> ssl.SSLContext:
    """The system's roots and the operator's; reads files, so call it in a thread."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if policy.upstream_ca_pem is not None:
        context.load_verify_locations(cadata=policy.upstream_ca_pem)
    return context


class _Transport(httpx.AsyncHTTPTransport):
    """For the anthropic SDK, which is built on httpx."""

    def __init__(self, dial: Dial) -> None:
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S)
        super().__init__(verify=dial.context, trust_env=False, http2=False, limits=limits, retries=0)
        self._dial = dial

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._dial.prepare(request)
        return await super().handle_async_request(request)


class _Transport2(httpx2.AsyncHTTPTransport):
    """The same for the openai SDK, which is built on httpx2."""

    def __init__(self, dial: Dial) -> None:
        limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S)
        super().__init__(verify=dial.context, trust_env=False, http2=False, limits=limits, retries=0)
        self._dial = dial

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await self._dial.prepare(request)
        return await super().handle_async_request(request)


def httpx_client(dial: Dial) -> httpx.AsyncClient:
    """A client that reaches one provider only."""
    return httpx.AsyncClient(transport=_Transport(dial), trust_env=False, follow_redirects=False)


def httpx2_client(dial: Dial) -> httpx2.AsyncClient:
    """A client that reaches one provider only."""
    return httpx2.AsyncClient(transport=_Transport2(dial), trust_env=False, follow_redirects=False)
