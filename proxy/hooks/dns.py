"""The DNS sink: names are answered from the policy alone."""

from __future__ import annotations

import ipaddress

from mitmproxy import dns
from mitmproxy.net.dns import response_codes, types

from proxy.destination.sink import NameAnswers
from proxy.hooks.clients import Clients
from proxy.hooks.fail_closed import fail_closed, refuse_dns
from proxy.hooks.recorder import Recorder
from proxy.policy.limits import limits_of
from proxy.policy.reasons import ReasonCode


class DnsHooks:
    """The hook on what is asked by TCP or UDP. It is given no way to resolve anything."""

    name = "orchbox-dns"

    def __init__(self, clients: Clients, recorder: Recorder) -> None:
        self.clients = clients
        self.recorder = recorder
        self.answers = NameAnswers()

    @fail_closed(refuse_dns)
    def dns_request(self, flow: dns.DNSFlow) -> None:
        """Answer from the policy alone; nothing is ever asked upstream for a sandbox."""
        session = self.clients.sessions[flow.client_conn.id]
        grant = self.clients.grant_of(session)
        allowed = limits_of(grant.policy.budgets)
        if session.meter.take_question(allowed, self.clients.meters.clock()) is not None:
            session.meter.suppress(ReasonCode.BUDGET_REQUESTS)  # no work a query, and one line for many
            flow.response = flow.request.fail(response_codes.REFUSED)
            return
        question = flow.request.question
        if question is None or len(flow.request.questions) != 1:
            flow.response = flow.request.fail(response_codes.FORMERR)
            return
        answer = self.answers.answer(grant.policy, question.name)
        if answer.is_new_refusal(grant.sandbox_id):
            method = types.to_str(question.type)
            self.recorder.record(grant, session.origin, answer.judged, method=method)
        if not answer.is_allowed:
            flow.response = flow.request.fail(response_codes.NXDOMAIN)
        elif question.type == types.A:
            record = dns.ResourceRecord.A(question.name, ipaddress.IPv4Address(grant.proxy_address), ttl=30)
            flow.response = flow.request.succeed([record])
        else:
            flow.response = flow.request.succeed([])
