"""The decision table: verdict, reason and rule of every kind of request."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.decide import decide, is_dialable
from proxy.policy.hosts import BadHostError, HostPattern, normalize_host
from proxy.policy.model import AllowRule, Decision, DenyRule, Policy, Request, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode


def rule(index: int, host: str, **more) -> AllowRule:
    """A rule of policy t."""
    return AllowRule(id=f"t.allow[{index}]", host=HostPattern.parse(host), **more)


POLICY = Policy(
    name="t",
    allow=(
        rule(0, "ok.test"),
        rule(1, "*.wild.test", tls=TlsMode.PASSTHROUGH),
        rule(2, "paths.test", methods=frozenset({"GET"}), paths=("/v1/*", "/health")),
        rule(3, "paths.test", methods=frozenset({"POST"}), paths=("/v1/chat",)),
        rule(4, "ports.test", ports=frozenset({80, 443, 8443}), tls=TlsMode.PASSTHROUGH),
        rule(5, "ports.test", ports=frozenset({8443}), methods=frozenset({"GET"})),
        rule(6, "192.0.2.1"),
        rule(7, "169.254.169.254"),
        rule(8, "denied.test"),
    ),
    deny=(
        DenyRule(id="t.deny[0]", host=HostPattern.parse("denied.test")),
        DenyRule(id="t.deny[1]", host=HostPattern.parse("*.secret.wild.test")),
    ),
)
OPEN = Policy(
    name="open",
    allow=(AllowRule(id="open.allow[0]", host=HostPattern("named.test"), methods=frozenset({"GET"})),),
    deny=(DenyRule(id="open.deny[0]", host=HostPattern.parse("denied.test")),),
    allow_any_public=True,
)
R = ReasonCode
ALLOW = None

#    sentence: (url-like request, reason or ALLOW, rule id)
CONNECTIONS = {
    "a listed host on the default port is allowed": ("https ok.test 443", ALLOW, "t.allow[0]"),
    "another port of a listed host is refused (N-46)": ("https ok.test 22", R.PORT, None),
    "clear text is refused where only 443 is listed": ("http ok.test 80", R.PORT, None),
    "clear text on 443 is refused": ("http ok.test 443", R.PORT, None),
    "clear text is allowed on another listed port": ("http ports.test 80", ALLOW, "t.allow[4]"),
    "a listed port other than 443 is allowed": ("https ports.test 8443", ALLOW, "t.allow[5]"),
    "an unlisted host is refused": ("https evil.test 443", R.NOT_ALLOWED_HOST, None),
    "a longer label is another host (N-06)": ("https evilok.test 443", R.NOT_ALLOWED_HOST, None),
    "a listed name as a prefix is another host (N-07)": (
        "https ok.test.evil.test 443",
        R.NOT_ALLOWED_HOST,
        None,
    ),
    "a subdomain of an exact name is another host": ("https a.ok.test 443", R.NOT_ALLOWED_HOST, None),
    "a wildcard allows its subdomains": ("https a.b.wild.test 443", ALLOW, "t.allow[1]"),
    "a wildcard does not allow its apex (N-23)": ("https wild.test 443", R.NOT_ALLOWED_HOST, None),
    "a deny rule beats an allow rule (N-03)": ("https denied.test 443", R.DENIED_RULE, "t.deny[0]"),
    "a deny rule covers every port": ("https denied.test 22", R.DENIED_RULE, "t.deny[0]"),
    "a deny rule cuts a part out of a wildcard": ("https a.secret.wild.test 443", R.DENIED_RULE, "t.deny[1]"),
    "an unlisted address is refused (N-42)": ("https 93.184.216.34 443", R.IP_LITERAL, None),
    "an unlisted IPv6 address is refused": ("https 2606:2800:220:1::1 443", R.IP_LITERAL, None),
    "a listed address is allowed": ("https 192.0.2.1 443", ALLOW, "t.allow[6]"),
    "metadata by address has its own reason": ("http fd00:ec2::254 80", R.METADATA_ADDRESS, None),
    "metadata inside IPv6 has it too": ("http ::ffff:a9fe:a9fe 80", R.METADATA_ADDRESS, None),
    "metadata is refused even where it is listed": ("https 169.254.169.254 443", R.METADATA_ADDRESS, None),
}


def ask(policy: Policy, text: str) -> Decision:
    """The decision on `scheme host port [method path]`."""
    scheme, host, port, *rest = text.split(" ")
    method, path = rest or (None, None)
    return decide(policy, Request(host=host, port=int(port), scheme=scheme, method=method, path=path))


def expect(decision: Decision, reason: ReasonCode | None, rule_id: str | None) -> None:
    """Verdict, reason and rule; tls with an ALLOW, a detail with a DENY."""
    verdict = Verdict.ALLOW if reason is None else Verdict.DENY
    assert (verdict, reason, rule_id) == (decision.verdict, decision.reason_code, decision.rule_id)
    assert (decision.tls is not None) == (reason is None)
    assert bool(decision.detail) == (reason is not None)


@pytest.mark.parametrize(("asked", "reason", "rule_id"), CONNECTIONS.values(), ids=CONNECTIONS.keys())
def test_a_destination_is_decided(asked: str, reason: ReasonCode | None, rule_id: str | None) -> None:
    """Host and port alone decide whether a connection may be tried."""
    expect(ask(POLICY, asked), reason, rule_id)


REQUESTS = {
    "any method and path where a rule names none": ("https ok.test 443 DELETE /x", ALLOW, "t.allow[0]"),
    "odd paths where no rule is about paths": ("https ok.test 443 GET /a/../b", ALLOW, "t.allow[0]"),
    "a listed method and path": ("https paths.test 443 GET /v1/models", ALLOW, "t.allow[2]"),
    "a second glob of a rule": ("https paths.test 443 GET /health", ALLOW, "t.allow[2]"),
    "a second rule for the host": ("https paths.test 443 POST /v1/chat", ALLOW, "t.allow[3]"),
    "the query is not part of the path": ("https paths.test 443 POST /v1/chat?x=/../y", ALLOW, "t.allow[3]"),
    "a method that no rule names": ("https paths.test 443 DELETE /v1/chat", R.METHOD, "t.allow[2]"),
    "methods are compared as they are written": (
        "https paths.test 443 get /v1/models",
        R.METHOD,
        "t.allow[2]",
    ),
    "a path of another method": ("https paths.test 443 POST /v1/models", R.PATH, "t.allow[3]"),
    "a path outside the globs": ("https paths.test 443 GET /admin", R.PATH, "t.allow[2]"),
    "a path that leaves the glob by dots (N-50)": (
        "https paths.test 443 GET /v1/../admin",
        R.PATH,
        "t.allow[2]",
    ),
    "the same in escapes (N-50)": ("https paths.test 443 GET /v1/%2e%2e/admin", R.PATH, "t.allow[2]"),
    "two slashes (N-50)": ("https paths.test 443 GET /v1//x", R.PATH, "t.allow[2]"),
    "an escaped slash (N-50)": ("https paths.test 443 GET /v1/a%2fb", R.PATH, "t.allow[2]"),
    "a backslash": ("https paths.test 443 GET /v1/a\\b", R.PATH, "t.allow[2]"),
    "a server-wide OPTIONS": ("https paths.test 443 OPTIONS *", R.METHOD, "t.allow[2]"),
    "TRACE, which reflects what the proxy added": ("https ok.test 443 TRACE /", R.METHOD, None),
    "CONNECT inside a connection": ("https ok.test 443 CONNECT /", R.METHOD, None),
    "a request to an unlisted host": ("https evil.test 443 GET /", R.NOT_ALLOWED_HOST, None),
    "a request to another port": ("https ok.test 8443 GET /", R.PORT, None),
    "a narrow rule does not narrow a wide one": ("https ports.test 8443 POST /", ALLOW, "t.allow[4]"),
}


@pytest.mark.parametrize(("asked", "reason", "rule_id"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_is_decided(asked: str, reason: ReasonCode | None, rule_id: str | None) -> None:
    """All conditions of one rule have to hold."""
    expect(ask(POLICY, asked), reason, rule_id)


ANY_PUBLIC = {
    "an unnamed host on https": ("https any.test 443", ALLOW, "open.allow_any_public"),
    "an unnamed host on http": ("http any.test 80 GET /", ALLOW, "open.allow_any_public"),
    "an unnamed host on another port": ("https any.test 22", R.PORT, None),
    "clear text on 443": ("http any.test 443", R.PORT, None),
    "TLS on 80": ("https any.test 80", R.PORT, None),
    "an address": ("https 93.184.216.34 443", R.IP_LITERAL, None),
    "a denied host": ("https denied.test 443", R.DENIED_RULE, "open.deny[0]"),
    "a host that a rule names is judged by the rule": (
        "https named.test 443 POST /",
        R.METHOD,
        "open.allow[0]",
    ),
    "and by its ports": ("http named.test 80", R.PORT, None),
}


@pytest.mark.parametrize(("asked", "reason", "rule_id"), ANY_PUBLIC.values(), ids=ANY_PUBLIC.keys())
def test_any_public_host_means_names_on_the_web_ports(
    asked: str, reason: ReasonCode | None, rule_id: str | None
) -> None:
    """`allow_any_public` opens names on https/443 and http/80, nothing else."""
    expect(ask(OPEN, asked), reason, rule_id)


@pytest.mark.parametrize(
    ("policy", "asked", "tls"),
    [
        (POLICY, "https ok.test 443", TlsMode.INSPECT),
        (POLICY, "https a.wild.test 443", TlsMode.PASSTHROUGH),
        (POLICY, "https ports.test 443", TlsMode.PASSTHROUGH),
        (POLICY, "https ports.test 8443", TlsMode.INSPECT),
        (OPEN, "https any.test 443", TlsMode.PASSTHROUGH),
    ],
    ids=[
        "an inspect rule",
        "a passthrough rule",
        "passthrough on this port",
        "one rule of two",
        "any public host",
    ],
)
def test_a_connection_is_inspected_as_soon_as_one_rule_needs_it(
    policy: Policy, asked: str, tls: TlsMode
) -> None:
    """A rule about requests is never skipped because another one passes the connection through."""
    assert tls is ask(policy, asked).tls


PRIVATE = Policy(
    name="p",
    allow_private=(
        ipaddress.ip_network("10.1.0.0/16"),
        ipaddress.ip_network("169.254.0.0/16"),
        ipaddress.ip_network("fd00::/8"),
    ),
)
DIALS = {
    "a public address": (POLICY, "93.184.216.34", ALLOW),
    "a public IPv6 address": (POLICY, "2606:2800:220:1::1", ALLOW),
    "a private address": (POLICY, "10.1.2.3", R.PRIVATE_ADDRESS),
    "loopback": (POLICY, "127.0.0.1", R.PRIVATE_ADDRESS),
    "a documentation address": (POLICY, "203.0.113.1", R.PRIVATE_ADDRESS),
    "metadata": (POLICY, "169.254.169.254", R.METADATA_ADDRESS),
    "the Azure wire server, a public address": (POLICY, "168.63.129.16", R.METADATA_ADDRESS),
    "an address that the operator allowed": (PRIVATE, "10.1.2.3", ALLOW),
    "an IPv6 address that the operator allowed": (PRIVATE, "fd12::1", ALLOW),
    "an address outside the operator's networks": (PRIVATE, "10.2.0.1", R.PRIVATE_ADDRESS),
    "an allowed address wrapped in IPv6": (PRIVATE, "::ffff:10.1.2.3", R.PRIVATE_ADDRESS),
    "metadata within an allowed network": (PRIVATE, "169.254.169.254", R.METADATA_ADDRESS),
    "IPv6 metadata within an allowed network": (PRIVATE, "fd00:ec2::254", R.METADATA_ADDRESS),
    "any public host keeps private ones closed": (OPEN, "192.168.1.1", R.PRIVATE_ADDRESS),
    "what is no address": (OPEN, "127.1", R.DNS_FAILURE),
}


@pytest.mark.parametrize(("policy", "address", "reason"), DIALS.values(), ids=DIALS.keys())
def test_an_address_is_dialled_only_when_it_is_public_or_listed(
    policy: Policy, address: str, reason: ReasonCode | None
) -> None:
    """Every answer of a name is judged by the whole table; metadata is beyond any exception (A-01..A-10)."""
    decision = is_dialable(policy, "ok.test", address)
    assert (Verdict.ALLOW if reason is None else Verdict.DENY, reason) == (
        decision.verdict,
        decision.reason_code,
    )
    assert address not in decision.detail


names = st.from_regex(r"\A[a-z]{1,3}(\.[a-z]{1,4}){0,3}\Z") | st.sampled_from(
    ["ok.test", "a.wild.test", "wild.test", "denied.test", "a.secret.wild.test", "192.0.2.1", "10.0.0.1"]
)


@given(
    raw=st.text() | names,
    port=st.integers(1, 65535) | st.sampled_from([80, 443]),
    scheme=st.sampled_from(["http", "https"]),
    asked=st.just((None, None))
    | st.tuples(st.sampled_from(["GET", "POST", "TRACE"]), st.text().map("/".__add__)),
)
def test_nothing_outside_the_allow_list_is_ever_allowed(
    raw: str, port: int, scheme: str, asked: tuple
) -> None:
    """Whatever is asked, ALLOW implies an allow rule for that host and port, and no deny rule."""
    try:
        host = normalize_host(raw)
    except BadHostError:
        return
    method, path = asked
    decision = decide(POLICY, Request(host=host, port=port, scheme=scheme, method=method, path=path))
    if decision.verdict is Verdict.ALLOW:
        allowed = [r for r in POLICY.allow if r.host.matches(host) and port in r.ports]
        assert decision.rule_id in {r.id for r in allowed}
        assert not any(r.host.matches(host) for r in POLICY.deny)
    else:
        assert decision.reason_code is not None


@given(host=names, port=st.integers(1, 65535), method=st.text(), path=st.text())
def test_an_empty_policy_denies_everything(host: str, port: int, method: str, path: str) -> None:
    """No rule, no way out (N-27)."""
    request = Request(host=host, port=port, scheme="https", method=method, path=path)
    assert Verdict.DENY is decide(Policy(name="empty"), request).verdict


@pytest.mark.parametrize(
    ("host", "tls"),
    [
        ("default.test", TlsMode.INSPECT),
        ("chosen.test", TlsMode.PASSTHROUGH),
        ("any.test", TlsMode.INSPECT),
    ],
)
def test_a_tripwire_has_what_nobody_chose_to_pass_through_inspected(host: str, tls: TlsMode) -> None:
    """Where a sandbox holds secrets, a connection goes by unseen only where the policy's author said so."""
    default = AllowRule(
        "t.allow[0]", HostPattern("default.test"), tls=TlsMode.PASSTHROUGH, is_tls_chosen=False
    )
    chosen = AllowRule("t.allow[1]", HostPattern("chosen.test"), tls=TlsMode.PASSTHROUGH)
    policy = Policy(name="t", allow=(default, chosen), allow_any_public=True, has_tripwire=True)

    assert tls == decide(policy, Request(host=host, port=443, scheme="https")).tls
