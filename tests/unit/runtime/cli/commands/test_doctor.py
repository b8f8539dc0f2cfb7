"""`orch doctor`: no gVisor and no daemon yet are in order; what is there and broken is not."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.commands import doctor
from runtime.cli.commands.doctor import engine_checks
from runtime.cli.main import main
from runtime.daemon import installation, pidfile
from runtime.daemon.settings import Settings
from runtime.engine import fake_programs
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDOUT

SETTINGS = Settings.from_env({"HOME": "/root"})
IMAGE = SETTINGS.image("agent-python")
BOTH = frozenset({"runc", "runsc"})


async def gvisor(engine: FakeEngine) -> dict:
    """The check's line."""
    (line,) = [c for c in await engine_checks(engine, SETTINGS) if c["name"] == "isolation runsc"]
    return line


async def test_without_gvisor_all_is_well():
    """Nobody needs it; the line says on one line how to have it."""
    line = await gvisor(FakeEngine({IMAGE: None}))
    assert line["ok"] is True
    assert "runtimeArgs" in line["detail"]
    assert "\n" not in line["detail"]


@pytest.mark.parametrize(("version", "ok"), [("Linux version 4.4.0 #1", True), ("Linux version 6.12", False)])
async def test_gvisor_is_tried(monkeypatch: pytest.MonkeyPatch, version: str, ok: bool):
    """A listed runsc counts when a container under it talks to gVisor; else there is a remedy."""

    async def python(process: FakeProcess) -> int:
        process.write(STDOUT, version.encode())
        return 0

    monkeypatch.setitem(fake_programs.PROGRAMS, "python3", python)
    line = await gvisor(FakeEngine({IMAGE: None}, runtimes=BOTH))
    assert (line["ok"], line["remedy"] is None) == (ok, ok)


async def test_broken_gvisor_is_a_failure():
    """A runtime that is listed and does not start is said to be broken."""
    engine = FakeEngine({IMAGE: None}, runtimes=BOTH)
    engine.broken_runtimes = {"runsc"}
    line = await gvisor(engine)
    assert not line["ok"]
    assert "daemon.json" in line["remedy"]


async def test_gvisor_is_not_tried_without_an_image():
    """The images have a check of their own."""
    assert (await gvisor(FakeEngine({}, runtimes=BOTH)))["ok"] is True


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where no daemon runs, on an engine that is in order."""

    async def engine(_settings: Settings) -> list[dict]:
        return [{"name": "engine", "ok": True, "detail": "Docker", "remedy": None}]

    monkeypatch.setattr(doctor, "_ask_engine", engine)
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    yield tmp_path
    gc.collect()  # httpx 0.28 leaks the socket of a connection that failed


def diagnosis(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    """The exit status and the JSON of `orch doctor`."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("leftover", ["", "daemon.pid", "api.sock"])
def test_before_the_daemon_it_is_the_next_step(run_dir: Path, leftover: str, capsys, monkeypatch):
    """Neither red nor a failing status, also where a killed daemon left its files; the command is named."""
    if leftover:
        (run_dir / leftover).write_text(str(os.getpid()))
    status, said = diagnosis(capsys)

    assert (status, said["ok"], said["running"]) == (0, True, False)
    daemon = said["checks"][-1]
    assert (daemon["name"], daemon["ok"], daemon["remedy"]) == ("daemon", True, "orch up --detach")
    assert str(run_dir) in daemon["detail"]
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    with pytest.raises(SystemExit):
        main(["doctor"])
    shown = capsys.readouterr().out
    assert "next  daemon: not running yet" in shown
    assert "then: orch up --detach" in shown


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_daemon_that_does_not_answer_is_a_fault(run_dir: Path, capsys):
    """One holds the run directory, and says nothing."""
    owner = installation.owner(Settings.from_env(dict(os.environ)))
    with pidfile.held(run_dir / "daemon.pid", owner):
        status, said = diagnosis(capsys)

    assert (status, said["ok"], said["running"]) == (8, False, False)
    assert not said["checks"][-1]["ok"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_directory_that_may_not_be_seen_is_a_fault(run_dir: Path, capsys, monkeypatch):
    """Another user's daemon may be in it: that none runs is not said."""
    monkeypatch.setattr(doctor.os, "access", lambda path, _mode: Path(path) != run_dir)
    status, said = diagnosis(capsys)

    assert (status, said["ok"]) == (8, False)
