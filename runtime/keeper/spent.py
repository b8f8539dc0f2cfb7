"""What a run has spent on LLM calls, as its daemon's router tells: the next daemon goes on counting. Pure.

The keeper counts, since a story has room for so many events only. What a daemon that was killed had under way
is counted by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.model.needs import LlmSpent

KINDS = frozenset({"llm_call_succeeded", "llm_call_failed"})
"""The router's events that tell of tokens (`runtime.llm.call`)."""


def with_call(spent: LlmSpent, kind: str, data: Mapping[str, object]) -> LlmSpent:
    """With one more event; those that tell of no call change nothing."""
    if kind not in KINDS:
        return spent
    tokens = sum(int(_number(data.get(name))) for name in ("tokens_in", "tokens_out"))
    return LlmSpent(spent.tokens + tokens, spent.usd + _number(data.get("cost_usd")))


def _number(value: object) -> float:
    """None is a price that nobody knows; the router tells of nothing below zero."""
    return max(0, value) if isinstance(value, int | float) else 0
