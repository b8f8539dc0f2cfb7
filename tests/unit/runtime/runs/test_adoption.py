"""A daemon that is killed and its successor: the runs go on, and each ends once, with all that it wrote."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from runtime.containers.resolv_conf import ResolvConfs
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT
from runtime.errors import EngineUnavailableError, InvalidInputError, NotReadyError
from runtime.keeper.messages import Adopted
from runtime.model.json_text import JsonText
from runtime.model.limits import Limits
from runtime.model.needs import LlmChain, LlmSpent, Needs
from runtime.model.run import Run, RunRequest, RunState
from runtime.model.secret import Secret
from runtime.network.connected import RunNetworks
from runtime.network.slots import NetworkSlots
from runtime.runs.heirloom import Heirloom
from runtime.runs.service import RunService
from tests.unit.runtime.run_world import INSTALLATION, POOL, World, answer, hang, policies, request

KEY = "OPENAI_API_KEY"


class Router:
    """A `ports.LlmPort` that remembers what was opened."""

    def __init__(self) -> None:
        self.opened: dict[str, RunRequest] = {}
        self.replaced: list[tuple[str, str | None]] = []
        self.spent: dict[str, LlmSpent] = {}
        self.tell: dict[str, Callable[[str, dict[str, object]], None]] = {}

    def open(
        self, run_id: str, request: RunRequest, policy: Policy, on_event: Callable[..., None], spent: LlmSpent
    ) -> Policy:
        """As the router does."""
        self.opened[run_id] = request
        self.spent[run_id] = spent
        self.tell[run_id] = on_event
        return policy

    def replace_secret(self, run_id: str, name: str, value: Secret | None) -> None:
        """As the router does."""
        self.replaced.append((name, value and value.reveal()))

    async def close(self, run_id: str) -> None:
        """As the router does."""
        del self.opened[run_id]


@pytest.fixture
async def killed() -> AsyncIterator[list[asyncio.Task[None]]]:
    """What killed daemons were about; it takes no further step before the test is over."""
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def kill(world: World, killed: list[asyncio.Task[None]]) -> None:
    """As SIGKILL does: no step more, and no word to anybody; the connections to the keepers are cut."""
    killed += [live.task for live in world.service._ends._lives.values()]
    for link in world.keepers.links:
        link._said = asyncio.Queue()  # the driver waits at the one that nobody fills any more
        await link.close(is_recorded=False)
    world.keepers.links.clear()
    await asyncio.sleep(0.02)


def successor(world: World, *, llm: Router | None = None) -> RunService:
    """The service of the next daemon, on what the first one left."""
    slots = NetworkSlots(world.engine, instance="default", pool=POOL)
    world.service = RunService(
        engine=world.engine,
        link=world.link,
        store=world.store,
        guard=world.guard,  # type: ignore[arg-type]
        networks=RunNetworks(
            world.engine, slots, proxy_container="the-proxy", resolv_confs=ResolvConfs(world.resolv_dir)
        ),
        keepers=world.keepers,
        policies=policies,
        instance="default",
        installation=INSTALLATION,
        memory_percent=100,
        vault=world.vault,
        llm=llm,
        audit=world.audit,
    )
    return world.service


async def story_of(world: World, run: Run) -> list[tuple[int, str, object]]:
    """The events of a run: number, kind, and what they say."""
    return [(e.seq, e.kind, e.data) async for e in world.service.events(run.id)]


async def test_a_run_goes_on_and_every_line_is_told_once(world: World, killed: list[Any]):
    """The next daemon tells its story under the same numbers, and records its decisions once."""
    go_on = asyncio.Event()

    async def agent(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = world.link.workers.items()
        process.write(STDERR, b"one\n")
        worker.on_decision({"sandbox_id": sandbox_id, "verdict": "deny", "n": 1})
        await go_on.wait()
        process.write(STDERR, b"two\n")
        worker.on_decision({"sandbox_id": sandbox_id, "verdict": "deny", "n": 2})
        process.write(STDOUT, b'{"n": 1}')
        return 0

    world.agent = agent
    run = await world.service.create(request())
    before = []
    async for event in world.service.events(run.id):
        before.append((event.seq, event.kind, event.data))
        if {"log", "decision"} <= {kind for _, kind, _ in before}:
            break
    while not world.store.lines.get(run.id):
        await asyncio.sleep(0)
    await kill(world, killed)

    await successor(world).start()
    assert world.service.has_adopted
    assert (await world.service.get(run.id)).state is RunState.RUNNING
    go_on.set()
    final = await world.end_of(run)

    assert (final.state, final.result.parse(), final.stderr) == (RunState.COMPLETED, {"n": 1}, "one\ntwo\n")
    assert final.started_at is not None
    told = await story_of(world, run)
    assert told[: len(before)] == before
    kinds = [data.get("state") or kind for _, kind, data in told]  # type: ignore[attr-defined]
    assert sorted(kinds) == sorted(
        [
            "queued",
            "starting",
            "running",
            "log",
            "decision",
            "log",
            "decision",
            "result",
            "completed",
            "completed",
        ]
    )
    assert [line["n"] for line in world.store.lines[run.id]] == [1, 2]
    world.assert_nothing_left()


async def test_an_end_that_nobody_saw_is_recorded(world: World, killed: list[Any]):
    """The agent ended while there was no daemon, and its keeper still waits."""
    go_on = asyncio.Event()

    async def agent(process: FakeProcess, head: dict[str, Any]) -> int:
        await go_on.wait()
        return await answer(process, head)

    world.agent = agent
    run = await world.service.create(request())
    await world.until_running(run)
    await kill(world, killed)
    go_on.set()
    [folder] = world.keepers.left()
    while b"ended" not in folder.journal.read_bytes():
        await asyncio.sleep(0.01)

    await successor(world).start()
    final = await world.end_of(run)

    assert (final.state, final.result.parse()) == (RunState.COMPLETED, {"answer": 42})
    world.assert_nothing_left()


@pytest.mark.parametrize("has_ended", [True, False])
async def test_the_journal_of_a_keeper_that_is_gone_is_read(
    world: World, killed: list[Any], *, has_ended: bool
):
    """It gave up waiting, or was killed as well: the run ends as its journal says, or as failed."""
    world.agent = answer
    world.keepers.grace_s = 0.3
    run = await world.service.create(request())
    await world.until_running(run)
    await kill(world, killed)
    await asyncio.wait([world.keepers.tasks[run.id]])
    [folder] = world.keepers.left()
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    if not has_ended:  # as a keeper leaves it that was killed in the middle of a line
        folder.journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])

    await successor(world).start()
    final = await world.service.get(run.id)

    if has_ended:
        assert (final.state, final.result.parse()) == (RunState.COMPLETED, {"answer": 42})
        assert [kind for _, kind, _ in await story_of(world, run)][-3:] == ["result", "state", "end"]
    else:
        assert final.state is RunState.FAILED
        assert final.error is not None
        assert "start it again" in final.error.message
        assert final.stderr == "working\n"
    await world.service.reap()
    world.assert_nothing_left()


async def test_a_run_that_is_recorded_is_not_recorded_again(world: World, killed: list[Any]):
    """The daemon was killed between the record and its word to the keeper."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    await kill(world, killed)
    recorded = dataclasses.replace(
        world.store.runs[run.id], state=RunState.COMPLETED, result=JsonText(b'"as it was"')
    )
    world.store.runs[run.id] = recorded

    await successor(world).start()
    assert not world.service.has_adopted
    assert await world.service.get(run.id) == recorded
    await asyncio.wait_for(world.keepers.tasks[run.id], 10)
    await world.service.reap()
    world.assert_nothing_left()


async def test_a_keeper_of_a_run_that_nobody_knows_is_ended(world: World, killed: list[Any]):
    """Its record was pruned, or the database is another one."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    await kill(world, killed)
    del world.store.runs[run.id]

    await successor(world).start()
    await asyncio.wait_for(world.keepers.tasks[run.id], 10)
    await world.service.reap()
    world.assert_nothing_left()
    world.store.runs[run.id] = run  # for the killed daemon's task, which the test's end lets go of


async def test_an_adopted_run_is_cancelled_as_any_other(world: World, killed: list[Any]):
    """And takes its place in the host's memory until then."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    await kill(world, killed)
    await successor(world).start()
    assert len(world.service._admission._working) == 1

    assert (await world.service.cancel(run.id)).state is RunState.CANCELLED
    assert len(world.service._admission._working) == 0
    world.assert_nothing_left()


async def test_a_run_that_was_being_made_is_failed_at_once(world: World, killed: list[Any]):
    """Its files were in the killed daemon's memory, and so was the guard's word."""
    reached = asyncio.Event()

    async def stop_here(name: str) -> None:
        if name == "create":
            reached.set()
            await asyncio.Event().wait()

    world.agent = answer
    world.engine.before = stop_here
    run = await world.service.create(request())
    await reached.wait()
    world.engine.before = None
    await kill(world, killed)

    await successor(world).start()
    final = await world.end_of(run)
    assert final.state is RunState.FAILED
    assert not [call for call in world.engine.calls if call.startswith("start ")]
    await world.service.reap()
    world.assert_nothing_left()


async def started_with_router(world: World, run: Run) -> tuple[RunService, Router]:
    """The next daemon, once it has opened its router to a run that it goes on with."""
    router = Router()
    service = successor(world, llm=router)
    await service.start()
    while run.id not in router.opened:
        await asyncio.sleep(0)
    return service, router


async def test_an_adopted_run_has_its_keys_and_its_router(
    world: World, killed: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """The next daemon knows them from the keeper, as they were last; a change in the vault reaches it."""
    rule = AllowRule("p.allow[0]", HostPattern("api.openai.com"), credential=KEY, pin_credential=True)
    monkeypatch.setattr(world.service, "_policies", lambda name: Policy(name, allow=(rule,)))
    world.vault.workspaces["default"] = {KEY: "sk-first-value"}
    world.agent = hang
    chain = LlmChain("openai/gpt-5.2", ("openai/gpt-5.1",))
    run = await world.service.create(request(needs=Needs(providers=("openai",), llm=chain)))
    await world.until_running(run)
    while run.id not in world.link.grants:
        await asyncio.sleep(0)
    await world.service.secret_changed({"default"}, KEY, Secret("sk-second-value"))
    await kill(world, killed)

    service, router = await started_with_router(world, run)
    opened = router.opened[run.id]
    assert opened.needs.llm == chain
    assert opened.secrets[KEY].reveal() == "sk-second-value"

    await service.secret_changed({"default"}, KEY, Secret("sk-third-value"))
    assert world.link.grants[run.id].secrets[0].value == "sk-third-value"
    assert router.replaced == [(KEY, "sk-third-value")]
    await service.cancel(run.id)
    assert router.opened == {}


async def test_twenty_runs_are_adopted(world: World, killed: list[Any]):
    """None takes another's result."""
    go_on = asyncio.Event()

    async def agent(process: FakeProcess, head: dict[str, Any]) -> int:
        await go_on.wait()
        process.write(STDOUT, head["rest"].removeprefix(b"<tar>"))
        return 0

    world.agent = agent
    runs = [
        await world.service.create(request(input=b"%d" % n, limits=Limits(timeout_s=60, grace_s=0.05)))
        for n in range(20)
    ]
    for run in runs:
        await world.until_running(run)
    while not all(task for task in world.keepers.tasks) or len(world.link.grants) < 20:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    await kill(world, killed)
    await successor(world).start()
    go_on.set()
    finals = [await world.end_of(run) for run in runs]

    assert [(final.state, final.result.parse()) for final in finals] == [
        (RunState.COMPLETED, n) for n in range(20)
    ]
    world.assert_nothing_left()


@pytest.mark.parametrize("broken", ["store.adopt", "heirloom", "network"])
async def test_a_run_that_cannot_be_adopted_is_ended(
    world: World, killed: list[Any], monkeypatch: pytest.MonkeyPatch, broken: str
):
    """Whatever is wrong with it: it is failed, its place is given back, and nothing of it stays."""
    world.agent = hang
    run = await running(world)
    await kill(world, killed)

    def fail(*_arguments: object, **_more: object) -> Any:
        raise ValueError(broken)

    service = successor(world)
    if broken == "store.adopt":
        monkeypatch.setattr(world.store, "adopt", fail)
    elif broken == "heirloom":
        monkeypatch.setattr("runtime.runs.adoption.Heirloom.out_of", fail)
    else:
        monkeypatch.setattr(service._driver._networks._slots, "adopt", fail)
    await service.start()
    await service._ends.wait(run.id)
    await asyncio.wait_for(world.keepers.tasks[run.id], 20)

    final = await service.get(run.id)
    assert (final.state, len(service._admission._working)) == (RunState.FAILED, 0)
    assert [kind for _, kind, _ in await asyncio.wait_for(story_of(world, run), 10)]
    await service.reap()
    world.assert_nothing_left()


async def test_a_store_that_fails_touches_no_run(world: World, killed: list[Any], monkeypatch: Any):
    """The daemon does not start, and its runs go on for the next attempt."""
    world.agent = hang
    await running(world)
    await kill(world, killed)

    async def fail(_run_id: str) -> Any:
        raise NotReadyError("the database does not answer")

    usual = world.store.get
    monkeypatch.setattr(world.store, "get", fail)
    with pytest.raises(NotReadyError):
        await successor(world).start()
    assert len(world.engine.by_name) == 2
    monkeypatch.setattr(world.store, "get", usual)
    assert not world.service.has_adopted


async def test_an_engine_that_fails_in_the_middle_ends_no_adopted_run(
    world: World, killed: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """What is left is reaped later, before the guard is proved; without anything adopted it is an error."""
    world.agent = hang
    run = await running(world)
    await kill(world, killed)

    async def fail() -> None:
        raise EngineUnavailableError("down")

    service = successor(world)
    monkeypatch.setattr(service, "reap", fail)
    await service.start()
    assert (await service.get(run.id)).state is RunState.RUNNING
    await service.cancel(run.id)

    again = successor(world)
    monkeypatch.setattr(again, "reap", fail)
    with pytest.raises(EngineUnavailableError):
        await again.start()


async def test_a_key_that_was_deleted_does_not_come_back(
    world: World, killed: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """Also one that the sandbox itself holds: the router of the next daemon does not have it."""
    world.vault.workspaces["default"] = {KEY: "sk-first-value"}
    world.agent = hang
    needs = Needs(providers=("openai",), llm=LlmChain("openai/gpt-5.2"))
    run = await running(world, needs=needs)
    await world.service.secret_changed({"default"}, KEY, None)
    await kill(world, killed)

    service, router = await started_with_router(world, run)
    assert KEY not in router.opened[run.id].secrets
    await service.cancel(run.id)


async def running(world: World, **changes: Any) -> Run:
    """A run whose agent has everything."""
    run = await world.service.create(request(**changes))
    await world.until_running(run)
    async with asyncio.timeout(10):
        while not world.engine.by_name or not any(call.startswith("start ") for call in world.engine.calls):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
    return run


async def test_what_was_spent_on_models_is_spent(world: World, killed: list[Any]):
    """A budget does not begin anew with another daemon, however often that is killed."""
    world.agent = hang
    world.vault.workspaces["default"] = {KEY: "sk-first-value"}
    world.service._driver._llm = first = Router()
    run = await running(world, needs=Needs(providers=("openai",), llm=LlmChain("openai/gpt-5.2")))
    call = {"tokens_in": 30, "tokens_out": 12, "cost_usd": 0.5}
    first.tell[run.id]("llm_call_succeeded", call)
    while not any(
        event.kind == "llm_call_succeeded" for event in world.service._records._journals.get(run.id).events
    ):
        await asyncio.sleep(0)
    await kill(world, killed)

    service, router = await started_with_router(world, run)
    assert first.spent[run.id] == LlmSpent()
    assert router.spent[run.id] == LlmSpent(42, 0.5)
    await service.cancel(run.id)


@pytest.mark.parametrize("held", [{}, {"slot": 1}, {"slot": None, "asked": [], "llm": 3}])
def test_what_no_daemon_left_is_no_heirloom(held: dict[str, Any]):
    """It is refused, and not repeated."""
    with pytest.raises(ValueError, match=r"of a sandbox|daemon leaves"):
        Heirloom.out_of(Adopted(plan={"marker": 1}, held=held, replaced={}, pid=1))


def test_a_slot_outside_the_pool_is_none():
    """Another pool since: the network is reaped by its label."""
    slots = NetworkSlots(None, instance="default", pool=POOL)  # type: ignore[arg-type]
    with pytest.raises((ValueError, InvalidInputError)):
        slots.adopt("run", 10_000)
