"""Which secrets a request may carry, from the rules alone."""

from __future__ import annotations

import pytest

from proxy.policy.bindings import Binding, binding_of, brokered_names
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy, Request, TlsMode
from proxy.policy.passes import Passes


def rule(host: str, **more) -> AllowRule:
    """An inspected rule."""
    return AllowRule(**{"id": "t.allow[0]", "host": HostPattern.parse(host), **more})


POLICY = Policy(
    name="t",
    allow=(
        rule(
            "llm.test",
            methods=frozenset({"GET", "POST"}),
            paths=("/v1/*",),
            credential="KEY",
            pin_credential=True,
        ),
        rule(
            "llm.test",
            ports=frozenset({80, 443, 8443}),
            credential_headers=frozenset({"x-k"}),
            credential="OTHER",
        ),
        rule("*.open.test", tls=TlsMode.PASSTHROUGH, secrets=frozenset({"DB"})),
    ),
)
NOTHING = {**dict.fromkeys(Binding.__slots__, frozenset()), "passes": None}
LLM = {
    "pinned": frozenset({"KEY"}),
    "hosted": frozenset({"KEY", "OTHER"}),
    "headers": frozenset({"x-k"}),
}
TABLE = {
    "all that fits": (
        "POST https llm.test 443 /v1/x?y=../",
        {**LLM, "credentials": frozenset({"KEY", "OTHER"})},
    ),
    "another method": ("DELETE https llm.test 443 /v1/x", {**LLM, "credentials": frozenset({"OTHER"})}),
    "another path": ("POST https llm.test 443 /v2/x", {**LLM, "credentials": frozenset({"OTHER"})}),
    "a path that reads in two ways": (
        "GET https llm.test 443 /v1/../x",
        {**LLM, "credentials": frozenset({"OTHER"})},
    ),
    "a port of the other rule only": (
        "POST https llm.test 8443 /v1/x",
        {**LLM, "credentials": frozenset({"OTHER"})},
    ),
    "clear text": ("POST http llm.test 80 /v1/x", LLM),
    "a port of neither rule": ("POST https llm.test 444 /v1/x", LLM),
    "no path yet": ("POST https llm.test 443 ", LLM),
    "a host without a credential": ("GET https a.open.test 443 /", {"secrets": frozenset({"DB"})}),
    "another host": ("GET https evil.test 443 /v1/x", {}),
}


@pytest.mark.parametrize(("asked", "expected"), TABLE.values(), ids=TABLE.keys())
def test_a_binding_is_what_the_rules_for_the_host_say(asked: str, expected: dict) -> None:
    """A credential needs host, port, https, method and path of a rule that names it; a pin only the host."""
    method, scheme, host, port, path = asked.split(" ")
    request = Request(host=host, port=int(port), scheme=scheme, method=method, path=path or None)

    assert binding_of(POLICY, request) == Binding(**{**NOTHING, **expected})


def test_a_secret_is_brokered_as_soon_as_a_rule_binds_it() -> None:
    """The names for which a sandbox gets placeholders."""
    assert brokered_names(POLICY) == {"KEY", "OTHER"}


def test_the_lists_of_all_pinned_rules_of_a_host_add_up() -> None:
    """One rule with a list is enough for the host to have one, whatever path or port is asked."""
    pinned = {"credential": "KEY", "pin_credential": True}
    policy = Policy(
        name="t",
        allow=(
            rule("a.llm.test", **pinned),
            rule("a.llm.test", **pinned, ports=frozenset({8443}), passes=Passes(headers=frozenset({"x-a"}))),
            rule("*.llm.test", **pinned, paths=("/x",), passes=Passes(parameters=frozenset({"b"}))),
        ),
    )
    request = Request("a.llm.test", 443, "https", "GET", "/")

    assert binding_of(policy, request).passes == Passes(frozenset({"x-a"}), frozenset({"b"}))
