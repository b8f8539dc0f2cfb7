"""A secret of the vault that changes while a run has it: the proxy is told before the caller."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from runtime.engine.fake import FakeProcess
from runtime.engine.protocol import STDOUT
from runtime.model.needs import Needs
from runtime.model.run import Run
from runtime.model.secret import Secret
from tests.unit.runtime.run_world import World, request

KEY = "OPENAI_API_KEY"
RULE = AllowRule("p.allow[0]", HostPattern("api.openai.com"), credential=KEY, pin_credential=True)
NEEDS = Needs(required=("DB_PASSWORD",), providers=("openai",))


@pytest.fixture
def go_on() -> asyncio.Event:
    """Lets the agent end."""
    return asyncio.Event()


@pytest.fixture
def keyed(world: World, go_on: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> World:
    """A policy that binds the key, a vault that has it, an agent that waits and then prints both values."""
    monkeypatch.setattr(world.service, "_policies", lambda name: Policy(name, allow=(RULE,)))
    world.vault.workspaces["default"] = {KEY: "sk-first-value", "DB_PASSWORD": "first-password"}

    async def wait(process: FakeProcess, head: dict[str, Any]) -> int:
        await go_on.wait()
        process.write(STDOUT, b'"sk-second-value first-password"')
        return 0

    world.agent = wait
    return world


def granted(world: World, run: Run) -> dict[str, tuple[str, bool]]:
    """What the proxy has for the run: name -> value, and whether it is brokered."""
    secrets = world.link.grants[run.id].secrets
    return {s.name: (s.value, s.placeholder is not None) for s in secrets}


async def test_a_new_value_reaches_the_proxy_and_the_redactor(keyed: World, go_on: asyncio.Event):
    """The sandbox keeps its placeholder; what it prints of the new value is masked too."""
    run = await keyed.service.create(request(needs=NEEDS))
    await keyed.until_running(run)
    before = keyed.link.grants[run.id]

    await keyed.service.secret_changed({"default"}, KEY, Secret("sk-second-value"))

    assert granted(keyed, run) == {KEY: ("sk-second-value", True), "DB_PASSWORD": ("first-password", False)}
    after = keyed.link.grants[run.id]
    assert after.revision == before.revision + 1
    assert {s.placeholder for s in after.secrets} == {s.placeholder for s in before.secrets}
    go_on.set()
    assert (await keyed.end_of(run)).result.parse() == "*** ***"


async def test_a_deleted_key_leaves_the_grant(keyed: World, go_on: asyncio.Event):
    """What the sandbox holds itself goes on being looked for."""
    run = await keyed.service.create(request(needs=NEEDS))
    await keyed.until_running(run)

    await keyed.service.secret_changed({"default"}, KEY, None)
    await keyed.service.secret_changed({"default"}, "DB_PASSWORD", None)

    assert granted(keyed, run) == {"DB_PASSWORD": ("first-password", False)}
    go_on.set()
    await keyed.end_of(run)


async def test_a_value_that_was_given_is_the_callers(keyed: World, go_on: asyncio.Event):
    """A change in the vault is none of a run that brought its own key."""
    given = {KEY: Secret("sk-of-the-caller")}
    run = await keyed.service.create(request(needs=NEEDS, secrets=given))
    await keyed.until_running(run)

    await keyed.service.secret_changed({"default"}, KEY, Secret("sk-second-value"))

    assert granted(keyed, run)[KEY] == ("sk-of-the-caller", True)
    go_on.set()
    await keyed.end_of(run)


async def test_a_change_while_the_sandbox_is_made_is_not_lost(keyed: World, go_on: asyncio.Event):
    """The key that was replaced is never used, however early that was."""

    async def change() -> None:
        keyed.link.before_grant = None
        await keyed.service.secret_changed({"default"}, KEY, Secret("sk-second-value"))

    keyed.link.before_grant = change
    run = await keyed.service.create(request(needs=NEEDS))
    await keyed.until_running(run)
    while keyed.link.log.count("grant") < 2:
        await asyncio.sleep(0)

    assert granted(keyed, run)[KEY] == ("sk-second-value", True)
    go_on.set()
    await keyed.end_of(run)


async def test_nothing_is_watched_once_a_run_is_over(keyed: World, go_on: asyncio.Event):
    """Nor when it never began."""
    go_on.set()
    await keyed.run(needs=NEEDS)
    keyed.vault.error = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        await keyed.service.create(request(needs=NEEDS))
    assert keyed.service._live._runs == {}
