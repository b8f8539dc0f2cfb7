"""What the service refuses at once, what it takes from the vault, and what it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.model import Policy
from runtime.containers import labels
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDOUT, NetworkSpec
from runtime.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    StoppingError,
)
from runtime.keys.settle import LlmKeyRequiredError, MissingSecretsError
from runtime.model.limits import Isolation
from runtime.model.needs import Needs
from runtime.model.run import Run, RunState
from runtime.model.secret import Secret
from tests.unit.runtime.run_world import IMAGE, INSTALLATION, World, answer, build, hang, request


async def test_a_secret_that_cannot_be_delivered_is_refused_at_once(world: World):
    """Before anything is made for the run."""
    with pytest.raises(InvalidInputError, match="secret API_KEY: its value"):
        await world.service.create(request(secrets={"API_KEY": Secret("")}))
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


async def test_start_reaps_what_a_dead_daemon_left(tmp_path: Path):
    """Sandboxes, probes, helpers and networks of this instance go; others' and the proxy stay."""
    engine = FakeEngine({IMAGE: None}, marks={labels.INSTALLATION: INSTALLATION})
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
    world = build(engine, tmp_path)
    stale = Run("old", "a", "p", Isolation.RUNC, RunState.RUNNING, 0.0)
    await world.store.create(stale)
    await world.service.start()
    assert set(engine.by_name) == {"proxy", "theirs"}
    assert set(engine.by_network) == {"n2", "egress"}
    assert world.store.runs["old"].state is RunState.FAILED


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
    assert run.result.parse() == {"ONE": "***", "TWO": "***", "OPENAI_API_KEY": "***"}


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


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"secrets": {"LD_PRELOAD": Secret("/tmp/evil.so")}}, "LD_PRELOAD"),
        ({"needs": Needs(required=("NODE_OPTIONS",))}, "NODE_OPTIONS"),
        ({"needs": Needs(optional=("HTTPS_PROXY", "A_KEY"))}, "HTTPS_PROXY"),
        ({"env": {"https_proxy": "http://other:1"}}, "https_proxy"),
        ({"env": {"PATH": "/tmp"}, "secrets": {"SSL_CERT_FILE": Secret("x")}}, "PATH, SSL_CERT_FILE"),
    ],
)
async def test_variables_of_the_sandbox_are_nobodys_to_set(world: World, changes: dict[str, Any], named: str):
    """Refused at once, named, with a remedy and without a value; whether given, declared or in the vault."""
    world.vault.workspaces["default"] = {"NODE_OPTIONS": "--require ./x", "HTTPS_PROXY": "http://other:1"}

    with pytest.raises(InvalidInputError, match=f"^{named}: no run may set this") as told:
        await world.service.create(request(**changes))

    assert "another name" in (told.value.hint or "")
    assert "evil" not in told.value.message
    assert world.store.runs == {}
    assert world.vault.reads == []


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {"A": "x" * (4 << 20)}},
        {"secrets": {f"KEY_{n}": Secret("x" * 16_000) for n in range(300)}},
        {"argv": ("sh", "-c", "\u00fc" * 700_000)},
    ],
)
async def test_a_head_that_no_init_reads_is_refused_at_once(world: World, changes: dict[str, Any]):
    """Not in the sandbox, as an error of the agent's."""
    with pytest.raises(InvalidInputError, match="command, environment and secrets take"):
        await world.service.create(request(**changes))
    assert world.store.runs == {}


async def test_a_service_that_stops_takes_no_run(world: World):
    """And says when to come again; those that there are go on, and are waited for."""
    world.agent = hang
    run = await world.service.create(request())
    await world.until_running(run)
    assert all(check.is_ok for check in await world.service.checks())

    world.service.refuse_runs(patience_s=100)

    with pytest.raises(StoppingError, match="stops") as refused:
        await world.service.create(request())
    assert 100 < refused.value.retry_after_s <= 105
    assert [check.name for check in await world.service.checks() if not check.is_ok] == ["daemon"]
    idle = asyncio.create_task(world.service.until_idle())
    await asyncio.sleep(0)
    assert not idle.done()
    assert (await world.service.get(run.id)).state is RunState.RUNNING
    await world.service.cancel(run.id)
    await asyncio.wait_for(idle, 30)


async def test_a_run_that_was_being_accepted_as_it_stopped_is_refused(world: World):
    """The vault and the policy are waited for: it must not begin behind the end."""
    policies = world.service._policies

    def slow(name: str) -> Policy:
        world.service.refuse_runs(patience_s=0)
        return policies(name)

    world.service._policies = slow
    with pytest.raises(StoppingError):
        await world.service.create(request())
    assert world.store.runs == {}
    world.assert_nothing_left()
