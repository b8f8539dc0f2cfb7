"""runtime.egress.worker_link: a grant counts once it is acknowledged; a lost worker takes its grant with it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import runtime.egress.worker_link
from proxy.contract.grant import Grant
from proxy.policy.model import Policy
from runtime.egress.ca import make_ca
from runtime.egress.worker_link import OPENING_AT_ONCE, WorkerLink, open_worker
from runtime.errors import InvalidInputError, NotReadyError
from tests.unit.proxy.contract.test_decision_line import LINE

GRANT = Grant("run-1", 1, Policy("p"), "10.0.0.2", "10.0.0.3", 60.0, "token")


class FakeProxy:
    """The other end of the socket: says ready, then answers as `answers` has it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.opened: list[str] = []
        self.greetings: list[dict[str, Any]] = [{"event": "ready"}]
        self.first: dict[str, Any] = {"event": "listening"}
        self.writer: asyncio.StreamWriter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        for greeting in self.greetings:
            self.say(greeting)
        while line := await reader.readline():
            message = json.loads(line)
            if message["op"] == "open":
                self.opened.append(message["address"])
                self.say(self.first)
                continue
            self.seen.append(message)
            for answer in self.answers.get(message["op"], []):
                self.say(answer)
        writer.close()

    def say(self, message: dict[str, Any]) -> None:
        """Send one line."""
        self.writer.write(json.dumps(message).encode() + b"\n")


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[FakeProxy]:
    """A proxy on a socket."""
    made = FakeProxy()
    server = await asyncio.start_unix_server(made.serve, tmp_path / "proxy.sock")
    yield made
    server.close()


@pytest.fixture
async def link(proxy: FakeProxy, tmp_path: Path) -> AsyncIterator[WorkerLink]:
    """A link that is connected."""
    made = await open_worker(tmp_path / "proxy.sock", "10.0.0.2")
    assert proxy.opened == ["10.0.0.2"]
    yield made
    await made.close()


async def test_the_first_thing_said_is_the_ca(link: WorkerLink, proxy: FakeProxy):
    """No sandbox gets a certificate before; the key has no text form of its own."""
    while not proxy.seen:
        await asyncio.sleep(0.01)

    assert proxy.seen[0]["op"] == "hello"
    assert proxy.seen[0]["ca_cert_pem"] == link.ca_pem
    assert "PRIVATE" not in repr(make_ca())


async def test_a_grant_returns_when_it_is_applied(link: WorkerLink, proxy: FakeProxy):
    """Not before the acknowledgement of its revision."""
    proxy.answers["grant"] = [{"event": "applied", "sandbox_id": "run-1", "revision": 1}]

    await link.grant(GRANT)


async def test_a_refused_grant_is_an_error(link: WorkerLink, proxy: FakeProxy):
    """A policy that cannot be enforced starts nothing."""
    refusal = {"event": "refused", "sandbox_id": "run-1", "revision": 1, "error": "no such CA"}
    proxy.answers["grant"] = [refusal]

    with pytest.raises(InvalidInputError, match="no such CA"):
        await link.grant(GRANT)


async def test_another_revisions_acknowledgement_does_not_count(
    link: WorkerLink, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """What is enforced is what was asked, or it is an error."""
    monkeypatch.setattr(runtime.egress.worker_link, "ANSWER_TIMEOUT_S", 0.05)
    proxy.answers["grant"] = [{"event": "applied", "sandbox_id": "run-1", "revision": 7}]

    with pytest.raises(NotReadyError, match="acknowledge"):
        await link.grant(GRANT)


async def test_a_proxy_that_goes_fails_what_waits_and_says_so(link: WorkerLink, proxy: FakeProxy):
    """The grant's caller hears of it, and so does whoever runs agents."""
    lost = asyncio.Event()
    link.on_lost = lost.set
    waiting = asyncio.create_task(link.grant(GRANT))
    while len(proxy.seen) < 2:
        await asyncio.sleep(0.01)

    proxy.writer.close()

    with pytest.raises(NotReadyError, match="has ended"):
        await waiting
    await asyncio.wait_for(lost.wait(), 30)


async def test_closing_is_no_loss(link: WorkerLink):
    """A daemon that stops does not report its own proxy as lost."""
    lost: list[str] = []
    link.on_lost = lambda: lost.append("lost")

    await link.close()

    assert lost == []


async def test_no_proxy_no_worker(tmp_path: Path):
    """Without a proxy there is an error, not a hang."""
    with pytest.raises(NotReadyError, match="in time"):
        await open_worker(tmp_path / "none.sock", "10.0.0.2")


async def test_a_worker_that_is_gone_takes_no_grant(link: WorkerLink, proxy: FakeProxy):
    """A grant is refused at once, and a revocation has nothing to take back."""
    proxy.writer.close()
    async with asyncio.timeout(30):
        while link.is_alive:
            await asyncio.sleep(0.01)

    with pytest.raises(NotReadyError):
        await link.grant(GRANT)
    await link.revoke("run-1")


async def test_a_worker_that_cannot_listen_says_why(proxy: FakeProxy, tmp_path: Path):
    """Its words are the caller's error."""
    proxy.first = {"event": "failed", "error": "cannot listen on dns@10.0.0.2:53"}

    with pytest.raises(NotReadyError, match="cannot listen on dns@"):
        await open_worker(tmp_path / "proxy.sock", "10.0.0.2")


@pytest.mark.parametrize(
    ("greetings", "first"),
    [
        ([], {"event": "listening"}),
        ([{"event": "listening"}], {"event": "listening"}),
        ([{"event": "ready"}], {"event": "ready"}),
        ([{"event": "ready"}], {"event": "revoked", "sandbox_id": "x"}),
        ([{"event": "news"}], {"event": "listening"}),
    ],
)
async def test_who_does_not_answer_as_a_proxy_is_none(
    proxy: FakeProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    greetings: list[Any],
    first: dict[str, Any],
):
    """No CA key is handed to whoever says anything else first."""
    monkeypatch.setattr(runtime.egress.worker_link, "ANSWER_TIMEOUT_S", 0.2)
    proxy.greetings, proxy.first = greetings, first

    with pytest.raises(NotReadyError):
        await open_worker(tmp_path / "proxy.sock", "10.0.0.2")
    assert proxy.seen == []


async def test_a_worker_that_waits_for_its_turn_loses_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A hundred at once: only a few are under way, and those behind a slow turn still have all their time."""
    monkeypatch.setattr(runtime.egress.worker_link, "ANSWER_TIMEOUT_S", 0.9)
    under_way: list[int] = [0]
    slow = [OPENING_AT_ONCE]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.append(under_way[-1] + 1)
        writer.write(b'{"event":"ready"}\n')
        await reader.readline()
        if slow[0]:  # not answered; every later one has its time from then on
            slow[0] -= 1
            await reader.read()
            monkeypatch.setattr(runtime.egress.worker_link, "ANSWER_TIMEOUT_S", 30.0)
        under_way.append(under_way[-1] - 1)
        writer.write(b'{"event":"listening"}\n')
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "slow.sock"):
        opens = (open_worker(tmp_path / "slow.sock", f"10.0.0.{n}") for n in range(100))
        made = await asyncio.gather(*opens, return_exceptions=True)
        links = [link for link in made if isinstance(link, WorkerLink)]
        await asyncio.gather(*(link.close() for link in links))

    assert len(links) == 100 - OPENING_AT_ONCE
    assert max(under_way) <= 2 * OPENING_AT_ONCE  # the end of those that were given up is read later


async def test_decisions_are_handed_on(link: WorkerLink, proxy: FakeProxy):
    """Each line as the proxy wrote it."""
    found: list[dict[str, Any]] = []
    link.on_decision = found.append

    proxy.say({"event": "decision", "decision": LINE})

    while not found:
        await asyncio.sleep(0.01)
    assert found == [LINE]


@pytest.mark.parametrize(
    "said",
    [
        {"event": "decision", "decision": {"sandbox_id": "run-1"}},
        {"event": "news"},
        {"event": "listening"},
        {"event": "ready"},
        {},
    ],
)
async def test_what_is_no_event_is_nobodys_record(link: WorkerLink, proxy: FakeProxy, said: dict[str, Any]):
    """A line that the contract does not know costs the connection, and with it every grant."""
    found: list[Any] = []
    lost = asyncio.Event()
    link.on_decision, link.on_lost = found.append, lost.set

    proxy.say(said)

    await asyncio.wait_for(lost.wait(), 30)
    assert found == []


async def test_a_grant_that_is_too_long_fails_alone(link: WorkerLink, proxy: FakeProxy):
    """One run's grant that does not fit into a line is that run's error; the connection stays."""
    lost = asyncio.Event()
    link.on_lost = lost.set
    huge = Grant(**{**vars_of(GRANT), "policy": Policy("p", upstream_ca_pem="x" * (5 << 20))})

    with pytest.raises(InvalidInputError, match="do not fit into one grant"):
        await link.grant(huge)

    assert link.is_alive
    assert not lost.is_set()
    assert [message["op"] for message in proxy.seen] == ["hello"]


async def test_an_error_of_ours_costs_the_worker(link: WorkerLink, proxy: FakeProxy):
    """Whatever fails while an event is handled ends this worker."""

    def fail(_line: object) -> None:
        raise ZeroDivisionError

    link.on_decision = fail
    lost = asyncio.Event()
    link.on_lost = lost.set

    proxy.say({"event": "decision", "decision": dict(LINE)})

    await asyncio.wait_for(lost.wait(), 30)


def vars_of(grant: Grant) -> dict[str, Any]:
    """A grant's fields."""
    return {field.name: getattr(grant, field.name) for field in dataclasses.fields(grant)}
