"""runtime.keeper.spent: what a run's LLM calls took, added up from the events that tell of them."""

from __future__ import annotations

import pytest

from runtime.keeper.messages import Adopted, Entry
from runtime.keeper.spent import with_call
from runtime.model.needs import LlmSpent
from tests.unit.runtime.keeper.scene import Scene, leave, until

CALL = {"tokens_in": 10, "tokens_out": 5, "cost_usd": 0.25, "model": "m"}


def test_calls_add_up():
    """Those that failed took tokens, too; a price that nobody knows is none."""
    spent = with_call(LlmSpent(), "llm_call_succeeded", CALL)
    spent = with_call(spent, "llm_call_failed", {**CALL, "cost_usd": None})
    assert spent == LlmSpent(30, 0.25)


@pytest.mark.parametrize("kind", ["log", "decision", "fallback_transition", "llm_call_begun"])
def test_other_events_change_nothing(kind: str):
    """Whatever they have in them."""
    assert with_call(LlmSpent(1, 2.0), kind, CALL) == LlmSpent(1, 2.0)


@pytest.mark.parametrize("value", [None, "12", -3, [], {}])
def test_what_is_no_number_takes_nothing_and_gives_nothing_back(value: object):
    """A budget never grows by it."""
    assert with_call(LlmSpent(7, 1.0), "llm_call_failed", dict.fromkeys(CALL, value)) == LlmSpent(7, 1.0)


async def test_the_next_daemon_is_told(scene: Scene):
    """By the keeper, which has seen every one of them."""
    daemon = await scene.begin()
    for _ in range(3):
        daemon.tell("llm_call_succeeded", CALL)
    seen = 0
    while seen < 3:
        seen += (await until(daemon, Entry)).kind == "llm_call_succeeded"
    await leave(daemon)

    adopted = await (await scene.daemon()).adopt()

    assert isinstance(adopted, Adopted)
    assert (adopted.llm_tokens, adopted.llm_usd) == (45, 0.75)
