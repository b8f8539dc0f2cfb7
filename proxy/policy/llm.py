"""The LLM router's name inside a sandbox, and what a policy says about it. Pure.

The router answers outside the sandbox, in the daemon; the name exists nowhere else and is never looked up.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

LLM_HOST = "llm.internal"
LLM_PORT = 80
LLM_RULE = AllowRule(
    "llm",
    HostPattern(LLM_HOST),
    ports=frozenset({LLM_PORT}),
    methods=frozenset({"GET", "POST"}),
    paths=("/v1/*",),
)
NO_LLM = deny(
    ReasonCode.NOT_ALLOWED_HOST, f"this agent's manifest asks for no LLM route: {LLM_HOST} is closed"
)


def with_llm(policy: Policy) -> Policy:
    """The policy of a sandbox whose agent has an LLM route."""
    return replace(policy, allow=(*policy.allow, LLM_RULE))


def has_llm(policy: Policy) -> bool:
    """Whether the daemon opened the router: an operator's own rule for the name does not."""
    return LLM_RULE in policy.allow
