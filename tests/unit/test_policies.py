"""The policies that come with Orchbox: sound, explained, and opening what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy.bindings import binding_of
from proxy.policy.decide import decide
from proxy.policy.model import Request, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode
from runtime.model.llm_provider import HostedProvider
from runtime.model.llm_providers import HOSTED
from runtime.policies.loader import load_policy

SHIPPED = Path(__file__).parents[2] / "policies"
REGISTRIES = {"pip": ["mirror.example"], "npm": ["mirror.example"]}
SHIPPED_NAMES = ["base", "github-readonly", "llm-only", "node-packages", "open-internet", "python-packages"]


def test_the_shipped_policies_are_these() -> None:
    """A file that is added needs its place in the tests."""
    assert sorted(path.stem for path in SHIPPED.glob("*.yaml")) == SHIPPED_NAMES


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_every_shipped_policy_loads_says_what_it_gives_away_and_extends_base(name: str) -> None:
    """The policies that come with Orchbox are sound and explained."""
    policy = load_policy(name, [SHIPPED], registries=REGISTRIES)
    text = (SHIPPED / f"{name}.yaml").read_text()
    assert "\n# Gives away: " in text
    assert "base.deny[0]" in {rule.id for rule in policy.deny}
    assert (policy.allow_private, dict(policy.resolve), policy.upstream_ca_pem) == ((), {}, None)
    assert policy.allow_any_public == (name == "open-internet")


def test_llm_only_is_inspected_and_names_the_three_providers_and_the_gateway() -> None:
    """The default policy opens four hosts, every request in view."""
    policy = load_policy("llm-only", [SHIPPED], registries={})
    assert {str(rule.host) for rule in policy.allow} == {
        "api.openai.com",
        "api.anthropic.com",
        "generativelanguage.googleapis.com",
        "api.orchagent.io",
    }
    assert {TlsMode.INSPECT} == {rule.tls for rule in policy.allow}
    assert policy.agents == ("*/*",)
    assert {str(rule.host): rule.credential for rule in policy.allow if rule.pin_credential} == {
        "api.openai.com": "OPENAI_API_KEY",
        "api.anthropic.com": "ANTHROPIC_API_KEY",
        "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    }


@pytest.mark.parametrize("row", HOSTED.values(), ids=HOSTED)
def test_llm_only_gives_each_providers_key_to_its_host_and_no_other(row: HostedProvider) -> None:
    """As the provider's row has it, over https at its port, and pinned: no other key gets there."""
    policy = load_policy("llm-only", [SHIPPED], registries={})
    endpoint = row.endpoint
    asked = Request(endpoint.host, endpoint.port, "https", "POST", f"{endpoint.path}/x")
    bound = [rule for rule in policy.allow if rule.credential == row.key_name]

    assert decide(policy, asked).verdict is Verdict.ALLOW
    assert binding_of(policy, asked).credentials == {row.key_name}
    assert [(str(rule.host), rule.pin_credential) for rule in bound] == [(endpoint.host, True)]


def test_llm_only_binds_no_key_that_is_no_providers() -> None:
    """The other way: each binding of the default policy is a row of the table."""
    policy = load_policy("llm-only", [SHIPPED], registries={})
    bound = {rule.credential for rule in policy.allow if rule.credential is not None}

    assert bound == {row.key_name for row in HOSTED.values()}


R = ReasonCode
TABLE = {
    "the default policy reaches a model": ("llm-only", "POST https api.openai.com /v1/responses", None),
    "and deletes nothing there": ("llm-only", "DELETE https api.anthropic.com /v1/files/x", R.METHOD),
    "the gateway's storage takes every method": (
        "llm-only",
        "DELETE https api.orchagent.io /storage/x",
        None,
    ),
    "no clear text to a model": ("llm-only", "POST http api.openai.com /v1/responses", R.PORT),
    "no other host": ("llm-only", "GET https files.openai.com /", R.NOT_ALLOWED_HOST),
    "the base opens nothing": ("base", "GET https api.openai.com /", R.NOT_ALLOWED_HOST),
    "the base names what is denied": ("base", "GET http metadata.google.internal /", R.DENIED_RULE),
    "packages are read": ("python-packages", "GET https mirror.example /simple/x/", None),
    "packages are not published": ("node-packages", "PUT https mirror.example /x", R.METHOD),
    "a repository is cloned": ("github-readonly", "POST https github.com /o/r.git/git-upload-pack", None),
    "and its references are listed": (
        "github-readonly",
        "GET https github.com /o/r.git/info/refs?service=git-upload-pack",
        None,
    ),
    "a repository is not pushed to": (
        "github-readonly",
        "POST https github.com /o/r.git/git-receive-pack",
        R.PATH,
    ),
    "no comment is posted": ("github-readonly", "POST https api.github.com /repos/o/r/issues", R.METHOD),
    "any public host": ("open-internet", "POST https any.example /", None),
    "but not the host's own name": ("open-internet", "GET http host.docker.internal /", R.DENIED_RULE),
    "and no address": ("open-internet", "GET http 10.0.0.1 /", R.IP_LITERAL),
}


@pytest.mark.parametrize(("policy", "asked", "reason"), TABLE.values(), ids=TABLE.keys())
def test_a_shipped_policy_opens_what_its_comment_says(
    policy: str, asked: str, reason: ReasonCode | None
) -> None:
    """Each policy does its job and refuses the next step beyond it."""
    method, scheme, host, path = asked.split(" ")
    port = 443 if scheme == "https" else 80
    request = Request(host=host, port=port, scheme=scheme, method=method, path=path)
    decision = decide(load_policy(policy, [SHIPPED], registries=REGISTRIES), request)
    assert (decision.verdict, decision.reason_code) == ("allow" if reason is None else "deny", reason)
