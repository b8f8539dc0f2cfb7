"""A run's door to the LLM router: open for an agent with a chain, with the run's own keys, closed with it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from proxy.policy.llm import has_llm
from proxy.policy.model import Policy
from runtime.engine.fake import FakeProcess
from runtime.llm.door import LlmRoutes
from runtime.llm.session import LlmSessions
from runtime.model.needs import LlmChain, LlmSpent, Needs
from runtime.model.run import RunState
from runtime.model.secret import Secret
from tests.unit.runtime.run_world import World, request, world

__all__ = ["world"]

CHAIN = Needs(llm=LlmChain("openai/gpt-5-mini", ("claude-opus-4-5",)))
KEYS = {"OPENAI_API_KEY": Secret("sk-one-0123"), "DB_PASSWORD": Secret("not-an-llm-key")}


def no_event(_kind: str, _data: dict[str, object]) -> None:
    """Nobody listens."""


async def test_a_run_without_a_chain_has_no_door():
    """Its policy is as it was."""
    sessions = LlmSessions()
    policy = Policy("p")
    assert LlmRoutes(sessions).open("run", request(secrets=KEYS), policy, no_event) is policy
    assert sessions.get("run") is None


async def test_a_chain_opens_it_with_the_runs_llm_keys_alone():
    """By provider; other secrets are none of the router's."""
    sessions = LlmSessions()
    routes = LlmRoutes(sessions)

    policy = routes.open("run", request(needs=CHAIN, secrets=KEYS), Policy("p"), no_event)

    session = sessions.get("run")
    assert session is not None
    assert has_llm(policy)
    assert [str(route) for route in session.chain] == ["openai/gpt-5-mini", "anthropic/claude-opus-4-5"]
    assert {name: key.reveal() for name, key in session.secrets.items()} == {"openai": "sk-one-0123"}
    await routes.close("run")
    await routes.close("run")
    assert sessions.get("run") is None


async def test_what_an_earlier_daemon_counted_is_spent():
    """Against the budgets of the run's policy."""
    sessions = LlmSessions()
    LlmRoutes(sessions).open("run", request(needs=CHAIN), Policy("p"), no_event, LlmSpent(42, 0.5))
    session = sessions.get("run")
    assert session is not None
    assert (session.spending.tokens, session.spending.usd) == (42, Decimal("0.5"))
    await sessions.aclose()


async def test_a_key_that_changes_is_used_from_the_next_call_on():
    """Another value, none, and names that are no LLM key's or of no run."""
    sessions = LlmSessions()
    routes = LlmRoutes(sessions)
    routes.open("run", request(needs=CHAIN, secrets=KEYS), Policy("p"), no_event)
    session = sessions.get("run")
    assert session is not None

    routes.replace_secret("run", "OPENAI_API_KEY", Secret("sk-two-0123"))
    routes.replace_secret("run", "DB_PASSWORD", Secret("x"))
    routes.replace_secret("another", "OPENAI_API_KEY", Secret("x"))

    assert {name: key.reveal() for name, key in session.secrets.items()} == {"openai": "sk-two-0123"}
    assert session.redact("sk-two-0123") == "***"
    routes.replace_secret("run", "OPENAI_API_KEY", None)
    assert session.secrets == {}
    await sessions.aclose()


class Llm:
    """A `ports.LlmPort` that tells of an event and notes what it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed: list[str] = []
        self.error = error

    def open(self, _run_id: str, _request: Any, policy: Policy, on_event: Any, _spent: Any) -> Policy:
        """Open, or fail."""
        if self.error is not None:
            raise self.error
        on_event("fallback_transition", {"from": "a", "to": "b", "reason": "timeout"})
        return policy

    def replace_secret(self, _run_id: str, _name: str, _value: Secret | None) -> None:
        """Nothing."""

    async def close(self, run_id: str) -> None:
        """Note it."""
        self.closed.append(run_id)


async def test_the_routers_events_are_the_runs(world: World):
    """They come with the others, and the door is closed with the run."""
    llm = world.service._driver._llm = Llm()

    async def agent(_process: FakeProcess, _head: dict[str, Any]) -> int:
        await asyncio.sleep(0)
        return 0

    world.agent = agent
    run = await world.service.create(request())
    events = [event async for event in world.service.events(run.id)]

    told = [(event.kind, event.data) for event in events if event.kind == "fallback_transition"]
    assert told == [("fallback_transition", {"from": "a", "to": "b", "reason": "timeout"})]
    assert llm.closed == [run.id]


@pytest.mark.parametrize("error", [ValueError("no such model"), RuntimeError("broken")])
async def test_a_door_that_cannot_be_opened_starts_no_agent(world: World, error: Exception):
    """The run fails, with nothing made and nothing left."""
    llm = world.service._driver._llm = Llm(error)
    final = await world.run()

    assert final.state is RunState.FAILED
    assert llm.closed == [final.id]
    assert world.link.log == []
    world.assert_nothing_left()
