"""The policy's values: deny is the zero, and a rule that nobody could enforce is none."""

from __future__ import annotations

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Decision, Policy, TlsMode, Verdict
from proxy.policy.passes import Passes
from proxy.policy.reasons import ReasonCode

REASONS = {
    "not_allowed_host",
    "denied_rule",
    "port",
    "method",
    "path",
    "private_address",
    "metadata_address",
    "dns_failure",
    "dns_rebind",
    "sni_mismatch",
    "host_mismatch",
    "no_sni",
    "ip_literal",
    "bad_answer",
    "bad_host",
    "bad_request",
    "not_tls_or_http",
    "foreign_credential",
    "credential_host",
    "secret_leak",
    "budget_requests",
    "budget_bytes",
    "budget_connections",
    "budget_tokens",
    "budget_cost",
    "no_price",
    "agent_not_allowed",
    "no_grant",
    "expired",
    "internal_error",
}


def test_deny_is_the_zero_value() -> None:
    """A decision that nobody filled in refuses, and DENY is the first verdict."""
    assert Verdict.DENY is Decision().verdict
    assert Verdict.DENY is next(iter(Verdict))


def test_an_empty_policy_allows_nothing() -> None:
    """Every permission is absent by default (N-27)."""
    policy = Policy(name="empty")
    assert not any(
        (policy.allow, policy.agents, policy.allow_any_public, policy.resolve, policy.allow_private)
    )


def test_the_reason_codes_are_the_published_ones() -> None:
    """The closed set is part of the API."""
    assert {code.value for code in ReasonCode} == REASONS


@pytest.mark.parametrize(
    "more", [{"methods": frozenset({"GET"})}, {"paths": ("/v1/*",)}, {"credential": "OPENAI_API_KEY"}]
)
def test_a_passthrough_rule_about_requests_is_refused(more: dict) -> None:
    """Requests in a connection that is passed through are never seen, so no rule may be about them."""
    with pytest.raises(
        ValueError, match=r"^t\.allow\[0\]: methods, paths and a credential need tls: inspect$"
    ):
        AllowRule(id="t.allow[0]", host=HostPattern("ok.test"), tls=TlsMode.PASSTHROUGH, **more)


def test_pinning_needs_a_credential_to_pin() -> None:
    """A rule that pins nothing is refused."""
    with pytest.raises(ValueError, match=r"^t\.allow\[0\]: pin_credential needs a credential$"):
        AllowRule(id="t.allow[0]", host=HostPattern("ok.test"), pin_credential=True)


def test_headers_need_a_credential_to_hold() -> None:
    """Headers for a credential that is not named would be for nothing."""
    with pytest.raises(ValueError, match=r"^t\.allow\[0\]: credential_headers need a credential$"):
        AllowRule(id="t.allow[0]", host=HostPattern("ok.test"), credential_headers=frozenset({"x-key"}))


def test_what_passes_needs_a_pin() -> None:
    """Without a pin everything may stand beside the credential, and a list would promise what nobody checks."""
    with pytest.raises(ValueError, match=r"^t\.allow\[0\]: passes needs a pinned credential$"):
        AllowRule(id="t.allow[0]", host=HostPattern("ok.test"), credential="KEY", passes=Passes())
