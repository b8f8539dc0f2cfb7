"""`orch install`, `orch update`, `orch formats`: as a user calls them, with a home of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main as cli

Orch = Callable[..., tuple[int, dict[str, Any]]]
ALL = "claude-code,cursor,agents-md"


@pytest.fixture
def orch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Orch:
    """`orch` in a project of its own; status and JSON."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "project")

    def command(*arguments: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, "--json"])
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return command


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """A prompt agent that supports a provider for which there is no key."""
    folder = tmp_path / "agent"
    folder.mkdir()
    document = {"name": "reviewer", "type": "prompt", "description": "d", "supported_providers": ["openai"]}
    (folder / "orchagent.json").write_text(json.dumps(document))
    (folder / "prompt.md").write_text("Review it.")
    return folder


def tree(folder: Path) -> dict[str, str]:
    """All files below a folder."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def actions(done: dict[str, Any]) -> dict[str, str]:
    """Format -> what was done."""
    return {file["format"]: file["action"] for file in done["files"]}


def test_default_is_claude_code_for_the_user(orch: Orch, agent: Path, tmp_path: Path):
    """At the platform's path, tracked with its digest; no key is needed."""
    status, done = orch("install", str(agent))

    record = json.loads((tmp_path / "home/.orchagent/installed.json").read_text())
    assert (status, done["success"], actions(done)) == (0, True, {"claude-code": "installed"})
    assert "Review it." in (tmp_path / "home/.claude/agents/reviewer.md").read_text()
    assert tree(tmp_path / "project") == {}
    assert record["version"] == 1
    assert {record["installed"][0][name] for name in ("agent", "format", "scope")} == {
        "local/reviewer", "claude-code", "user"
    }  # fmt: skip
    assert len(record["installed"][0]["contentHash"]) == 64


def test_every_format_is_idempotent(orch: Orch, agent: Path, tmp_path: Path):
    """A second time changes no file and adds no entry."""
    _, first = orch("install", str(agent), "--format", ALL, "--scope", "project")
    before = tree(tmp_path / "project")
    status, second = orch("install", str(agent), "--format", ALL, "--scope", "project")

    record = json.loads((tmp_path / "home/.orchagent/installed.json").read_text())
    assert set(before) == {".claude/agents/reviewer.md", ".cursor/rules/reviewer.mdc", "AGENTS.md"}
    assert set(actions(first).values()) == {"installed"}
    assert (status, set(actions(second).values())) == (0, {"unchanged"})
    assert tree(tmp_path / "project") == before
    assert len(record["installed"]) == 3


def test_dry_run_writes_nothing(orch: Orch, agent: Path, tmp_path: Path):
    """It says what would be."""
    status, done = orch("install", str(agent), "--format", ALL, "--dry-run")

    assert (status, len(done["files"]), done["dry_run"]) == (0, 3, True)
    assert tree(tmp_path / "project") == tree(tmp_path / "home") == {}


def test_a_changed_prompt_updates_what_is_ours(orch: Orch, agent: Path, tmp_path: Path):
    """By installing again."""
    orch("install", str(agent))
    (agent / "prompt.md").write_text("Review harder.")

    assert actions(orch("install", str(agent))[1]) == {"claude-code": "updated"}
    assert "harder" in (tmp_path / "home/.claude/agents/reviewer.md").read_text()


def test_hand_edited_and_foreign_files_are_left_alone(orch: Orch, agent: Path, tmp_path: Path):
    """Told, not overwritten; the other formats go on."""
    orch("install", str(agent), "--format", ALL, "--scope", "project")
    rule = tmp_path / "project/.cursor/rules/reviewer.mdc"
    rule.write_text("mine")
    (agent / "prompt.md").write_text("New.")

    status, done = orch("install", str(agent), "--format", ALL, "--scope", "project")
    mine = tmp_path / "home/.claude/agents/reviewer.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("foreign")
    alone, refused = orch("install", str(agent))

    assert (status, actions(done)) == (0, {"claude-code": "updated", "agents-md": "updated"})
    assert any("edited by hand" in warning for warning in done["warnings"])
    assert rule.read_text() == "mine"
    assert (alone, refused["success"], mine.read_text()) == (1, False, "foreign")


def test_a_scope_that_a_format_has_not_is_told(orch: Orch, agent: Path, tmp_path: Path):
    """Cursor's rules belong to a project."""
    _, done = orch("install", str(agent), "--format", "cursor", "--global")

    assert "has no user scope" in done["warnings"][0]
    assert done["files"][0]["path"] == str(tmp_path / "project/.cursor/rules/reviewer.mdc")


@pytest.mark.parametrize(
    ("manifest", "arguments", "status", "words"),
    [
        ({"type": "tool"}, [], 5, "code agent"),
        ({}, ["--format", "emacs"], 5, "emacs"),
        ({}, ["--format", ","], 5, "--format"),
        ({"name": "Bad"}, [], 5, "name"),
    ],
)
def test_what_is_refused(
    orch: Orch,
    agent: Path,
    tmp_path: Path,
    manifest: dict[str, Any],
    arguments: list[str],
    status: int,
    words: str,
):
    """With the reason, and nothing written."""
    document = json.loads((agent / "orchagent.json").read_text())
    (agent / "orchagent.json").write_text(json.dumps({**document, **manifest}))

    found, done = orch("install", str(agent), *arguments)

    assert (found, done["error"]) == (status, True)
    assert words in done["message"]
    assert tree(tmp_path / "home") == {}


def test_a_broken_record_is_named_and_kept(orch: Orch, agent: Path, tmp_path: Path):
    """Another tool may have written it."""
    path = tmp_path / "home/.orchagent/installed.json"
    path.parent.mkdir()
    path.write_text("{oops")

    status, done = orch("install", str(agent))

    assert (status, "installed.json" in done["message"], path.read_text()) == (5, True, "{oops")


def test_entries_of_the_platforms_cli_stay(orch: Orch, agent: Path, tmp_path: Path):
    """Both keep the same file; what is not ours is neither changed nor updated."""
    path = tmp_path / "home/.orchagent/installed.json"
    path.parent.mkdir()
    theirs = {"agent": "joe/x", "format": "cursor", "path": "/p", "more": 1}
    path.write_text(json.dumps({"version": 1, "installed": [theirs], "extra": 2}))

    orch("install", str(agent))
    _, done = orch("update", "--force")

    record = json.loads(path.read_text())
    assert (record["installed"][0], record["extra"], len(record["installed"])) == (theirs, 2, 2)
    assert [file["agent"] for file in done["files"]] == ["local/reviewer"]


def statuses(done: dict[str, Any]) -> list[str]:
    """What `orch update` said of each file."""
    return [file["status"] for file in done["files"]]


def test_update(orch: Orch, agent: Path, tmp_path: Path):
    """Up to date, then available, then updated; --check writes nothing."""
    orch("install", str(agent))
    path = tmp_path / "home/.claude/agents/reviewer.md"

    assert statuses(orch("update")[1]) == ["up to date"]
    (agent / "prompt.md").write_text("New.")
    assert statuses(orch("update", "--check")[1]) == ["update available"]
    assert "New." not in path.read_text()
    assert statuses(orch("update", "reviewer")[1]) == ["updated"]
    assert "New." in path.read_text()


def test_update_of_edited_and_missing_files_needs_force(orch: Orch, agent: Path, tmp_path: Path):
    """Skipped and told without it."""
    orch("install", str(agent))
    path = tmp_path / "home/.claude/agents/reviewer.md"

    path.write_text("mine")
    assert statuses(orch("update", str(agent))[1]) == ["edited"]
    assert path.read_text() == "mine"
    path.unlink()
    assert statuses(orch("update")[1]) == ["missing"]
    assert statuses(orch("update", "--force", "--check")[1]) == ["update available"]
    assert not path.exists()
    assert statuses(orch("update", "--force")[1]) == ["updated"]
    assert "Review it." in path.read_text()


def test_update_of_what_is_gone_or_unknown(orch: Orch, agent: Path):
    """A directory that is no more is told; an agent that was never installed is not found."""
    orch("install", str(agent))
    (agent / "orchagent.json").unlink()

    assert statuses(orch("update")[1]) == ["failed"]
    assert orch("update", "nobody")[0] == 4


def test_formats(orch: Orch):
    """What there is to choose from."""
    status, done = orch("formats")

    assert (status, [row["id"] for row in done["formats"]]) == (0, ALL.split(","))
