"""What a run has spent on LLM calls, and may. Pure: amounts in, a verdict out.

A call that is under way holds what it may use (its input, and the output it asks for), so that calls at
one time cannot each spend the rest. One that is alone, and asks for one answer, may always begin while
anything is left: only then can a budget be overrun, by no more than that one answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from proxy.policy.model import Budgets
from proxy.policy.reasons import ReasonCode
from runtime.model.needs import LlmSpent

DEFAULT_OUTPUT_TOKENS = 4096
"""Held for a call that does not say how much it wants."""
BYTES_PER_TOKEN = 3
"""Of JSON or text. English has more than four; the estimate is meant to be too high rather than too low."""


class Usage(NamedTuple):
    """The tokens that one call took."""

    tokens_in: int = 0
    tokens_out: int = 0
    cached_in: int = 0
    """Of `tokens_in`, read from the provider's cache at its lower price."""
    is_estimated: bool = False

    @property
    def total(self) -> int:
        """The tokens that count against the budget `llm_tokens`."""
        return self.tokens_in + self.tokens_out


def estimate_tokens(size_bytes: int) -> int:
    """At most so many tokens, for all but odd texts."""
    return -(-size_bytes // BYTES_PER_TOKEN)


@dataclass(slots=True, eq=False)
class Hold:
    """What a call under way may use."""

    tokens: int
    usd: Decimal


@dataclass(slots=True)
class Spending:
    """What one run has spent of its LLM budgets, and what calls under way may still spend."""

    budgets: Budgets
    tokens: int = 0
    usd: Decimal = Decimal(0)
    calls: int = 0
    """Upstream requests that counted."""
    unpriced_calls: int = 0
    """Calls whose cost is not known and so not in `usd`."""
    held: list[Hold] = field(default_factory=list)

    def hold(self, tokens: int, usd: Decimal, *, answers: int = 1) -> Hold | ReasonCode:
        """Begin a call that asks for so many answers, or why not."""
        most_tokens, most_usd = self.budgets.llm_tokens, self.budgets.llm_usd
        must_fit = bool(self.held) or answers > 1
        if most_tokens is not None and _is_over(
            self.tokens, self._sum("tokens") + tokens, most_tokens, must_fit=must_fit
        ):
            return ReasonCode.BUDGET_TOKENS
        if most_usd is not None and _is_over(self.usd, self._sum("usd") + usd, most_usd, must_fit=must_fit):
            return ReasonCode.BUDGET_COST
        hold = Hold(tokens, usd)
        self.held.append(hold)
        return hold

    def settle(self, hold: Hold, usage: Usage, usd: Decimal | None) -> None:
        """End a call that `hold` began; `usd` is None where no price is known."""
        self.held.remove(hold)
        if usage.total == 0:
            return
        self.calls += 1
        self.tokens += usage.total
        if usd is None:
            self.unpriced_calls += 1
        else:
            self.usd += usd

    def take_over(self, spent: LlmSpent) -> None:
        """Count what the run spent before this daemon."""
        self.tokens += spent.tokens
        self.usd += Decimal(str(spent.usd))

    def _sum(self, what: str) -> Any:
        return sum(getattr(hold, what) for hold in self.held)


def _is_over[N: (int, Decimal)](spent: N, wanted: N, most: N, *, must_fit: bool) -> bool:
    return spent >= most or (must_fit and spent + wanted > most)
