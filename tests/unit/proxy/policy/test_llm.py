"""The LLM router's name is open only where the daemon opened it."""

from __future__ import annotations

from proxy.policy.decide import decide
from proxy.policy.hosts import HostPattern
from proxy.policy.llm import LLM_HOST, has_llm, with_llm
from proxy.policy.model import AllowRule, DenyRule, Policy, Request, Verdict

ASKED = Request(LLM_HOST, 80, "http", "POST", "/v1/responses")


def test_an_empty_policy_has_no_route() -> None:
    """Deny is the zero value."""
    assert not has_llm(Policy("p"))
    assert decide(Policy("p"), ASKED).verdict is Verdict.DENY


def test_the_daemon_opens_it() -> None:
    """For what the router serves."""
    policy = with_llm(Policy("p"))
    assert has_llm(policy)
    assert decide(policy, ASKED).rule_id == "llm"


def test_a_rule_of_an_operators_own_is_none() -> None:
    """It would lead to whatever the name resolves to, which is nothing."""
    own = AllowRule("p.allow[0]", HostPattern(LLM_HOST), ports=frozenset({80}))
    assert not has_llm(Policy("p", allow=(own,)))


def test_a_deny_rule_wins() -> None:
    """An operator can close it for a policy."""
    policy = with_llm(Policy("p", deny=(DenyRule("p.deny[0]", HostPattern(LLM_HOST)),)))
    assert decide(policy, ASKED).verdict is Verdict.DENY
