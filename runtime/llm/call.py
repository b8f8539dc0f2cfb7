"""One upstream request and its bookkeeping: budget held before, usage, cost and event after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

from proxy.policy.reasons import ReasonCode
from runtime.llm.plan.budget import Hold, Usage, estimate_tokens
from runtime.llm.plan.chain import FailureKind, Route
from runtime.llm.plan.prices import price
from runtime.llm.session import LlmSession
from runtime.llm.shapes.errors import RouterError
from runtime.llm.shapes.failure import Failure, classify
from runtime.llm.shapes.openai import Json, LlmRequest, has_ended, text_bytes, usage_of

_BILLED = {FailureKind.TIMEOUT}
"""Failures before the first byte that a provider may have worked on, so their input counts."""

Spent = Literal["nothing", "input", "all"]
"""What of a call that failed counts where the provider gave no whole count. `all` is what the call held: a
model's thoughts are not in the stream, and a provider goes on, and bills, after a client has left."""


class CallFailedError(Exception):
    """An attempt failed; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Call:
    """One attempt: `open` gives the answer, or the stream with its first piece already there."""

    def __init__(self, session: LlmSession, request: LlmRequest, route: Route) -> None:
        """Raises RouterError (429) where the budget is spent."""
        self.route = route
        self._session = session
        self._request = request
        self._usage: Usage | None = None
        self._is_told_whole = False
        """Whether the provider's count came with the end; before that it is of the part so far."""
        self._out_bytes = 0
        self._began = time.monotonic()
        held = session.hold(route, request)
        if isinstance(held, ReasonCode):
            session.on_event("policy_violation", {"reason_code": held.value, "model": str(route)})
            raise RouterError(held.status, held.value, held.meaning, is_final=not session.spending.held)
        self._hold: Hold | None = held

    async def open(self) -> Json | AsyncIterator[Json]:
        """Ask. Raises CallFailedError for what happens before the first byte."""
        try:
            answer = await self._ask()
        except asyncio.CancelledError:
            self.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 - whatever an SDK raises is a failure of this attempt
            failure = self._clean(classify(exc))
            self._end(failure, spent="input" if failure.kind in _BILLED else "nothing")
            raise CallFailedError(failure) from None
        if isinstance(answer, dict):
            self._usage = usage_of(answer)
            self._out_bytes = len(str(answer).encode(errors="replace"))
            self._end(None)
        return answer

    async def _ask(self) -> Json | AsyncIterator[Json]:
        request, limits = self._request, self._session.outside.timeouts
        provider = await self._session.provider(self.route.provider)
        if not request.is_stream:
            async with asyncio.timeout(limits.answer_s):
                return await provider.send(request, self.route.model)
        async with asyncio.timeout(limits.first_byte_s):
            answer = await provider.send(request, self.route.model)
            assert not isinstance(answer, dict)  # noqa: S101 - a stream was asked for
            pieces = aiter(answer)
            try:
                first = await anext(pieces, None)
            except BaseException:
                await _close(answer)
                raise
        if first is None:
            await _close(answer)
            raise ConnectionError("the stream ended before it began")
        return _Pieces(self, first, answer)

    def take(self, piece: Json) -> None:
        """Count what a piece says and carries."""
        if (usage := usage_of(piece)) is not None:
            self._usage, self._is_told_whole = usage, has_ended(piece)
        self._out_bytes += text_bytes(piece)

    async def next_of(self, rest: AsyncIterator[Json]) -> Json | None:
        """The next piece, None at the end. Raises CallFailedError where the stream breaks."""
        try:
            async with asyncio.timeout(self._session.outside.timeouts.silence_s):
                piece = await anext(rest, None)
        except Exception as exc:  # noqa: BLE001 - as above
            failure = self._clean(classify(exc))
            self._end(failure, reason=f"stream_broken: {failure.reason}", spent="all")
            raise CallFailedError(failure) from None
        if piece is None:
            self._end(None)
        return piece

    def cancel(self) -> None:
        """The client or the run is gone; nothing where the call has ended."""
        self._end(Failure(FailureKind.OTHER), reason="cancelled", spent="all")

    def _clean(self, failure: Failure) -> Failure:
        return failure._replace(text=self._session.redact(failure.text))

    def _end(self, failure: Failure | None, *, reason: str = "", spent: Spent = "nothing") -> None:
        """Settle the account and tell the event, once."""
        if self._hold is None:
            return
        usage = self._usage_at_end(failure, spent)
        cost = price(self.route, usage)
        self._session.spending.settle(self._hold, usage, cost)
        self._hold = None
        data: dict[str, Any] = {
            "provider": self.route.provider,
            "model": self.route.model,
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "estimated": usage.is_estimated,
            "cost_usd": None if cost is None else float(cost),
            "duration_s": round(time.monotonic() - self._began, 3),
            "stream": self._request.is_stream,
            "status": 200 if failure is None else failure.status,
        }
        if failure is None:
            self._session.on_event("llm_call_succeeded", data)
        else:
            self._session.on_event("llm_call_failed", data | {"reason": reason or failure.kind.value})

    def _usage_at_end(self, failure: Failure | None, spent: Spent) -> Usage:
        told = self._usage
        if told is not None and (failure is None or self._is_told_whole):
            return told
        if failure is not None and spent == "nothing":
            return told or Usage()
        request, made = self._request, estimate_tokens(self._out_bytes)
        if spent == "all":
            made = max(made, request.wanted_tokens - request.input_tokens)
        seen = told or Usage(request.input_tokens)
        return Usage(seen.tokens_in, max(seen.tokens_out, made), seen.cached_in, is_estimated=True)


class _Pieces(AsyncIterator[Json]):
    """A stream whose first piece is there. No generator: one closed before it starts would settle nothing."""

    def __init__(self, call: Call, first: Json, rest: AsyncIterator[Json]) -> None:
        self._call = call
        self._first: Json | None = first
        self._rest = rest

    async def __anext__(self) -> Json:
        piece, self._first = self._first, None
        if piece is None:
            piece = await self._call.next_of(self._rest)
        if piece is None:
            raise StopAsyncIteration
        self._call.take(piece)
        return piece

    async def aclose(self) -> None:
        try:
            await _close(self._rest)
        finally:
            self._call.cancel()


async def _close(stream: AsyncIterator[Json]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
