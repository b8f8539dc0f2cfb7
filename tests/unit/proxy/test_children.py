"""A worker ends once its connection has ended, whatever it does; others are left alone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.children import KILL_AFTER_S, Children
from proxy.worker import GRACE_S
from runtime.egress.worker_link import END_TIMEOUT_S


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The daemon's end of a connection, and the worker's."""
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def pid() -> Iterator[int]:
    """A process that was stopped as soon as it began."""
    made = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    os.kill(made, signal.SIGSTOP)
    yield made
    if is_there(made):
        os.kill(made, signal.SIGKILL)
        os.waitpid(made, 0)


def is_there(pid: int) -> bool:
    """Whether a process has this number, buried ones not counted."""
    return Path(f"/proc/{pid}").exists()


def is_readable(children: Children, timeout_s: float) -> bool:
    """Whether a connection has ended."""
    return bool(select.select([children], [], [], timeout_s)[0])


def bury(children: Children, pid: int) -> None:
    """Until the process is reaped, as the parent's loop does it at SIGCHLD."""
    with contextlib.suppress(ChildProcessError):  # the last turn was it
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    children.reap()


@pytest.mark.parametrize("how", ["closed", "shut for writing"])
def test_a_stopped_process_is_killed_after_its_connection(
    pair: tuple[socket.socket, socket.socket], pid: int, how: str
) -> None:
    """Both ways in which the daemon ends a connection; only then does the daemon read of the worker's end."""
    near, far = pair
    children = Children(kill_after_s=0.0)
    children.add(pid, far)
    if how == "closed":
        near.close()
    else:
        near.shutdown(socket.SHUT_WR)

    assert is_readable(children, 10)
    children.note_ends()
    assert children.wait_s() == 0
    assert is_there(pid)
    children.reap()
    bury(children, pid)

    assert not is_there(pid)
    assert len(children) == 0
    assert children.wait_s() is None
    assert far.fileno() == -1
    assert not is_readable(children, 0)


def test_what_the_daemon_says_is_no_end(pair: tuple[socket.socket, socket.socket], pid: int) -> None:
    """Bytes for the worker wake nobody here, and are not read: the next reader gets them all."""
    near, far = pair
    children = Children(kill_after_s=0.0)
    children.add(pid, far)
    near.sendall(b"a grant\n")

    assert not is_readable(children, 0.05)
    children.note_ends()
    children.reap()

    assert children.wait_s() is None
    assert is_there(pid)
    assert far.recv(100) == b"a grant\n"


def test_a_process_has_time_to_end_by_itself(pair: tuple[socket.socket, socket.socket], pid: int) -> None:
    """Nobody is killed before its time, and the time is what the parent's loop waits."""
    near, far = pair
    children = Children(kill_after_s=60.0)
    children.add(pid, far)
    near.close()
    assert is_readable(children, 10)
    children.note_ends()
    children.reap()

    assert is_there(pid)
    assert 50 < (children.wait_s() or 0) <= 60
    assert GRACE_S < KILL_AFTER_S < END_TIMEOUT_S


@pytest.mark.parametrize("is_noted", [True, False])
def test_one_that_ends_by_itself_leaves_nothing(
    pair: tuple[socket.socket, socket.socket], pid: int, *, is_noted: bool
) -> None:
    """Nobody is waited for and nothing is held, even while a process that is just forked has its socket."""
    near, far = pair
    children = Children(kill_after_s=60.0)
    children.add(pid, far)
    if is_noted:
        near.close()
        assert is_readable(children, 10)
        children.note_ends()
    with far.dup():  # as in the other process, until it has closed what is not its own
        os.kill(pid, signal.SIGKILL)
        bury(children, pid)
        near.close()

        assert len(children) == 0
        assert children.wait_s() is None
        assert far.fileno() == -1
        assert not is_readable(children, 0)


def test_all_go_with_the_parent(pair: tuple[socket.socket, socket.socket], pid: int) -> None:
    """At its own end it leaves no worker."""
    children = Children()
    children.add(pid, pair[1])
    children.kill_all()
    bury(children, pid)

    assert not is_there(pid)


def test_a_child_keeps_nothing(pair: tuple[socket.socket, socket.socket], pid: int) -> None:
    """Its copies of other workers' connections are closed, without a word to those."""
    children = Children()
    children.add(pid, pair[1])
    children.close_in_child()

    assert pair[1].fileno() == -1
    assert is_there(pid)
