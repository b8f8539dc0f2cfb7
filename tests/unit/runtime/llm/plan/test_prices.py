"""What a call costs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from runtime.llm.plan.budget import Usage
from runtime.llm.plan.chain import Route
from runtime.llm.plan.prices import price


@pytest.mark.parametrize(
    "route",
    [
        Route("openai", "gpt-5-mini"),
        Route("anthropic", "claude-opus-4-5-20251101"),
        Route("gemini", "gemini-2.5-pro"),
    ],
)
def test_known_models_have_a_price(route: Route) -> None:
    """Cached input costs less, and nothing costs nothing."""
    plain, cached = price(route, Usage(1000, 10)), price(route, Usage(1000, 10, cached_in=900))

    assert plain is not None
    assert cached is not None
    assert 0 < cached < plain
    assert price(route, Usage()) == 0


def test_a_price_is_rounded_up_to_a_millionth() -> None:
    """No call is free for being small."""
    assert price(Route("openai", "gpt-5-mini"), Usage(1, 0)) == Decimal("0.000001")


def test_an_unknown_model_has_none() -> None:
    """None, not 0."""
    assert price(Route("openai", "gpt-unheard-of"), Usage(1, 1)) is None
