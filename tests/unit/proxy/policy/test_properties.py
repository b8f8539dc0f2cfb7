"""What holds for every name, address and request, not only for those in the tables."""

from __future__ import annotations

import ipaddress
import string

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proxy.policy.addresses import AddressClass, classify
from proxy.policy.decide import decide, is_dialable
from proxy.policy.hosts import BadHostError, HostPattern, is_ip_literal, normalize_host, split_authority
from proxy.policy.model import AllowRule, DenyRule, Policy, Request, TlsMode, Verdict

BOUNDED = settings(max_examples=300, deadline=None, derandomize=True)

LABEL = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=12)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
ODD = st.text(
    st.sampled_from("aAzk0197.-_*:@/\\%[]?#&;= \t\r\n\x00\x7f。．․ſıKß①ｏ\u200b\u00ad"),  # noqa: RUF001
    max_size=24,
)
ANY_NAME = st.one_of(NAME, ODD, st.text(max_size=24), st.ip_addresses().map(str), st.binary(max_size=24))
V4 = st.ip_addresses(v=4)

POLICY = Policy(
    name="p",
    allow=(
        AllowRule(id="p.allow[0]", host=HostPattern.parse("ok.test")),
        AllowRule(id="p.allow[1]", host=HostPattern.parse("*.wild.test"), ports=frozenset({443, 8443})),
        AllowRule(
            id="p.allow[2]",
            host=HostPattern.parse("paths.test"),
            methods=frozenset({"GET"}),
            paths=("/v1/*",),
        ),
        AllowRule(id="p.allow[3]", host=HostPattern.parse("pass.test"), tls=TlsMode.PASSTHROUGH),
    ),
    deny=(DenyRule(id="p.deny[0]", host=HostPattern.parse("no.wild.test")),),
)


def normalized(raw: str | bytes) -> str | None:
    """The name's one spelling; None for what is no name."""
    try:
        return normalize_host(raw)
    except BadHostError:
        return None


def is_listed(host: str) -> bool:
    """Written out once more, on purpose, without the code under test."""
    return host in {"ok.test", "paths.test", "pass.test"} or (
        host.endswith(".wild.test") and host != "no.wild.test"
    )


@BOUNDED
@given(ANY_NAME)
@example("ok.test.")
@example(b"OK.TEST")
@example("::FFFF:7f00:1")
def test_normalizing_twice_is_normalizing_once(raw: str | bytes):
    """The one spelling is its own spelling."""
    host = normalized(raw)
    assume(host is not None)

    assert normalize_host(host) == host


@BOUNDED
@given(ANY_NAME)
@example("ok.test\n")
@example("ｏｋ.test")  # noqa: RUF001
@example("ok.test%00")
def test_a_name_is_plain_ascii_or_refused(raw: str | bytes):
    """What is left after normalising has no byte that another parser could read otherwise."""
    host = normalized(raw)
    assume(host is not None)

    assert set(host) <= set(string.ascii_lowercase + string.digits + "-_.:")
    assert not host.endswith(".")
    assert len(host) <= 253


@BOUNDED
@given(NAME, st.data())
def test_no_two_spellings_of_a_name_get_different_verdicts(name: str, data: st.DataObject):
    """Case, a final dot, text or bytes: all spellings that are accepted are the same name."""
    host = normalized(name)
    assume(host is not None)
    cased = "".join(data.draw(st.sampled_from([char, char.upper()])) for char in name)
    for spelling in (cased, cased.encode(), *([] if is_ip_literal(host) else [cased + "."])):
        assert normalized(spelling) == host
        assert split_authority(f"{cased}:443", default_port=80) == (host, 443)


@BOUNDED
@given(
    st.one_of(NAME, NAME.map(lambda n: n + ".wild.test"), ODD.map(lambda o: o + "ok.test")),
    st.integers(0, 70000),
)
@example("wild.test", 443)
@example("no.wild.test", 443)
@example("evilok.test", 443)
@example("a.no.wild.test", 443)
def test_nothing_outside_the_list_is_ever_allowed(raw: str, port: int):
    """An allow means a listed name, on a port of its rule, by a scheme of TLS."""
    host = normalized(raw)
    assume(host is not None)
    for scheme in ("https", "http"):
        for method, path in ((None, None), ("GET", "/v1/x"), ("POST", "/")):
            decision = decide(POLICY, Request(host=host, port=port, scheme=scheme, method=method, path=path))
            if decision.verdict is Verdict.ALLOW:
                assert is_listed(host)
                assert port == 443 or (port == 8443 and host.endswith(".wild.test"))
                assert scheme == "https" or port != 443
                assert decision.rule_id is not None


@BOUNDED
@given(
    st.text(st.sampled_from("/v1.%2eEfF\\;x?#*"), max_size=16),
    st.sampled_from(["GET", "POST", "get", "TRACE"]),
)
@example("/v1/../admin", "GET")
@example("/v1/%2e%2e/admin", "GET")
def test_a_path_outside_its_rule_is_never_allowed(path: str, method: str):
    """An allow by path begins with the rule's folder, in a form that no server reads as another."""
    decision = decide(POLICY, Request(host="paths.test", port=443, scheme="https", method=method, path=path))

    if decision.verdict is Verdict.ALLOW:
        assert (method, path.startswith("/v1/")) == ("GET", True)
        plain = path.partition("?")[0].lower()
        assert not any(part in {".", "..", "%2e", "%2e%2e", ".%2e", "%2e."} for part in plain.split("/"))
        assert "\\" not in plain
        assert "%2f" not in plain


@BOUNDED
@given(st.one_of(NAME, ODD))
def test_a_pattern_prints_as_it_reads(text: str):
    """A rule's host has one spelling, and matches itself or only what is below it."""
    try:
        pattern = HostPattern.parse(text)
    except BadHostError:
        return
    assert HostPattern.parse(str(pattern)) == pattern
    assert pattern.matches(pattern.suffix) is not pattern.is_wildcard
    assert pattern.matches("x" + pattern.suffix) is False


@BOUNDED
@given(V4)
@example(ipaddress.IPv4Address("169.254.169.254"))
@example(ipaddress.IPv4Address("168.63.129.16"))
@example(ipaddress.IPv4Address("8.8.8.8"))
def test_ipv4_inside_ipv6_is_never_better_than_itself(address: ipaddress.IPv4Address):
    """Each embedded form is metadata where the address is, and never public."""
    kind, number = classify(address), int(address)
    forms = [
        number,  # compatible
        0xFFFF << 32 | number,  # mapped
        0xFFFF << 48 | number,  # translated
        0x64FF9B << 96 | number,  # NAT64
        0x64FF9B0001 << 80 | number,  # NAT64 local use
        0x2002 << 112 | number << 80,  # 6to4
        0x20010000 << 96 | (number ^ 0xFFFFFFFF),  # Teredo
        0xFE80 << 112 | 0x5EFE << 32 | number,  # ISATAP
    ]
    for form in forms:
        embedded = classify(ipaddress.IPv6Address(form))
        assert embedded is not AddressClass.PUBLIC
        if kind is AddressClass.METADATA:
            assert embedded is AddressClass.METADATA


@BOUNDED
@given(st.ip_addresses())
def test_an_address_is_dialled_only_when_its_class_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
):
    """Without an operator's exception nothing that is not public is dialled; with one, never metadata."""
    decision = is_dialable(POLICY, "ok.test", str(address))
    everything = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0"))
    wide = is_dialable(Policy(name="w", allow_private=everything), "ok.test", str(address))

    assert (decision.verdict is Verdict.ALLOW) == (classify(address) is AddressClass.PUBLIC)
    assert (wide.verdict is Verdict.ALLOW) == (classify(address) is not AddressClass.METADATA)


@BOUNDED
@given(st.ip_addresses())
def test_an_address_has_one_spelling_too(address: ipaddress.IPv4Address | ipaddress.IPv6Address):
    """With or without brackets and in capitals, an address stays that address; the policy lists none."""
    host = normalize_host(str(address))

    if isinstance(address, ipaddress.IPv6Address):
        assume("%" not in str(address))
        assert normalize_host(f"[{str(address).upper()}]") == normalize_host(address.exploded) == host
    assert int(ipaddress.ip_address(host)) == int(address)
    assert decide(POLICY, Request(host=host, port=443, scheme="https")).verdict is Verdict.DENY
