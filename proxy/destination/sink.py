"""The DNS sink's answers: from the policy alone, never from DNS."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from proxy.destination.judge import Judged, judge_destination
from proxy.policy.model import Policy, Verdict

MAX_REMEMBERED = 4096
"""Refused (sandbox, name) pairs of which a second query makes no second audit line."""


class NameAnswer(NamedTuple):
    """Whether a name is answered, with the decision that the audit gets."""

    judged: Judged
    remembered: OrderedDict[tuple[str, str], None]

    @property
    def is_allowed(self) -> bool:
        """Whether something at that name may be asked for."""
        return self.judged.decision.verdict is Verdict.ALLOW

    def is_new_refusal(self, sandbox_id: str) -> bool:
        """Whether this refusal is the sandbox's first for the name (resolvers ask again and again)."""
        if self.is_allowed:
            return False
        key = (sandbox_id, self.judged.host)
        is_new = key not in self.remembered
        self.remembered[key] = None
        self.remembered.move_to_end(key)
        if len(self.remembered) > MAX_REMEMBERED:
            self.remembered.popitem(last=False)
        return is_new


class NameAnswers:
    """Decides on names; remembers which refusals were recorded."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[tuple[str, str], None] = OrderedDict()

    def answer(self, policy: Policy, name: str) -> NameAnswer:
        """A name is answered when the policy allows it on any port that it lists (or 443, 80)."""
        ports = sorted({443, 80}.union(*(rule.ports for rule in policy.allow)), key=lambda p: (p != 443, p))
        first = judge_destination(policy, name, ports[0])
        for port in ports:
            judged = judge_destination(policy, name, port)
            if judged.decision.verdict is Verdict.ALLOW:
                return NameAnswer(judged, self._remembered)
        return NameAnswer(first, self._remembered)
