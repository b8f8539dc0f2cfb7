"""`orch doctor`: no gVisor and no daemon yet are in order; what is there and broken is not."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import socket
import time
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


async def host_checks(**says: object) -> dict[str, dict]:
    """What is said of the engine's host, where the engine says this."""
    engine = FakeEngine({IMAGE: None})
    engine._info = dataclasses.replace(engine._info, **says)  # type: ignore[arg-type]
    return {check["name"]: check for check in await engine_checks(engine, SETTINGS)}


@pytest.mark.parametrize(("ahead_s", "ok"), [(0, True), (3600, False), (-3600, False)])
async def test_the_clock_of_the_engines_host_is_compared(ahead_s: float, ok: bool):
    """Certificates and tokens are judged by more than one clock."""
    found = await host_checks(clock=time.time() + ahead_s)
    assert found["clock of the engine's host"]["ok"] is ok


async def test_room_for_the_engine_is_looked_for_on_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A full disk is a fault; another host's cannot be seen from here."""
    name = "disk of the engine"
    here, root = socket.gethostname(), str(tmp_path)
    monkeypatch.setattr(doctor.disk, "ENGINE_BYTES", 1)
    assert (await host_checks(host=here, data_root=root))[name]["ok"]
    monkeypatch.setattr(doctor.disk, "ENGINE_BYTES", 1 << 62)
    assert not (await host_checks(host=here, data_root=root))[name]["ok"]
    assert name not in await host_checks(host=f"not-{here}", data_root=root)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_daemons_own_places_are_looked_at(run_dir: Path, capsys, monkeypatch):
    """Disks, database, vault and certificate each have their line, and one fault is enough."""
    tls = run_dir / "home/tls"
    tls.mkdir(parents=True)
    (tls / "api.pem").write_text("none")
    monkeypatch.setattr(doctor.disk, "HOME_BYTES", 1)
    monkeypatch.setattr(doctor.disk, "RUN_DIR_BYTES", 1 << 62)

    status, said = diagnosis(capsys)

    assert status == 8
    found = {check["name"]: check["ok"] for check in said["checks"]}
    assert found | {"version": True, "engine": True, "daemon": True} == {
        "version": True,
        "engine": True,
        "disk of ORCHBOX_HOME": True,
        "disk of ORCHBOX_RUN_DIR": False,
        "database": True,
        "vault": True,
        "certificate": False,
        "certificate key": False,
        "daemon": True,
    }


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where no daemon runs, on an engine that is in order."""

    async def engine(_settings: Settings) -> list[dict]:
        return [{"name": "engine", "ok": True, "detail": "Docker", "remedy": None}]

    monkeypatch.setattr(doctor, "_ask_engine", engine)
    for name in ("HOME_BYTES", "RUN_DIR_BYTES"):
        monkeypatch.setattr(doctor.disk, name, 1)  # whatever room the tests' machine has
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
