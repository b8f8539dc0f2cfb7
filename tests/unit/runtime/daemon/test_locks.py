"""runtime.daemon.locks: a daemon that was killed is waited for, one that lives is not."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.daemon import locks
from runtime.daemon.locks import try_lock

HOLDER = """
import ctypes, fcntl, os, sys, threading, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
def stay():
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
threading.Thread(target=stay).start()
if sys.argv[2] == "dying":
    ctypes.CDLL(None).syscall(%d, 0)  # this thread ends, and the process goes on without its first one
time.sleep(60)
"""
EXIT = {"x86_64": 60, "aarch64": 93}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """An open file."""
    opened = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


class Holder:
    """A process that holds a file's lock; its first thread has ended, or has not."""

    def __init__(self, path: Path, state: str) -> None:
        argv = [sys.executable, "-c", HOLDER % EXIT[os.uname().machine], str(path), state]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.pid = int(self.process.stdout.readline())
        if state == "dying":
            while " Z " not in Path(f"/proc/{self.pid}/stat").read_text():
                time.sleep(0.005)

    def end(self) -> None:
        """All of it."""
        self.process.communicate(b"\n")


def test_a_free_lock_is_taken(file: int):
    """Without a look at who had it."""
    assert try_lock(file, fcntl.LOCK_EX, lambda: pytest.fail("looked"))


def test_one_that_lives_is_not_waited_for(file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither is one that nobody here can see."""
    monkeypatch.setattr(locks.time, "sleep", lambda _seconds: pytest.fail("waited"))
    holder = Holder(tmp_path / "lock", "alive")
    try:
        assert not try_lock(file, fcntl.LOCK_EX, lambda: holder.pid)
        assert not try_lock(file, fcntl.LOCK_SH, lambda: 0)
        assert not try_lock(file, fcntl.LOCK_SH, lambda: 2**30)
    finally:
        holder.end()


def test_one_that_is_dying_is_waited_for(file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Until its last thread has ended, and its lock is free."""
    holder = Holder(tmp_path / "lock", "dying")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        holder.end()

    monkeypatch.setattr(locks.time, "sleep", sleep)
    assert try_lock(file, fcntl.LOCK_EX, lambda: holder.pid)
    assert waited


def test_not_for_ever(file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A thread that hangs in the kernel keeps its process from ending."""
    monkeypatch.setattr(locks, "DYING_S", 0.05)
    holder = Holder(tmp_path / "lock", "dying")
    try:
        assert not try_lock(file, fcntl.LOCK_EX, lambda: holder.pid)
    finally:
        holder.end()
