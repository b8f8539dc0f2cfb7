"""`orch policy`: what it says of a file and of a request, and how it fails."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy, TlsMode
from runtime.cli.commands.policy import policy
from runtime.errors import InvalidInputError, NotFoundError
from runtime.policies.explain import explain_request


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
    ),
    resolve={"pinned.test": ("10.1.0.5",)},
    allow_private=(ipaddress.ip_network("10.1.0.0/16"),),
)
LATER = "its addresses are checked when it is dialled"
TABLE = {
    "an allowed request": ("GET https://api.test/v1/x?y=1", "allow", None, "t.allow[0]", LATER),
    "a path that is not listed": ("GET https://api.test/v2", "deny", "path", "t.allow[0]", ""),
    "a host without a path": ("GET https://api.test", "deny", "path", "t.allow[0]", ""),
    "a method that is not listed": ("POST https://api.test/v1/x", "deny", "method", "t.allow[0]", ""),
    "another port": ("GET https://api.test:8443/v1/x", "deny", "port", None, ""),
    "capitals and a final dot": ("GET https://API.test./v1/x", "allow", None, "t.allow[0]", LATER),
    "a passed-through host": (
        "DELETE https://pass.test/x",
        "allow",
        None,
        "t.allow[1]",
        f"the connection is passed through: method and path are not seen; {LATER}",
    ),
    "clear text is always seen": ("POST http://plain.test/", "deny", "method", "t.allow[2]", ""),
    "clear text that is allowed": ("GET http://plain.test/", "allow", None, "t.allow[2]", LATER),
    "an unlisted host": ("GET https://evil.test/", "deny", "not_allowed_host", None, ""),
    "a listed private address": ("GET https://10.1.0.1/", "allow", None, "t.allow[3]", "dialled at 10.1.0.1"),
    "a listed address that may not be dialled": (
        "GET https://10.2.0.1/",
        "deny",
        "private_address",
        None,
        "",
    ),
    "a pinned name": ("GET https://pinned.test/", "allow", None, "t.allow[5]", "dialled at 10.1.0.5"),
    "metadata": ("GET http://169.254.169.254/latest", "deny", "metadata_address", None, ""),
    "another spelling of loopback": ("GET http://127.1/", "deny", "bad_host", None, ""),
    "userinfo": ("GET https://api.test@evil.test/", "deny", "bad_host", None, ""),
    "an odd port": ("GET https://api.test:0443/", "deny", "bad_host", None, ""),
}


@pytest.mark.parametrize(("asked", "verdict", "reason", "rule_id", "note"), TABLE.values(), ids=TABLE.keys())
def test_a_request_is_explained_as_the_proxy_would_judge_it(
    asked: str, verdict: str, reason: str | None, rule_id: str | None, note: str
) -> None:
    """Verdict, reason and rule are the proxy's own."""
    method, url = asked.split(" ")
    explanation = explain_request(POLICY, url, method)
    decision = explanation.decision
    assert (verdict, reason, rule_id) == (decision.verdict, decision.reason_code, decision.rule_id)
    assert note == explanation.note


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.test/",
        "api.test",
        "https:///x",
        "https://[::1",
        "https://a b/",
        "https://a.test\n/",
        "https://ä.test/",
    ],
)
def test_what_is_no_url_is_an_input_error(url: str) -> None:
    """A typing error is told apart from a refusal."""
    with pytest.raises(InvalidInputError):
        explain_request(POLICY, url, "GET")


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy directory of the operator's."""
    monkeypatch.setenv("ORCHBOX_POLICY_DIR", str(tmp_path))
    monkeypatch.delenv("ORCHBOX_SITE_POLICY", raising=False)
    (tmp_path / "mine.yaml").write_text(
        "version: 1\nname: mine\nextends: [base]\nallow_any_public: true\n"
        'egress: {allow: [{host: "*"}, {host: a.test, paths: ["/x"]}]}\nbudgets: {connections: 8}\n'
    )
    return tmp_path


def run(*arguments: str) -> Result:
    """The command, its exceptions let through as `main` gets them."""
    return CliRunner().invoke(policy, arguments, catch_exceptions=False, standalone_mode=False)


def test_check_describes_a_file(policies: Path) -> None:
    """The whole policy is shown, what it extends included."""
    data = json.loads(run("check", str(policies / "mine.yaml"), "--json").stdout)
    rule = {
        "id": "mine.allow[1]",
        "host": "a.test",
        "ports": [443],
        "methods": None,
        "paths": ["/x"],
        "tls": "inspect",
        "credential": None,
        "pin_credential": False,
        "credential_headers": [],
        "passes": None,
        "secrets": [],
        "is_tls_chosen": True,
    }
    assert [rule] == data["allow"]
    assert data["deny"][0]["id"] == "base.deny[0]"
    assert (data["name"], data["allow_any_public"], data["budgets"]) == ("mine", True, {"connections": 8})
    assert data["not_yet_enforced"] == ["agents"]


def test_check_refuses_a_bad_file_with_its_line(policies: Path) -> None:
    """The loader's message is the command's."""
    path = policies / "bad.yaml"
    path.write_text("version: 1\nname: bad\nx: 1\n")
    with pytest.raises(InvalidInputError, match=r"bad\.yaml:3: x: unknown key"):
        run("check", str(path))


def test_check_of_an_absent_file_is_not_found(policies: Path) -> None:
    """A wrong path has its own exit code."""
    with pytest.raises(NotFoundError, match="there is no file"):
        run("check", str(policies / "absent.yaml"))


def test_explain_prints_the_decision(policies: Path) -> None:
    """Scripts get the same fields as the audit line."""
    data = json.loads(
        run("explain", "https://a.test/y", "--policy", "mine", "--method", "get", "--json").stdout
    )
    assert data == {
        "url": "https://a.test/y",
        "method": "GET",
        "policy": "mine",
        "host": "a.test",
        "port": 443,
        "verdict": "deny",
        "reason_code": "path",
        "rule_id": "mine.allow[1]",
        "tls": None,
        "detail": "this path is not allowed on a.test",
    }


def test_explain_of_an_unknown_policy_is_not_found(policies: Path) -> None:
    """The message lists the policies that there are."""
    with pytest.raises(NotFoundError, match=r"use one of .*llm-only.*, mine"):
        run("explain", "https://a.test/", "--policy", "nope")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("explain", "https://b.test/", "--policy", "mine"),
            "allow by mine.allow_any_public: the connection is passed",
        ),
        (
            ("explain", "https://a.test/y", "--policy", "mine"),
            "deny by mine.allow[1] (path): this path is not allowed",
        ),
        (
            ("check", "mine.yaml"),
            "mine: 1 allow and 13 deny rules\n  allow a.test:443  any method  /x  (inspect, ",
        ),
    ],
    ids=["an allowed request", "a refused one", "a policy"],
)
def test_people_get_sentences(
    policies: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    """On a terminal the same data is a line for each thing."""
    monkeypatch.setattr("runtime.cli.console.output.is_json", lambda: False)
    monkeypatch.chdir(policies)
    assert run(*arguments).stdout.startswith(expected)


KEYED = """version: 1
name: keyed
egress:
  allow:
    - host: api.test
      credential: MY_API_KEY
      pin_credential: true
      credential_headers: [X-Auth-Key, X-Other-Key]
    - host: db.test
      secrets: [DB_PASSWORD, DB_USER]
    - host: open.test
"""


def test_check_shows_where_keys_go(policies: Path) -> None:
    """Scripts get every field of a rule, as the proxy does."""
    (policies / "keyed.yaml").write_text(KEYED)
    keyed, given, bare = json.loads(run("check", str(policies / "keyed.yaml"), "--json").stdout)["allow"]
    assert (keyed["credential"], keyed["pin_credential"]) == ("MY_API_KEY", True)
    assert keyed["credential_headers"] == ["x-auth-key", "x-other-key"]
    assert given["secrets"] == ["DB_PASSWORD", "DB_USER"]
    assert (bare["credential"], bare["secrets"]) == (None, [])


def test_people_read_where_keys_go(policies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each below its rule, none for a rule that gets none, and none longer than a terminal."""
    monkeypatch.setattr("runtime.cli.console.output.is_json", lambda: False)
    many = ", ".join(f"SECRET_NUMBER_{number}" for number in range(9))
    (policies / "keyed.yaml").write_text(KEYED.replace("DB_PASSWORD, DB_USER", many))
    shown = run("check", str(policies / "keyed.yaml")).stdout.splitlines()
    assert shown[2:4] == [
        "        key MY_API_KEY is put in here, and no other credential (pinned)",
        "        also in these headers: x-auth-key, x-other-key",
    ]
    assert shown[5].startswith("        may be sent as they are: SECRET_NUMBER_0, SECRET_NUMBER_1,")
    assert shown[7].startswith("  allow open.test:443 ")
    assert max(map(len, shown)) <= 100
