"""The guard on an engine in memory: each step that fails leaves it unproved. The real proof is integration."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT, NetworkSpec
from runtime.errors import EngineUnavailableError, NotReadyError, OrchError
from runtime.network.guard import MAX_FAILURES, HostGuard
from runtime.network.slots import NetworkSlots

POOL = ipaddress.IPv4Network("10.231.0.0/24")
IMAGE = "orchbox/daemon:local"


class World:
    """What the guard's containers say and do."""

    def __init__(self) -> None:
        self.nft_code = 0
        self.ipv6 = True
        self.sysctls: list[object] = []
        self.rules = ""
        self.listener: object = {
            "port": 1,
            "addresses": ["10.231.0.1"],
            "link_local": "fe80::1",
            "behind": [["172.18.0.2", 8080]],
        }
        self.neighbour: object = {"port": 2, "link_local": "fe80::3"}
        self.leaks: list[list[object]] = []
        self.watched = "d1g357"
        self.changed = asyncio.Event()
        self.last_word = b"changed\n"
        self.probed: list[list[object]] = []
        self.listened: list[str] = []
        """The proxy's addresses that were listened on, and are no more."""

    @asynccontextmanager
    async def listening(self, address: str) -> AsyncIterator[None]:
        """As the proxy's link."""
        yield
        self.listened.append(address)

    async def run(self, process: FakeProcess) -> int:
        """Play the container."""
        argv = process.argv
        if argv[0] == "sh":
            self.rules = argv[3]
            process.write(STDERR, b"no permission" if self.nft_code else b"")
            process.write(STDOUT, b"d1g357\nipv6\n" if self.ipv6 else b"d1g357\n")
            return self.nft_code
        words = argv[2]
        if "nft" in words and "monitor" in words:
            return await self._watch(process)
        self.sysctls.append(process.config["HostConfig"]["Sysctls"])
        if 'port = serve(b"host")' in words:
            return await self._serve(process, self.listener)
        if 'serve(b"neighbour")' in words:
            return await self._serve(process, self.neighbour)
        self.probed = json.loads(argv[3])
        controls = [t for t in self.probed if t[1] == 2 or t[0] == "10.231.0.2"]
        process.write(STDOUT, json.dumps([*controls, *self.leaks]).encode() + b"\n")
        return 0

    async def _watch(self, process: FakeProcess) -> int:
        process.write(STDOUT, self.watched.encode() + b"\n")
        await self.changed.wait()
        process.write(STDOUT, self.last_word)
        return 1

    async def _serve(self, process: FakeProcess, said: object) -> int:
        process.write(STDOUT, json.dumps(said).encode() + b"\n")
        await process.stdin.read()
        return 0


class GuardEngine(FakeEngine):
    """Runs the guard's containers, whatever their command."""

    def __init__(self, run: Callable[[FakeProcess], Awaitable[int]]) -> None:
        super().__init__({IMAGE: None, "proxy": None})
        self.play = run

    async def create(self, name: str, config: dict) -> str:
        """Keep a container that the world plays."""
        container = await super().create(name, config)
        self.by_name[name].program = self.play
        return container


@pytest.fixture
def world() -> World:
    """A host whose guard holds."""
    return World()


async def established(world: World, engine: FakeEngine | None = None, image: str = IMAGE) -> HostGuard:
    """A guard that has been established, on an engine that is then empty but for the proxy."""
    engine = engine or GuardEngine(world.run)
    await engine.create("the-proxy", {"Image": "proxy"})
    slots = NetworkSlots(engine, instance="default", pool=POOL)
    guard = HostGuard(engine, slots, instance="default", image=image, listening=world.listening)
    assert not guard.status.is_proved
    status = await guard.establish("the-proxy")
    assert status is guard.status
    assert not [name for name in engine.by_name if name != "the-proxy" and "-watch-" not in name]
    assert engine.by_network == {}
    return guard


async def test_proved(world: World):
    """A sound host is proved, by its gateway and by IPv6, and nothing is left behind."""
    guard = await established(world)
    assert guard.status.is_proved, guard.status.detail
    assert ["10.231.0.1", 1] in world.probed
    assert ["fe80::1%eth0", 1] in world.probed
    assert ["172.18.0.2", 8080] in world.probed


async def test_the_proof_lets_sandboxes_be_that_run_already(world: World):
    """Those that an earlier daemon began: the proxy's addresses on their networks are in use by their workers."""
    engine = GuardEngine(world.run)
    guard = await established(world, engine)
    await guard.close()
    marks = {"io.orchbox.slot": "1", "io.orchbox.run": "a-run"}
    spec = NetworkSpec("run", "orb1", "10.231.0.8/29", "10.231.0.9", is_internal=True, labels=marks)
    await engine.create_network(spec)
    await engine.create_network(NetworkSpec("egress", None, None, None, is_internal=False, labels={}))
    await engine.connect("run", "the-proxy", "10.231.0.10")
    await engine.connect("egress", "the-proxy", "172.18.0.2")
    world.listened.clear()

    assert (await guard.establish("the-proxy")).is_proved
    assert "172.18.0.2" in world.listened
    assert "10.231.0.10" not in world.listened
    await guard.close()


async def test_a_leak_disproves(world: World):
    """A probe that reaches the host is told with the address."""
    world.leaks = [["10.231.0.1", 1]]
    guard = await established(world)
    assert not guard.status.is_proved
    assert "reaches the host at 10.231.0.1" in guard.status.detail


async def test_a_host_without_ipv6_is_proved_by_ipv4(world: World):
    """Where the kernel has no IPv6 no container is asked to switch it on, which would fail."""
    world.ipv6 = False
    world.listener["link_local"] = world.neighbour["link_local"] = None
    guard = await established(world)
    assert guard.status.is_proved, guard.status.detail
    assert "0 IPv6" in guard.status.detail
    assert not any(world.sysctls)


async def test_forwarding_disproves(world: World):
    """A host that forwards to the proxy's other network does not hold."""
    world.leaks = [["172.18.0.2", 8080]]
    guard = await established(world)
    assert not guard.status.is_proved
    assert "through the host" in guard.status.detail


async def test_rules_that_are_refused_disprove(world: World):
    """nft's own words are kept."""
    world.nft_code = 1
    guard = await established(world)
    assert not guard.status.is_proved
    assert "no permission" in guard.status.detail


async def test_a_listener_that_nobody_reaches_disproves(world: World):
    """Without its positive control the proof is none."""
    world.listener = {"port": 1, "addresses": [], "link_local": None, "behind": []}
    guard = await established(world)
    assert not guard.status.is_proved
    assert "not reachable even from the host" in guard.status.detail


@pytest.mark.parametrize("said", [{}, [], "x", None])
async def test_a_listener_that_says_nonsense_disproves(world: World, said: object):
    """Whatever a helper prints, nothing but a proof proves."""
    world.listener = said
    assert not (await established(world)).status.is_proved


async def test_a_missing_image_disproves(world: World):
    """Without the daemon image there is no guard, and the status names it."""
    guard = await established(world, image="orchbox/daemon:none")
    assert not guard.status.is_proved
    assert "orchbox/daemon:none" in guard.status.detail


@pytest.mark.parametrize("call", ["create", "attach", "start", "wait", "create_network", "connect"])
@pytest.mark.parametrize("error", [EngineUnavailableError("down"), RuntimeError("bug"), OSError("gone")])
async def test_any_failure_on_the_way_disproves(world: World, call: str, error: Exception):
    """An engine that fails at any step leaves the guard unproved, and the daemon alive."""
    engine = GuardEngine(world.run)

    async def fail(name: str) -> None:
        if name == call and any(c.startswith("info") for c in engine.calls):
            raise error

    engine.before = fail
    await engine.create("the-proxy", {"Image": "proxy"})
    await engine.info()
    guard = HostGuard(
        engine,
        NetworkSlots(engine, instance="default", pool=POOL),
        instance="default",
        image=IMAGE,
        listening=world.listening,
    )
    status = await guard.establish("the-proxy")
    assert not status.is_proved
    assert set(engine.by_name) == {"the-proxy"}
    assert engine.by_network == {}


async def test_a_proof_that_hangs_disproves(world: World, monkeypatch: pytest.MonkeyPatch):
    """The proof has a time limit."""
    monkeypatch.setattr("runtime.network.guard.PROOF_TIMEOUT_S", 0.05)

    async def hang(process: FakeProcess) -> int:
        is_proof = process.argv[0] != "sh" and "monitor" not in process.argv[2]
        return await (asyncio.Event().wait() if is_proof else world.run(process))

    status = (await established(world, GuardEngine(hang))).status

    assert not status.is_proved
    assert "TimeoutError" in status.detail


async def test_failing_afterwards(world: World):
    """A later failure takes the proof back."""
    guard = await established(world)
    guard.fail("the proxy is gone")
    assert not guard.status.is_proved


async def test_the_table_covers_the_slots_of_every_daemon_on_the_host(world: World):
    """The table is the host's: a daemon with a small pool must not cut the pairs of another's slots."""
    await established(world)
    assert '"orb1023" . "orb1023"' in world.rules


@pytest.mark.parametrize("last_word", [b"changed\n", b""], ids=["a change", "the watcher's end"])
async def test_what_was_proved_counts_while_it_is_watched(world: World, last_word: bytes):
    """A change, or a watcher that is gone: unproved at once, and whoever runs agents is told."""
    guard = await established(world)
    told: list[str] = []
    guard.on_lost = lambda: told.append(guard.status.detail)
    world.last_word = last_word

    world.changed.set()

    await asyncio.wait_for(guard.lost.wait(), 30)
    assert not guard.status.is_proved
    assert len(told) == guard.losses == 1
    assert "put back" in told[0]


async def test_a_lost_guard_is_proved_again(world: World):
    """The rules are loaded and proved anew, with a watcher of their own."""
    guard = await established(world)
    world.changed.set()
    await asyncio.wait_for(guard.lost.wait(), 30)
    world.changed.clear()
    world.rules = ""

    status = await guard.establish("the-proxy")

    assert status.is_proved
    assert not guard.lost.is_set()
    assert world.rules


class Keeper:
    """`keep` in the background on an engine of the test's own, with a `reap` that may fail."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runtime.network.guard.RETRY_S", 0.01)
        self.engine = GuardEngine(world.run)
        slots = NetworkSlots(self.engine, instance="default", pool=POOL)
        self.guard = HostGuard(self.engine, slots, instance="default", image=IMAGE, listening=world.listening)
        self.reaped = 0
        self.reap_error: Exception | None = None

    async def reap(self) -> None:
        """Count, or fail."""
        self.reaped += 1
        if self.reap_error is not None:
            raise self.reap_error

    async def until(self, *, is_proved: bool, detail: str = "") -> None:
        """Wait until the guard's status is so."""
        async with asyncio.timeout(30):
            while self.guard.status.is_proved is not is_proved or detail not in self.guard.status.detail:
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """While it is kept."""
        await self.engine.create("the-proxy", {"Image": "proxy"})
        task = asyncio.create_task(self.guard.keep(lambda: "the-proxy", self.reap))
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.guard.close()


async def test_a_kept_guard_is_proved_and_proved_again(world: World, monkeypatch: pytest.MonkeyPatch):
    """At the start, and after each loss; what was left behind is removed before."""
    keeper = Keeper(world, monkeypatch)
    async with keeper.keeping():
        await keeper.until(is_proved=True)
        assert keeper.reaped == 1
        world.rules = ""
        world.changed.set()
        await keeper.until(is_proved=False)
        world.changed.clear()
        await keeper.until(is_proved=True)
    assert world.rules
    assert keeper.reaped == 2


async def test_a_guard_that_cannot_be_proved_is_tried_until_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A host that lets a sandbox through keeps the daemon from starting agents for as long as it does."""
    keeper = Keeper(world, monkeypatch)
    world.leaks = [["10.231.0.1", 1]]
    async with keeper.keeping():
        await keeper.until(is_proved=False, detail="reaches the host")
        await asyncio.sleep(0.1)
        assert not keeper.guard.status.is_proved
        world.leaks = []
        await keeper.until(is_proved=True)


@pytest.mark.parametrize("failing", ["a hole", "the proxy", "what is left"])
async def test_runs_that_an_earlier_daemon_began_are_ended_where_nothing_is_proved(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str
):
    """At once where the proof finds a way out, and after some attempts where there is no proof."""
    keeper, lost = Keeper(world, monkeypatch), asyncio.Event()
    attempts: list[int] = []

    def note() -> None:
        attempts.append(keeper.reaped)
        lost.set()

    keeper.guard.on_lost = note
    if failing == "a hole":
        world.leaks = [["10.231.0.1", 1]]
    elif failing == "the proxy":
        keeper.guard._listening = fails
    else:
        keeper.reap_error = EngineUnavailableError("down")
    async with keeper.keeping():
        await asyncio.wait_for(lost.wait(), 10)
    assert attempts[0] == (1 if failing == "a hole" else MAX_FAILURES)


@asynccontextmanager
async def fails(_address: str) -> AsyncIterator[None]:
    """A proxy whose address is in use."""
    if _address:
        raise NotReadyError("in use")
    yield


async def test_one_attempt_that_fails_ends_no_run(world: World, monkeypatch: pytest.MonkeyPatch):
    """An engine that was busy: the next attempt proves it."""
    keeper, lost = Keeper(world, monkeypatch), []
    keeper.guard.on_lost = lambda: lost.append(1)
    usual, keeper.guard._listening = keeper.guard._listening, fails
    async with keeper.keeping():
        await keeper.until(is_proved=False, detail="in use")
        keeper.guard._listening = usual
        await keeper.until(is_proved=True)
    assert lost == []


async def test_an_engine_that_restarts_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch):
    """The watcher dies with it: unproved while it is away, proved with a watcher of its own afterwards."""
    keeper = Keeper(world, monkeypatch)
    async with keeper.keeping():
        await keeper.until(is_proved=True)
        keeper.engine.is_down = True
        world.last_word = b""
        world.changed.set()
        await keeper.until(is_proved=False, detail="does not answer")
        world.changed.clear()
        keeper.engine.is_down = False
        await keeper.until(is_proved=True)


@pytest.mark.parametrize("error", [EngineUnavailableError("down"), RuntimeError("bug")])
async def test_nothing_is_proved_while_something_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    """A sandbox that ran on without the guard and cannot be removed is no state to start another in."""
    keeper = Keeper(world, monkeypatch)
    keeper.reap_error = error
    async with keeper.keeping():
        await keeper.until(is_proved=False, detail="cannot be removed")
        assert world.rules == ""
        keeper.reap_error = None
        await keeper.until(is_proved=True)


async def test_the_remedy_of_what_failed_is_kept(world: World):
    """An operator reads what helps, not only what is wrong."""
    engine = GuardEngine(world.run)

    async def fail(call: str) -> None:
        if call == "create_network":
            raise OrchError("no chain", hint="restart Docker")

    engine.before = fail
    guard = await established(world, engine)
    assert not guard.status.is_proved
    assert guard.status.remedy == "restart Docker"


async def test_a_table_that_is_not_what_was_loaded_disproves(world: World):
    """Somebody was faster than the watcher."""
    world.watched = "another"

    guard = await established(world)

    assert not guard.status.is_proved
    assert "changed as soon as" in guard.status.detail
    assert guard.lost.is_set()


async def test_a_change_during_the_proof_disproves(world: World):
    """What the proof saw may be over."""
    probe = world._serve

    async def change(process: FakeProcess, said: object) -> int:
        world.changed.set()
        for _ in range(100):  # turns of the loop, which the watcher has too
            await asyncio.sleep(0)
        return await probe(process, said)

    world._serve = change

    guard = await established(world)

    assert not guard.status.is_proved
    assert guard.lost.is_set()


async def test_silence_is_a_loss(world: World, monkeypatch: pytest.MonkeyPatch):
    """A watcher that says nothing for too long is gone."""
    monkeypatch.setattr("runtime.network.watch.SILENCE_S", 0.05)

    guard = await established(world)

    await asyncio.wait_for(guard.lost.wait(), 30)
    assert "silent" in guard.status.detail


async def test_closing_removes_the_watcher_and_tells_nobody(world: World):
    """An orderly stop is no loss."""
    engine = GuardEngine(world.run)
    guard = await established(world, engine)
    told: list[str] = []
    guard.on_lost = lambda: told.append("lost")

    await guard.close()

    assert told == []
    assert set(engine.by_name) == {"the-proxy"}
