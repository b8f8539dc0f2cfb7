"""One request through the proxy's own decisions, in the order in which the proxy's hooks ask for them.

Nothing is decided here: each step is a pure function of the proxy's, and the first refusal counts. That the
order is the hooks' is what `tests/wire/test_explain.py` compares, request by request.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Collection
from dataclasses import dataclass, field

from proxy.contract.decision_line import MASK
from proxy.contract.grant import GrantSecret
from proxy.destination.headers import clean_request_headers
from proxy.destination.heads import head_defect
from proxy.destination.judge import (
    Judged,
    RequestFacts,
    as_sent,
    judge_connect,
    judge_request,
    judge_server_name,
)
from proxy.destination.resolve import Lookup, NotDialableError, vetted_address
from proxy.policy.hosts import is_ip_literal, split_authority
from proxy.policy.llm import LLM_HOST, NO_LLM, has_llm
from proxy.policy.model import Decision, Policy, Request, TlsMode, Verdict
from proxy.policy.refusal import RefusedError, deny
from proxy.secrets.broker import Head, forms_of, leak_decision
from proxy.secrets.forms import find_in_name
from proxy.secrets.outgoing import Outgoing, body_refusal, judge_outgoing, means_nothing_to_the_router
from runtime.explain.addresses import Found, Source, UnknownAddressError
from runtime.explain.asked import Asked
from runtime.explain.fields import Fields


class Stage(enum.StrEnum):
    """The step that a request came to."""

    HEAD = "head"
    TUNNEL = "tunnel"
    SERVER_NAME = "server_name"
    REQUEST = "request"
    ADDRESS = "address"
    SECRETS = "secrets"
    BODY = "body"


@dataclass(slots=True)
class Judgement:
    """The proxy's decision on one request, and what was learnt on the way to it."""

    judged: Judged = field(default_factory=lambda: Judged("", 0, Decision()))
    stage: Stage = Stage.HEAD
    status: int | None = None
    """Of the HTTP answer where it is not the reason's own."""
    found: Found = field(default_factory=Found)
    facts: RequestFacts | None = None
    """The request as the proxy sees it; None where it does not come to see it."""
    dropped: tuple[str, ...] = ()
    """Names of headers that do not cross the proxy."""
    head: Head | None = None
    outgoing: Outgoing | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the request goes upstream."""
        return self.judged.decision.verdict is Verdict.ALLOW


async def judge_asked(
    policy: Policy, asked: Asked, secrets: Collection[GrantSecret], *, lookup: Lookup
) -> Judgement:
    """Judge one request of a sandbox that holds these secrets."""
    way = _Way(policy, asked, secrets, lookup)
    with contextlib.suppress(_StoppedError):
        await way.go()
    return way.end


class _StoppedError(Exception):
    """The first refusal: nothing behind it is asked."""


class _Way:
    def __init__(
        self, policy: Policy, asked: Asked, secrets: Collection[GrantSecret], lookup: Lookup
    ) -> None:
        self._policy = policy
        self._asked = asked
        self._secrets = secrets
        self._forms = forms_of(secrets)
        self._lookup = lookup
        self.end = Judgement()

    async def go(self) -> None:
        """Every step. Raises _StoppedError at the first refusal."""
        tunnel = None
        if self._asked.scheme == "https":
            tunnel = await self._open_tunnel()
            is_seen = self._asked.method != "CONNECT" and await self._begin_tls(tunnel)
            if not is_seen:
                return
        await self._send(tunnel)

    async def _open_tunnel(self) -> tuple[str, int]:
        self._check_head(self._asked.tunnel_head)
        named = self._asked.tunnel_authority
        host, port = split_authority(named, default_port=443)
        self._settle(Stage.TUNNEL, judge_connect(self._policy, as_sent(host), port, [named]))
        await self._vet()
        return self.end.judged.host, port

    async def _begin_tls(self, tunnel: tuple[str, int]) -> bool:
        """Whether what is sent in the tunnel is seen."""
        name = None if is_ip_literal(tunnel[0]) else tunnel[0]
        self._settle(Stage.SERVER_NAME, judge_server_name(self._policy, name, tunnel))
        return self.end.judged.decision.tls is not TlsMode.PASSTHROUGH

    async def _send(self, tunnel: tuple[str, int] | None) -> None:
        self._check_head(self._asked.request_head)
        headers = Fields(self._asked.fields)
        host, port = tunnel or split_authority(self._asked.authority, default_port=80)
        before = set(headers)
        try:
            clean_request_headers(headers)
        except RefusedError as exc:
            self._settle(Stage.HEAD, Judged(host, port, exc.decision))
        self.end.dropped = tuple(sorted(before - set(headers)))
        self.end.head = self._head_of(headers)
        self.end.facts = RequestFacts(
            method=self._asked.method,
            scheme=self._asked.scheme,
            host=as_sent(host),
            port=port,
            target=self._asked.target,
            host_headers=tuple(headers.all("host")),
            authority="" if tunnel else self._asked.authority,
            is_http2=False,
            sni=tunnel[0] if tunnel and not is_ip_literal(tunnel[0]) else None,
            tunnel=tunnel,
            headers=headers.pairs(),
        )
        self._settle(Stage.REQUEST, judge_request(self._policy, self.end.facts))
        await self._vet()
        self._hand_over(headers)

    def _hand_over(self, headers: Fields) -> None:
        host, port, decision = self.end.judged
        if host == LLM_HOST:
            for name in [name for name in headers if means_nothing_to_the_router(name.lower())]:
                del headers[name]
        asked = Request(host, port, self._asked.scheme, self._asked.method, self._asked.target)
        self.end.head = self._head_of(headers)
        result = judge_outgoing(
            self._policy,
            asked,
            self.end.head,
            self._secrets,
            known=self._forms,
            rule_id=decision.rule_id,
        )
        if isinstance(result, Decision):
            self._settle(Stage.SECRETS, Judged(host, port, result))
            return
        self.end.outgoing = result
        if result.search is not None and result.search.forms:
            try:
                result.search.body.feed(self._asked.body)
                result.search.body.finish()
            except Exception as exc:  # noqa: BLE001 - as the proxy has it: what cannot be judged is refused
                refusal = body_refusal(exc, host=host, rule_id=decision.rule_id)
                self._settle(Stage.BODY, Judged(host, port, refusal))

    def _head_of(self, headers: Fields) -> Head:
        fields = tuple((_as_latin(name), _as_latin(value)) for name, value in headers.pairs())
        return Head(self._asked.target, fields)

    def _check_head(self, head: bytes) -> None:
        defect = head_defect(head)
        if defect is not None:
            self.end.status = defect.status
            self._settle(Stage.HEAD, Judged("", 0, deny(defect.reason, defect.detail)))

    async def _vet(self) -> None:
        """The way of every destination: no secret in its name, then an address that may be dialled."""
        host, port, _ = self.end.judged
        if (leak := find_in_name(self._forms, host)) is not None:
            self._settle(Stage.SECRETS, Judged(MASK, port, leak_decision(leak, host=MASK, rule_id=None)))
        if self.end.found.source is not Source.NOT_REACHED:
            return
        if host == LLM_HOST:
            self.end.found.source = Source.ROUTER
            if not has_llm(self._policy):
                self._settle(Stage.ADDRESS, Judged(host, port, NO_LLM))
            return
        found = self.end.found
        found.source = Source.LITERAL if is_ip_literal(host) else Source.RESOLVED
        if pinned := self._policy.resolve.get(host, ()):
            found.source = Source.PINNED
        found.addresses = (host,) if found.source is Source.LITERAL else tuple(pinned)
        try:
            found.dialled = await vetted_address(
                self._policy, host, own_addresses=set(), lookup=self._noted_lookup
            )
        except UnknownAddressError as exc:
            found.source = exc.source
        except NotDialableError as exc:
            self._settle(Stage.ADDRESS, Judged(host, port, exc.decision))

    async def _noted_lookup(self, host: str) -> list[str]:
        try:
            answers = await self._lookup(host)
        except OSError:
            self.end.found.source = Source.NO_SUCH_NAME
            raise
        self.end.found.addresses = tuple(answers)
        return answers

    def _settle(self, stage: Stage, judged: Judged) -> None:
        """Take the decision of a step. Raises _StoppedError where it is a refusal."""
        self.end.stage, self.end.judged = stage, judged
        if judged.decision.verdict is not Verdict.ALLOW:
            raise _StoppedError


def _as_latin(text: str) -> str:
    """Bytes one to one, as the proxy searches a head."""
    return text.encode(errors="surrogateescape").decode("latin-1")
