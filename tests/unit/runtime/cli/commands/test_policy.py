"""`orch policy`: what it says of a file and of a request, and how it fails."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runtime.cli.commands.policy import policy
from runtime.errors import InvalidInputError, NotFoundError


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy directory of the operator's."""
    monkeypatch.setenv("ORCHBOX_POLICY_DIR", str(tmp_path))
    monkeypatch.delenv("ORCHBOX_SITE_POLICY", raising=False)
    (tmp_path / "mine.yaml").write_text(
        "version: 1\nname: mine\nextends: [base]\nallow_any_public: true\n"
        'egress: {allow: [{host: "*"}, {host: a.test, paths: ["/x"]}]}\nbudgets: {connections: 8}\n'
    )
    monkeypatch.setattr("runtime.explain.addresses.lookup_ipv4", no_resolver)
    return tmp_path


async def no_resolver(host: str) -> list[str]:
    """As on a host whose resolver is not there."""
    raise socket.gaierror(socket.EAI_AGAIN, "no answer")


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
    shown = {
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
    assert {name: data[name] for name in shown} == shown
    assert data["rule"] == {"id": "mine.allow[1]", "file": str(policies / "mine.yaml"), "line": 5}
    assert data["agent_sees"]["status"] == 403


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


def test_a_request_is_explained_in_full(policies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers, a body and secrets go in; names come out, and no value does."""
    monkeypatch.setattr("runtime.cli.console.output.is_json", lambda: False)
    (policies / "keyed.yaml").write_text(KEYED)
    (policies / "body").write_bytes(b"a=${DB_PASSWORD}")
    asked = ("explain", "https://api.test/x?a=1", "--policy", str(policies / "keyed.yaml"))

    own = run(*asked, "-H", "Authorization: Bearer ${MY_API_KEY}").stdout
    other = run(*asked, "-H", "Authorization: Bearer sk-somebody-elses-0123456789").stdout
    leak = run(
        *asked, "-X", "post", "-H", "X-Auth-Key: ${MY_API_KEY}", "--body", str(policies / "body")
    ).stdout

    assert own.startswith("allow by keyed.allow[0]: this host cannot resolve names")
    assert f"rule        {policies / 'keyed.yaml'}:5\n" in own
    assert "swapped in  MY_API_KEY\n" in own
    assert other.startswith("deny by keyed.allow[0] (foreign_credential): api.test takes this sandbox's own")
    assert "agent sees  403 Refused by the egress policy (foreign_credential)" in other
    assert "sk-somebody" not in other
    assert leak.startswith("deny by keyed.allow[0] (secret_leak): the value of DB_PASSWORD may not be sent")


def test_a_failing_lookup_decides_nothing_unless_it_is_the_proxys_own(
    policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's resolver is not the one that the proxy asks; what it finds is judged."""

    async def private(host: str) -> list[str]:
        return ["10.0.0.1"]

    async def none(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    def explained() -> dict:
        return json.loads(run("explain", "https://b.test/", "--policy", "mine", "--json").stdout)

    assert (explained()["verdict"], explained()["addresses"]["source"]) == ("allow", "cannot_resolve")
    monkeypatch.setattr("runtime.explain.addresses.lookup_ipv4", none)
    assert (explained()["verdict"], explained()["addresses"]["source"]) == ("allow", "no_such_name")
    monkeypatch.setattr("runtime.explain.addresses.lookup_ipv4", private)
    assert (explained()["verdict"], explained()["reason_code"]) == ("deny", "private_address")
    assert explained()["addresses"] == {
        "source": "resolved",
        "found": [
            {
                "address": "10.0.0.1",
                "class": "special",
                "verdict": "deny",
                "reason_code": "private_address",
            }
        ],
        "dialled": None,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-H", "no colon"), "no colon in it"),
        (("-H", "a: b\r\nc: d"), "line break"),
        (("--body", "/nonexistent"), "No such file"),
        (("--body", "/tmp"), "not a regular file"),
        (("--secret", "not-a-name"), "A-Z"),
        (("-X", "G T"), "method"),
    ],
    ids=["a header without a colon", "two headers in one", "no file", "a folder", "no name", "no method"],
)
def test_what_cannot_be_asked_is_an_input_error(
    policies: Path, arguments: tuple[str, ...], says: str
) -> None:
    """A slip of the caller's is told apart from a refusal."""
    with pytest.raises(InvalidInputError, match=says):
        run("explain", "https://a.test/", "--policy", "mine", *arguments)


def test_a_policys_file_that_is_not_there_is_not_found(policies: Path) -> None:
    """As `check` has it."""
    with pytest.raises(NotFoundError, match="there is no file"):
        run("explain", "https://a.test/", "--policy", str(policies / "nope.yaml"))


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
