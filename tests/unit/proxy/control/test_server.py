"""The proxy's end of the control connection with the daemon's own end on the other side of it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.admission.grants import GrantRefusedError, GrantRegistry
from proxy.contract.grant import Grant
from proxy.contract.messages import MAX_LINE_BYTES
from proxy.control.audit import Audit
from proxy.control.server import ControlConnection
from proxy.policy.model import Policy
from runtime.egress.worker_link import WorkerLink
from runtime.errors import InvalidInputError
from tests.unit.proxy.contract.test_decision_line import LINE

GRANT = Grant("run-1", 1, Policy("p"), "10.0.0.2", "10.0.0.3", 60.0, "token")


class Enforced:
    """Remembers what the control connection asked of the proxy."""

    def __init__(self) -> None:
        self.ca: tuple[str, str] | None = None
        self.dropped: list[str] = []

    def set_ca(self, cert_pem: str, key_pem: str) -> None:
        """As the proxy's."""
        self.ca = (cert_pem, key_pem)

    def check(self, grant: Grant) -> None:
        """Refuse what is marked."""
        if grant.policy.name == "bad":
            raise GrantRefusedError("no such CA")

    def drop_sandbox(self, sandbox_id: str) -> None:
        """As the proxy's."""
        self.dropped.append(sandbox_id)


class Pair:
    """Both ends, connected."""

    def __init__(self) -> None:
        self.enforced, self.audit = Enforced(), Audit()
        self.grants = GrantRegistry(time.monotonic)
        self.control = ControlConnection(self.grants, self.audit, self.enforced)
        self.near, self.far = socket.socketpair()

    async def serve(self) -> asyncio.Task[None]:
        """Begin to serve the far end."""
        streams = await asyncio.open_unix_connection(sock=self.far, limit=MAX_LINE_BYTES)
        return asyncio.create_task(self.control.serve(*streams))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A daemon's link and a proxy's control connection."""
    made = Pair()
    serving = await made.serve()
    made.link = WorkerLink(*await asyncio.open_unix_connection(sock=made.near, limit=MAX_LINE_BYTES))
    await made.link.begin()
    yield made
    await made.link.close()
    await asyncio.wait_for(serving, 30)


async def until(is_so: Any) -> None:
    """Wait for it, at most five seconds."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_both_ends_speak_of_the_same(pair: Pair) -> None:
    """CA, grant, decision and revocation cross, each in the words that the other end knows."""
    await pair.link.grant(GRANT)
    assert pair.grants.current("run-1") == GRANT
    assert pair.enforced.ca is not None
    assert pair.enforced.ca[0] == pair.link.ca_pem

    lines: list[Any] = []
    pair.link.on_decision = lines.append
    pair.audit.record(LINE)
    await until(lambda: lines)
    assert lines == [LINE]

    await pair.link.revoke("run-1")
    assert (pair.grants.current("run-1"), pair.enforced.dropped) == (None, ["run-1"])


async def test_a_grant_that_cannot_be_enforced_is_refused_with_its_reason(pair: Pair) -> None:
    """The caller reads the proxy's own words, and nothing is granted."""
    with pytest.raises(InvalidInputError, match="no such CA"):
        await pair.link.grant(Grant("run-1", 1, Policy("bad"), "10.0.0.2", "10.0.0.3", 60.0, "token"))
    assert pair.grants.current("run-1") is None


async def test_the_grant_ends_with_the_connection(pair: Pair) -> None:
    """A daemon that goes takes everything back: nobody reads the audit any more."""
    await pair.link.grant(GRANT)

    await pair.link.close()

    await until(lambda: pair.enforced.dropped)
    assert pair.grants.current("run-1") is None


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b'{"op":"shutdown"}\n',
        b"not json\n",
        b'{"op":"revoke"}\n',
        b'{"op":"open","address":"10.0.0.9"}\n',
    ],
)
async def test_what_is_no_op_ends_the_connection_and_its_grants(line: bytes) -> None:
    """Whoever speaks another protocol holds no grant; a process that is open is not opened again."""
    pair = Pair()
    serving = await pair.serve()
    reader, writer = await asyncio.open_unix_connection(sock=pair.near)
    assert await reader.readline() == b'{"event":"listening"}\n'
    pair.grants.put(GRANT)
    writer.write(line)

    assert await asyncio.wait_for(reader.read(), 30) == b""
    await asyncio.wait_for(serving, 30)
    assert pair.grants.current("run-1") is None
    writer.close()
