"""runtime.cli.commands.token against the real API: a token is printed once, and lets its caller in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.access.scopes import Role
from runtime.access.service import Tokens
from runtime.access.tokens import parse
from runtime.cli import main as cli
from runtime.cli.commands.token import ROLES
from runtime.database.connection import open_database
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService, serving


class Orch:
    """`orch` as its user calls it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Status, stdout and stderr."""
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    def json(self, *arguments: str) -> dict:
        """What a command answers that succeeds."""
        status, out, err = self(*arguments)
        assert status == 0, out + err
        return json.loads(out)


@pytest.fixture
def orch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Orch]:
    """A daemon's API where `orch` looks for it."""
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    database = open_database(None, default=tmp_path / "home" / "db")
    vault = Vault(database, (FileKey(tmp_path / "vault.key"),))
    with serving(FakeService(), tmp_path / "api.sock", vault, tokens=Tokens(database)):
        yield Orch(capsys)
    database.shut()


def test_every_role_can_be_named():
    """The command has its own list, so that `orch --help` need not import what roles are made of."""
    assert set(ROLES) == {role.value for role in Role}


@pytest.mark.parametrize("role", ROLES)
def test_a_token_is_made_and_listed(orch: Orch, role: str):
    """Its text is in the first answer only."""
    made = orch.json("token", "create", "--role", role, "--name", "ci", "--expires", "30d")
    listed = orch("token", "list")

    assert parse(made["token"]) is not None
    assert made["expires_at"] - made["created_at"] == pytest.approx(30 * 86_400)
    (shown,) = json.loads(listed[1])["tokens"]
    assert (shown["id"], shown["name"], shown["role"], shown["workspace"]) == (made["id"], "ci", role, None)
    assert made["token"] not in listed[1] + listed[2]


def test_for_a_person_the_token_is_alone_on_stdout(orch: Orch, monkeypatch: pytest.MonkeyPatch):
    """`TOKEN=$(orch token create ...)` catches it and nothing else; the table shows none."""
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    status, out, err = orch("token", "create", "--role", "viewer", "--workspace", "default")

    assert status == 0
    assert parse(out.strip()) is not None
    assert "not shown again" in err
    assert out.strip() not in err
    _, table, _ = orch("token", "list")
    assert "viewer" in table
    assert out.strip() not in table


def test_rotated_and_revoked(orch: Orch):
    """The id stays; a revoked one can be neither again."""
    made = orch.json("token", "create", "--role", "viewer")
    rotated = orch.json("token", "rotate", made["id"], "--grace", "2h")
    assert rotated["id"] == made["id"]
    assert rotated["token"] != made["token"]
    assert rotated["old_until"] - rotated["rotated_at"] == pytest.approx(7200)

    assert orch.json("token", "revoke", made["id"])["revoked_at"] is not None
    for command in ("rotate", "revoke"):
        assert orch("token", command, made["id"])[0] == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--role", "root"),
        ("create", "--role", "viewer", "--expires", "soon"),
        ("create", "--role", "viewer", "--expires", "0d"),
        ("create", "--role", "viewer", "--name", "a\nb"),
        ("create", "--role", "viewer", "--name", "x" * 101),
        ("rotate", "x", "--grace", "-1s"),
    ],
)
def test_what_is_wrong_is_refused(orch: Orch, arguments: tuple[str, ...]):
    """As bad input, before anything is made."""
    assert orch("token", *arguments)[0] == 5
    assert orch.json("token", "list")["tokens"] == []


def test_a_workspace_that_is_not_there_is_not_found(orch: Orch):
    """And no token is made for it."""
    assert orch("token", "create", "--role", "viewer", "--workspace", "none")[0] == 4
    assert orch.json("token", "list")["tokens"] == []
