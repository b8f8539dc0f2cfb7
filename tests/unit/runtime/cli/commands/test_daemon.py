"""`orch down` touches what is its own installation's, and names whose the rest is."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.commands import daemon
from runtime.cli.commands.daemon import sweep_all
from runtime.cli.main import main
from runtime.containers import labels
from runtime.containers.owner import this_process
from runtime.daemon import installation
from runtime.daemon.installation import Keeper
from runtime.daemon.settings import Settings
from runtime.engine.fake import FakeEngine
from runtime.errors import ConflictError, NotReadyError

DEAD = "7:1:another-boot/1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of an installation that has run before."""
    made = Settings.from_env({"ORCHBOX_HOME": str(tmp_path), "ORCHBOX_RUN_DIR": str(tmp_path / "run")})
    installation.identify(made)
    return made


async def sandbox(engine: FakeEngine, name: str, owner: str, process: str) -> None:
    """One that a daemon has made."""
    more = {labels.INSTALLATION: owner, labels.DAEMON: process, labels.RUN_DIR: "/run/theirs"}
    marks = labels.labels("default", "sandbox", **more)
    await engine.create(name, {"Image": "box", "Entrypoint": ["true"], "Labels": marks})


async def test_what_our_dead_daemon_left_goes(settings: Settings):
    """And what another installation has stays, unsaid, since there was something to do."""
    engine = FakeEngine({"box": None})
    await sandbox(engine, "mine", installation.known(settings) or "", DEAD)
    await sandbox(engine, "theirs", "f" * 32, this_process())

    assert await sweep_all(engine, settings, is_foreign_too=False, is_all=True) == 1
    assert set(engine.by_name) == {"theirs"}


@pytest.mark.parametrize("has_id", [True, False])
async def test_a_stray_down_is_refused_with_the_others_name(settings: Settings, *, has_id: bool):
    """An `orch down` with another home or run directory removes nothing of a daemon that runs."""
    engine = FakeEngine({"box": None})
    await sandbox(engine, "theirs", "f" * 32, this_process())
    if not has_id:
        (settings.home / "default.installation").unlink()

    with pytest.raises(ConflictError, match="/run/theirs"):
        await sweep_all(engine, settings, is_foreign_too=False, is_all=True)
    with pytest.raises(ConflictError, match="/run/theirs"):
        await sweep_all(engine, settings, is_foreign_too=True, is_all=True)
    assert set(engine.by_name) == {"theirs"}


async def test_what_a_dead_one_left_goes_on_demand(settings: Settings):
    """`--foreign` removes it, together with our own."""
    engine = FakeEngine({"box": None})
    await sandbox(engine, "mine", installation.known(settings) or "", DEAD)
    await sandbox(engine, "theirs", "f" * 32, DEAD)

    assert await sweep_all(engine, settings, is_foreign_too=True, is_all=True) == 2
    assert engine.by_name == {}


@pytest.mark.parametrize(
    ("left", "said"), [(0, "there was nothing to stop"), (1, "removed 1 of what was left")]
)
def test_down_without_a_daemon_is_no_failure(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left: int,
    said: str,
):
    """As with other commands that stop something: status 0, and the run directory is named."""
    engine = FakeEngine({"box": None})

    async def sweep(given: Settings, *, is_foreign_too: bool, is_all: bool) -> int:
        if left:
            await sandbox(engine, "mine", installation.known(settings) or "", DEAD)
        return await sweep_all(engine, given, is_foreign_too=is_foreign_too, is_all=is_all)

    monkeypatch.setattr(daemon, "_sweep", sweep)
    monkeypatch.setenv("ORCHBOX_HOME", str(settings.home))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(settings.run_dir))
    for flag in ("text", "json"):
        monkeypatch.setenv("ORCHAGENT_OUTPUT", flag)
        with pytest.raises(SystemExit) as ended:
            main(["down"])
        assert ended.value.code == 0
    text, _, data = capsys.readouterr().out.partition("\n")

    assert text == f"no daemon runs in {settings.run_dir}; {said}"
    assert json.loads(data) == {"stopped": False, "pid": None, "removed": left}


def test_down_from_another_run_directory_names_the_daemon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The daemon of the same home and instance lives elsewhere: nothing is swept away under it."""
    monkeypatch.setenv("ORCHBOX_HOME", str(settings.home))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(settings.home / "elsewhere"))
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    with installation.held(settings), pytest.raises(SystemExit) as ended:
        main(["down"])

    assert ended.value.code == ConflictError.exit_code
    assert str(settings.run_dir) in capsys.readouterr().err


@pytest.fixture
def foreign_daemon(settings: Settings, tmp_path: Path) -> Iterator[int]:
    """A process that holds our run directory's pid file for another home."""
    settings.run_dir.mkdir()
    code = (
        "import pathlib, sys\nfrom runtime.daemon import pidfile\n"
        "with pidfile.held(pathlib.Path(sys.argv[1]), pidfile.Owner('/theirs', 'default')):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(settings.pid_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child.pid
        assert child.poll() is None


@pytest.mark.parametrize("command", ["down", "up --detach"])
def test_a_shared_run_directory_stops_no_foreign_daemon(
    settings: Settings,
    foreign_daemon: int,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """The daemon there is another home's: it is named and not signalled."""
    monkeypatch.setenv("ORCHBOX_HOME", str(settings.home))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(settings.run_dir))
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--json"])

    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == ConflictError.exit_code
    assert told["code"] == "CONFLICT"
    assert f"pid {foreign_daemon}" in told["message"]
    assert "ORCHBOX_HOME=/theirs ORCHBOX_INSTANCE=default orch down" in told["hint"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_detached_daemon_that_ends_at_once_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The caller reads the daemon's own message, remedy and code, and exits with its status."""
    monkeypatch.setenv("ORCHBOX_HOME", str(settings.home))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(settings.home / "second"))
    with installation.held(settings), pytest.raises(SystemExit) as ended:
        main(["up", "--detach", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == told["exit_code"] == ConflictError.exit_code
    assert told["code"] == "CONFLICT"
    assert (
        told["message"] == installation.in_use(settings, Keeper(os.getpid(), str(settings.run_dir))).message
    )
    assert f"ORCHBOX_RUN_DIR={settings.run_dir} orch down" in told["hint"]
    gc.collect()  # httpx 0.28 leaks the socket of a connection that failed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_detached_daemon_that_says_nothing_is_quoted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """One that ends without an error of its own: its last line, and where its log is."""
    monkeypatch.setenv("ORCHBOX_HOME", str(settings.home))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(settings.run_dir))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SystemExit) as ended:
        main(["up", "--detach", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == NotReadyError.exit_code
    assert told["message"] == "the daemon ended: it wrote nothing"
    assert str(settings.log_file) in told["hint"]
    gc.collect()  # httpx 0.28 leaks the socket of a connection that failed
