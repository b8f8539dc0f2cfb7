"""runtime.probe.corpus: the cases as data."""

from __future__ import annotations

import json
from collections import Counter

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from proxy.policy.reasons import ReasonCode
from runtime.probe.corpus import CASES
from runtime.probe.corpus.case import GROUPS, Contained, Refused
from runtime.probe.corpus.policy import MAX_HOSTS, policy_cases, under
from runtime.probe.inside.abuse import ABUSES
from runtime.probe.inside.actions import ACTIONS
from runtime.probe.inside.checks import CHECKS


def test_there_are_enough_cases_in_every_group():
    """At least 120 in all, and no group is empty but the one made from the policy."""
    counts = Counter(case.group for case in CASES)

    assert len(CASES) >= 120
    assert set(counts) == set(GROUPS) - {"policy"}
    assert all(count >= 5 for count in counts.values())


def test_ids_are_unique():
    """A report's row is one case."""
    assert [i for i, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_every_action_exists():
    """No case can be left out by a wrong name."""
    for case in CASES:
        assert case.action in {*ACTIONS, "outside"}
        if case.action == "check":
            assert case.args["name"] in CHECKS
        if case.action == "abuse":
            assert case.args["name"] in ABUSES
        json.dumps(dict(case.args))


def test_every_reason_is_a_reason_code():
    """What a case expects can be said at all."""
    known = {code.value for code in ReasonCode}
    for case in CASES:
        if isinstance(case.expect, Refused):
            assert case.expect.reasons
            assert case.expect.reasons <= known
        if isinstance(case.expect, Contained) and case.expect.reason:
            assert case.expect.reason in known


def test_every_case_says_what_to_look_at():
    """A tester who sees it fail finds the place."""
    assert [case.id for case in CASES if not case.fix or not case.title] == []


def test_a_policy_adds_cases_for_its_own_hosts():
    """Each exact host: it works, on no other port, under no other name, on no other path."""
    rules = (
        AllowRule("p.allow[0]", HostPattern.parse("a.example.com")),
        AllowRule("p.allow[1]", HostPattern.parse("b.example.com"), paths=("/v1/x",)),
        AllowRule("p.allow[2]", HostPattern.parse("*.example.com")),
        AllowRule("p.allow[3]", HostPattern.parse("c.example.com"), ports=frozenset({8443})),
    )

    ids = [case.id for case in policy_cases(Policy("p", rules))]

    assert ids == ["POL-1a", "POL-1b", "POL-1c", "POL-2b", "POL-2c", "POL-2d"]


def test_a_policy_with_many_hosts_adds_a_bounded_number():
    """A long allowlist does not make a probe long."""
    rules = tuple(AllowRule(f"p.allow[{n}]", HostPattern.parse(f"h{n}.example.com")) for n in range(50))

    assert len(policy_cases(Policy("p", rules))) == 3 * MAX_HOSTS


def test_an_open_policy_refuses_by_address():
    """Names that it lists are resolved; cases with nothing left to refuse are left out, never passed."""
    open_policy = Policy("p", allow_any_public=True)
    by_id = {case.id: under(open_policy, case) for case in CASES}

    assert by_id["P-03-a-udp"] is None
    assert "private_address" in by_id["N-00"].expect.reasons
    assert by_id["S-19a"] is next(case for case in CASES if case.id == "S-19a")
    assert [under(Policy("p"), case) for case in CASES] == list(CASES)
