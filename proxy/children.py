"""The parent's workers as processes: who lives, who has ended, and the end of one that does not end itself.

A worker ends with its connection of the daemon's, by a thread of its own. One that is stopped, or that the
kernel does not let run, does not: it would keep the address that the slot's next sandbox needs. So the parent
watches each connection for its end too. It never reads from one.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

import structlog

KILL_AFTER_S = 2.0
"""From the connection's end: longer than a worker takes by itself, shorter than the daemon waits for it."""


class Children:
    """Holds each worker's connection until the worker has ended: the daemon reads of no end before."""

    def __init__(self, *, kill_after_s: float = KILL_AFTER_S) -> None:
        """Nothing is watched yet."""
        self._kill_after_s = kill_after_s
        self._connections: dict[int, socket.socket] = {}
        self._kill_at: dict[int, float] = {}
        self._ends = select.epoll()
        self._watched: dict[int, int] = {}
        """The process by its connection's descriptor, until that connection has ended."""
        self._log = structlog.get_logger()

    def __len__(self) -> int:
        """How many have not been buried yet."""
        return len(self._connections)

    def fileno(self) -> int:
        """Readable as soon as a connection has ended: then `note_ends`."""
        return self._ends.fileno()

    def add(self, pid: int, connection: socket.socket) -> None:
        """Watch over a process that was just forked, and over the connection that it inherited."""
        self._connections[pid] = connection
        self._watched[connection.fileno()] = pid
        self._ends.register(connection, select.EPOLLRDHUP)

    def note_ends(self) -> None:
        """Give the workers whose connection has ended their time to end by themselves."""
        for fd, _ in self._ends.poll(0):
            self._ends.unregister(fd)
            self._kill_at[self._watched.pop(fd)] = time.monotonic() + self._kill_after_s

    def wait_s(self) -> float | None:
        """How long nothing is to be done, unless something happens."""
        return max(0.0, min(self._kill_at.values()) - time.monotonic()) if self._kill_at else None

    def reap(self) -> None:
        """Kill those whose time is over, and forget those that have ended; what ended badly is logged."""
        for pid, at in list(self._kill_at.items()):
            if time.monotonic() >= at:
                del self._kill_at[pid]
                os.kill(pid, signal.SIGKILL)  # not buried, so the number is still its own
        for pid in list(self._connections):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._forget(pid)
                if status:
                    self._log.error("worker-ended", status=os.waitstatus_to_exitcode(status))

    def kill_all(self) -> None:
        """At the parent's own end."""
        for pid in self._connections:
            os.kill(pid, signal.SIGKILL)

    def close_in_child(self) -> None:
        """A worker keeps no other one's connection."""
        self._ends.close()
        for connection in self._connections.values():
            connection.close()

    def _forget(self, pid: int) -> None:
        self._kill_at.pop(pid, None)
        with self._connections.pop(pid) as connection:
            # Closing is not enough: the worker that is being forked just now may hold the connection, too.
            if self._watched.pop(connection.fileno(), None) is not None:
                self._ends.unregister(connection)
