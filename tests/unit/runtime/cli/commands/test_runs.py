"""runtime.cli.commands.runs and doctor: what they print, as JSON and for a person, against a real API."""

from __future__ import annotations

import dataclasses
import gc
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from runtime.cli import main as cli
from runtime.cli.commands.runs import run_table
from runtime.client.connection import Client
from runtime.model.run import RunState
from runtime.model.run_query import Position, RunFilter
from runtime.runs.readiness import Check
from tests.unit.runtime.fake_service import RUN_ID, FakeService, serving


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    """A daemon's API where `orch` looks for it, with one run that has ended."""
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    made = FakeService()
    with serving(made, tmp_path / "api.sock"):
        client = Client(tmp_path / "api.sock")
        client.create_run({"agent_ref": "a", "image": "i", "argv": ["x"], "input": "{}"}, b"", {})
        list(client.events(RUN_ID))
        client.close()
        yield made


def orch(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command; status, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.mark.usefixtures("service")
def test_runs_lists_them(capsys: pytest.CaptureFixture[str]):
    """One row, without what the agent wrote."""
    status, out, _ = orch(capsys, "runs", "--json")

    assert status == 0
    (row,) = json.loads(out)["runs"] if isinstance(json.loads(out), dict) else json.loads(out)
    assert row["id"] == RUN_ID
    assert "result" not in row


def test_runs_are_found_by_what_they_are(service: FakeService, capsys: pytest.CaptureFixture[str]):
    """Each flag is a filter of the daemon's list; a label that is none is refused here."""
    flags = ["--state", "failed", "--agent", "a", "--policy", "p", "--label", "team=x", "--label", "n="]
    status, out, _ = orch(capsys, "runs", *flags, "--json")

    assert (status, json.loads(out)["runs"], json.loads(out)["next_cursor"]) == (0, [], None)
    assert service.queries[-1].filter == RunFilter(
        state=RunState.FAILED, agent="a", policy="p", labels={"team": "x", "n": ""}
    )
    assert orch(capsys, "runs", "--label", "team", "--json")[0] == 5


def test_a_list_that_goes_on_says_how(service: FakeService, capsys: pytest.CaptureFixture[str]):
    """The cursor leads to the rest."""
    service.put(dataclasses.replace(service.runs[RUN_ID], id="0b0e0000-0000-4000-8000-000000000002"))
    first = json.loads(orch(capsys, "runs", "--limit", "1", "--json")[1])

    orch(capsys, "runs", "--limit", "1", "--cursor", first["next_cursor"], "--json")

    assert service.queries[-1].after == Position(1000.0, first["runs"][0]["id"])


@pytest.mark.usefixtures("service")
def test_egress_shows_the_decisions(capsys: pytest.CaptureFixture[str]):
    """As the proxy decided."""
    _, out, _ = orch(capsys, "egress", RUN_ID, "--json")

    assert json.loads(out)["decisions"][0]["host"] == "api.example"


@pytest.mark.usefixtures("service")
def test_an_unknown_run_exits_4(capsys: pytest.CaptureFixture[str]):
    """With the platform's error shape."""
    status, out, _ = orch(capsys, "egress", "nope", "--json")

    assert status == 4
    assert json.loads(out)["code"] == "NOT_FOUND"


@pytest.mark.usefixtures("service")
def test_a_run_that_has_ended_cannot_be_cancelled(capsys: pytest.CaptureFixture[str]):
    """A conflict, said as one."""
    status, out, _ = orch(capsys, "cancel", RUN_ID, "--json")

    assert status != 0
    assert "ended" in json.loads(out)["message"]


def test_doctor_names_what_is_wrong_and_what_to_do(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The check that fails, its detail, its remedy; the status is not 0."""
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    service.checks_now = [Check("guard", is_ok=False, detail="a sandbox reaches the host", remedy="orch up")]

    status, out, err = orch(capsys, "doctor")

    assert status != 0
    assert "a sandbox reaches the host" in out + err
    assert "orch up" in out + err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_daemon_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """What to type next."""
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))

    status, out, _ = orch(capsys, "runs", "--json")

    assert status != 0
    assert "orch up" in json.loads(out)["hint"]
    gc.collect()  # httpx 0.28 leaks the socket of a connection that failed


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("has_error", [True, False])
def test_a_terminal_of_any_width_shows_which_run_ended_how_and_when(width: int, has_error: bool):
    """The id, which `orch logs`, `egress` and `cancel` take, agent, state, time and error are whole."""
    run_id = "0d46046a-2cdc-4a3e-9b1c-5d0f6a7b8c9d"
    run = {
        "id": run_id,
        "agent_ref": "summarizer",
        "policy_name": "llm-only",
        "state": "failed" if has_error else "completed",
        "created_at": 1.7e9,
        "error": {"code": "SANDBOX_TIMEOUT"} if has_error else None,
    }
    console = Console(width=width)

    with console.capture() as shown:
        console.print(run_table([run] * 3, width))

    time_of_day = time.strftime("%m-%d %H:%M", time.localtime(1.7e9))
    expected = {run_id, "summarizer", str(run["state"]), time_of_day}
    expected |= {"SANDBOX_TIMEOUT"} if has_error else set()
    assert {word for word in expected if shown.get().count(word) < 3} == set()
    assert max(len(line) for line in shown.get().splitlines()) <= width


def test_a_long_name_takes_no_other_columns_room():
    """An agent may be called anything: at 80 columns its own name is what is cut."""
    run = {
        "id": "0d46046a-2cdc-4a3e-9b1c-5d0f6a7b8c9d",
        "agent_ref": "a-summarizer-with-a-very-long-name " * 9,
        "policy_name": "llm-only",
        "state": "completed",
        "created_at": 1.7e9,
        "error": None,
    }
    console = Console(width=80)
    with console.capture() as shown:
        console.print(run_table([run], 80))

    _, line = shown.get().splitlines()
    assert line.startswith(f"{run['id']}  a-summariz")
    assert "  completed  " in line
    assert line.rstrip().endswith(time.strftime("%m-%d %H:%M", time.localtime(1.7e9)))
