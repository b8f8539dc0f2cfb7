"""Every place in which a request names its destination must agree."""

from __future__ import annotations

import dataclasses

import pytest

from proxy.destination.judge import RequestFacts, judge_destination, judge_request, judge_server_name
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy, Verdict
from proxy.policy.reasons import ReasonCode

POLICY = Policy(
    name="p",
    allow=(
        AllowRule(id="p.allow[0]", host=HostPattern.parse("ok.test"), ports=frozenset({443, 80})),
        AllowRule(id="p.allow[1]", host=HostPattern.parse("other.test")),
        AllowRule(id="p.allow[2]", host=HostPattern.parse("93.184.216.34")),
    ),
)
GOOD = RequestFacts(
    method="GET",
    scheme="https",
    host="ok.test",
    port=443,
    target="/",
    host_headers=("ok.test",),
    authority="",
    is_http2=False,
    sni="ok.test",
    tunnel=("ok.test", 443),
)

REQUESTS = {
    "all agree": ({}, None),
    "spelling does not count": ({"host": "OK.test.", "host_headers": ("ok.TEST:443",)}, None),
    "HTTP/2 with only an authority": ({"host_headers": (), "authority": "ok.test", "is_http2": True}, None),
    "clear text on port 80": (
        {"scheme": "http", "port": 80, "sni": None, "tunnel": None, "host_headers": ("ok.test",)},
        None,
    ),
    "Host names another": ({"host_headers": ("evil.test",)}, ReasonCode.HOST_MISMATCH),
    "Host names another allowed host": ({"host_headers": ("other.test",)}, ReasonCode.HOST_MISMATCH),
    "Host names another port": ({"host_headers": ("ok.test:8443",)}, ReasonCode.HOST_MISMATCH),
    "Host has an empty port": ({"host_headers": ("ok.test:",)}, ReasonCode.HOST_MISMATCH),
    "Host has userinfo": ({"host_headers": ("x@ok.test",)}, ReasonCode.HOST_MISMATCH),
    "Host is a list": ({"host_headers": ("ok.test, evil.test",)}, ReasonCode.HOST_MISMATCH),
    "no Host": ({"host_headers": ()}, ReasonCode.BAD_REQUEST),
    "two Hosts": ({"host_headers": ("ok.test", "ok.test")}, ReasonCode.BAD_REQUEST),
    "authority differs from Host": ({"authority": "evil.test", "is_http2": True}, ReasonCode.HOST_MISMATCH),
    "absolute form for another host in a tunnel": ({"authority": "evil.test"}, ReasonCode.HOST_MISMATCH),
    "tunnel leads elsewhere": ({"tunnel": ("other.test", 443)}, ReasonCode.HOST_MISMATCH),
    "server name differs": ({"sni": "other.test"}, ReasonCode.SNI_MISMATCH),
    "server name is no name": ({"sni": "ok test"}, ReasonCode.SNI_MISMATCH),
    "not a host": ({"host": "ok.test\x00"}, ReasonCode.BAD_HOST),
    "another scheme": ({"scheme": "ftp", "host_headers": ("ok.test:443",)}, ReasonCode.BAD_REQUEST),
    "TRACE": ({"method": "TRACE"}, ReasonCode.METHOD),
    "nested CONNECT": ({"method": "CONNECT"}, ReasonCode.METHOD),
    "target not in origin form": ({"target": "evil.test/"}, ReasonCode.BAD_REQUEST),
    "OPTIONS *": ({"method": "OPTIONS", "target": "*"}, None),
    "GET *": ({"target": "*"}, ReasonCode.BAD_REQUEST),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_request(case: str):
    """A request is allowed only when nothing about its destination disagrees."""
    changes, reason = REQUESTS[case]

    decision = judge_request(POLICY, dataclasses.replace(GOOD, **changes)).decision

    assert (decision.verdict, decision.reason_code) == (Verdict.DENY if reason else Verdict.ALLOW, reason)


SERVER_NAMES = {
    "agrees with the tunnel": ("ok.test", ("ok.test", 443), None),
    "no tunnel": ("ok.test", None, None),
    "absent": (None, ("ok.test", 443), ReasonCode.NO_SNI),
    "absent without a tunnel": (None, None, ReasonCode.NO_SNI),
    "absent for a listed address": (None, ("93.184.216.34", 443), None),
    "an address": ("93.184.216.34", None, ReasonCode.IP_LITERAL),
    "another name": ("other.test", ("ok.test", 443), ReasonCode.SNI_MISMATCH),
    "a name with a NUL": ("ok.test\x00", None, ReasonCode.BAD_HOST),
    "not listed": ("evil.test", None, ReasonCode.NOT_ALLOWED_HOST),
}


@pytest.mark.parametrize("case", SERVER_NAMES)
def test_server_name(case: str):
    """A ClientHello has to name the host that the connection leads to."""
    sni, tunnel, reason = SERVER_NAMES[case]

    assert judge_server_name(POLICY, sni, tunnel).decision.reason_code == reason


def test_bad_host_is_shown_in_printable_form():
    """What cannot be a host is shown escaped, never raw."""
    judged = judge_destination(POLICY, "evil\r\nhost", 443)

    assert judged.host.isprintable() is False or "\n" not in judged.host
    assert judged.decision.reason_code is ReasonCode.BAD_HOST


RESTRICTED = Policy(
    name="p",
    allow=(
        AllowRule(id="p.allow[0]", host=HostPattern.parse("ok.test")),
        AllowRule(id="p.allow[1]", host=HostPattern.parse("methods.test"), methods=frozenset({"GET"})),
        AllowRule(id="p.allow[2]", host=HostPattern.parse("paths.test"), paths=("/v1/*",)),
        AllowRule(
            id="p.allow[3]", host=HostPattern.parse("pinned.test"), credential="KEY", pin_credential=True
        ),
        AllowRule(id="p.allow[4]", host=HostPattern.parse("bound.test"), credential="KEY"),
    ),
)
METHOD, HEADER = "/v1/x?_method=DELETE", "/v1/x?%24httpHeaders=X-Goog-Api-Key%3ATHIEF%0D%0A"
OVERRIDES = {
    "a method by query, methods": ("methods.test", METHOD, (), ReasonCode.METHOD),
    "a method by query, paths": ("paths.test", METHOD, (), ReasonCode.METHOD),
    "a method by query, a pin": ("pinned.test", METHOD, (), ReasonCode.METHOD),
    "a method by header, methods": (
        "methods.test",
        "/",
        (("X-HTTP-Method-Override", "DELETE"),),
        ReasonCode.METHOD,
    ),
    "headers by query, methods": ("methods.test", HEADER, (), ReasonCode.METHOD),
    "headers by query, a pin": ("pinned.test", HEADER, (), ReasonCode.FOREIGN_CREDENTIAL),
    "a path by header, paths": ("paths.test", "/v1/x", (("Destination", "/admin"),), ReasonCode.PATH),
    "a path by header, no paths": ("pinned.test", "/v1/x", (("Destination", "/admin"),), None),
    "a method and a path, no paths": (
        "methods.test",
        "/",
        (("Destination", "/a"), ("X-HTTP-Method", "PUT")),
        ReasonCode.METHOD,
    ),
    "nothing is restricted": ("ok.test", METHOD, (("Destination", "/admin"),), None),
    "a key that is not pinned": ("bound.test", METHOD, (), None),
    "nothing is overridden": ("paths.test", "/v1/x?path=a", (("Accept", "*/*"),), None),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_what_was_judged_cannot_be_replaced(case: str):
    """Where the policy is about method, path or credential, the upstream gets nothing that replaces them."""
    host, target, headers, reason = OVERRIDES[case]
    facts = dataclasses.replace(
        GOOD,
        host=host,
        host_headers=(host,),
        sni=host,
        tunnel=(host, 443),
        target=target,
        headers=headers,
    )

    decision = judge_request(RESTRICTED, facts).decision

    assert decision.reason_code is reason
    assert decision.verdict is (Verdict.ALLOW if reason is None else Verdict.DENY)
    assert "THIEF" not in decision.detail
