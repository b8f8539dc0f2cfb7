"""runtime.egress.link: the proxy's parent is watched, and listens where the guard's proof asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.egress.link import ProxyLink
from runtime.errors import NotReadyError


class FakeProxy:
    """A parent that goes over to a worker on `open`."""

    def __init__(self) -> None:
        self.parents: list[asyncio.StreamWriter] = []
        self.opened = 0
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from `ready` on."""
        say(writer, {"event": "ready"})
        self.parents.append(writer)
        while line := await reader.readline():
            self._answer(json.loads(line), writer)
        if writer not in self.parents:
            self.ended += 1
        writer.close()

    def _answer(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if message["op"] == "open":
            self.parents.remove(writer)
            self.opened += 1
            say(writer, {"event": "listening"})


def say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send one line."""
    writer.write(json.dumps(message).encode() + b"\n")


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[FakeProxy]:
    """A proxy on a socket."""
    made = FakeProxy()
    server = await asyncio.start_unix_server(made.serve, tmp_path / "proxy.sock")
    yield made
    server.close()


@pytest.fixture
async def link(proxy: FakeProxy, tmp_path: Path) -> AsyncIterator[ProxyLink]:
    """A link that is connected."""
    made = ProxyLink(tmp_path / "proxy.sock")
    await made.start()
    await made.wait_connected(30)
    yield made
    await made.close()


async def until(is_so: Any) -> None:
    """Wait for it, at most five seconds."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_lost_parent_is_told_of_and_found_again(link: ProxyLink, proxy: FakeProxy):
    """There is no proxy meanwhile."""
    lost = asyncio.Event()
    link.on_lost = lost.set

    [parent] = proxy.parents
    parent.close()

    await asyncio.wait_for(lost.wait(), 30)
    assert not link.is_connected
    await link.wait_connected(30)


@pytest.mark.parametrize("said", [{"event": "listening"}, {"event": "news"}, {}])
async def test_who_says_anything_else_is_no_parent(link: ProxyLink, proxy: FakeProxy, said: dict[str, Any]):
    """The connection is given up and made anew."""
    lost = asyncio.Event()
    link.on_lost = lost.set

    say(proxy.parents[0], said)

    await asyncio.wait_for(lost.wait(), 30)
    await link.wait_connected(30)


async def test_an_error_of_ours_costs_one_connection(link: ProxyLink, proxy: FakeProxy):
    """Whatever fails, the link connects anew."""
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ZeroDivisionError

    link.on_lost = fail
    proxy.parents[0].close()

    await until(lambda: calls)
    await link.wait_connected(30)


async def test_closing_is_no_loss(link: ProxyLink, proxy: FakeProxy):
    """A daemon that stops does not report its own proxy as lost."""
    lost: list[str] = []
    link.on_lost = lambda: lost.append("all")

    await link.close()

    assert not link.is_connected
    assert lost == []


async def test_without_a_proxy_nothing_listens(tmp_path: Path):
    """The guard's proof is told so at once."""
    link = ProxyLink(tmp_path / "none.sock")

    with pytest.raises(NotReadyError):
        async with link.listening("10.0.0.2"):
            pytest.fail("nothing listens")


async def test_the_guard_has_the_proxy_listen_without_a_grant(link: ProxyLink, proxy: FakeProxy):
    """For as long as it asks, and whatever happens meanwhile."""
    with contextlib.suppress(ZeroDivisionError):
        async with link.listening("10.0.0.2"):
            assert proxy.opened == 1
            raise ZeroDivisionError

    await until(lambda: proxy.ended == 1)
