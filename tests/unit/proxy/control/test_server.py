"""The proxy's end of the control socket with the daemon's own end on the other side of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.admission.grants import GrantRefusedError, GrantRegistry
from proxy.contract.grant import Grant
from proxy.contract.messages import CONTROL_SOCKET
from proxy.control.audit import Audit
from proxy.control.server import ControlServer
from proxy.policy.model import Policy
from runtime.egress.link import ProxyLink
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

    def __init__(self, folder: Path) -> None:
        self.path = folder / CONTROL_SOCKET
        self.enforced, self.audit = Enforced(), Audit()
        self.grants = GrantRegistry(time.monotonic)
        self.server = ControlServer(self.path, self.grants, self.audit, self.enforced)
        self.link = ProxyLink(self.path)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A daemon's link and a proxy's server."""
    made = Pair(tmp_path)
    await made.server.start()
    await made.link.start()
    await made.link.wait_connected(5)
    yield made
    await made.link.close()
    await made.server.close()


async def until(is_so: Any) -> None:
    """Wait for it, at most five seconds."""
    async with asyncio.timeout(5):
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


@pytest.mark.parametrize("line", [b"{}\n", b'{"op":"shutdown"}\n', b"not json\n", b'{"op":"revoke"}\n'])
async def test_what_is_no_op_ends_the_connection_and_its_grants(pair: Pair, line: bytes) -> None:
    """Whoever speaks another protocol holds no grant."""
    await pair.link.close()
    reader, writer = await asyncio.open_unix_connection(pair.path)
    await reader.readline()
    pair.grants.put(GRANT)
    writer.write(line)

    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert pair.grants.current("run-1") is None
    writer.close()
