"""The installation's id is made once and kept; its lock names who holds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.containers import labels
from runtime.daemon import installation
from runtime.daemon.pidfile import Holder
from runtime.daemon.settings import Settings
from runtime.errors import ConflictError, NotReadyError

HOLD = """
import os, sys
from runtime.daemon import installation
from runtime.daemon.settings import Settings
with installation.held(Settings.from_env(dict(os.environ))):
    print("held", flush=True)
    sys.stdin.read()
"""


def settings(home: Path, run: str = "run", **more: str) -> Settings:
    """A daemon's."""
    return Settings.from_env({"ORCHBOX_HOME": str(home), "ORCHBOX_RUN_DIR": str(home / run), **more})


def test_the_id_is_made_once(tmp_path: Path):
    """Every later daemon of this home and instance has the same one; another home or instance another."""
    home = tmp_path / "home"
    assert installation.known(settings(home)) is None
    first = installation.identify(settings(home))

    assert installation.identify(settings(home, "other-run")) == first == installation.known(settings(home))
    assert installation.identify(settings(home, ORCHBOX_INSTANCE="b")) != first
    assert installation.identify(settings(tmp_path / "home2")) != first
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    assert len(list(home.iterdir())) == 2


@pytest.mark.parametrize("text", ["", "../x", "A" * 32, "0" * 31, "\0"])
def test_a_broken_id_is_told_and_not_replaced(tmp_path: Path, text: str):
    """Another id would disown what runs: the file is named instead."""
    path = tmp_path / "default.installation"
    path.write_text(text)

    with pytest.raises(NotReadyError, match="installation"):
        installation.identify(settings(tmp_path))
    assert path.read_text() == text


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path):
    """No id, no daemon, one sentence."""
    (tmp_path / "file").write_text("")

    for attempt in (installation.identify, lambda given: installation.held(given).__enter__()):
        with pytest.raises(NotReadyError, match="file") as told:
            attempt(settings(tmp_path / "file"))
        assert "ORCHBOX_HOME" in (told.value.hint or "")


def test_labels_name_the_daemon(tmp_path: Path):
    """The id, the run directory and the process."""
    found = installation.marks(settings(tmp_path), "abc")

    assert found[labels.INSTALLATION] == "abc"
    assert found[labels.RUN_DIR] == str(tmp_path / "run")
    assert found[labels.DAEMON].startswith(f"{os.getpid()}:")


def test_two_run_directories_of_one_installation_exclude_each_other(tmp_path: Path):
    """The second daemon is refused, and the first is named with its run directory and pid."""
    assert installation.keeper(settings(tmp_path)) is None
    with installation.held(settings(tmp_path, "first")):
        held = installation.keeper(settings(tmp_path, "second"))
        with pytest.raises(ConflictError) as told, installation.held(settings(tmp_path, "second")):
            pass
        with installation.held(settings(tmp_path, "second", ORCHBOX_INSTANCE="b")):
            pass

    assert held == (os.getpid(), str(tmp_path / "first"))
    assert str(tmp_path / "first") in told.value.message
    assert str(os.getpid()) in told.value.message
    assert f"ORCHBOX_RUN_DIR={tmp_path / 'first'} orch down" in (told.value.hint or "")
    assert installation.keeper(settings(tmp_path)) is None


def test_a_daemon_of_our_run_directory_is_ours_only_by_its_name(tmp_path: Path):
    """Another home or instance is another installation's, whoever shares the run directory."""
    mine, other = settings(tmp_path), settings(tmp_path / "other", ORCHBOX_RUN_DIR=str(tmp_path / "run"))
    installation.require_own(mine, Holder(7, True, installation.owner(mine)))

    for stranger in (other, settings(tmp_path, ORCHBOX_INSTANCE="b")):
        with pytest.raises(ConflictError) as told:
            installation.require_own(mine, Holder(7, True, installation.owner(stranger)))
        assert str(mine.run_dir) in told.value.message
        assert f"ORCHBOX_HOME={stranger.home} ORCHBOX_INSTANCE={stranger.instance}" in (told.value.hint or "")


def test_a_daemon_that_does_not_say_whose_it_is_is_told_by_its_lock(tmp_path: Path):
    """One of an older version can still be stopped by its own home, and by no other."""
    nameless = Holder(os.getpid(), True, None)
    with installation.held(settings(tmp_path)):
        installation.require_own(settings(tmp_path), nameless)
        with pytest.raises(ConflictError):
            installation.require_own(settings(tmp_path, ORCHBOX_INSTANCE="b"), nameless)
        with pytest.raises(ConflictError):
            installation.require_own(settings(tmp_path), nameless._replace(pid=7))
    with pytest.raises(ConflictError):
        installation.require_own(settings(tmp_path), nameless)


def test_a_killed_keeper_holds_nothing(tmp_path: Path):
    """After kill -9 the note is stale, and the next daemon may start."""
    environment = {**os.environ, "ORCHBOX_HOME": str(tmp_path), "ORCHBOX_RUN_DIR": str(tmp_path / "run")}
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with child:
        assert child.stdout.readline() == "held\n"
        assert installation.keeper(settings(tmp_path)) == (child.pid, str(tmp_path / "run"))
        child.kill()

    assert installation.keeper(settings(tmp_path)) is None
    with installation.held(settings(tmp_path)):
        pass
