"""The way to the LLM router: a name of ours that is never looked up, open to whom the daemon opened it."""

from __future__ import annotations

from mitmproxy import http

from proxy.admission.session import Session
from proxy.contract.grant import Grant
from proxy.contract.messages import OWN_HEADERS, SANDBOX_HEADER
from proxy.control.llm_relay import LOOPBACK
from proxy.policy.llm import LLM_HOST, has_llm
from proxy.policy.model import Decision, Policy
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny
from proxy.secrets import positions

NO_LLM = deny(
    ReasonCode.NOT_ALLOWED_HOST, f"this agent's manifest asks for no LLM route: {LLM_HOST} is closed"
)


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
            if name.startswith(OWN_HEADERS) or positions.is_credential_header(name):
                del request.headers[name]
        request.headers[SANDBOX_HEADER] = grant.sandbox_id
        request.data.port = self.port
        session.pins[LLM_HOST, self.port] = LOOPBACK
