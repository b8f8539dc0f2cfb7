"""The parent of the workers: it has imported the proxy, and forks a process for each sandbox.

It holds no grant, no key and no port of a sandbox's network, and reads of each connection the daemon's one
line that asks for a worker (`proxy.contract.messages`). So nothing that a sandbox sends is ever parsed here,
and nothing that one worker is given can be found in another. There is no event loop and no thread in it: what
a fork copies of either would be broken in the child.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from proxy.children import Children
from proxy.contract.messages import Failed, Open, ProtocolError, Ready, encode, read_op

ACCEPT_AGAIN_S = 0.05
"""After an accept that failed: what cannot be accepted stays readable."""
MAX_OPEN_BYTES = 4096
"""Of the line that asks for a worker."""
MAX_SILENT = 32
"""Open connections on which no worker was asked for yet."""

type Worker = Callable[[socket.socket, str], int]
"""Serves one sandbox over the daemon's connection on an address; its exit status."""


class Parent:
    """Listens on an owner-only unix socket. `serve` returns when it is told to stop."""

    def __init__(self, path: Path, worker: Worker) -> None:
        """`worker` runs in a process of its own."""
        self._path = path
        self._worker = worker
        self._said: dict[socket.socket, bytes] = {}
        """What came on each open connection so far."""
        self._own: list[socket.socket | selectors.BaseSelector] = []
        """What a child must not keep."""
        self._children = Children()
        self._is_stopping = False
        self._log = structlog.get_logger()

    def serve(self) -> None:
        """Fork a worker for each that is asked for, until SIGTERM. Raises OSError where the socket fails."""
        self._path.unlink(missing_ok=True)
        signals, wakeup = socket.socketpair()
        listener, selector = socket.socket(socket.AF_UNIX), selectors.DefaultSelector()
        with listener, signals, wakeup, selector:
            self._own = [listener, signals, wakeup, selector]
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen()
            for item in (listener, signals, wakeup):
                item.settimeout(0)
            signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, self._on_signal)
            selector.register(listener, selectors.EVENT_READ, self._accept)
            selector.register(signals, selectors.EVENT_READ, lambda _selector, sock: sock.recv(4096))
            selector.register(
                self._children, selectors.EVENT_READ, lambda _selector, children: children.note_ends()
            )
            gc.collect()
            gc.freeze()  # a collection in a worker would copy every page that is shared with it
            try:
                while not self._is_stopping:
                    for key, _ in selector.select(self._children.wait_s()):
                        key.data(selector, key.fileobj)
                    self._children.reap()
            finally:
                self._path.unlink(missing_ok=True)
                self._children.kill_all()

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self._is_stopping = True

    def _accept(self, selector: selectors.BaseSelector, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # the daemon has gone again, or there is no descriptor for it
            time.sleep(ACCEPT_AGAIN_S)
            return
        connection.settimeout(0)
        self._said[connection] = b""
        selector.register(connection, selectors.EVENT_READ, self._read)
        if len(self._said) > MAX_SILENT:
            self._evict(selector)
        self._say(connection, encode(Ready()))

    def _evict(self, selector: selectors.BaseSelector) -> None:
        """End the connection that has been silent for longest, but for the first.

        A silent connection has no deadline: over one the daemon watches for the parent's end, as long as it
        lives. It is the daemon's first, so nothing but new connections costs a silent one its place, and the
        daemon, which says its line at once, does not need one for long.
        """
        connection = [*self._said][1]
        self._log.error("control-connection-failed", error="silent while others came")
        self._forget(selector, connection)
        connection.close()

    def _forget(self, selector: selectors.BaseSelector, connection: socket.socket) -> bytes:
        selector.unregister(connection)
        return self._said.pop(connection)

    def _read(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        if connection not in self._said:  # evicted in this same turn
            return
        try:
            data = connection.recv(MAX_OPEN_BYTES)
        except OSError:
            data = b""
        line = self._said[connection] + data
        if data and not line.endswith(b"\n") and len(line) < MAX_OPEN_BYTES:
            self._said[connection] = line
            return
        self._forget(selector, connection)
        if not (data and self._open(connection, line)):
            connection.close()

    def _open(self, connection: socket.socket, line: bytes) -> bool:
        """Whether there is a worker for the connection now."""
        try:
            op = read_op(line)
        except ProtocolError as exc:
            self._log.error("control-connection-failed", error=str(exc))
            return False
        if not isinstance(op, Open):
            self._log.error("control-connection-failed", error="a parent takes `open` and nothing else")
            return False
        try:
            pid = os.fork()
        except OSError as exc:
            self._say(connection, encode(Failed(f"no process can be made: {exc.strerror}")))
            return False
        if pid == 0:
            self._become(connection, op.address)
        self._children.add(pid, connection)
        return True

    def _become(self, connection: socket.socket, address: str) -> None:
        """The child's whole life: nothing of the parent's loop is run in it."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for other in (*self._own, *self._said):
                other.close()
            self._children.close_in_child()
            status = self._worker(connection, address)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the child must not return
            self._log.error("worker-failed", error=type(exc).__name__)
        finally:
            os._exit(status)

    def _say(self, connection: socket.socket, line: bytes) -> None:
        try:
            connection.send(line)
        except OSError:  # it has gone; its end is read next
            self._log.error("control-connection-failed", error="closed before a word was said")
