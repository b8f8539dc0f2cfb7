"""`orch run --local --sandbox` around a service in memory: what it prints, and that everything is removed."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main as cli
from runtime.cli.run import local_sandbox
from runtime.daemon.settings import Settings
from runtime.errors import NotReadyError
from runtime.model.run import RunError, RunState
from tests.unit.runtime.fake_service import FakeService

DENIED = {
    "verdict": "deny", "reason_code": "not_allowed_host", "method": "CONNECT", "host": "evil.test", "port": 443,
    "detail": "evil.test is not in policy llm-only",
}  # fmt: skip


class FakeDaemon:
    """An `EmbeddedDaemon` that takes note."""

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.steps: list[str] = []
        self.error: Exception | None = None
        self.left: list[str] = []
        self.engine = None

    @property
    def daemon(self) -> FakeDaemon:
        """Itself: it has the service."""
        return self

    def make_folder(self) -> None:
        """Nothing is kept."""

    async def start(self) -> None:
        """As told."""
        self.steps.append("start")
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Take note."""
        self.steps.append("close")

    async def remove(self) -> list[str]:
        """Take note."""
        self.steps.append("remove")
        return self.left


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """The daemon that the command will hold."""
    made = FakeDaemon(FakeService())

    def build(settings: Settings) -> FakeDaemon:
        assert settings.instance.startswith("local-")
        return made

    async def reap(_engine: object) -> list[str]:
        made.steps.append("reap")
        return []

    monkeypatch.setattr(local_sandbox, "EmbeddedDaemon", build)
    monkeypatch.setattr(local_sandbox, "reap_dead", reap)
    monkeypatch.setattr(local_sandbox, "be_quiet", lambda: None)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "ORCHAGENT_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    return made


def orch(
    capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str, **manifest: Any
) -> tuple[int, str, str]:
    """Run an agent of this manifest; status, stdout, stderr."""
    (folder / "main.py").touch()
    (folder / "orchagent.json").write_text(json.dumps({"name": "lab-agent", "type": "tool", **manifest}))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(folder), "--local", "--sandbox", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_run_is_settled_here_and_leaves_nothing(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Keys come from the caller; the policy and the isolation are the chosen ones; no record is named."""
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    (tmp_path / ".env").write_text("EXTRA=from-file\nUNDECLARED=x\n")
    data = {"q": 1, "llm_credentials": {"api_key": "given", "provider": "openai", "model": "m"}}

    status, out, err = orch(
        capsys, tmp_path, "--policy", "python-packages", "--isolation", "runsc", "--data", json.dumps(data),
        supported_providers=["openai"], optional_secrets=["EXTRA"],
    )  # fmt: skip

    (request,) = own.service.requests
    assert (status, json.loads(out)["id"], json.loads(out)["result"]) == (0, None, {"ok": True})
    assert err == "working\n"
    assert {n: s.reveal() for n, s in request.secrets.items()} == {
        "OPENAI_API_KEY": "given",
        "EXTRA": "from-file",
    }
    assert (request.env["LLM_MODEL"], json.loads(request.input)) == ("m", {"q": 1})
    assert (request.policy_name, request.isolation.value) == ("python-packages", "runsc")
    assert own.steps == ["reap", "start", "close", "remove"]


def test_refusals_are_told_since_no_audit_is_kept(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """On stderr, for a person."""
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    own.service.lines = [DENIED]

    _, out, err = orch(capsys, tmp_path)

    assert "refused: CONNECT evil.test:443 not_allowed_host" in err
    assert "orch egress" not in out + err


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        ({"supported_providers": ["any"]}, "LLM_KEY_REQUIRED"),
        ({"required_secrets": ["A_KEY"]}, "MISSING_SECRETS"),
    ],
)
def test_a_missing_key_starts_no_daemon(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: dict[str, Any], code: str
):
    """There is no vault to ask, so it is said at once."""
    status, out, _ = orch(capsys, tmp_path, **manifest)

    assert (status, json.loads(out)["code"]) == (1, code)
    assert "export" in json.loads(out)["hint"]
    assert own.steps == []


def test_a_daemon_that_is_not_ready_is_removed(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The reason is told, and what was made goes."""
    own.error = NotReadyError("no sandbox can be started: guard: not proved", hint="orch doctor")

    status, out, _ = orch(capsys, tmp_path)

    assert (status, json.loads(out)["hint"]) == (8, "orch doctor")
    assert own.steps == ["reap", "start", "close", "remove"]


def test_a_failed_run_is_told_without_a_hint_at_its_record(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """There is none."""
    own.service.final = {"state": RunState.FAILED, "error": RunError("SANDBOX_ERROR", "Agent error: no luck")}

    status, out, _ = orch(capsys, tmp_path)

    assert (status, json.loads(out)["message"]) == (1, "Agent error: no luck")
    assert "hint" not in json.loads(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_cancels_and_removes(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
):
    """Exit status 130; everything is removed all the same, and the signals are given back."""
    own.service.stays = True
    before = signal.getsignal(number)

    def interrupt() -> None:
        assert own.service.is_following.wait(10)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    status, out, _ = orch(capsys, tmp_path)

    assert (status, json.loads(out)["code"]) == (130, "CANCELLED")
    assert own.steps == ["reap", "start", "close", "remove"]
    assert signal.getsignal(number) == before


def test_what_could_not_be_removed_is_named(
    own: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A leftover is never silent."""
    own.left = ["orchbox-local-x-proxy"]

    _, _, err = orch(capsys, tmp_path)

    assert "left behind: orchbox-local-x-proxy" in err
