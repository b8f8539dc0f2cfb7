"""The wire form of a policy: it round-trips, and refuses whatever is not exactly that form."""

from __future__ import annotations

import copy
import ipaddress
import json
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract.policy_wire import policy_from_wire, policy_to_wire
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Budgets, DenyRule, Policy, TlsMode
from proxy.policy.passes import Passes

FULL = Policy(
    name="t",
    allow=(
        AllowRule(
            id="t.allow[0]",
            host=HostPattern.parse("*.wild.test"),
            ports=frozenset({443, 8443}),
            methods=frozenset({"GET", "M-SEARCH"}),
            paths=("/v1/*",),
            credential="OPENAI_API_KEY",
            pin_credential=True,
            credential_headers=frozenset({"x-auth-key"}),
            passes=Passes(frozenset({"x-a", "x-b-*"}), frozenset({"pageSize"}), frozenset({"chat.v1"})),
            secrets=frozenset({"DB_KEY"}),
        ),
        AllowRule(
            id="t.allow[1]",
            host=HostPattern.parse("2001:db8::1"),
            tls=TlsMode.PASSTHROUGH,
            is_tls_chosen=False,
        ),
    ),
    deny=(DenyRule(id="t.deny[0]", host=HostPattern.parse("denied.test")),),
    agents=("acme/*",),
    budgets=Budgets(
        requests_per_minute=1,
        bytes_out=2,
        bytes_in=3,
        connections=4,
        tunnels_per_minute=6,
        new_names_per_minute=7,
        dns_questions_per_minute=8,
        llm_tokens=5,
        llm_usd=Decimal("2.50"),
    ),
    allow_any_public=True,
    resolve=MappingProxyType({"ok.test": ("10.1.0.1", "fd00::1")}),
    allow_private=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")),
    upstream_ca_pem="-----BEGIN CERTIFICATE-----",
    has_tripwire=True,
)

hosts = st.from_regex(r"\A[a-z]{1,5}\.(test|example)\Z").map(HostPattern) | st.just(
    HostPattern("a.test", is_wildcard=True)
)
counts = st.none() | st.integers(0)
dollars = st.none() | st.decimals(0, 10**8, places=2)
rules = st.builds(
    AllowRule,
    id=st.text(min_size=1),
    host=hosts,
    ports=st.frozensets(st.integers(1, 65535)),
    methods=st.none() | st.frozensets(st.sampled_from(["GET", "POST"])),
    paths=st.none() | st.lists(st.sampled_from(["/", "/v1/*"])).map(tuple),
    credential=st.none() | st.text(min_size=1),
)
policies = st.builds(
    Policy,
    name=st.text(min_size=1),
    allow=st.lists(rules, max_size=3).map(tuple),
    deny=st.lists(st.builds(DenyRule, id=st.text(min_size=1), host=hosts), max_size=3).map(tuple),
    agents=st.lists(st.text(min_size=1)).map(tuple),
    budgets=st.builds(Budgets, *[counts] * 8, dollars),
    allow_any_public=st.booleans(),
    resolve=st.dictionaries(
        hosts.map(lambda host: host.suffix), st.lists(st.ip_addresses().map(str)).map(tuple)
    ).map(MappingProxyType),
    allow_private=st.lists(st.ip_addresses().map(ipaddress.ip_network)).map(tuple),
    upstream_ca_pem=st.none() | st.text(min_size=1),
)


@given(policies)
def test_a_policy_survives_the_wire(policy: Policy) -> None:
    """What is sent as JSON is what arrives."""
    assert policy == policy_from_wire(json.loads(json.dumps(policy_to_wire(policy))))


def test_a_full_policy_survives_the_wire() -> None:
    """Every field crosses, none is lost."""
    assert policy_from_wire(json.loads(json.dumps(policy_to_wire(FULL)))) == FULL


def change(place: list, value: object) -> dict:
    """The full policy's wire form with one value replaced."""
    wire = copy.deepcopy(policy_to_wire(FULL))
    at = wire
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return wire


DEFECTS = {
    "an empty name": (["name"], "", "policy.name: expected a text that is not empty"),
    "a name that is no text": (["name"], 1, "policy.name: expected a text that is not empty"),
    "rules that are no list": (["allow"], {}, "policy.allow: expected a list"),
    "a rule that is no object": (
        ["allow", 0],
        [],
        "policy.allow[0]: expected an object with exactly the fields",
    ),
    "an unknown field of a rule": (["allow", 0, "x"], 1, "policy.allow[0]: expected an object with exactly"),
    "a pattern that is too wide": (["allow", 0, "host"], "*.com", "policy.allow[0].host: a wildcard needs"),
    "a host that is no text": (
        ["allow", 0, "host"],
        None,
        "policy.allow[0].host: policy.allow[0].host: expected",
    ),
    "port 0": (["allow", 0, "ports", 0], 0, "policy.allow[0].ports[0]: expected a port between 1 and 65535"),
    "a port that is true": (["allow", 0, "ports", 0], True, "policy.allow[0].ports[0]: expected a port"),
    "a port that is text": (["allow", 0, "ports", 0], "443", "policy.allow[0].ports[0]: expected a port"),
    "a port beyond the last": (["allow", 0, "ports", 0], 65536, "policy.allow[0].ports[0]: expected a port"),
    "a method in lower case": (
        ["allow", 0, "methods", 0],
        "get",
        "policy.allow[0].methods[0]: expected a method",
    ),
    "a path without a slash": (
        ["allow", 0, "paths", 0],
        "*",
        "policy.allow[0].paths[0]: a path starts with /",
    ),
    "an unknown tls mode": (
        ["allow", 0, "tls"],
        "off",
        "policy.allow[0].tls: expected inspect or passthrough",
    ),
    "a tls mode that is no text": (
        ["allow", 0, "tls"],
        [],
        "policy.allow[0].tls: expected inspect or passthrough",
    ),
    "a rule that cannot be enforced": (["allow", 0, "tls"], "passthrough", "t.allow[0]: methods, paths and"),
    "a pin that is no boolean": (
        ["allow", 0, "pin_credential"],
        1,
        "policy.allow[0].pin_credential: expected true",
    ),
    "a header's name in capitals": (
        ["allow", 0, "credential_headers", 0],
        "X-Key",
        "policy.allow[0].credential_headers[0]: expected a header's name",
    ),
    "a name that passes and is anything": (
        ["allow", 0, "passes", "headers", 0],
        "*",
        "policy.allow[0].passes.headers[0]: not a name",
    ),
    "a list of what passes with more in it": (
        ["allow", 0, "passes"],
        {"headers": [], "parameters": [], "subprotocols": [], "cookies": []},
        "policy.allow[0].passes: expected an object with exactly",
    ),
    "a secret that is no text": (
        ["allow", 0, "secrets", 0],
        1,
        "policy.allow[0].secrets[0]: expected a text",
    ),
    "a chosen tls mode as text": (
        ["allow", 0, "is_tls_chosen"],
        "no",
        "policy.allow[0].is_tls_chosen: expected",
    ),
    "a tripwire as a number": (["has_tripwire"], 1, "policy.has_tripwire: expected true or false"),
    "a deny rule without an id": (["deny", 0, "id"], None, "policy.deny[0].id: expected a text"),
    "an agent that is no text": (["agents", 0], 7, "policy.agents[0]: expected a text"),
    "a negative budget": (["budgets", "bytes_in"], -1, "policy.budgets.bytes_in: expected a whole number"),
    "a budget that is true": (
        ["budgets", "bytes_in"],
        True,
        "policy.budgets.bytes_in: expected a whole number",
    ),
    "a fraction as a budget": (
        ["budgets", "bytes_in"],
        1.5,
        "policy.budgets.bytes_in: expected a whole number",
    ),
    "dollars as a number": (["budgets", "llm_usd"], 2.5, "policy.budgets.llm_usd: expected a text"),
    "negative dollars": (["budgets", "llm_usd"], "-1", "policy.budgets.llm_usd: expected US dollars"),
    "dollars that are none": (["budgets", "llm_usd"], "NaN", "policy.budgets.llm_usd: expected US dollars"),
    "any public host as text": (
        ["allow_any_public"],
        "true",
        "policy.allow_any_public: expected true or false",
    ),
    "pins that are no object": (["resolve"], [], "policy.resolve: expected an object of names"),
    "a pin of a name in capitals": (["resolve"], {"OK.test": []}, "policy.resolve: expected host names"),
    "a pin of what is no name": (["resolve"], {"a b": []}, "policy.resolve: expected host names"),
    "a pin to what is no address": (
        ["resolve", "ok.test", 0],
        "127.1",
        "policy.resolve.ok.test[0]: expected an address",
    ),
    "a network with host bits": (
        ["allow_private", 0],
        "10.1.0.1/16",
        "policy.allow_private[0]: expected a network",
    ),
    "a certificate that is no text": (["upstream_ca_pem"], 1, "policy.upstream_ca_pem: expected a text"),
    "an unknown field": (["x"], 1, "policy: expected an object with exactly the fields"),
}


@pytest.mark.parametrize(("place", "value", "message"), DEFECTS.values(), ids=DEFECTS.keys())
def test_a_defect_is_refused_with_its_field(place: list, value: object, message: str) -> None:
    """Nothing is guessed or ignored: ValueError, naming the field."""
    with pytest.raises(ValueError, match=r".") as caught:
        policy_from_wire(change(place, value))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("data", [None, [], "policy", 1, {}], ids=str)
def test_what_is_no_policy_object_is_refused(data: object) -> None:
    """The reader takes any JSON and only ever raises ValueError."""
    with pytest.raises(ValueError, match=r"^policy: expected an object"):
        policy_from_wire(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(policy_to_wire(FULL))), value=json_values)
def test_any_json_in_any_field_gives_a_policy_or_a_value_error(field: str, value: object) -> None:
    """Outside data never raises anything but ValueError."""
    try:
        policy_from_wire({**policy_to_wire(FULL), field: value})
    except ValueError:
        return
