"""What a policy allows at all, as values to show."""

from __future__ import annotations

from typing import Any

from proxy.contract.policy_wire import budgets_to_json, rule_to_json
from proxy.policy.model import Policy

NOT_YET_ENFORCED = ("agents",)
"""Sections and keys that are read and handed to the proxy, which does not enforce them in this version."""


def describe(loaded: Policy) -> dict[str, Any]:
    """A loaded policy for people and scripts: its rules as the proxy gets them, without addresses."""
    budgets = budgets_to_json(loaded.budgets)
    return {
        "name": loaded.name,
        "allow": [rule_to_json(rule) for rule in loaded.allow],
        "deny": [{"id": rule.id, "host": str(rule.host)} for rule in loaded.deny],
        "allow_any_public": loaded.allow_any_public,
        "agents": list(loaded.agents),
        "budgets": {name: value for name, value in budgets.items() if value is not None},
        "not_yet_enforced": list(NOT_YET_ENFORCED),
    }
