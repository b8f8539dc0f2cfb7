"""An explanation as one document of a stable shape, for people, scripts and the API: names, never values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.destination.judge import counted_overrides
from proxy.destination.query import shown_name
from proxy.destination.resolve import Lookup
from proxy.policy.addresses import classify
from proxy.policy.bindings import binding_of
from proxy.policy.decide import decide, is_dialable
from proxy.policy.hosts import is_ip_literal
from proxy.policy.model import AllowRule, Request, TlsMode
from proxy.policy.problems import problem_for
from proxy.secrets.broker import foreign_parts
from proxy.secrets.forms import forget_searches
from runtime.explain.addresses import Source
from runtime.explain.asked import shown_url
from runtime.explain.judge import Judgement, judge_asked
from runtime.explain.sandbox import Question, Sandbox, held_names, sandbox_for
from runtime.policies.places import LoadedPolicy, RulePlace

_NOTES = {
    Source.ROUTER: "answered by the LLM router, which is never looked up",
    Source.NOT_ASKED: "its addresses are checked when it is dialled",
    Source.NO_SUCH_NAME: (
        "this host finds no such name; where the proxy's resolvers do not either, it is refused (dns_failure)"
    ),
    Source.CANNOT_RESOLVE: (
        "this host cannot resolve names, so its addresses are not known here; they are checked when dialled"
    ),
}


async def explain(
    loaded: LoadedPolicy, question: Question, *, lookup: Lookup, is_for_operator: bool
) -> dict[str, Any]:
    """Explain one request. Raises InvalidInputError for what is no request.

    Whoever is no operator gets no address of the operator's pins, and of a rule's file only its name.
    """
    sandbox = sandbox_for(loaded.policy, question)
    found = await judge_asked(sandbox.policy, sandbox.asked, sandbox.secrets, lookup=lookup)
    document = _Document(loaded, sandbox, found, is_for_operator=is_for_operator).make()
    forget_searches()  # no sandbox holds what was made up for it
    return document


class _Document:
    def __init__(
        self, loaded: LoadedPolicy, sandbox: Sandbox, found: Judgement, *, is_for_operator: bool
    ) -> None:
        self._places = loaded.places
        self._sandbox = sandbox
        self._policy = sandbox.policy
        self._found = found
        self._is_for_operator = is_for_operator

    def make(self) -> dict[str, Any]:
        """All of it."""
        host, port, decision = self._found.judged
        document = {
            "url": shown_url(self._sandbox.asked),
            "method": self._sandbox.asked.method,
            "policy": self._policy.name,
            "host": host,
            "port": port,
            "verdict": decision.verdict.value,
            "reason_code": decision.reason_code and decision.reason_code.value,
            "rule_id": decision.rule_id,
            "tls": decision.tls and decision.tls.value,
            "detail": decision.detail or self._note(),
            "stage": self._found.stage.value,
            "is_seen": self._found.facts is not None,
            "rule": self._rule(decision.rule_id),
            "rules": [*self._rules()],
            "addresses": self._addresses(),
            "credentials": self._credentials(),
            "refused_parts": self._refused_parts(),
            "dropped_headers": [shown_name(name) for name in self._found.dropped],
            "agent_sees": self._agent_sees(),
        }
        shown: dict[str, Any] = json.loads(self._sandbox.shown(json.dumps(document)))
        return shown

    def _note(self) -> str:
        found = self._found.found
        is_unseen = self._found.judged.decision.tls is TlsMode.PASSTHROUGH and self._found.facts is None
        unseen = "the connection is passed through: method and path are not seen; " if is_unseen else ""
        if found.addresses and (self._is_for_operator or found.source is Source.LITERAL):
            return f"{unseen}dialled at {', '.join(found.addresses)}"
        return unseen + _NOTES.get(found.source, _NOTES[Source.NOT_ASKED])

    def _rule(self, rule_id: str | None) -> dict[str, Any] | None:
        if rule_id is None:
            return None
        place = self._places.get(rule_id)
        return {"id": rule_id, "file": place and self._shown_path(place), "line": place and place.line}

    def _shown_path(self, place: RulePlace) -> str:
        return str(place.path if self._is_for_operator else Path(place.path.name))

    def _rules(self) -> Iterator[dict[str, Any]]:
        """Every rule that names the host, and what of the request it does not allow, asked one by one."""
        host, port, _ = self._found.judged
        for denying in self._policy.deny:
            if denying.host.matches(host):
                yield {"verdict": "deny", "host": str(denying.host), **(self._rule(denying.id) or {})}
        asked = Request(host, port, self._sandbox.asked.scheme, *self._seen())
        for rule in self._policy.allow:
            if rule.host.matches(host):
                alone = decide(replace(self._policy, allow=(rule,), deny=(), allow_any_public=False), asked)
                yield {"verdict": "allow", **_conditions(rule), **(self._rule(rule.id) or {})} | {
                    "refuses": alone.reason_code and alone.reason_code.value
                }

    def _seen(self) -> tuple[str | None, str | None]:
        asked = self._sandbox.asked
        is_tunnel = asked.method == "CONNECT" and asked.scheme == "https"
        is_unseen = self._found.judged.decision.tls is TlsMode.PASSTHROUGH and self._found.facts is None
        return (None, None) if is_tunnel or is_unseen else (asked.method, asked.target)

    def _addresses(self) -> dict[str, Any]:
        found, host = self._found.found, self._found.judged.host
        is_shown = self._is_for_operator or found.source is Source.LITERAL
        judged = []
        for address in found.addresses if is_shown else ():
            decision = is_dialable(self._policy, host, address)
            judged.append(
                {
                    "address": address,
                    "class": classify(address).value if is_ip_literal(address) else None,
                    "verdict": decision.verdict.value,
                    "reason_code": decision.reason_code and decision.reason_code.value,
                }
            )
        return {
            "source": found.source.value,
            "found": judged,
            "dialled": found.dialled if is_shown and self._found.is_allowed else None,
        }

    def _credentials(self) -> dict[str, Any]:
        """By name: what the host's rules say, what the sandbox holds, and what would be swapped in."""
        host, port, _ = self._found.judged
        asked = self._sandbox.asked
        binding = binding_of(self._policy, Request(host, port, asked.scheme, asked.method, asked.target))
        search = self._found.outgoing and self._found.outgoing.search
        return {
            "held": held_names(self._sandbox.secrets),
            "may_be_swapped": sorted(binding.credentials),
            "swapped": sorted(search.brokered.used) if search and self._found.is_allowed else [],
            "pinned": sorted(binding.pinned),
            "sent_as_they_are": sorted(binding.secrets),
        }

    def _refused_parts(self) -> dict[str, Any]:
        """Each part of the request that is refused by itself, not only the one that the verdict names."""
        facts, host = self._found.facts, self._found.judged.host
        if facts is None:
            return {"beside_the_credential": [], "overrides": []}
        asked = Request(host, facts.port, self._sandbox.asked.scheme, facts.method, facts.target)
        binding, head = binding_of(self._policy, asked), self._found.head
        overrides = counted_overrides(self._policy, host, facts.target, facts.headers)
        return {
            "beside_the_credential": [*foreign_parts(head, binding, self._sandbox.secrets)] if head else [],
            "overrides": [{"what": found.what, "name": shown_name(found.name)} for found in overrides],
        }

    def _agent_sees(self) -> dict[str, Any] | None:
        """The proxy's own answer without the number that each has; None where the upstream answers."""
        if self._found.is_allowed:
            return None
        host, port, decision = self._found.judged
        problem = problem_for(
            decision,
            host=host,
            port=port or None,
            policy_name=self._policy.name,
            request_id="",
            status=self._found.status,
        )
        body = json.loads(problem.body)
        kept = ("status", "type", "title", "detail", "reason_code", "retry", "operator")
        return {name: body.get(name) for name in kept}


def _conditions(rule: AllowRule) -> dict[str, Any]:
    return {
        "host": str(rule.host),
        "ports": sorted(rule.ports),
        "methods": None if rule.methods is None else sorted(rule.methods),
        "paths": None if rule.paths is None else list(rule.paths),
        "tls": rule.tls.value,
    }
