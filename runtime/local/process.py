"""One child process on the caller's machine, from its start to the end of all that it started.

A process group of its own, so that a limit or Ctrl-C ends the agent's children with it; what left the group
is found by its parents (`local.descendants`). No thread, no socket, no file: three pipes and a selector.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from runtime.engine.protocol import STDERR, STDOUT, ExitStatus
from runtime.errors import NotFoundError
from runtime.local.descendants import Descendants, descendants
from runtime.sandbox.output import Output

POLL_S = 0.05
DRAIN_S = 1.0
"""For the streams to end once the agent has: a process that left its group may hold them open."""
LONGEST_DRAIN_S = 10.0
"""For streams that still give something then: what the agent wrote may be read late, and not for ever."""
CHUNK_BYTES = 64 << 10


class Program(NamedTuple):
    """What is started, where, and with what."""

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    stdin: bytes


def run_process(
    program: Program,
    *,
    output: Output,
    on_log: Callable[[str], None],
    timeout_s: float,
    grace_s: float,
) -> ExitStatus | None:
    """Run to the end; None where the time limit passed. Whatever happens, nothing that it started runs on.

    Raises NotFoundError where the program is not there, and whatever interrupts it.
    """
    with descendants() as started, _started(program) as process:
        try:
            is_in_time = _pump(process, started, program.stdin, output, on_log, time.monotonic() + timeout_s)
        finally:
            _end(process, started, grace_s)
        for line in output.finish():
            on_log(line)
    code = process.returncode
    return ExitStatus(code if code >= 0 else 128 - code, is_oom_killed=False) if is_in_time else None


def _started(program: Program) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            program.argv,
            cwd=program.folder,
            env=dict(program.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as exc:
        raise NotFoundError(
            f"{program.argv[0]} could not be started: {exc.strerror}",
            hint=f"put {program.argv[0]} on your PATH",
        ) from None


def _pump(
    process: subprocess.Popen[bytes],
    started: Descendants,
    stdin: bytes,
    output: Output,
    on_log: Callable[[str], None],
    deadline: float,
) -> bool:
    """Feed and read until the process and its streams have ended; False where the deadline came first."""
    ended_at: float | None = None
    with selectors.DefaultSelector() as ready:
        feeding = _Feeding(_pipe(process.stdin), stdin, ready)
        for stream, number in ((_pipe(process.stdout), STDOUT), (_pipe(process.stderr), STDERR)):
            ready.register(stream, selectors.EVENT_READ, number)
        while ready.get_map() or ended_at is None:
            now = time.monotonic()
            if ended_at is None and _has_ended(process):
                ended_at = now
                feeding.close()
                _signal(process, signal.SIGKILL)  # what it left behind
                started.end(but=process.pid)
            if ended_at is None and now > deadline:
                return False
            events = ready.select(POLL_S)
            if ended_at is not None and now > ended_at + (LONGEST_DRAIN_S if events else DRAIN_S):
                return True
            for key, _ in events:
                if key.data is None:
                    feeding.write()
                    continue
                data = os.read(key.fd, CHUNK_BYTES)
                if not data:
                    ready.unregister(key.fileobj)
                for line in output.feed(key.data, data):
                    on_log(line)
    return True


class _Feeding:
    """Writes stdin as fast as it is read, and no faster."""

    def __init__(self, pipe: IO[bytes], data: bytes, ready: selectors.BaseSelector) -> None:
        self._pipe = pipe
        self._rest = memoryview(data)
        self._ready = ready
        os.set_blocking(pipe.fileno(), False)
        ready.register(pipe, selectors.EVENT_WRITE, None)

    def write(self) -> None:
        """As much as fits."""
        try:
            self._rest = self._rest[os.write(self._pipe.fileno(), self._rest) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not read to the end; its exit status tells the rest
            self._rest = memoryview(b"")
        if not self._rest:
            self.close()

    def close(self) -> None:
        """End the child's stdin."""
        if not self._pipe.closed:
            self._ready.unregister(self._pipe)
            self._pipe.close()


def _end(process: subprocess.Popen[bytes], started: Descendants, grace_s: float) -> None:
    """SIGTERM, a grace, SIGKILL, to the whole group; SIGKILL to what left it."""
    try:
        if not _has_ended(process):
            _signal(process, signal.SIGTERM)
            until = time.monotonic() + grace_s
            while not _has_ended(process) and time.monotonic() < until:
                time.sleep(POLL_S)
    finally:
        _signal(process, signal.SIGKILL)
        started.end(but=process.pid)
        process.wait()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without reaping it: until then its number, which is its group's, cannot become another's."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return process.returncode is not None or os.waitid(os.P_PID, process.pid, options) is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):  # the latter: macOS, where only a zombie is left
            return


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - Popen was asked for all three
    return pipe
