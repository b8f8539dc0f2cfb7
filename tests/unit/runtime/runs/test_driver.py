"""A run's whole life on an engine in memory: every end, and that nothing is left behind after any."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import runtime.runs.driver
from proxy.policy.model import Policy
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT
from runtime.errors import EngineUnavailableError, NotReadyError
from runtime.model.limits import Limits
from runtime.model.needs import LlmSpent
from runtime.model.run import Run, RunError, RunRequest, RunState
from runtime.model.secret import Secret
from runtime.network.proof import GuardStatus
from tests.unit.runtime.run_world import Agent, World, answer, hang, request, stubborn


async def test_a_run_completes(world: World):
    """The result is the agent's JSON, the log its stderr, and everything is removed."""
    world.agent = answer
    run = await world.run()
    assert (run.state, run.result.parse(), run.stderr, run.error) == (
        RunState.COMPLETED,
        {"answer": 42},
        "working\n",
        None,
    )
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run == world.store.runs[run.id]
    world.assert_nothing_left()


def exits(code: int, stdout: bytes = b"", stderr: bytes = b"") -> Agent:
    """An agent that prints and exits."""

    async def agent(process: FakeProcess, head: dict[str, Any]) -> int:
        process.write(STDOUT, stdout)
        process.write(STDERR, stderr)
        return code

    return agent


async def out_of_memory(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that the kernel kills."""
    raise MemoryError


FAILURES: dict[str, tuple[Agent, str | None, str]] = {
    "its own error": (exits(1, b'{"error": "no"}'), "code_error", "Agent error: no"),
    "a crash": (exits(1, b"", b"Traceback\n"), "code_error", "status 1: Traceback"),
    "its set-up": (exits(97, b"", b"pip failed\n"), "setup_error", "set-up failed: pip failed"),
    "its message": (exits(98), "setup_error", "could not be started"),
    "its memory": (out_of_memory, "code_error", "MiB of memory"),
    "a result that is too long": (exits(0, b"x" * 101), "code_error", "longer than 100 bytes"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_an_agent_fails(world: World, case: str):
    """Each failure of the agent has its class and sentence, and leaves nothing behind."""
    world.agent, error_class, words = FAILURES[case]
    run = await world.run(limits=Limits(timeout_s=60, output_bytes=100))
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert (run.error.code, run.error.error_class) == ("SANDBOX_ERROR", error_class)
    assert words in run.error.message
    world.assert_nothing_left()


async def test_a_result_that_is_too_long_is_not_kept(world: World):
    """Half a result is no result."""
    world.agent = exits(0, b"x" * 101)
    assert (await world.run(limits=Limits(timeout_s=60, output_bytes=100))).result is None


@pytest.mark.parametrize(("agent", "signals"), [(hang, ["SIGTERM"]), (stubborn, ["SIGTERM", "SIGKILL"])])
async def test_the_time_limit(world: World, agent: Agent, signals: list[str]):
    """SIGTERM, a grace, SIGKILL for who ignores it; the run is a timeout."""
    world.agent = agent
    run = await world.run(limits=Limits(timeout_s=0.5, grace_s=0.05))
    assert (run.state, run.error and run.error.code) == (RunState.TIMEOUT, "SANDBOX_TIMEOUT")
    assert [c.split()[1] for c in world.engine.calls if c.startswith("signal")] == signals
    assert run.stdout == '{"partial": true}'
    world.assert_nothing_left()


@pytest.mark.parametrize("agent", [hang, stubborn])
async def test_cancel_while_it_runs(world: World, agent: Agent):
    """Cancelling returns once everything is removed."""
    world.agent = agent
    run = await world.service.create(request())
    await world.until_running(run)
    cancelled = await world.service.cancel(run.id)
    assert (cancelled.state, cancelled.error and cancelled.error.code) == (RunState.CANCELLED, "CANCELLED")
    world.assert_nothing_left()


CALLS = ["create_network", "connect", "create", "attach", "start"]


@pytest.mark.parametrize("call", CALLS)
async def test_cancel_while_it_starts(world: World, call: str, monkeypatch: pytest.MonkeyPatch):
    """Cancelling at any step of the start removes what has been made until then."""
    monkeypatch.setattr("runtime.keeper.work.KILLED_S", 0.05)
    reached = asyncio.Event()

    async def stop_here(name: str) -> None:
        if name == call:
            reached.set()
            await asyncio.sleep(60)

    world.agent = answer
    world.engine.before = stop_here
    run = await world.service.create(request())
    await reached.wait()
    world.engine.before = None
    assert (await world.service.cancel(run.id)).state is RunState.CANCELLED
    world.assert_nothing_left()


async def test_cancel_during_the_clean_up_waits_for_it(world: World):
    """A run is never final while something of it is still being removed; what has ended keeps its result."""
    removing, go_on = asyncio.Event(), asyncio.Event()

    async def slow(name: str) -> None:
        if name == "remove":
            removing.set()
            await go_on.wait()

    world.agent = answer
    world.engine.before = slow
    run = await world.service.create(request())
    await removing.wait()
    cancelling = asyncio.create_task(world.service.cancel(run.id))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not cancelling.done()
    go_on.set()
    assert (await cancelling).state is RunState.COMPLETED
    world.assert_nothing_left()


@pytest.mark.parametrize("call", CALLS)
async def test_the_engine_fails_while_it_starts(world: World, call: str):
    """An engine that fails at any step ends the run with its sentence and leaves nothing."""

    async def fail(name: str) -> None:
        if name == call:
            raise EngineUnavailableError("the container engine does not answer")

    world.agent = answer
    world.engine.before = fail
    run = await world.run()
    world.engine.before = None
    assert run.error == RunError("INTERNAL_ERROR", "the container engine does not answer")
    world.assert_nothing_left()


async def test_a_bug_ends_the_run_too(world: World):
    """An exception that nobody thought of is no open run, and its text is not shown."""

    async def fail(name: str) -> None:
        if name == "connect":
            raise RuntimeError("with a secret in it")

    world.engine.before = fail
    run = await world.run()
    world.engine.before = None
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert "secret" not in run.error.message
    world.assert_nothing_left()


async def test_a_guard_lost_while_a_run_is_made_keeps_its_agent_from_starting(world: World):
    """Between the check and the start the guard may go."""
    world.agent = answer

    async def lose() -> None:
        world.guard.status = GuardStatus(detail="gone")

    world.link.before_grant = lose
    final = await world.run()

    assert final.error is not None
    assert final.error.code == "GUARD_LOST"
    assert not [call for call in world.engine.calls if call.startswith("start ")]
    world.assert_nothing_left()


async def test_a_second_network_ends_the_run(world: World, monkeypatch: pytest.MonkeyPatch):
    """`docker network connect` on a sandbox: there the guard has no rule for it."""
    monkeypatch.setattr("runtime.keeper.work.NETWORK_CHECK_S", 0.01)
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)

    await world.engine.connect("egress", f"orchbox-default-{run.id}", "10.9.9.9")

    final = await asyncio.wait_for(world.end_of(run), 30)
    assert (final.state, final.error and final.error.code) == (RunState.FAILED, "NETWORK_CHANGED")
    world.assert_nothing_left()


async def test_a_secret_that_the_agent_prints_is_not_recorded(world: World):
    """Neither the record nor an event holds a secret or the proxy's token, in result, log or error."""
    tokens: list[str] = []

    async def leak(process: FakeProcess, head: dict[str, Any]) -> int:
        url = head["env"]["HTTPS_PROXY"]
        tokens.append(url.partition("explain:")[2].partition("@")[0])
        text = f"marker-secret {url}"
        process.write(STDOUT, json.dumps({"error": text}).encode())
        process.write(STDERR, text.encode())
        return 1

    world.agent = leak
    run = await world.run(secrets={"API_KEY": Secret("marker-secret")})
    events = [event async for event in world.service.events(run.id)]
    for text in (repr(run), repr(events)):
        assert "***" in text
        assert "marker-secret" not in text
        assert tokens[0] not in text


@pytest.mark.parametrize(
    "written", ['{"a": "k-1\\/of\\u0026the-vault"}', '{"k-1/of&the-vault": "%6b-1/of&the-vault"}']
)
async def test_a_secret_that_json_escapes_is_not_recorded(world: World, written: str):
    """PHP and Go write it so; neither the record nor an event has it, escaped or not, and the result is JSON."""

    async def leak(process: FakeProcess, head: dict[str, Any]) -> int:
        process.write(STDOUT, written.encode())
        process.write(STDERR, written.encode())
        return 0

    world.agent = leak
    run = await world.run(secrets={"API_KEY": Secret("k-1/of&the-vault")})
    events = [event async for event in world.service.events(run.id)]
    assert isinstance(run.result.parse(), dict)
    assert "***" in str(run.result.parse())
    for text in (repr(run), repr(events)):
        assert "of&the" not in text
        assert "of\\" not in text


async def test_a_secret_that_is_too_short_to_be_masked_is_named(world: World):
    """And the result stays what it is."""

    async def say(process: FakeProcess, head: dict[str, Any]) -> int:
        process.write(STDOUT, b'{"ok": true}')
        return 0

    world.agent = say
    run = await world.run(secrets={"DRY_RUN": Secret("true"), "API_KEY": Secret("long-enough")})
    told = [event.data async for event in world.service.events(run.id) if event.kind == "secrets_too_short"]
    assert run.result.parse() == {"ok": True}
    assert told == [{"names": ["DRY_RUN"]}]


class BrokenRouter:
    """A `ports.LlmPort` that cannot be closed."""

    def open(
        self, run_id: str, request: RunRequest, policy: Policy, on_event: object, spent: LlmSpent
    ) -> Policy:
        """Nothing is opened."""
        return policy

    def replace_secret(self, run_id: str, name: str, value: Secret | None) -> None:
        """Nothing is kept."""

    async def close(self, run_id: str) -> None:
        """A bug."""
        raise RuntimeError("with a secret in it")


async def test_a_router_that_does_not_close_keeps_no_run_open(world: World):
    """The run's end is recorded all the same, and its task is over."""
    world.service._driver._llm = BrokenRouter()
    world.agent = answer
    run = await world.run()

    assert run.state is RunState.COMPLETED
    assert run.id not in world.service._ends


@pytest.mark.parametrize("state", [RunState.STARTING, RunState.RUNNING])
async def test_a_step_that_cannot_be_recorded_ends_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, state: RunState
):
    """No agent runs that the record does not know of; what was made is removed."""
    original = world.store.update

    async def update(run: Run) -> None:
        if run.state is state:
            raise NotReadyError("the database does not answer")
        await original(run)

    monkeypatch.setattr(world.store, "update", update)
    world.agent = answer
    run = await world.run()

    assert (run.state, run.error) == (
        RunState.FAILED,
        RunError("INTERNAL_ERROR", "the database does not answer"),
    )
    assert not [call for call in world.engine.calls if call.startswith("start ")]
    world.assert_nothing_left()


@pytest.mark.parametrize("part", ["Redactor", "Output"])
async def test_a_run_ends_even_where_nothing_could_be_made_ready(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str
):
    """What fails before the first step fails the run, which is recorded, and leaves nothing."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"runtime.keeper.work.{part}", fail)
    world.agent = answer
    run = await asyncio.wait_for(world.run(), 30)

    assert (run.state, run.error and run.error.code) == (RunState.FAILED, "INTERNAL_ERROR")
    assert world.store.runs[run.id] == run
    world.assert_nothing_left()


async def test_a_run_ends_even_where_its_output_cannot_be_masked(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Its end is recorded without the text, which might hold a secret."""

    async def spoil(process: FakeProcess, head: dict[str, Any]) -> int:
        process.write(STDERR, b"a log\n")
        monkeypatch.setattr("runtime.sandbox.output.Output.stderr", property(lambda _self: 1 / 0))
        return 0

    world.agent = spoil
    run = await asyncio.wait_for(world.run(), 30)

    assert run.state is RunState.FAILED
    assert (run.stdout, run.stderr) == ("", "")
    world.assert_nothing_left()


async def test_few_sandboxes_are_made_at_once(world: World, monkeypatch: pytest.MonkeyPatch):
    """Twelve runs that come together: each one's time at the engine and the proxy is its own, and all end."""
    making, most = 0, 0
    create = world.engine.create

    async def count(name: str, config: Any) -> str:
        nonlocal making, most
        making += 1
        most = max(most, making)
        await asyncio.sleep(0.02)
        making -= 1
        return await create(name, config)

    monkeypatch.setattr(world.engine, "create", count)
    monkeypatch.setattr(world.service._driver, "_turns", asyncio.Semaphore(2))
    world.agent = answer
    runs = [await world.service.create(request()) for _ in range(12)]
    finals = [await world.end_of(run) for run in runs]

    assert {final.state for final in finals} == {RunState.COMPLETED}
    assert most <= 2
    assert world.service._driver._turns._value == 2
    world.assert_nothing_left()


async def test_a_cancellation_in_the_moment_of_the_end_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """The keeper has said its last word: nothing more is waited for, and the result stays."""
    reading, go_on = asyncio.Event(), asyncio.Event()
    done_of = runtime.runs.driver.done_of

    async def slow(*args: Any) -> Any:
        reading.set()
        await go_on.wait()
        return await done_of(*args)

    monkeypatch.setattr("runtime.runs.driver.done_of", slow)
    world.agent = answer
    run = await world.service.create(request())
    await reading.wait()
    cancelling = asyncio.create_task(world.service.cancel(run.id))
    await asyncio.sleep(0)
    go_on.set()
    final = await asyncio.wait_for(cancelling, 10)

    assert (final.state, final.result.parse()) == (RunState.COMPLETED, {"answer": 42})
    world.assert_nothing_left()


async def test_a_cancellation_while_the_network_is_removed_comes_too_late(world: World):
    """The run has ended, and its result is its result."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def stop_here(name: str) -> None:
        if name == "disconnect":
            reached.set()
            await go_on.wait()

    world.agent = answer
    world.engine.before = stop_here
    run = await world.service.create(request())
    await reached.wait()
    cancelling = asyncio.create_task(world.service.cancel(run.id))
    await asyncio.sleep(0.01)
    go_on.set()
    final = await asyncio.wait_for(cancelling, 10)

    assert (final.state, final.result.parse()) == (RunState.COMPLETED, {"answer": 42})
    world.assert_nothing_left()


async def test_a_result_that_cannot_be_read_fails_its_run(world: World, monkeypatch: pytest.MonkeyPatch):
    """A power cut, say, left an empty file: the run ends, with what else is known of it."""

    def broken(_path: object, _ended: object) -> object:
        raise ValueError

    monkeypatch.setattr("runtime.keeper.link._read_result", broken)
    world.agent = answer
    run = await world.run()

    assert (run.state, run.error and run.error.message) == (
        RunState.FAILED,
        "the run's result cannot be read",
    )
    assert run.stderr == "working\n"
    world.assert_nothing_left()


async def test_an_end_that_is_not_recorded_stays_with_the_keeper(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """The next daemon finds it there, whatever becomes of this one."""
    monkeypatch.setattr("runtime.runs.records.RETRY_WAITS_S", ())
    original = world.store.update

    async def refuse(run: Run) -> None:
        if run.state.is_final:
            raise NotReadyError("the database does not answer")
        await original(run)

    monkeypatch.setattr(world.store, "update", refuse)
    world.agent = answer
    run = await world.run()
    [folder] = world.keepers.left()

    assert (run.state, folder.run_id) == (RunState.COMPLETED, run.id)
    assert folder.result.read_bytes() == b'{"answer":42}'
    monkeypatch.setattr(world.store, "update", original)
