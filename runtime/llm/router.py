"""Walks a request's plan: one attempt after the other, until one begins to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from proxy.policy.reasons import ReasonCode
from runtime.llm.call import Call, CallFailedError
from runtime.llm.plan import prices
from runtime.llm.plan.chain import NoRouteError, Plan, Route
from runtime.llm.session import LlmSession
from runtime.llm.shapes.errors import RouterError, all_failed
from runtime.llm.shapes.failure import Failure
from runtime.llm.shapes.openai import Json, LlmRequest
from runtime.llm.shapes.priced import unpriced_option
from runtime.model.llm_providers import MAX_MODEL_CHARS

_STATUS = {
    "model_not_found": 404,
    "llm_key_required": 400,
    ReasonCode.NO_PRICE.value: ReasonCode.NO_PRICE.status,
}


class Answer(NamedTuple):
    """What an entry of the chain answered; a stream has its first piece at hand."""

    route: Route
    content: Json | AsyncIterator[Json]


async def answer(session: LlmSession, request: LlmRequest) -> Answer:
    """The first entry's answer that begins. Raises RouterError."""
    await asyncio.to_thread(prices.load)
    _check_priced(session, request)
    plan = _plan(session, request.model)
    failures: list[tuple[Route, Failure]] = []
    for index, route in enumerate(plan.attempts):
        call = Call(session, request, route)
        try:
            return Answer(route, await call.open())
        except CallFailedError as failed:
            failures.append((route, failed.failure))
            if not failed.failure.is_retryable:
                break
            if index + 1 < len(plan.attempts):
                _tell_transition(session, route, plan.attempts[index + 1], failed.failure.kind.value)
    raise all_failed(failures)


def _check_priced(session: LlmSession, request: LlmRequest) -> None:
    """What costs more than its tokens is not asked where dollars are counted."""
    if session.policy.budgets.llm_usd is None or (option := unpriced_option(request)) is None:
        return
    code = ReasonCode.NO_PRICE
    session.on_event(
        "policy_violation", {"reason_code": code.value, "model": request.model[:MAX_MODEL_CHARS]}
    )
    message = f"a budget in dollars is set and no price is known of {option}: leave it out"
    raise RouterError(code.status, code.value, message, is_final=True)


def _plan(session: LlmSession, asked: str) -> Plan:
    try:
        plan = session.plan(asked)
    except NoRouteError as exc:
        for skipped in exc.skipped:
            _tell_transition(session, skipped.route, None, skipped.reason)
        raise RouterError(_STATUS[exc.code], exc.code, str(exc), is_final=True) from None
    for skipped in plan.skipped:
        _tell_transition(session, skipped.route, skipped.then, skipped.reason)
    return plan


def _tell_transition(session: LlmSession, route: Route, to: Route | None, reason: str) -> None:
    data: dict[str, object] = {"from": str(route), "to": None if to is None else str(to), "reason": reason}
    session.on_event("fallback_transition", data)
