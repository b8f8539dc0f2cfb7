"""Who holds the pid file."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.daemon import pidfile
from runtime.errors import ConflictError, NotReadyError

OWNER = pidfile.Owner("/home", "default")
HOLD = """
import sys, pathlib
from runtime.daemon import pidfile
with pidfile.held(pathlib.Path(sys.argv[1]), pidfile.Owner("/home", "default")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_held_file_names_its_holder(tmp_path: Path):
    """While it is held, its first line is the pid, its second one the owner; a second daemon is refused."""
    path = tmp_path / "daemon.pid"
    with pidfile.held(path, OWNER):
        assert path.read_text().splitlines()[0] == str(os.getpid())
        assert path.stat().st_mode & 0o777 == 0o600
        assert pidfile.holder(path) == (os.getpid(), True, OWNER)
        with pytest.raises(ConflictError, match="already running"), pidfile.held(path, OWNER):
            pass

    assert not path.exists()
    assert pidfile.holder(path) is None


def test_killed_holder_leaves_a_file_that_proves_nothing(tmp_path: Path):
    """After kill -9 the number is stale: nobody is taken for the daemon, and the next one may start."""
    path = tmp_path / "daemon.pid"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "held\n"
        assert pidfile.holder(path) == (child.pid, True, OWNER)
        child.kill()

    assert path.exists()
    assert pidfile.holder(path) is None
    with pidfile.held(path, OWNER):
        assert path.read_text().splitlines()[0] == str(os.getpid())


def test_pid_of_another_namespace_is_told_apart(tmp_path: Path):
    """A number that means a process here which does not have the file open is no pid to signal."""
    path = tmp_path / "daemon.pid"
    path.write_text("1" if os.getpid() != 1 else "2")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        found = pidfile.holder(path)

    assert found.is_here is (os.geteuid() != 0)  # without root one may not look, and kill will say no


def test_pid_of_nobody_is_told_apart(tmp_path: Path):
    """A number without a process here is a container's."""
    path = tmp_path / "daemon.pid"
    path.write_text("99999999")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert pidfile.holder(path) == (99999999, False, None)


@pytest.mark.parametrize("text", ["", "x", "-1"])
def test_held_file_without_a_pid_names_nobody(tmp_path: Path, text: str):
    """What is no number is never signalled."""
    path = tmp_path / "daemon.pid"
    path.write_text(text)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert pidfile.holder(path) is None


@pytest.mark.parametrize("rest", ["", "x", "[]", "{}", '{"home": "/h"}', "7"])
def test_who_does_not_say_whose_it_is_is_nobodys(tmp_path: Path, rest: str):
    """An older version's daemon, or a file that was cut: the pid counts, and no owner is made up."""
    path = tmp_path / "daemon.pid"
    path.write_text(f"99999999\n{rest}")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert pidfile.holder(path) == (99999999, False, None)


def test_a_longer_file_of_a_dead_daemon_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between the writing of a note and the cut to its size the old one's end is behind it."""
    path = tmp_path / "daemon.pid"
    path.write_text("1\n" + "x" * 9000)
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    with pidfile.held(path, OWNER):
        assert pidfile.holder(path) == (os.getpid(), True, OWNER)


def test_folder_that_cannot_be_written_is_told(tmp_path: Path):
    """No pid file, no daemon, one sentence."""
    with (
        pytest.raises(NotReadyError, match=r"daemon\.pid"),
        pidfile.held(tmp_path / "none" / "daemon.pid", OWNER),
    ):
        pass


@pytest.mark.parametrize("is_replaced", [False, True], ids=["unlinked", "another daemon's by now"])
def test_a_file_that_was_unlinked_meanwhile_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_replaced: bool
):
    """Opened before the last daemon unlinked it and locked after: that lock would keep nobody out."""
    path = tmp_path / "daemon.pid"
    real, others = fcntl.flock, []

    def late(fd: int, how: int) -> None:
        if not others:
            path.unlink()
            others.append(path.open("w") if is_replaced else None)
            if is_replaced:
                real(others[0], fcntl.LOCK_EX)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    if is_replaced:
        with pytest.raises(ConflictError), pidfile.held(path, OWNER):
            pass
        others[0].close()
        assert path.exists()
    else:
        with pidfile.held(path, OWNER):
            assert path.read_text().splitlines()[0] == str(os.getpid())
            assert pidfile.holder(path) == (os.getpid(), True, OWNER)


def test_many_that_start_and_end_are_never_two(tmp_path: Path):
    """Processes that take and leave the file all the time, each writing beside the others' end."""
    code = (
        "import os, pathlib, sys, time\n"
        "from runtime.daemon import pidfile\nfrom runtime.errors import ConflictError\n"
        "path, inside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
        "until, won = time.monotonic() + 2, 0\n"
        "while time.monotonic() < until or not won and time.monotonic() < until + 60:\n"
        "    try:\n"
        "        with pidfile.held(path, pidfile.Owner('/home', 'default')):\n"
        "            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))\n"
        "            inside.unlink()\n"
        "            won += 1\n"
        "    except ConflictError:\n"
        "        pass\n"
        "sys.exit(0 if won else 3)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "daemon.pid"), str(tmp_path / "inside")]
    racers = [subprocess.Popen(command) for _ in range(3)]

    assert [racer.wait(90) for racer in racers] == [0, 0, 0]
