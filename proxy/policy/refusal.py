"""Refusals that every part of the proxy gives, and the exception that carries one. Pure."""

from __future__ import annotations

from proxy.policy.model import Decision, Verdict
from proxy.policy.reasons import ReasonCode


def deny(reason: ReasonCode, detail: str, rule_id: str | None = None) -> Decision:
    """A refusal; `rule_id` is the rule that made it, None where none did."""
    return Decision(verdict=Verdict.DENY, reason_code=reason, rule_id=rule_id, detail=detail)


EXPIRED = deny(ReasonCode.EXPIRED, "this sandbox's time is over")
NO_GRANT = deny(ReasonCode.NO_GRANT, "this connection belongs to no sandbox that is allowed out")
INTERNAL_ERROR = deny(ReasonCode.INTERNAL_ERROR, "the proxy failed to decide, so it refused")


class RefusedError(Exception):
    """Ends a hook with a refusal; `decision` is what the client and the audit are told."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.detail)
        self.decision = decision
