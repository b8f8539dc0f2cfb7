"""The account: what is held, what is spent, what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from proxy.policy.model import Budgets
from proxy.policy.reasons import ReasonCode
from runtime.llm.plan.budget import Hold, Spending, Usage, estimate_tokens
from runtime.model.needs import LlmSpent

NONE = Decimal(0)


def test_without_budgets_nothing_is_refused() -> None:
    """But all is counted."""
    spending = Spending(Budgets())
    for _ in range(3):
        hold = spending.hold(10**9, Decimal(10**6))
        assert isinstance(hold, Hold)
        spending.settle(hold, Usage(5, 6), Decimal("0.5"))

    assert (spending.tokens, spending.usd, spending.calls) == (33, Decimal("1.5"), 3)


def test_alone_a_call_may_begin_while_anything_is_left() -> None:
    """And be the one that crosses the limit."""
    spending = Spending(Budgets(llm_tokens=10))
    hold = spending.hold(1000, NONE)
    assert isinstance(hold, Hold)
    spending.settle(hold, Usage(9, 3), None)

    assert spending.hold(1, NONE) is ReasonCode.BUDGET_TOKENS
    assert (spending.tokens, spending.unpriced_calls) == (12, 1)


@pytest.mark.parametrize(("wanted", "fits"), [(40, True), (41, False)])
def test_calls_at_one_time_share_what_is_left(wanted: int, fits: bool) -> None:
    """The second one must fit beside the first."""
    spending = Spending(Budgets(llm_tokens=100))
    assert isinstance(spending.hold(60, NONE), Hold)

    assert isinstance(spending.hold(wanted, NONE), Hold) is fits


def test_dollars_have_a_code_of_their_own() -> None:
    """Exact to the millionth."""
    spending = Spending(Budgets(llm_usd=Decimal("0.3")))
    for _ in range(3):
        hold = spending.hold(1, Decimal("0.1"))
        assert isinstance(hold, Hold)
        spending.settle(hold, Usage(1, 1), Decimal("0.1"))

    assert spending.hold(1, NONE) is ReasonCode.BUDGET_COST


def test_a_call_that_used_nothing_is_none() -> None:
    """What it held is free again."""
    spending = Spending(Budgets(llm_tokens=100))
    hold = spending.hold(90, NONE)
    assert isinstance(hold, Hold)
    spending.settle(hold, Usage(), None)

    assert (spending.calls, spending.held, spending.unpriced_calls) == (0, [], 0)
    assert isinstance(spending.hold(90, NONE), Hold)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (3, 1), (4, 2), (3000, 1000)])
def test_an_estimate_rounds_up(size: int, tokens: int) -> None:
    """Three bytes a token."""
    assert tokens == estimate_tokens(size)


@pytest.mark.parametrize(
    "budgets", [Budgets(llm_tokens=100), Budgets(llm_usd=Decimal("0.1"))], ids=["tokens", "dollars"]
)
def test_several_answers_have_to_fit_also_alone(budgets: Budgets) -> None:
    """One answer may cross the limit; a hundred would cross it a hundred times."""
    spending = Spending(budgets)

    assert isinstance(spending.hold(101, Decimal("0.2"), answers=2), ReasonCode)
    assert spending.held == []
    assert isinstance(spending.hold(100, Decimal("0.1"), answers=2), Hold)


def test_what_was_spent_before_counts():
    """A run that goes on under another daemon has what is left of its budgets, in tokens and in dollars."""
    for budgets, reason in (
        (Budgets(llm_tokens=10), ReasonCode.BUDGET_TOKENS),
        (Budgets(llm_usd=Decimal("0.5")), ReasonCode.BUDGET_COST),
    ):
        spending = Spending(budgets)
        spending.take_over(LlmSpent(9, 0.4))
        hold = spending.hold(1, Decimal("0.1"))
        assert isinstance(hold, Hold)
        spending.settle(hold, Usage(1, 0), Decimal("0.1"))
        assert spending.hold(1, NONE) is reason
