"""The router on a unix socket, the providers' simulators behind TLS, and the openai SDK as the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from proxy.contract.messages import SANDBOX_HEADER
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Budgets, Policy
from runtime.canary.certificates import Authority
from runtime.canary.seen import Exchange
from runtime.canary.upstreams.application import build_app
from runtime.canary.world import Failure, World
from runtime.llm.app import make_llm_app
from runtime.llm.plan.chain import parse_chain
from runtime.llm.session import LlmSession, LlmSessions
from runtime.llm.upstream.providers import ENDPOINTS, Outside
from runtime.llm.upstream.timeouts import Timeouts
from runtime.model.llm_provider import Endpoint
from runtime.model.secret import Secret

with warnings.catch_warnings():  # the SDKs' own deprecations at import are not ours to fix
    warnings.simplefilter("ignore")
    import any_llm.providers.anthropic
    import any_llm.providers.openai.custom  # noqa: F401
    from openai import AsyncOpenAI

ADDRESS = "127.0.0.3"
RUN = "run-1"
KEYS = {"openai": "sk-openai-0123456789", "anthropic": "sk-ant-0123456789", "gemini": "AIza-0123456789"}
CHAIN = ("openai/gpt-5-mini", "anthropic/claude-opus-4-5-20251101", "gemini/gemini-2.5-pro")
HASTY = Timeouts(connect_s=10, first_byte_s=2.0, answer_s=2.0, silence_s=2.0)
"""For a provider that is too slow; the others have the time that a busy machine may need."""
PATIENT = Timeouts()
PROVIDER_OF = {endpoint.host: name for name, endpoint in ENDPOINTS.items()}


@contextlib.asynccontextmanager
async def serving(app: Any, sock: socket.socket, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """An app on a socket for as long as the block lasts; without uvicorn's own loop, which ends in ticks."""
    config = uvicorn.Config(app, http="h11", lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: H11Protocol(config, state, {}), sock=sock, ssl=tls)
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


@dataclass
class Rig:
    """One router, three providers, any number of runs."""

    world: World
    sessions: LlmSessions
    ca_pem: str
    port: int
    socket_path: Path
    server_names: list[str | None]
    """Of each ClientHello that a provider saw."""
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)

    def policy(self, **more: Any) -> Policy:
        """The three providers' hosts, pinned to the simulators."""
        rules = tuple(
            AllowRule(
                id=f"t.allow[{index}]",
                host=HostPattern.parse(endpoint.host),
                ports=frozenset({self.port}),
                methods=frozenset({"GET", "POST"}),
            )
            for index, endpoint in enumerate(ENDPOINTS.values())
        )
        values: dict[str, Any] = {
            "name": "t",
            "allow": rules,
            "resolve": {endpoint.host: (ADDRESS,) for endpoint in ENDPOINTS.values()},
            "allow_private": (ipaddress.ip_network(f"{ADDRESS}/32"),),
            "upstream_ca_pem": self.ca_pem,
        }
        return Policy(**{**values, **more})

    def session(
        self,
        *chain: str,
        run_id: str = RUN,
        keys: dict[str, str] = KEYS,
        policy: Policy | None = None,
        timeouts: Timeouts = PATIENT,
        **budgets: Any,
    ) -> LlmSession:
        """Open a run."""
        endpoints = {
            name: Endpoint(endpoint.host, self.port, endpoint.path) for name, endpoint in ENDPOINTS.items()
        }
        session = LlmSession(
            run_id=run_id,
            chain=parse_chain(chain[0], chain[1:]) if chain else (),
            secrets={name: Secret(value) for name, value in keys.items()},
            policy=policy or self.policy(budgets=Budgets(**budgets)),
            on_event=lambda kind, data: self.events.append((kind, data)),
            outside=Outside(endpoints=endpoints, timeouts=timeouts),
        )
        self.sessions.add(session)
        return session

    def http(self, run_id: str | None = RUN) -> httpx2.AsyncClient:
        """A plain client on the router's socket; `run_id` is what the proxy would say."""
        headers = {SANDBOX_HEADER: run_id} if run_id is not None else {}
        client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(uds=str(self.socket_path), verify=NO_TLS),
            base_url="http://llm.internal/v1",
            headers=headers,
            trust_env=False,
        )
        self.clients.append(client)
        return client

    def openai(self, run_id: str = RUN) -> AsyncOpenAI:
        """The SDK as an agent uses it, but that it asks once only."""
        return AsyncOpenAI(
            api_key="placeholder",
            base_url="http://llm.internal/v1",
            http_client=self.http(run_id),
            max_retries=0,
        )

    def fail(self, provider: str, **how: Any) -> None:
        """Let a provider fail from now on."""
        self.world.failures.append(Failure(host=ENDPOINTS[provider].host, **how))

    def asked(self) -> list[str]:
        """The providers that saw a request, in order."""
        return [PROVIDER_OF[request.host] for request in self.world.seen.requests]

    def requests(self) -> list[Exchange]:
        """What the providers saw."""
        return self.world.seen.requests

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [data for name, data in self.events if name == kind]

    def transitions(self) -> list[tuple[str, str | None, str]]:
        """The chain's steps, by provider."""
        return [
            (e["from"].split("/")[0], e["to"] and e["to"].split("/")[0], e["reason"])
            for e in self.told("fallback_transition")
        ]


@pytest.fixture(autouse=True)
def no_system_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust comes from the policy alone; the machine's hundred roots would be read for each provider dialled."""
    (tmp_path / "roots.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Everything up; gone with the test."""
    world, authority, sessions = World(), Authority(), LlmSessions()
    names: list[str | None] = []
    context = authority.server_context(lambda _, name: names.append(name))
    tls_sock = socket.create_server((ADDRESS, 0))
    uds = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    uds.bind(str(tmp_path / "llm.sock"))
    rig = Rig(world, sessions, authority.pem, tls_sock.getsockname()[1], tmp_path / "llm.sock", names)
    async with (
        serving(build_app(world), tls_sock, context),
        serving(make_llm_app(sessions), uds),
    ):
        yield rig
        for client in rig.clients:
            await client.aclose()
        await sessions.aclose()
    tls_sock.close()
    uds.close()


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For a unix socket: the default would read every CA of the machine for each client."""
MESSAGES = [{"role": "user", "content": "The lighthouse stood on the cliff. It was white. Ships passed by."}]


async def chat(rig: Rig, *, model: str = "default", stream: bool = False, **more: Any) -> str:
    """Ask as an agent does; the answer's text."""
    client = rig.openai()
    if not stream:
        whole = await client.chat.completions.create(model=model, messages=MESSAGES, **more)
        return whole.choices[0].message.content
    text = ""
    async for chunk in await client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, **more
    ):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return text


def usd(text: str) -> Decimal:
    """Dollars."""
    return Decimal(text)


async def until(condition, timeout_s: float = 30.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
