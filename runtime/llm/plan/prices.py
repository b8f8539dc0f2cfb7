"""What a call costs, by the price list that genai-prices ships. It is never updated over the network here.

The package fetches only when `UpdatePrices` is started, which nothing in Orchbox does (a test says so).
"""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any

from runtime.llm.plan.budget import Usage
from runtime.llm.plan.chain import Route
from runtime.model.llm_providers import HOSTED

_MILLIONTH = Decimal("0.000001")


@functools.cache
def load() -> Any:
    """The package with its list read: 0.2 s and 5 MiB, so at the first call and in a thread."""
    import genai_prices  # noqa: PLC0415
    from genai_prices import data  # noqa: F401, PLC0415

    return genai_prices


def price(route: Route, usage: Usage) -> Decimal | None:
    """US dollars, rounded up to a millionth; None where the list does not know the model."""
    prices = load()
    cached = min(usage.cached_in, usage.tokens_in)
    amounts = prices.Usage(
        input_tokens=usage.tokens_in, cache_read_tokens=cached or None, output_tokens=usage.tokens_out
    )
    listed_as = HOSTED[route.provider].price_list or route.provider
    try:
        found = prices.calc_price(amounts, route.model, provider_id=listed_as).total_price
    except (LookupError, ValueError):  # an unknown model; a usage that the model's price does not cover
        return None
    cost: Decimal = found.quantize(_MILLIONTH, rounding="ROUND_CEILING")
    return cost
