"""A sandbox is made of its own network, grant and container, and nothing of it is left whatever happens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import NetworkSpec
from runtime.errors import (
    EngineUnavailableError,
    InvalidInputError,
    NotReadyError,
)
from runtime.keys.placeholders import placeholder_for
from runtime.model.run import RunError, RunState
from runtime.model.secret import Secret
from tests.unit.runtime.run_world import IMAGE, World, answer, build, request


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


async def test_a_proxy_that_refuses_the_grant_ends_the_run(world: World):
    """A policy that the proxy cannot enforce starts nothing."""

    async def refuse() -> None:
        raise InvalidInputError("the proxy cannot enforce this policy")

    world.link.before_grant = refuse
    run = await world.run()
    assert run.error == RunError("INTERNAL_ERROR", "the proxy cannot enforce this policy")
    assert not any(c.startswith("create orchbox-default-") for c in world.engine.calls)
    world.assert_nothing_left()


async def test_apparmor_is_named_where_the_engine_has_it(tmp_path: Path):
    """The engine's own word decides, for each run."""
    for has_apparmor in (True, False):
        engine = FakeEngine({"proxy": None}, has_apparmor=has_apparmor)
        world = build(engine, tmp_path)
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


async def test_a_placeholder_is_made_once_a_run(world: World, monkeypatch: pytest.MonkeyPatch):
    """What was delivered when the run was accepted is what the grant and the sandbox have."""
    made: list[str] = []

    def note(name: str, value: Secret) -> str:
        made.append(placeholder_for(name, value))
        return made[-1]

    monkeypatch.setattr("runtime.keys.placeholders.placeholder_for", note)
    rule = AllowRule("t.allow[0]", HostPattern("llm.test"), credential="API_KEY")
    monkeypatch.setattr(world.service, "_policies", lambda _name: Policy("llm-only", allow=(rule,)))
    seen: list[str | None] = []

    async def look(process: FakeProcess, head: dict[str, Any]) -> int:
        (grant,) = world.link.grants.values()
        seen.extend((head["secrets"]["API_KEY"], grant.secrets[0].placeholder))
        return 0

    world.agent = look
    await world.run(secrets={"API_KEY": Secret("marker-secret")})

    assert seen == made * 2
    assert len(made) == 1
