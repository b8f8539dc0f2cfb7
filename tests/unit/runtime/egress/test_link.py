"""runtime.egress.link: the parent is watched, and each sandbox has a worker of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.contract.grant import Grant
from proxy.policy.model import Policy
from runtime.egress.link import ProxyLink
from runtime.egress.worker_link import WorkerLink
from runtime.errors import NotReadyError
from tests.unit.proxy.contract.test_decision_line import LINE


def grant(sandbox_id: str = "run-1", revision: int = 1) -> Grant:
    """Any grant."""
    return Grant(sandbox_id, revision, Policy("p"), "10.0.0.2", "10.0.0.3", 60.0, "token")


class FakeProxy:
    """A parent that goes over to a worker on `open`; it acknowledges everything."""

    def __init__(self) -> None:
        self.parents: list[asyncio.StreamWriter] = []
        self.workers: dict[str, asyncio.StreamWriter] = {}
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
        match message["op"]:
            case "open":
                self.parents.remove(writer)
                self.opened += 1
                say(writer, {"event": "listening"})
            case "grant":
                given = message["grant"]
                self.workers[given["sandbox_id"]] = writer
                say(writer, {"event": "applied"} | {k: given[k] for k in ("sandbox_id", "revision")})
            case "revoke":
                say(writer, {"event": "revoked", "sandbox_id": message["sandbox_id"]})


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


async def test_a_sandbox_has_one_worker_for_all_its_revisions(link: ProxyLink, proxy: FakeProxy):
    """Another sandbox has another one, with another CA."""
    await link.grant(grant())
    await link.grant(grant(revision=2))
    await link.grant(grant("run-2"))

    assert proxy.opened == 2
    assert proxy.workers["run-1"] is not proxy.workers["run-2"]
    assert link.ca_pem("run-1") != link.ca_pem("run-2")


async def test_a_revocation_ends_the_worker(link: ProxyLink, proxy: FakeProxy):
    """And nobody is told that it was lost."""
    lost: list[str] = []
    link.on_sandbox_lost = lost.append
    await link.grant(grant())

    await link.revoke("run-1")

    await until(lambda: proxy.ended == 1)
    assert lost == []
    with pytest.raises(NotReadyError, match="no process"):
        link.ca_pem("run-1")


async def test_a_later_revision_makes_no_worker(link: ProxyLink, proxy: FakeProxy):
    """A secret that changes as its run ends would leave a worker with it that nobody revokes."""
    await link.grant(grant())
    await link.revoke("run-1")

    with pytest.raises(NotReadyError, match="any more"):
        await link.grant(grant(revision=2))

    assert proxy.opened == 1


async def test_a_revocation_that_is_cancelled_ends_the_worker(
    link: ProxyLink, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """Whatever becomes of the answer."""
    await link.grant(grant())
    monkeypatch.setattr(WorkerLink, "revoke", lambda _self, _sandbox_id: asyncio.Event().wait())
    revoking = asyncio.create_task(link.revoke("run-1"))
    await asyncio.sleep(0)

    revoking.cancel()
    await asyncio.gather(revoking, return_exceptions=True)

    await until(lambda: proxy.ended == 1)


async def test_a_worker_that_comes_as_the_link_closes_is_ended(link: ProxyLink, proxy: FakeProxy):
    """Nobody else would."""
    opening = asyncio.create_task(link.grant(grant()))
    await asyncio.sleep(0)
    await link.close()

    with pytest.raises(NotReadyError):
        await opening
    await until(lambda: proxy.ended == proxy.opened)


async def test_a_lost_worker_is_told_of_by_its_sandbox(link: ProxyLink, proxy: FakeProxy):
    """The others and the parent go on."""
    lost: list[str] = []
    link.on_sandbox_lost = lost.append
    link.on_lost = lambda: lost.append("all")
    await link.grant(grant())
    await link.grant(grant("run-2"))

    proxy.workers["run-1"].close()

    await until(lambda: lost)
    assert lost == ["run-1"]
    await link.grant(grant("run-2", revision=2))


async def test_a_lost_parent_is_told_of_and_found_again(link: ProxyLink, proxy: FakeProxy):
    """No grant is given meanwhile."""
    lost = asyncio.Event()
    link.on_lost = lost.set

    [parent] = proxy.parents
    parent.close()

    await asyncio.wait_for(lost.wait(), 30)
    with pytest.raises(NotReadyError, match="not connected"):
        await link.grant(grant())
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
    """A daemon that stops does not report its own proxy as lost; every worker ends."""
    lost: list[str] = []
    link.on_lost = lambda: lost.append("all")
    link.on_sandbox_lost = lost.append
    await link.grant(grant())

    await link.close()

    await until(lambda: proxy.ended == 1)
    assert lost == []


async def test_no_proxy_no_grant(tmp_path: Path):
    """Without a connection a grant is refused at once, and a revocation has nothing to take back."""
    link = ProxyLink(tmp_path / "none.sock")

    with pytest.raises(NotReadyError):
        await link.grant(grant())
    await link.revoke("run-1")
    with pytest.raises(NotReadyError):
        async with link.listening("10.0.0.2"):
            pytest.fail("nothing listens")


async def test_decisions_are_handed_on(link: ProxyLink, proxy: FakeProxy):
    """Each worker's, as it wrote them."""
    found: list[Any] = []
    link.on_decision = found.append
    await link.grant(grant())
    await link.grant(grant("run-2"))

    for worker in proxy.workers.values():
        say(worker, {"event": "decision", "decision": dict(LINE)})

    await until(lambda: len(found) == 2)
    assert found == [LINE, LINE]


async def test_the_guard_has_the_proxy_listen_without_a_grant(link: ProxyLink, proxy: FakeProxy):
    """For as long as it asks, and whatever happens meanwhile."""
    with contextlib.suppress(ZeroDivisionError):
        async with link.listening("10.0.0.2"):
            assert (proxy.opened, proxy.workers) == (1, {})
            raise ZeroDivisionError

    await until(lambda: proxy.ended == 1)
