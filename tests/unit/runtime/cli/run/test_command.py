"""`orch run` on a daemon: what the caller's side sends, and what it leaves to the daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main as cli
from runtime.errors import LlmKeyRequiredError, MissingSecretsError
from runtime.model.needs import LlmChain, Needs
from tests.unit.runtime.fake_service import FakeService, serving

MARKER = "marker-77a-value"
MANIFEST = {
    "name": "lab-agent",
    "type": "tool",
    "supported_providers": ["openai", "gemini"],
    "required_secrets": ["A_KEY"],
    "optional_secrets": ["B_KEY"],
    "default_models": {"openai": "gpt-x"},
    "llm": {"primary": "gemini-2.5-flash", "fallbacks": ["gpt-4o-mini"]},
}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    """A daemon's API where `orch` looks for it, for a caller without keys."""
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "A_KEY", "ORCHAGENT_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    made = FakeService()
    with serving(made, tmp_path / "api.sock"):
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An agent's directory."""
    made = tmp_path / "agent"
    made.mkdir()
    (made / "main.py").touch()
    (made / "orchagent.json").write_text(json.dumps(MANIFEST))
    return made


def orch(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run a command; status, JSON, everything that was printed."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    said = capsys.readouterr()
    return int(ended.value.code or 0), json.loads(said.out), said.out + said.err


def test_nothing_is_refused_here(service: FakeService, folder: Path, capsys: pytest.CaptureFixture[str]):
    """A caller without a single key leaves it all to the daemon: names travel, no value."""
    status, _, _ = orch(capsys, "run", str(folder), "--workspace", "team")

    (request,) = service.requests
    assert (status, request.secrets, request.env, request.workspace) == (0, {}, {}, "team")
    assert request.needs == Needs(
        required=("A_KEY",),
        optional=("B_KEY",),
        providers=("openai", "gemini"),
        default_models={"openai": "gpt-x"},
        llm=LlmChain("gemini-2.5-flash", ("gpt-4o-mini",)),
    )


def test_what_the_caller_has_is_sent(
    service: FakeService, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The flag, the environment, the directory's .env; declared names only."""
    monkeypatch.setenv("A_KEY", "env")
    monkeypatch.setenv("GEMINI_API_KEY", "env")
    (folder / ".env").write_text("A_KEY=file\nB_KEY=file\nOTHER=file\n")

    _, _, printed = orch(capsys, "run", str(folder), "--provider", "openai", "--key", MARKER, "--model", "m")

    (request,) = service.requests
    assert {name: secret.reveal() for name, secret in request.secrets.items()} == {
        "A_KEY": "env", "B_KEY": "file", "GEMINI_API_KEY": "env", "OPENAI_API_KEY": MARKER
    }  # fmt: skip
    assert (request.needs.provider, request.needs.model) == ("openai", "m")
    assert MARKER not in printed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            MissingSecretsError("Secrets not found in workspace: A.", hint="orch secrets set A"),
            "MISSING_SECRETS",
        ),
        (LlmKeyRequiredError("No LLM key found for: openai", hint="orch secrets set X"), "LLM_KEY_REQUIRED"),
    ],
)
def test_what_the_daemon_misses_is_told(
    service: FakeService, folder: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: str
):
    """With its code, its command and the platform's exit status."""
    service.error = error

    status, shown, _ = orch(capsys, "run", str(folder))

    assert (status, shown["code"], shown["message"]) == (1, code, str(error))
    assert shown["hint"].startswith("orch secrets set")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--key", MARKER], "--provider"),
        (["--provider", "anthropic"], "supports gemini, openai"),
        (["--workspace", "../x"], "workspace"),
    ],
)
def test_bad_flags_are_refused(
    service: FakeService, folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
):
    """One clear error, and nothing is started."""
    status, shown, printed = orch(capsys, "run", str(folder), *arguments)

    assert (status, shown["code"], service.requests) == (5, "INVALID_INPUT", [])
    assert words in shown["message"]
    assert MARKER not in printed
