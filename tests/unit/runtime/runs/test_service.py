"""A run's whole life on an engine in memory: every end, and that nothing is left behind after any."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from runtime.containers import labels
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT, NetworkSpec
from runtime.errors import (
    ConflictError,
    EngineUnavailableError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
)
from runtime.keys.settle import LlmKeyRequiredError, MissingSecretsError
from runtime.model.limits import Isolation, Limits
from runtime.model.needs import Needs
from runtime.model.run import Run, RunError, RunRequest, RunState
from runtime.model.secret import Secret
from runtime.network.proof import GuardStatus
from runtime.network.slots import NetworkSlots
from runtime.runs.service import RunService
from runtime.sandbox.maker import SandboxMaker
from tests.unit.runtime.fakes import FakeLink, FakeVault, MemoryStore

IMAGE = "orchbox/agent-python:local"
POOL = ipaddress.IPv4Network("10.231.0.0/24")
Agent = Callable[[FakeProcess, dict[str, Any]], Awaitable[int]]


class FakeGuard:
    """A guard that holds, until told otherwise."""

    def __init__(self) -> None:
        self.status = GuardStatus(is_proved=True, detail="proved")
        self.on_lost: Callable[[], None] = lambda: None

    def lose(self) -> None:
        """As the watcher finds it changed."""
        self.status = GuardStatus(detail="the guard's rules were changed or removed")
        self.on_lost()


@dataclass
class World:
    """A service and everything around it."""

    engine: FakeEngine
    link: FakeLink
    store: MemoryStore
    guard: FakeGuard
    service: RunService
    vault: FakeVault
    agent: Agent | None = None

    async def play(self, process: FakeProcess) -> int:
        """The sandbox's init, as the agent sees it."""
        head = json.loads(await process.stdin.readline())
        head["rest"] = await process.stdin.read()
        assert self.agent is not None
        return await self.agent(process, head)

    async def run(self, **changes: Any) -> Run:
        """Run to the end."""
        run = await self.service.create(request(**changes))
        return await self.end_of(run)

    async def end_of(self, run: Run) -> Run:
        """The run's final record, once its events have ended."""
        async for _ in self.service.events(run.id):
            pass
        final = await self.service.get(run.id)
        assert final.state.is_final
        return final

    async def until_running(self, run: Run) -> None:
        """Wait for the agent's process."""
        async for event in self.service.events(run.id):
            if event.data.get("state") == "running":
                return

    def assert_nothing_left(self) -> None:
        """Only the proxy and its egress network are there, and no grant."""
        assert set(self.engine.by_name) == {"the-proxy"}
        assert set(self.engine.by_network) == {"egress"}
        assert self.link.grants == {}


def request(**changes: Any) -> RunRequest:
    """A run of one second at most."""
    values: dict[str, Any] = {
        "agent_ref": "acme/test",
        "image": IMAGE,
        "argv": ("python3", "main.py"),
        "bundle": b"<tar>",
        "input": b'{"q": 1}',
        "policy_name": "llm-only",
        "limits": Limits(timeout_s=5, grace_s=0.05),
        **changes,
    }
    return RunRequest(**values)


def policies(name: str) -> Policy:
    """The policies there are."""
    if name != "llm-only":
        raise NotFoundError(f"no policy named {name}")
    return Policy(name)


def build(engine: FakeEngine) -> World:
    """A service on this engine."""
    link, store, guard, vault = FakeLink(), MemoryStore(), FakeGuard(), FakeVault()
    slots = NetworkSlots(engine, instance="default", pool=POOL)
    maker = SandboxMaker(engine, slots, link, instance="default", proxy_container="the-proxy")
    service = RunService(
        engine=engine,
        link=link,
        store=store,
        guard=guard,
        maker=maker,
        policies=policies,
        instance="default",
        vault=vault,
    )
    return World(engine, link, store, guard, service, vault)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A started service on an engine with a proxy."""
    engine = FakeEngine({"proxy": None})
    world = build(engine)
    engine.add_image(IMAGE, world.play)
    await engine.create_network(NetworkSpec("egress", None, None, None, is_internal=False, labels={}))
    await engine.create("the-proxy", {"Image": "proxy", "HostConfig": {"NetworkMode": "egress"}})
    await world.service.start()
    yield world
    await world.service.close()
    await engine.close()


async def answer(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that works."""
    process.write(STDERR, b"working\n")
    process.write(STDOUT, b'{"answer": 42}')
    return 0


async def hang(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that never ends by itself."""
    process.write(STDOUT, b'{"partial": true}')
    await asyncio.Event().wait()
    return 0


async def stubborn(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that ignores SIGTERM."""
    process.on_sigterm = lambda: None
    return await hang(process, head)


# -- what a run does -------------------------------------------------------------------------------


async def test_a_run_completes(world: World):
    """The result is the agent's JSON, the log its stderr, and everything is removed."""
    world.agent = answer
    run = await world.run()
    assert (run.state, run.result, run.stderr, run.error) == (
        RunState.COMPLETED,
        {"answer": 42},
        "working\n",
        None,
    )
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run == world.store.runs[run.id]
    world.assert_nothing_left()


async def test_events_tell_the_story_in_order(world: World):
    """queued, starting, running, log, result, completed; numbered; replayed for who comes late."""
    world.agent = answer
    run = await world.run()
    events = [event async for event in world.service.events(run.id)]
    told = [event.data.get("state") or event.kind for event in events]
    assert told == ["queued", "starting", "running", "log", "result", "completed"]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [e.seq async for e in world.service.events(run.id, after=4)] == [5, 6]


async def test_the_init_gets_everything_over_stdin(world: World):
    """Command, environment, secrets, CA, files and input travel on stdin, and only there."""
    seen: dict[str, Any] = {}

    async def look(process: FakeProcess, head: dict[str, Any]) -> int:
        seen.update(head)
        seen["config"] = json.dumps(process.config)
        return 0

    world.agent = look
    await world.run(
        env={"LLM_PROVIDER": "openai"},
        secrets={"API_KEY": Secret("marker-secret")},
        uploads={"a.txt": b"<upload>"},
        setup_argv=("pip", "install"),
    )
    assert (seen["argv"], seen["setup_argv"]) == (["python3", "main.py"], ["pip", "install"])
    assert seen["rest"] == b'<tar><upload>{"q": 1}'
    assert (seen["bundle"], seen["uploads"], seen["input"]) == (5, [{"name": "a.txt", "size": 8}], 8)
    assert seen["secrets"] == {"API_KEY": "marker-secret"}
    assert seen["ca_pem"] == "the CA"
    assert seen["env"]["LLM_PROVIDER"] == "openai"
    assert seen["env"]["HTTPS_PROXY"] == seen["env"]["https_proxy"]
    token = seen["env"]["HTTPS_PROXY"].partition("explain:")[2].partition("@")[0]
    assert len(token) >= 32
    assert token not in seen["config"]
    assert "marker-secret" not in seen["config"]


@pytest.mark.parametrize("is_bound", [True, False])
async def test_a_secret_that_a_rule_binds_is_brokered(world: World, monkeypatch, *, is_bound: bool):
    """The sandbox holds a placeholder, the grant both; what no rule binds is in the sandbox, and watched."""
    seen: dict[str, Any] = {}

    async def look(process: FakeProcess, head: dict[str, Any]) -> int:
        seen.update(head, grant=next(iter(world.link.grants.values())))
        return 0

    world.agent = look
    rule = AllowRule("t.allow[0]", HostPattern("llm.test"), credential="API_KEY" if is_bound else None)
    monkeypatch.setattr(world.service, "_policies", lambda _name: Policy("llm-only", allow=(rule,)))
    await world.run(secrets={"API_KEY": Secret("marker-secret")})
    [granted] = seen["grant"].secrets

    assert (granted.name, granted.value) == ("API_KEY", "marker-secret")
    assert seen["secrets"]["API_KEY"] == (granted.placeholder if is_bound else "marker-secret")
    assert ("marker-secret" in json.dumps(seen["secrets"])) is not is_bound
    assert seen["grant"].policy.has_tripwire is not is_bound


async def test_a_secret_that_cannot_be_delivered_is_refused_at_once(world: World):
    """Before anything is made for the run."""
    with pytest.raises(InvalidInputError, match="secret API_KEY: its value"):
        await world.service.create(request(secrets={"API_KEY": Secret("")}))
    assert world.store.runs == {}


async def test_the_grant_is_acknowledged_before_the_sandbox_exists(world: World):
    """No sandbox starts on the hope of a grant, and the grant names this network and no other."""
    world.agent = answer
    seen: list[Any] = []

    async def look() -> None:
        seen.append([name for name in world.engine.by_name if name != "the-proxy"])

    world.link.before_grant = look

    async def check(process: FakeProcess, head: dict[str, Any]) -> int:
        (grant,) = world.link.grants.values()
        (network,) = (n for n in world.engine.by_network.values() if n.spec.is_internal)
        seen.append(
            network.members
            == {
                "the-proxy": grant.proxy_address,
                f"orchbox-default-{grant.sandbox_id}": grant.sandbox_address,
            }
        )
        seen.append(grant.expires_in_s > 5)
        return 0

    world.agent = check
    await world.run()
    assert seen == [[], True, True]


async def test_two_runs_at_once_have_their_own_networks_and_tokens(world: World):
    """Runs do not see one another."""
    started: list[dict[str, Any]] = []
    both = asyncio.Event()

    async def meet(process: FakeProcess, head: dict[str, Any]) -> int:
        started.append(head)
        if len(started) == 2:
            both.set()
        await both.wait()
        return 0

    world.agent = meet
    runs = [await world.service.create(request()) for _ in range(2)]
    await asyncio.gather(*(world.end_of(run) for run in runs))
    assert len({head["env"]["HTTPS_PROXY"] for head in started}) == 2
    world.assert_nothing_left()


# -- how it fails ----------------------------------------------------------------------------------


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
    run = await world.run(limits=Limits(timeout_s=5, output_bytes=100))
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert (run.error.code, run.error.error_class) == ("SANDBOX_ERROR", error_class)
    assert words in run.error.message
    world.assert_nothing_left()


async def test_a_result_that_is_too_long_is_not_kept(world: World):
    """Half a result is no result."""
    world.agent = exits(0, b"x" * 101)
    assert (await world.run(limits=Limits(timeout_s=5, output_bytes=100))).result is None


@pytest.mark.parametrize(("agent", "signals"), [(hang, ["SIGTERM"]), (stubborn, ["SIGTERM", "SIGKILL"])])
async def test_the_time_limit(world: World, agent: Agent, signals: list[str]):
    """SIGTERM, a grace, SIGKILL for who ignores it; the run is a timeout."""
    world.agent = agent
    run = await world.run(limits=Limits(timeout_s=0.05, grace_s=0.05))
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
    monkeypatch.setattr("runtime.runs.driver.KILLED_S", 0.05)
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


@pytest.mark.parametrize("call", ["create_network", "create"])
async def test_cancel_while_the_engine_has_made_it_and_not_said_so(
    world: World, call: str, monkeypatch: pytest.MonkeyPatch
):
    """What a cancelled call has made all the same is removed by name."""
    reached = asyncio.Event()
    original = getattr(world.engine, call)

    async def make_then_hang(*args: Any) -> Any:
        await original(*args)
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(world.engine, call, make_then_hang)
    world.agent = answer
    run = await world.service.create(request())
    await reached.wait()
    assert (await world.service.cancel(run.id)).state is RunState.CANCELLED
    world.assert_nothing_left()


async def test_cancel_while_the_grant_is_awaited(world: World):
    """A proxy that does not acknowledge does not hold up a cancellation."""
    reached = asyncio.Event()

    async def never() -> None:
        reached.set()
        await asyncio.Event().wait()

    world.link.before_grant = never
    run = await world.service.create(request())
    await reached.wait()
    assert (await world.service.cancel(run.id)).state is RunState.CANCELLED
    assert "revoke" in world.link.log
    world.assert_nothing_left()


async def test_a_run_that_is_ended_before_its_first_step_still_ends(world: World):
    """The proxy's loss in the very moment of creation leaves no run that is queued for ever."""
    world.agent = answer
    run = await world.service.create(request())
    world.link.lose()
    final = await world.end_of(run)
    assert (final.state, final.error and final.error.code) == (RunState.FAILED, "PROXY_LOST")
    world.assert_nothing_left()


async def test_a_cancellation_that_comes_too_late_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A run that is being recorded as completed stays completed, and cancel says how it ended."""
    finishing, go_on = asyncio.Event(), asyncio.Event()
    original = world.store.update

    async def update(run: Run) -> None:
        if run.state.is_final:
            finishing.set()
            await go_on.wait()
        await original(run)

    monkeypatch.setattr(world.store, "update", update)
    world.agent = answer
    run = await world.service.create(request())
    await finishing.wait()
    cancelling = asyncio.create_task(world.service.cancel(run.id))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not cancelling.done()
    go_on.set()
    assert (await cancelling).state is RunState.COMPLETED


async def test_cancel_during_the_clean_up_waits_for_it(world: World):
    """A run is never final while something of it is still being removed."""
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
    assert (await cancelling).state is RunState.CANCELLED
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


@pytest.mark.parametrize("step", ["disconnect", "remove", "revoke"])
async def test_a_clean_up_step_that_fails_does_not_stop_the_others(world: World, step: str):
    """The run keeps its result, and everything else is removed all the same."""
    world.agent = answer
    if step == "revoke":
        world.link.revoke_error = NotReadyError("gone")

    async def fail(name: str) -> None:
        if name == step:
            raise EngineUnavailableError("down")

    world.engine.before = fail
    run = await world.run()
    world.engine.before = None
    assert run.state is RunState.COMPLETED
    assert set(world.engine.by_network) == {"egress"}
    if step == "remove":
        await world.service.reap()
    world.assert_nothing_left()


# -- the proxy -------------------------------------------------------------------------------------


async def test_the_proxy_is_lost_while_it_runs(world: World):
    """Every running run ends with PROXY_LOST and a sentence; nothing is left."""
    world.agent = hang
    runs = [await world.service.create(request()) for _ in range(2)]
    for run in runs:
        await world.until_running(run)
    world.link.lose()
    for run in runs:
        final = await world.end_of(run)
        assert final.state is RunState.FAILED
        assert final.error is not None
        assert final.error.code == "PROXY_LOST"
        assert "no way out" in final.error.message
    world.assert_nothing_left()


async def test_a_lost_guard_ends_every_run_at_once(world: World):
    """No grace: an agent that ignores SIGTERM would reach the host meanwhile. No new run starts."""
    world.agent = stubborn
    runs = [await world.service.create(request(limits=Limits(grace_s=60))) for _ in range(2)]
    for run in runs:
        await world.until_running(run)

    world.guard.lose()

    for run in runs:
        final = await asyncio.wait_for(world.end_of(run), 10)
        assert (final.state, final.error and final.error.code) == (RunState.FAILED, "GUARD_LOST")
    with pytest.raises(NotReadyError, match="changed or removed"):
        await world.service.create(request())
    world.assert_nothing_left()


async def test_a_guard_lost_with_the_engine_is_told_and_what_is_left_is_reaped(world: World):
    """An engine that restarts takes the watcher with it: the run says why, and nothing survives the return."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)

    world.engine.is_down = True
    world.guard.lose()
    final = await asyncio.wait_for(world.end_of(run), 10)
    world.engine.is_down = False

    assert (final.state, final.error and final.error.code) == (RunState.FAILED, "GUARD_LOST")
    assert len(world.engine.by_name) == 2
    await world.service.reap()
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
    monkeypatch.setattr("runtime.runs.driver.NETWORK_CHECK_S", 0.01)
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)

    await world.engine.connect("egress", f"orchbox-default-{run.id}", "10.9.9.9")

    final = await asyncio.wait_for(world.end_of(run), 10)
    assert (final.state, final.error and final.error.code) == (RunState.FAILED, "NETWORK_CHANGED")
    world.assert_nothing_left()


async def test_a_proxy_that_refuses_the_grant_ends_the_run(world: World):
    """A policy that the proxy cannot enforce starts nothing."""

    async def refuse() -> None:
        raise InvalidInputError("the proxy cannot enforce this policy")

    world.link.before_grant = refuse
    run = await world.run()
    assert run.error == RunError("INTERNAL_ERROR", "the proxy cannot enforce this policy")
    assert not any(c.startswith("create orchbox-default-") for c in world.engine.calls)
    world.assert_nothing_left()


async def test_decisions_are_events_and_are_kept(world: World):
    """What the proxy decides about a run is in its story and in its record; nobody else's is."""

    async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
        (sandbox_id,) = world.link.grants
        world.link.on_decision({"sandbox_id": sandbox_id, "verdict": "deny"})
        world.link.on_decision({"sandbox_id": "somebody-else", "verdict": "allow"})
        world.link.on_decision({"sandbox_id": None, "verdict": "allow"})
        return 0

    world.agent = ask
    run = await world.run()
    assert await world.service.decisions(run.id) == [{"sandbox_id": run.id, "verdict": "deny"}]
    kinds = [event.kind async for event in world.service.events(run.id)]
    assert kinds.count("decision") == 1
    assert list(world.store.lines) == [run.id]


# -- secrets ---------------------------------------------------------------------------------------


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


# -- what is refused at once -----------------------------------------------------------------------


async def test_no_run_without_a_proved_guard(world: World):
    """A guard that is not proved refuses every run, with its own sentence."""
    world.guard.status = GuardStatus(detail="a sandbox reaches the host at 10.231.0.1")
    with pytest.raises(NotReadyError, match=r"reaches the host at 10\.231\.0\.1"):
        await world.service.create(request())
    assert world.store.runs == {}


async def test_no_run_without_the_proxy(world: World):
    """A proxy that is not connected refuses every run."""
    world.link.is_connected = False
    with pytest.raises(NotReadyError, match="proxy"):
        await world.service.create(request())
    assert world.store.runs == {}


async def test_no_run_without_the_engine(world: World):
    """A dead engine is said to be dead."""
    world.engine.is_down = True
    with pytest.raises(NotReadyError, match="engine"):
        await world.service.create(request())
    world.engine.is_down = False
    assert world.store.runs == {}


async def test_unknown_policy_image_and_runtime(world: World):
    """Each is refused by name before anything is made."""
    with pytest.raises(NotFoundError, match="nonsense"):
        await world.service.create(request(policy_name="nonsense"))
    with pytest.raises(NotFoundError, match="orchbox/none:local") as caught:
        await world.service.create(request(image="orchbox/none:local"))
    assert caught.value.hint == "make images"
    with pytest.raises(InvalidInputError, match="runsc"):
        await world.service.create(request(isolation=Isolation.RUNSC))
    assert world.store.runs == {}
    world.assert_nothing_left()


@pytest.mark.parametrize("defect", ["broken", "swapped"])
async def test_isolation_that_is_not_the_one_asked_for(defect: str):
    """A runtime that is listed and does not start, or is another: the run fails by its name, agent untouched."""
    engine = FakeEngine({"proxy": None}, runtimes=frozenset({"runc", "runsc"}))
    world = build(engine)
    received: list[bytes] = []

    async def init(process: FakeProcess) -> int:
        received.append(await process.stdin.read())
        return 0

    engine.add_image(IMAGE, init)
    await engine.create_network(NetworkSpec("egress", None, None, None, is_internal=False, labels={}))
    await engine.create("the-proxy", {"Image": "proxy", "HostConfig": {"NetworkMode": "egress"}})
    if defect == "broken":
        engine.broken_runtimes = {"runsc"}
    else:
        engine.swapped_runtime = "runc"
    await world.service.start()
    run = await world.run(isolation=Isolation.RUNSC, secrets={"API_KEY": Secret("marker")})
    await world.service.close()

    assert run.state is RunState.FAILED
    assert run.error
    assert run.error.code == "INTERNAL_ERROR"
    assert "isolation runsc" in run.error.message
    assert "orch doctor" in run.error.message
    assert not any(received), "the agent's message was handed over"
    world.assert_nothing_left()
    await engine.close()


async def test_apparmor_is_named_where_the_engine_has_it():
    """The engine's own word decides, for each run."""
    for has_apparmor in (True, False):
        engine = FakeEngine({"proxy": None}, has_apparmor=has_apparmor)
        world = build(engine)
        options: list[list[str]] = []

        async def init(process: FakeProcess, seen: list[list[str]] = options) -> int:
            seen.append(process.config["HostConfig"]["SecurityOpt"])
            return 0

        engine.add_image(IMAGE, init)
        await engine.create_network(NetworkSpec("egress", None, None, None, is_internal=False, labels={}))
        await engine.create("the-proxy", {"Image": "proxy", "HostConfig": {"NetworkMode": "egress"}})
        await world.service.start()
        await world.run()
        await world.service.close()
        await engine.close()
        assert ["apparmor=docker-default" in each for each in options] == [has_apparmor]


async def test_unknown_run(world: World):
    """Every question about a run that is not there says so."""
    for ask in (world.service.get, world.service.cancel, world.service.decisions):
        with pytest.raises(NotFoundError, match="nothere"):
            await ask("nothere")
    with pytest.raises(NotFoundError):
        _ = [event async for event in world.service.events("nothere")]


async def test_cancelling_what_has_ended_is_a_conflict(world: World):
    """A run ends once."""
    world.agent = answer
    run = await world.run()
    with pytest.raises(ConflictError, match="completed"):
        await world.service.cancel(run.id)


# -- start and stop --------------------------------------------------------------------------------


async def test_start_reaps_what_a_dead_daemon_left():
    """Sandboxes, probes, helpers and networks of this instance go; others' and the proxy stay."""
    engine = FakeEngine({IMAGE: None})
    for role in ("sandbox", "probe", "helper", "proxy"):
        await engine.create(role, {"Image": IMAGE, "Labels": labels.labels("default", role)})
    await engine.create("theirs", {"Image": IMAGE, "Labels": labels.labels("other", "sandbox")})
    for name, instance, role in (
        ("n1", "default", "network"),
        ("n2", "other", "network"),
        ("egress", "default", "proxy"),
    ):
        marks = labels.labels(instance, role)
        await engine.create_network(NetworkSpec(name, None, None, None, is_internal=True, labels=marks))
    world = build(engine)
    stale = Run("old", "a", "p", Isolation.RUNC, RunState.RUNNING, 0.0)
    await world.store.create(stale)
    await world.service.start()
    assert set(engine.by_name) == {"proxy", "theirs"}
    assert set(engine.by_network) == {"n2", "egress"}
    assert world.store.runs["old"].state is RunState.FAILED


async def test_close_ends_every_run(world: World):
    """A daemon that stops leaves no sandbox and no open run."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    await world.service.close()
    final = await world.service.get(run.id)
    assert (final.state, final.error and final.error.message) == (
        RunState.CANCELLED,
        "the daemon was stopped",
    )
    world.assert_nothing_left()


async def test_events_of_a_run_of_an_earlier_daemon(world: World):
    """A run whose events are gone still tells how it ended."""
    await world.store.create(Run("old", "a", "p", Isolation.RUNC, RunState.COMPLETED, 1.0, finished_at=2.0))
    (event,) = [event async for event in world.service.events("old")]
    assert (event.kind, event.data, event.at) == ("state", {"state": "completed"}, 2.0)


async def test_recent_runs_come_newest_first(world: World):
    """The list starts with the last run."""
    world.agent = answer
    first, second = await world.run(), await world.run()
    assert [run.id for run in await world.service.recent(10)] == [second.id, first.id]


async def test_checks_name_what_is_wrong_and_what_helps(world: World):
    """Readiness is engine, proxy and guard, each with a sentence and a remedy."""
    assert [(c.name, c.is_ok) for c in await world.service.checks()] == [
        ("engine", True),
        ("proxy", True),
        ("guard", True),
    ]
    world.engine.is_down = True
    world.link.is_connected = False
    world.guard.status = GuardStatus()
    checks = await world.service.checks()
    world.engine.is_down = False
    assert not any(c.is_ok for c in checks)
    assert all(c.detail and c.remedy for c in checks)


async def test_the_guard_s_own_remedy_is_shown(world: World):
    """Where waiting does not help, the check says what does."""
    world.guard.status = GuardStatus(detail="no chain", remedy="restart Docker")
    (guard,) = [c for c in await world.service.checks() if c.name == "guard"]
    assert (guard.is_ok, guard.detail, guard.remedy) == (False, "no chain", "restart Docker")


# -- secrets ---------------------------------------------------------------------------------------


async def heads(world: World, **changes: Any) -> tuple[Run, dict[str, Any]]:
    """A run, and what its init was told."""
    seen: dict[str, Any] = {}

    async def look(process: FakeProcess, head: dict[str, Any]) -> int:
        seen.update(head)
        process.write(STDOUT, json.dumps(head["secrets"]).encode())
        return 0

    world.agent = look
    return await world.run(**changes), seen


async def test_the_vault_has_what_the_caller_has_not(world: World):
    """It is asked for the wanted names that were not given, for this run and agent; what was given wins."""
    world.vault.workspaces["team"] = {"ONE": "vault-one", "TWO": "vault-two", "OPENAI_API_KEY": "vault-key"}
    needs = Needs(required=("ONE", "TWO"), optional=("NICE",), providers=("openai",))

    run, head = await heads(world, needs=needs, workspace="team", secrets={"ONE": Secret("given-one")})

    assert world.vault.reads == [("team", {"TWO", "NICE", "OPENAI_API_KEY"}, run.id, "acme/test")]
    assert head["secrets"] == {"ONE": "given-one", "TWO": "vault-two", "OPENAI_API_KEY": "vault-key"}
    assert (head["env"]["LLM_PROVIDER"], head["env"]["LLM_MODEL"]) == ("openai", "gpt-5.2")
    assert run.result == {"ONE": "***", "TWO": "***", "OPENAI_API_KEY": "***"}


async def test_the_vault_is_not_asked_for_nothing(world: World):
    """A run whose secrets were all given, or that needs none, reads nothing."""
    await heads(world)
    await heads(world, needs=Needs(required=("ONE",)), secrets={"ONE": Secret("given-one")})

    assert world.vault.reads == []


@pytest.mark.parametrize(
    ("needs", "error"),
    [
        (Needs(required=("ONE",)), MissingSecretsError),
        (Needs(providers=("any",)), LlmKeyRequiredError),
        (Needs(provider="ollama"), InvalidInputError),
    ],
)
async def test_a_run_without_its_secrets_is_never_started(world: World, needs: Needs, error: type[Exception]):
    """Refused at once: no record, no container, no network, no grant."""
    with pytest.raises(error):
        await world.service.create(request(needs=needs))

    assert world.store.runs == {}
    assert world.link.log == []
    world.assert_nothing_left()


async def test_a_vault_that_fails_starts_nothing(world: World):
    """Its error is the caller's answer."""
    world.vault.error = NotReadyError("the vault is locked")

    with pytest.raises(NotReadyError, match="locked"):
        await world.service.create(request(needs=Needs(required=("ONE",))))

    assert world.store.runs == {}


async def test_a_service_without_a_vault_has_what_was_given(world: World):
    """Nothing more is needed for a run that brings its secrets."""
    world.service._vault = None

    _, head = await heads(world, needs=Needs(required=("ONE",)), secrets={"ONE": Secret("given-one")})

    assert head["secrets"] == {"ONE": "given-one"}
