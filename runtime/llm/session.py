"""A run's place in the router: its chain, keys, policy and account. No session, no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from proxy.policy.model import Policy
from proxy.policy.reasons import ReasonCode
from runtime.keys.redactor import Redactor
from runtime.llm.plan.budget import Hold, Spending, Usage
from runtime.llm.plan.chain import Plan, Route, plan
from runtime.llm.plan.prices import price
from runtime.llm.shapes.openai import LlmRequest
from runtime.llm.upstream.providers import Outside, Provider, open_provider
from runtime.model.secret import Secret

OnEvent = Callable[[str, dict[str, object]], None]
"""(kind, data), called in the event loop; it must not block. Kinds: `llm_call_succeeded`, `llm_call_failed`,
`fallback_transition`, `policy_violation`."""
_PROBE = Usage(tokens_in=1, tokens_out=1)


@dataclass(eq=False)
class LlmSession:
    """One run. `secrets` is by hosted provider, each with its key."""

    run_id: str
    chain: tuple[Route, ...]
    secrets: Mapping[str, Secret] = field(repr=False)
    policy: Policy = field(repr=False)
    on_event: OnEvent = field(repr=False)
    outside: Outside = field(default=Outside(), repr=False)
    spending: Spending = field(init=False)
    redact: Redactor = field(init=False, repr=False)
    body_bytes: int = field(default=0, init=False)
    """Of the requests that are being read or answered."""
    _providers: dict[str, asyncio.Task[Provider]] = field(default_factory=dict, init=False, repr=False)
    _replaced: list[asyncio.Task[Provider]] = field(default_factory=list, init=False, repr=False)
    """Clients that hold a key which was replaced; calls of theirs may be under way."""
    _work: set[asyncio.Task[None]] = field(default_factory=set, init=False, repr=False)
    _is_closed: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        self.spending = Spending(self.policy.budgets)
        self.redact = Redactor(secret.reveal() for secret in self.secrets.values())

    def plan(self, asked: str) -> Plan:
        """What a request for this model tries. Raises NoRouteError."""
        return plan(asked, self.chain, self._why_not)

    def _why_not(self, route: Route) -> str | None:
        if route.provider not in self.secrets:
            return "no_key"
        if self.policy.budgets.llm_usd is not None and price(route, _PROBE) is None:
            return "no_price"  # what it costs could not be counted, so it is not spent
        return None

    def hold(self, route: Route, request: LlmRequest) -> Hold | ReasonCode:
        """Begin a call, or why the budget refuses it."""
        usd, wanted = Decimal(0), request.wanted_tokens
        if self.policy.budgets.llm_usd is not None:
            usd = price(route, Usage(request.input_tokens, wanted - request.input_tokens)) or usd
        return self.spending.hold(wanted, usd, answers=request.answers)

    async def provider(self, name: str) -> Provider:
        """The provider's client, made once."""
        task = self._providers.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            opening = open_provider(name, self.secrets[name], self.policy, self.outside)
            task = self._providers[name] = asyncio.create_task(opening)
        return await asyncio.shield(task)  # a client that goes away must not break it for the next one

    def replace_key(self, name: str, key: Secret | None) -> None:
        """Another key for a provider, or none, from the next call on; what is under way goes on."""
        others = {provider: held for provider, held in self.secrets.items() if provider != name}
        self.secrets = others if key is None else {**others, name: key}
        if key is not None:
            self.redact.add(key.reveal())
        if (opened := self._providers.pop(name, None)) is not None:
            self._replaced.append(opened)

    def track(self, work: asyncio.Task[None]) -> None:
        """A call of this run: it ends with the run. On a closed session it is cancelled at once."""
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        if self._is_closed:
            work.cancel()

    async def aclose(self) -> None:
        """Cut the calls and the connections."""
        self._is_closed = True
        for work in list(self._work):
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        opening = (*self._providers.values(), *self._replaced)
        for opened in await asyncio.gather(*opening, return_exceptions=True):
            if not isinstance(opened, BaseException):
                await opened.aclose()


class LlmSessions:
    """The sessions of all runs, by run id."""

    def __init__(self) -> None:
        self._by_run: dict[str, LlmSession] = {}

    def add(self, session: LlmSession) -> None:
        """A run begins. Raises ValueError for one that has a session: never two keys for one run."""
        if session.run_id in self._by_run:
            raise ValueError(f"run {session.run_id} has a session already")
        self._by_run[session.run_id] = session

    def get(self, run_id: str) -> LlmSession | None:
        """The run's session; None for a run that is unknown or over."""
        return self._by_run.get(run_id)

    async def drop(self, run_id: str) -> Spending | None:
        """A run is over: no call of it goes on. What it spent, or None where it had no session."""
        session = self._by_run.pop(run_id, None)
        if session is None:
            return None
        await session.aclose()
        return session.spending

    async def aclose(self) -> None:
        """End every session with the daemon."""
        for run_id in list(self._by_run):
            await self.drop(run_id)
