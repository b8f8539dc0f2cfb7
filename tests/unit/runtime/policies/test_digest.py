"""runtime.policies.digest: one number for one meaning."""

from __future__ import annotations

import dataclasses

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from runtime.policies.digest import policy_digest

RULE = AllowRule(id="a.allow[0]", host=HostPattern("api.openai.com"))


def test_the_same_policy_has_the_same_digest():
    """And another one another, be it by one word."""
    one = Policy(name="a", allow=(RULE,))
    assert policy_digest(one) == policy_digest(Policy(name="a", allow=(dataclasses.replace(RULE),)))
    others = [
        Policy(name="b", allow=(RULE,)),
        Policy(name="a"),
        Policy(name="a", allow=(RULE,), allow_any_public=True),
        Policy(name="a", allow=(dataclasses.replace(RULE, methods=frozenset({"GET"})),)),
    ]
    assert len({policy_digest(each) for each in (one, *others)}) == 5
