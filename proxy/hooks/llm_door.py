"""The way to the LLM router: a name of ours that is never looked up, open to whom the daemon opened it."""

from __future__ import annotations

from mitmproxy import http

from proxy.admission.session import Session
from proxy.contract.grant import Grant
from proxy.contract.messages import SANDBOX_HEADER
from proxy.control.llm_relay import LOOPBACK
from proxy.policy.llm import LLM_HOST, NO_LLM, has_llm
from proxy.policy.model import Decision, Policy
from proxy.secrets.outgoing import means_nothing_to_the_router


class LlmDoor:
    """Leads to the relay, which the server starts."""

    def __init__(self) -> None:
        self.port: int | None = None
        """Of the relay to the LLM router, on loopback; None where there is none."""

    def refusal(self, policy: Policy) -> Decision | None:
        """Why a sandbox with this policy may not use the router, if it may not."""
        return None if has_llm(policy) and self.port else NO_LLM

    def lead(self, request: http.Request, grant: Grant, session: Session) -> None:
        """Without the client's credentials, which mean nothing there, and with the sandbox's name."""
        if self.port is None:
            raise RuntimeError("there is no relay to the LLM router")
        for name in {name.lower() for name in request.headers}:
            if means_nothing_to_the_router(name):
                del request.headers[name]
        request.headers[SANDBOX_HEADER] = grant.sandbox_id
        request.data.port = self.port
        session.pins[LLM_HOST, self.port] = LOOPBACK
