"""Where in which file a rule stands, for whoever is told that it decided; the proxy never learns of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from proxy.policy.model import Policy


class RulePlace(NamedTuple):
    """The line on which a rule begins."""

    path: Path
    line: int


class LoadedPolicy(NamedTuple):
    """A policy, and where each of its rules stands, by the rule's id."""

    policy: Policy
    places: Mapping[str, RulePlace]
