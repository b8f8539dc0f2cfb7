"""One request for each way of running an agent, made of its directory, the flags and the environment."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main as cli
from runtime.cli.run import local_sandbox
from runtime.cli.run.plan import RunPlan, read_plan
from runtime.daemon.settings import Settings
from runtime.errors import InvalidInputError
from runtime.model.limits import Isolation, Limits
from runtime.model.run import RunRequest
from tests.unit.runtime.fake_service import FakeService, serving

MARKER = "marker-91c-value"
OPTIONS: dict[str, Any] = {
    "data": '{"q": 1}', "key": None, "provider": None, "model": None, "is_local": False, "is_sandboxed": False,
    "policy": "llm-only", "isolation": "runc", "workspace": "default", "timeout": None, "labels": (),
}  # fmt: skip
ARGUMENTS = ["--data", '{"q": 1}', "--policy", "lab", "--isolation", "runsc", "--timeout", "7"]
CHOSEN = {**OPTIONS, "policy": "lab", "isolation": "runsc", "timeout": 7.0}
LABELS = ["--label", "team=search", "--label", "for=a=b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An agent's directory, with a set-up and a secret."""
    made = tmp_path / "agent"
    made.mkdir()
    (made / "main.py").touch()
    (made / "requirements.txt").touch()
    (made / ".env").write_text(f"A_KEY={MARKER}\n")
    manifest = {"name": "lab-agent", "type": "tool", "required_secrets": ["A_KEY"], "timeout_seconds": 9}
    (made / "orchagent.json").write_text(json.dumps(manifest))
    return made


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the command reads, too."""
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    return Settings.from_env({"ORCHBOX_HOME": str(tmp_path / "home"), "ORCHBOX_RUN_DIR": str(tmp_path)})


@pytest.fixture
def service(settings: Settings) -> Iterator[FakeService]:
    """A daemon's API where the command looks for it."""
    made = FakeService()
    with serving(made, settings.api_socket):
        yield made


def plan_of(folder: Path, file: Path | None = None, **options: Any) -> RunPlan:
    """The plan of a caller with an empty environment."""
    return read_plan(str(folder), file, {**OPTIONS, **options}, {})


def shown(request: RunRequest) -> dict[str, Any]:
    """Its fields, with the secrets' values."""
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    return {**values, "secrets": {name: secret.reveal() for name, secret in request.secrets.items()}}


def test_a_request_has_all_of_the_plan(folder: Path, settings: Settings, tmp_path: Path):
    """The manifest's, the directory's and the caller's part, and nothing that a daemon must still guess."""
    file = tmp_path / "a b?.txt"
    file.write_bytes(b"<upload>")

    request = plan_of(folder, file, workspace="team", isolation="runsc").to_request(settings)

    assert (request.agent_ref, request.image, request.argv) == (
        "lab-agent",
        "orchbox/agent-python:local",
        ("python3", "main.py"),
    )
    assert request.setup_argv is not None
    assert request.uploads == {"a b_.txt": b"<upload>"}
    assert json.loads(request.input)["files"][0]["original_name"] == "a b?.txt"
    assert json.loads(request.input)["metadata"] == {"q": 1}
    assert (request.policy_name, request.isolation, request.workspace) == (
        "llm-only",
        Isolation.RUNSC,
        "team",
    )
    assert request.limits == Limits(timeout_s=9)
    assert request.needs.required == ("A_KEY",)
    assert request.secrets["A_KEY"].reveal() == MARKER
    assert request.bundle


@pytest.mark.usefixtures("capsys")
def test_the_daemon_is_sent_the_plans_request(service: FakeService, folder: Path, settings: Settings):
    """What arrives behind the API is the value that a daemon in this process would be given."""
    with pytest.raises(SystemExit):
        cli.main(["run", str(folder), *ARGUMENTS, *LABELS])

    (request,) = service.requests
    chosen = {**CHOSEN, "labels": ("team=search", "for=a=b")}
    assert shown(request) == shown(read_plan(str(folder), None, chosen, {}).to_request(settings))
    assert request.labels == {"team": "search", "for": "a=b"}


@pytest.mark.parametrize("place", [["--local"], ["--local", "--sandbox"]])
def test_a_run_that_nobody_records_has_no_labels(
    folder: Path, capsys: pytest.CaptureFixture[str], place: list[str]
):
    """A label that nobody could find it by would be a false promise."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(folder), *place, *LABELS])

    assert ended.value.code == InvalidInputError.exit_code
    assert "--label" in capsys.readouterr().out


def test_a_sandbox_without_a_vault_starts_from_the_same_request(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Only what is to be settled differs: it is settled with what the caller has."""
    seen: list[RunRequest] = []

    async def stop(_settings: Settings, request: RunRequest, *, is_quiet: bool) -> tuple[None, bool]:
        seen.append(request)
        return None, True

    monkeypatch.setattr(local_sandbox, "_run", stop)
    monkeypatch.setattr(local_sandbox, "be_quiet", lambda: None)
    with pytest.raises(SystemExit):
        cli.main(["run", str(folder), "--local", "--sandbox", *ARGUMENTS])

    planned = shown(read_plan(str(folder), None, CHOSEN, {}).to_request(settings))
    (request,) = seen
    assert {name for name, value in shown(request).items() if value != planned[name]} == {"needs"}


@pytest.mark.parametrize("with_file", [True, False])
@pytest.mark.parametrize("place", ["top", "metadata"])
def test_credentials_never_stay_in_the_document(
    folder: Path, settings: Settings, tmp_path: Path, place: str, *, with_file: bool
):
    """They count as the caller's flags would, wherever the platform's CLI has put them."""
    field = {"llm_credentials": {"api_key": MARKER, "provider": "gemini"}}
    data = {"q": 1, **(field if place == "top" else {"metadata": field})}
    file = tmp_path / "f.txt"
    file.touch()

    request = plan_of(folder, file if with_file else None, data=json.dumps(data)).to_request(settings)

    assert MARKER.encode() not in request.input
    assert b"llm_credentials" not in request.input
    assert request.needs.provider == "gemini"
    assert request.secrets["GEMINI_API_KEY"].reveal() == MARKER


def test_malformed_credentials_are_refused_before_anything_is_sent(folder: Path):
    """Without a word of them."""
    with pytest.raises(InvalidInputError, match="llm_credentials") as told:
        plan_of(folder, data=json.dumps({"llm_credentials": {"api_key": MARKER}}))

    assert MARKER not in f"{told.value.message}{told.value.hint}"
