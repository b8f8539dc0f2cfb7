"""The 403 body: readable, complete, and silent about the host."""

from __future__ import annotations

import json

import pytest

from proxy.policy.model import Decision
from proxy.policy.problems import problem_for, upstream_problem
from proxy.policy.reasons import ReasonCode


def body(reason: ReasonCode | None) -> dict:
    """The body of a refusal."""
    problem = problem_for(
        Decision(reason_code=reason, detail="why", rule_id="p.deny[0]"),
        host="evil.test",
        port=443,
        policy_name="p",
        request_id="r",
    )
    return json.loads(problem.body)


@pytest.mark.parametrize("reason", ReasonCode)
def test_every_reason_has_a_type_and_an_error_status(reason: ReasonCode):
    """Whatever the reason, the status is an error, never 407, and the type names the reason."""
    said = body(reason)

    assert 400 <= said["status"] < 600
    assert said["status"] != 407
    assert said["type"] == f"urn:orchbox:refused:{reason.value}"
    assert said["reason_code"] == reason.value


def test_body_tells_what_by_which_rule_and_what_to_do():
    """The fields an agent and its operator need."""
    said = body(ReasonCode.DENIED_RULE)

    assert said["detail"] == "why"
    assert said["rule_id"] == "p.deny[0]"
    assert said["retry"] == "will not help"
    assert said["operator"] == "orch policy explain https://evil.test/ --policy p"


def test_a_name_that_cannot_be_resolved_names_the_setting():
    """No policy can help there: the operator reads which resolvers are asked by whom."""
    assert "ORCHBOX_PROXY_DNS" in body(ReasonCode.DNS_FAILURE)["operator"]
    assert "operator" not in body(ReasonCode.DNS_REBIND)


def test_the_providers_sdks_find_it_in_their_own_shape():
    """openai's Node SDK shows `error.message` and calls any other body none."""
    error = {"message": "Refused by the egress policy (denied_rule): why", "type": "orchbox_egress"}
    assert body(ReasonCode.DENIED_RULE)["error"] == {**error, "code": "denied_rule"}


def test_decision_without_reason_is_an_internal_error():
    """A refusal that forgot its reason is still a refusal."""
    assert (body(None)["status"], body(None)["reason_code"]) == (500, "internal_error")


def test_upstream_failure_is_told_apart():
    """A failed upstream is no refusal."""
    said = json.loads(upstream_problem(host="ok.test", status=502, detail="d", request_id="r").body)

    assert (said["type"], said["reason_code"]) == ("urn:orchbox:upstream-failed", None)
