"""What a replay tells of a decision is what the proxy then does: each request is made under both policies."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, DenyRule, Policy, TlsMode
from runtime.explain.replay import Change, Outcome, Policies, replay_line
from tests.wire.conftest import Rig
from tests.wire.secrets import DB_SECRET, KEY, keyed_policy
from tests.wire.test_explain import REQUESTS, as_sent, ask_the_proxy, question

BEHIND_THE_RULES = {"dns_failure", "private_address", "secret_leak", "credential_host"}
"""What a request that was refused by the rules may still be refused for: a replay says that it says nothing of it."""


def changed(policy: Policy, **by_host: dict) -> Policy:
    """The policy with other rules for some hosts."""
    rules = [
        dataclasses.replace(rule, **by_host.get(str(rule.host).partition(".")[0], {}))
        for rule in policy.allow
    ]
    return dataclasses.replace(policy, allow=tuple(rules))


def without(policy: Policy, *hosts: str) -> Policy:
    """The policy without the rules for these."""
    return dataclasses.replace(
        policy, allow=tuple(rule for rule in policy.allow if str(rule.host) not in hosts)
    )


def stricter(policy: Policy) -> Policy:
    """Hosts go, methods and paths come."""
    policy = without(policy, "pass.test", "*.wild.test")
    only_get = {"methods": frozenset({"GET"}), "paths": ("/", "/x", "/a/*")}
    policy = changed(policy, ok=only_get, paths={"paths": ("/v2/*",)})
    return dataclasses.replace(
        policy, deny=(*policy.deny, DenyRule("t.deny[1]", HostPattern.parse("llm.test")))
    )


def looser(policy: Policy) -> Policy:
    """Hosts come, and what was about requests goes."""
    evil = AllowRule("t.allow[8]", HostPattern.parse("evil.test"), ports=frozenset({80, 443}))
    policy = changed(
        policy, paths={"methods": None, "paths": None}, llm={"pin_credential": False, "paths": None}
    )
    return dataclasses.replace(policy, allow=(*policy.allow, evil), deny=())


def renamed(policy: Policy) -> Policy:
    """The same rules by other names, and one that is inspected now."""
    policy = changed(policy, **{"pass": {"tls": TlsMode.INSPECT}})
    rules = [dataclasses.replace(rule, id=rule.id.replace("t.", "n.")) for rule in policy.allow]
    return dataclasses.replace(policy, name="n", allow=tuple(rules))


NEW = {"stricter": stricter, "looser": looser, "renamed": renamed}


async def decided(rig: Rig, case: str, policy: Policy, revision: int) -> dict | None:
    """The last decision on a case under a policy; None where there is none."""
    await rig.link.grant(rig.grant(revision=revision, policy=policy, secrets=(KEY, DB_SECRET)))
    before = len(rig.lines)
    await ask_the_proxy(rig, as_sent(rig, question(rig, case)))
    await rig.settled()
    return dict(rig.lines[-1]) if len(rig.lines) > before else None


@pytest.mark.parametrize("case", REQUESTS)
async def test_what_is_told_is_what_the_proxy_does(rig: Rig, case: str):
    """Or it is not told; and under the same policy nothing is another decision."""
    old = keyed_policy(rig)
    revisions = itertools.count(2)
    line = await decided(rig, case, old, next(revisions))
    if line is None:
        return
    assert replay_line(line, Policies(old, old)).change is Change.UNCHANGED
    for name, make in NEW.items():
        new = make(old)
        for judged_by in (old, None):
            replayed = replay_line(line, Policies(new, judged_by))
            if replayed.change is Change.CANNOT_BE_TOLD:
                assert replayed.why
                continue
            then = await decided(rig, case, new, next(revisions))
            assert then is not None, name
            was = Outcome(line["verdict"], line["reason_code"], line["rule_id"])
            now = Outcome(then["verdict"], then["reason_code"], then["rule_id"])
            if replayed.change is Change.ALLOWED and now.reason_code in BEHIND_THE_RULES:
                continue
            assert (name, replayed.new) == (name, now)
            assert (replayed.change is Change.UNCHANGED) == (was == now)
