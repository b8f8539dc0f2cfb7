"""An explanation's document: its shape, what it says beside the verdict, and what is never in it."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, DenyRule, Policy, TlsMode
from proxy.policy.passes import Passes
from runtime.errors import InvalidInputError
from runtime.explain.addresses import no_lookup
from runtime.explain.document import explain
from runtime.explain.sandbox import MAX_SECRETS, Question
from runtime.policies.places import LoadedPolicy, RulePlace


def rule(index: int, host: str, **more) -> AllowRule:
    """A rule of policy t."""
    return AllowRule(id=f"t.allow[{index}]", host=HostPattern.parse(host), **more)


POLICY = Policy(
    name="t",
    allow=(
        rule(0, "api.test", methods=frozenset({"GET"}), paths=("/v1/*",)),
        rule(1, "pass.test", tls=TlsMode.PASSTHROUGH),
        rule(2, "plain.test", ports=frozenset({80}), methods=frozenset({"GET"})),
        rule(3, "10.1.0.1"),
        rule(4, "10.2.0.1"),
        rule(5, "pinned.test"),
        rule(6, "llm.test", credential="A_KEY", pin_credential=True, passes=Passes(frozenset({"x-ok"}))),
        rule(7, "api.test", methods=frozenset({"POST"})),
    ),
    deny=(DenyRule("t.deny[0]", HostPattern.parse("bad.test")),),
    resolve={"pinned.test": ("10.1.0.5",)},
    allow_private=(ipaddress.ip_network("10.1.0.0/16"),),
)
LOADED = LoadedPolicy(POLICY, {rule.id: RulePlace(Path("/etc/o/t.yaml"), 7) for rule in POLICY.allow})
LATER = "its addresses are checked when it is dialled"
TABLE = {
    "an allowed request": ("GET https://api.test/v1/x?y=1", "allow", None, "t.allow[0]", LATER),
    "a path that is not listed": ("GET https://api.test/v2", "deny", "path", "t.allow[0]", None),
    "a host without a path": ("GET https://api.test", "deny", "path", "t.allow[0]", None),
    "a method that is not listed": ("PUT https://api.test/v1/x", "deny", "method", "t.allow[0]", None),
    "another port": ("GET https://api.test:8443/v1/x", "deny", "port", None, None),
    "capitals and a final dot": ("GET https://API.test./v1/x", "allow", None, "t.allow[0]", LATER),
    "a passed-through host": (
        "DELETE https://pass.test/x",
        "allow",
        None,
        "t.allow[1]",
        f"the connection is passed through: method and path are not seen; {LATER}",
    ),
    "clear text is always seen": ("POST http://plain.test/", "deny", "method", "t.allow[2]", None),
    "clear text that is allowed": ("GET http://plain.test/", "allow", None, "t.allow[2]", LATER),
    "an unlisted host": ("GET https://evil.test/", "deny", "not_allowed_host", None, None),
    "a denied host": ("GET https://bad.test/", "deny", "denied_rule", "t.deny[0]", None),
    "a listed private address": ("GET https://10.1.0.1/", "allow", None, "t.allow[3]", "dialled at 10.1.0.1"),
    "a listed one that may not be dialled": ("GET https://10.2.0.1/", "deny", "private_address", None, None),
    "a pinned name": ("GET https://pinned.test/", "allow", None, "t.allow[5]", "dialled at 10.1.0.5"),
    "metadata": ("GET http://169.254.169.254/latest", "deny", "metadata_address", None, None),
    "another spelling of loopback": ("GET http://127.1/", "deny", "bad_host", None, None),
    "userinfo": ("GET https://api.test@evil.test/", "deny", "bad_host", None, None),
    "an odd port": ("GET https://api.test:0443/", "deny", "bad_host", None, None),
    "the LLM router": ("GET http://llm.internal/v1/models", "deny", "not_allowed_host", None, None),
}


async def told(url: str, *, is_for_operator: bool = True, **more) -> dict:
    """The document, without a lookup."""
    question = Question(url, **more)
    return await explain(LOADED, question, lookup=no_lookup, is_for_operator=is_for_operator)


@pytest.mark.parametrize(("asked", "verdict", "reason", "rule_id", "note"), TABLE.values(), ids=TABLE.keys())
async def test_a_request_is_explained_as_the_proxy_would_judge_it(
    asked: str, verdict: str, reason: str | None, rule_id: str | None, note: str | None
) -> None:
    """Verdict, reason and rule are the proxy's own."""
    method, url = asked.split(" ")
    data = await told(url, method=method)
    assert (data["verdict"], data["reason_code"], data["rule_id"]) == (verdict, reason, rule_id)
    assert note is None or data["detail"] == note
    assert (data["agent_sees"] is None) == (verdict == "allow")


async def test_every_document_has_the_same_shape() -> None:
    """Whatever the verdict, and wherever it was reached: scripts read it without asking what is there."""
    shapes = {
        json.dumps([sorted(data), *(sorted(data[name]) for name in ("addresses", "credentials"))])
        for asked, *_ in TABLE.values()
        for data in [await told(asked.split(" ")[1], method=asked.split(" ")[0])]
    }
    assert len(shapes) == 1


async def test_each_rule_says_what_it_refuses() -> None:
    """Those that name the host, asked one by one."""
    data = await told("https://api.test/v2", method="POST")
    assert [(rule["id"], rule["refuses"], rule["line"]) for rule in data["rules"]] == [
        ("t.allow[0]", "method", 7),
        ("t.allow[7]", None, 7),
    ]
    assert data["rule"] == {"id": "t.allow[7]", "file": "/etc/o/t.yaml", "line": 7}


async def test_each_part_that_is_refused_is_named() -> None:
    """Not only the last, which the verdict names."""
    headers = (
        ("Authorization", "Bearer ${A_KEY}"),
        ("X-Other", "0123456789"),
        ("X-Ok", "0123456789"),
        ("X-Api-Token", "another-secret"),
        ("X-HTTP-Method-Override", "PUT"),
    )
    data = await told("https://llm.test/?org=0123456789&_method=PUT", headers=headers)
    assert (data["verdict"], data["stage"], data["reason_code"]) == ("deny", "request", "method")
    assert data["refused_parts"] == {
        "beside_the_credential": [
            "carries a parameter that is not listed for it (org)",
            "carries a header that is not listed for it (x-other)",
            "carries another one in a header (x-api-token)",
        ],
        "overrides": [
            {"what": "method", "name": "X-HTTP-Method-Override"},
            {"what": "method", "name": "_method"},
        ],
    }


async def test_a_credential_is_told_by_its_name() -> None:
    """Where it would be swapped in, and where it only might be."""
    own = await told("https://llm.test/", headers=(("Authorization", "Bearer ${A_KEY}"),))
    none = await told("https://llm.test/")
    assert own["credentials"] == {
        "held": ["A_KEY"],
        "may_be_swapped": ["A_KEY"],
        "swapped": ["A_KEY"],
        "pinned": ["A_KEY"],
        "sent_as_they_are": [],
    }
    assert (none["verdict"], none["credentials"]["held"], none["credentials"]["swapped"]) == ("allow", [], [])


async def test_nothing_of_a_value_is_shown() -> None:
    """Not of one that stands in the request, and not of one that was made up for it."""
    headers = (("Authorization", "Bearer sk-true-0123456789"), ("X-Note", "${DB}"), ("X-Key", "abcdefghijk"))
    for url in ("https://user:sk-true-0123456789@api.test/", "https://llm.test/?key=sk-true-0123456789"):
        text = json.dumps(await told(url, headers=headers, body=b"abcdefghijk ${DB}", secrets=("DB",)))
        assert "sk-true" not in text
        assert "abcdefghijk" not in text
        assert "made-up" not in text


async def test_who_is_no_operator_learns_no_address_and_no_folder() -> None:
    """Pins are the operator's own network."""
    data = await told("https://pinned.test/", is_for_operator=False)
    assert (data["verdict"], data["addresses"]["source"]) == ("allow", "pinned")
    assert "10.1.0.5" not in json.dumps(data)
    assert data["rule"]["file"] == "t.yaml"


async def test_the_router_is_open_where_the_manifest_asks_for_it() -> None:
    """The rule is the daemon's, so it stands in no file."""
    data = await told("http://llm.internal/v1/models", has_llm=True)
    assert (data["verdict"], data["addresses"]["source"]) == ("allow", "router")
    assert data["rule"] == {"id": "llm", "file": None, "line": None}


async def test_a_sandbox_holds_so_many_secrets() -> None:
    """Each costs a search."""
    with pytest.raises(InvalidInputError):
        await told("https://api.test/", secrets=tuple(f"A{number}" for number in range(MAX_SECRETS + 1)))
