"""The LLM router's door for one run: opened with its chain and keys, closed with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.policy.llm import with_llm
from proxy.policy.model import Policy
from runtime.llm.plan.chain import parse_chain
from runtime.llm.session import LlmSession, LlmSessions
from runtime.model.llm_providers import PROVIDER_OF_KEY
from runtime.model.needs import NOTHING_SPENT, LlmSpent
from runtime.model.run import RunRequest
from runtime.model.secret import Secret

OnEvent = Callable[[str, dict[str, object]], None]


class LlmRoutes:
    """A run's door to the router, as the run service asks for it (`runs.ports.LlmPort`)."""

    def __init__(self, sessions: LlmSessions) -> None:
        self._sessions = sessions

    def open(
        self,
        run_id: str,
        request: RunRequest,
        policy: Policy,
        on_event: OnEvent,
        spent: LlmSpent = NOTHING_SPENT,
    ) -> Policy:
        """The run's policy, with the router's name in it where its manifest has a chain.

        What was spent under an earlier daemon counts against its budgets. Raises ValueError for a chain that
        cannot be read, and for a run that has a session already.
        """
        if request.needs.llm is None:
            return policy
        session = LlmSession(
            run_id=run_id,
            chain=parse_chain(request.needs.llm.primary, request.needs.llm.fallbacks),
            secrets=_by_provider(request.secrets),
            policy=policy,
            on_event=on_event,
        )
        session.spending.take_over(spent)
        self._sessions.add(session)
        return with_llm(policy)

    def replace_secret(self, run_id: str, name: str, value: Secret | None) -> None:
        """From the next call on; nothing where the run has no route or the secret is no LLM key."""
        session, provider = self._sessions.get(run_id), PROVIDER_OF_KEY.get(name)
        if session is not None and provider is not None:
            session.replace_key(provider, value)

    async def close(self, run_id: str) -> None:
        """Cut its calls; a run without a route is none too many."""
        await self._sessions.drop(run_id)


def _by_provider(secrets: Mapping[str, Secret]) -> dict[str, Secret]:
    return {PROVIDER_OF_KEY[name]: value for name, value in secrets.items() if name in PROVIDER_OF_KEY}
