"""runtime.cli.commands.secrets and workspaces against the real API: values go in by three ways and come out by none."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli import main as cli
from runtime.cli.commands import secrets as commands
from runtime.database.connection import open_database
from runtime.vault.keyset import Keyset
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService, serving

VALUE = "sk-secret-value-000111222"


class Orch:
    """`orch` as its user calls it, and what the vault got."""

    def __init__(self, vault: Vault, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
        self._vault, self._capsys, self._monkeypatch = vault, capsys, monkeypatch
        self._original = vault.put
        self.values: list[str] = []
        monkeypatch.setattr(vault, "put", self._remember)

    async def _remember(self, workspace, name, value, **more):
        self.values.append(value.reveal())
        return await self._original(workspace, name, value, **more)

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> tuple[int, str]:
        """Status and all that was printed; a value is in it never."""
        if stdin is not None:
            self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        said = self._capsys.readouterr()
        assert VALUE not in said.out + said.err
        return int(ended.value.code or 0), said.out + said.err


@pytest.fixture
def orch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Orch]:
    """A daemon's API where `orch` looks for it."""
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    database = open_database(None, default=tmp_path / "home" / "db")
    vault = Vault(database, (FileKey(tmp_path / "vault.key"),))
    with serving(FakeService(), tmp_path / "api.sock", vault):
        yield Orch(vault, capsys, monkeypatch)
    database.shut()


GIVEN = {
    "an argument": ([VALUE], None, VALUE),
    "a dash first": (["-----BEGIN KEY-----"], None, "-----BEGIN KEY-----"),
    "an option's look": (["--no-such-option"], None, "--no-such-option"),
    "stdin": ([], VALUE.encode(), VALUE),
    "stdin of echo": ([], (VALUE + "\n").encode(), VALUE),
    "stdin of several lines": ([], b"a\r\nb\r\n", "a\r\nb"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_a_value_is_taken(orch: Orch, case: str):
    """From the argument, else from stdin without its last newline."""
    arguments, stdin, value = GIVEN[case]
    status, out = orch("secrets", "set", "A_KEY", *arguments, stdin=stdin)

    assert (status, orch.values) == (0, [value])
    assert json.loads(out)["name"] == "A_KEY"


@pytest.mark.parametrize(("value", "is_told"), [("true", True), ("1234567\n", True), (VALUE, False)])
def test_a_person_is_told_of_a_value_that_is_too_short_to_be_masked(
    orch: Orch, monkeypatch: pytest.MonkeyPatch, value: str, is_told: bool
):
    """A program's reader is not."""
    assert "masked" not in orch("secrets", "set", "A_KEY", value)[1]
    monkeypatch.setattr(commands, "is_talkative", lambda: True)
    out = orch("secrets", "set", "A_KEY", value)[1]
    assert ("A_KEY: shorter than 8 characters, so not masked" in out) is is_told


def test_a_terminal_is_asked_without_echo(orch: Orch, monkeypatch: pytest.MonkeyPatch):
    """Neither argument nor pipe: a hidden prompt, and nothing of it on stdout."""
    asked = {}

    def prompt(text: str, **how: object) -> str:
        asked.update(how)
        return VALUE

    monkeypatch.setattr(commands.click, "prompt", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    assert orch("secrets", "set", "A_KEY")[0] == 0
    assert orch.values == [VALUE]
    assert (asked["hide_input"], asked["err"]) == (True, True)


WRONG = {
    "a name that is a value": (["secrets", "set", VALUE, "x"], None),
    "two values": (["secrets", "set", "A_KEY", VALUE, VALUE], None),
    "an empty argument": (["secrets", "set", "A_KEY", ""], None),
    "an empty stdin": (["secrets", "set", "A_KEY"], b""),
    "a NUL": (["secrets", "set", "A_KEY"], VALUE.encode() + b"\0"),
    "no UTF-8": (["secrets", "set", "A_KEY"], VALUE.encode() + b"\xff"),
    "too long": (["secrets", "set", "A_KEY"], b"x" * 65_537),
    "a workspace's bad name": (["workspaces", "create", "A_B"], None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_exits_5_unseen(orch: Orch, case: str):
    """Nothing is set, and what was given is not repeated (the fixture looks)."""
    arguments, stdin = WRONG[case]
    status, out = orch(*arguments, "--json", stdin=stdin)

    assert (status, orch.values) == (5, [])
    assert json.loads(out)["code"] == "INVALID_INPUT"


def test_list_delete_and_audit(orch: Orch):
    """Names and types are listed; what is deleted is gone; the audit has it all."""
    orch("secrets", "set", "OPENAI_API_KEY", VALUE, "--description", "ours")
    (listed,) = json.loads(orch("secrets", "list")[1])["secrets"]
    assert (listed["secret_type"], listed["provider"], listed["description"]) == ("llm_key", "openai", "ours")

    assert json.loads(orch("secrets", "rotate")[1]) == {"rotated": 1}
    assert json.loads(orch("secrets", "delete", "OPENAI_API_KEY")[1])["deleted"] is True
    status, out = orch("secrets", "delete", "OPENAI_API_KEY")
    assert (status, json.loads(out)["code"]) == (4, "NOT_FOUND")
    actions = [line["action"] for line in json.loads(orch("secrets", "audit")[1])["audit"]]
    assert actions == ["delete", "rotate", "set"]


def test_workspaces_are_made_and_used(orch: Orch):
    """--workspace takes a name; one that is not there is not found."""
    assert orch("workspaces", "create", "team")[0] == 0
    orch("secrets", "set", "A_KEY", VALUE, "--workspace", "team")

    assert [w["name"] for w in json.loads(orch("workspaces", "list")[1])["workspaces"]] == ["default", "team"]
    assert json.loads(orch("secrets", "list")[1])["secrets"] == []
    assert len(json.loads(orch("secrets", "list", "--workspace", "team")[1])["secrets"]) == 1
    assert orch("secrets", "list", "--workspace", "a/../b")[0] == 4


def test_a_person_gets_tables(orch: Orch, monkeypatch: pytest.MonkeyPatch):
    """Without the value, and with no way for a description to drive the terminal."""
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    orch("secrets", "set", "OPENAI_API_KEY", VALUE, "--description", "[red]ours")

    assert "set A_KEY" in orch("secrets", "set", "A_KEY", VALUE)[1]
    shown = orch("secrets", "list")[1]
    assert "llm_key (openai)" in shown
    assert "[red]ours" in shown
    assert "set" in orch("secrets", "audit")[1]
    assert "default" in orch("workspaces", "list")[1]
    assert "2 secrets anew" in orch("secrets", "rotate")[1]


def test_a_lost_key_exits_8(orch: Orch, tmp_path: Path):
    """With the remedy as the hint."""
    orch("workspaces", "create", "team")
    (tmp_path / "vault.key").mkdir()
    status, out = orch("secrets", "set", "A_KEY", VALUE)

    assert (status, json.loads(out)["code"]) == (8, "VAULT_KEY_ERROR")
    assert json.loads(out)["hint"]


def test_new_key_prints_one_and_keeps_the_old(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """For a variable: one line; with that variable set, its keys are in the next one."""
    monkeypatch.setenv("ORCHBOX_VAULT_KEY", "env:MY_KEY")
    printed = []
    for _ in range(2):
        with pytest.raises(SystemExit):
            cli.main(["secrets", "new-key"])
        printed.append(capsys.readouterr().out)
        monkeypatch.setenv("MY_KEY", printed[-1])
    first, second = (Keyset.from_json(text) for text in printed)

    assert [text.count("\n") for text in printed] == [1, 1]
    assert second.open(first.seal("x"), *()) == "x"


def test_help_says_who_can_see_an_argument(orch: Orch):
    """The safe ways are named beside it."""
    shown = " ".join(orch("secrets", "set", "--help")[1].split())

    assert "Other users of this host can see VALUE" in shown
    assert "stdin" in shown
