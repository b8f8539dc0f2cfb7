"""From what is asked to what is tried, in order. Pure.

`default` walks the manifest's chain; a named model goes to its provider and nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from proxy.policy.reasons import ReasonCode
from runtime.model.llm_providers import HOSTED, MAX_MODEL_CHARS, split_model

DEFAULT = "default"


class FailureKind(enum.StrEnum):
    """Why an attempt failed: a closed set, part of the events. OTHER is what nothing else fits."""

    OTHER = "other"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REFUSED_BY_POLICY = "refused_by_policy"
    """The run's own policy does not let the daemon ask this host."""


_RETRYABLE = frozenset(
    (
        FailureKind.RATE_LIMITED,
        FailureKind.SERVER_ERROR,
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION_ERROR,
    )
)


def is_retryable(failure: FailureKind) -> bool:
    """Whether the next entry of the chain is asked. All else would fail there too, or hide a mistake."""
    return failure in _RETRYABLE


class Route(NamedTuple):
    """A model of one provider, as an entry of a chain names it."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Skipped(NamedTuple):
    """An entry of the chain that is not tried."""

    route: Route
    reason: str
    """`no_key` or `no_price`."""
    then: Route | None
    """The entry that is tried in its place."""


class Plan(NamedTuple):
    """What a request leads to; `attempts` is never empty."""

    attempts: tuple[Route, ...]
    skipped: tuple[Skipped, ...]


class NoRouteError(ValueError):
    """Nothing can be asked; `code` is OpenAI's word or ours, the text is for the agent's author."""

    def __init__(self, code: str, message: str, skipped: tuple[Skipped, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.skipped = skipped


def parse_route(entry: str) -> Route:
    """`provider/model`, `provider:model` or a model whose name tells. Raises NoRouteError."""
    try:
        provider, model = split_model(entry)
    except ValueError:
        provider, model = None, ""
    is_plain = 0 < len(model) <= MAX_MODEL_CHARS and model.isascii() and model.isprintable()
    if provider is None or provider not in HOSTED or not is_plain or " " in model:
        known = ", ".join(HOSTED)
        raise NoRouteError(
            "model_not_found",
            f"the model's provider is not known: write provider/model (providers: {known}), or {DEFAULT}",
        )
    return Route(provider, model)


def parse_chain(primary: str | None, fallbacks: tuple[str, ...] = ()) -> tuple[Route, ...]:
    """The manifest's `llm` section, each route once. Raises NoRouteError."""
    entries = ([] if primary is None else [primary]) + list(fallbacks)
    return tuple(dict.fromkeys(parse_route(entry) for entry in entries))


def plan(asked: str, chain: tuple[Route, ...], why_not: Callable[[Route], str | None]) -> Plan:
    """The attempts for a request. `why_not` names what keeps a route from being asked.

    Raises NoRouteError where nothing is left.
    """
    if asked == DEFAULT and not chain:
        raise NoRouteError(
            "model_not_found",
            'the manifest names no default: add "llm": {"primary": "provider/model"}, or name a model',
        )
    routes = chain if asked == DEFAULT else (parse_route(asked),)
    reasons = {route: why_not(route) for route in routes}
    attempts = tuple(route for route in routes if reasons[route] is None)
    skipped = tuple(
        Skipped(route, reason, next((r for r in routes[index:] if reasons[r] is None), None))
        for index, route in enumerate(routes)
        if (reason := reasons[route]) is not None
    )
    if not attempts:
        raise _nothing_left(skipped)
    return Plan(attempts, skipped)


def _nothing_left(skipped: tuple[Skipped, ...]) -> NoRouteError:
    listed = "; ".join(f"{skip.route}: {skip.reason}" for skip in skipped)
    if any(skip.reason == "no_key" for skip in skipped):
        return NoRouteError("llm_key_required", f"no key for any model that was asked ({listed})", skipped)
    return NoRouteError(
        ReasonCode.NO_PRICE, f"a budget in dollars is set and no price is known ({listed})", skipped
    )
