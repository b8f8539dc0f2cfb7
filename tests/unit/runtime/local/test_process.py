"""A child process from start to end: its streams, its limit, and that nothing of its group runs on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.engine.protocol import ExitStatus
from runtime.errors import NotFoundError
from runtime.keys.redactor import Redactor
from runtime.local.process import DRAIN_S, Program, run_process
from runtime.sandbox.output import Output


def start(
    code: str,
    folder: Path,
    *,
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    argv: tuple[str, ...] = (),
    on_log: Callable[[str], None] = lambda _line: None,
):
    """Run Python code; status, output, log lines."""
    output = Output(Redactor(["marker-secret"]), stdout_bytes=10 << 20, log_bytes=10 << 10)
    lines: list[str] = []
    program = Program(argv or (sys.executable, "-c", code), folder, {"PATH": os.defpath, "HOME": "/x"}, stdin)

    def log(line: str) -> None:
        lines.append(line)
        on_log(line)

    status = run_process(program, output=output, on_log=log, timeout_s=timeout_s, grace_s=0.3)
    return status, output, lines


class Clock:
    """The time in `runtime.local.process`, which leaps over every limit as soon as the agent logs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        self.sleep = time.sleep
        monkeypatch.setattr("runtime.local.process.time", self)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead_s

    def leap(self, _line: str) -> None:
        """For `on_log`."""
        self.ahead_s = 1000.0


def has_ended(pid: int) -> bool:
    """Whether it is gone, or a zombie; the kernel takes a moment after SIGKILL."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_streams_and_status(tmp_path: Path):
    """stdin in, stdout and stderr apart, the status, the folder and the environment."""
    code = (
        "import os,sys; print(sys.stdin.read()[::-1], os.getcwd(), os.environ['HOME']);"
        "print('marker-secret', file=sys.stderr); sys.exit(3)"
    )

    status, output, lines = start(code, tmp_path, stdin=b"abc")

    assert status == ExitStatus(3, is_oom_killed=False)
    assert output.stdout == f"cba {tmp_path} /x\n"
    assert lines == ["***\n"]


def test_megabytes_go_both_ways(tmp_path: Path):
    """More than a pipe holds, in both directions at once."""
    data = b"x" * 3_000_000

    status, output, _ = start("import sys; sys.stdout.write(sys.stdin.read())", tmp_path, stdin=data)

    assert (status, len(output.stdout)) == (ExitStatus(0, is_oom_killed=False), 3_000_000)


def test_what_it_wrote_is_read_however_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A caller that gets nothing of the machine for a while after the agent's end loses nothing of its output."""
    clock, written = Clock(monkeypatch), tmp_path / "written"

    def late() -> float:
        while not written.exists():
            time.sleep(0.01)
        clock.ahead_s += DRAIN_S
        return clock.ahead_s

    monkeypatch.setattr("runtime.local.process.LONGEST_DRAIN_S", 100 * DRAIN_S)
    monkeypatch.setattr(clock, "monotonic", late)
    size = 500_000  # in a pipe that holds it all: 1031 is F_SETPIPE_SZ
    code = (
        f"import fcntl, os; fcntl.fcntl(1, 1031, 1 << 20); os.write(1, b'x' * {size});"
        f"open({str(written)!r}, 'w').close(); os._exit(0)"
    )

    status, output, _ = start(code, tmp_path, timeout_s=1e9)

    assert (status, len(output.stdout)) == (ExitStatus(0, is_oom_killed=False), size)


def test_a_child_that_reads_nothing_ends_as_it_likes(tmp_path: Path):
    """Its unread input is no error."""
    status, output, _ = start("print(1)", tmp_path, stdin=b"x" * 3_000_000)

    assert (status, output.stdout) == (ExitStatus(0, is_oom_killed=False), "1\n")


@pytest.mark.parametrize("ignores", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"])
def test_the_limit_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignores: str):
    """SIGTERM, then SIGKILL for one that ignores it; None tells the limit."""
    code = (
        "import sys, time; print('on', flush=True); print('up', file=sys.stderr, flush=True); time.sleep(60)"
    )

    status, output, _ = start(ignores + code, tmp_path, on_log=Clock(monkeypatch).leap)

    assert status is None
    assert output.stdout == "on\n"


def test_the_limit_holds_where_the_streams_are_closed(tmp_path: Path):
    """An agent that closes its output and goes on is not forgotten."""
    status, _, _ = start("import os,time; os.close(1); os.close(2); time.sleep(60)", tmp_path, timeout_s=0.5)

    assert status is None


def test_what_it_started_ends_with_it(tmp_path: Path):
    """A grandchild that holds the streams neither hangs the run nor survives it."""
    code = (
        "import subprocess,sys; p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(300)']);"
        "print(p.pid, flush=True)"
    )

    status, output, _ = start(code, tmp_path)

    assert status == ExitStatus(0, is_oom_killed=False)
    assert has_ended(int(output.stdout))


def test_a_signal_is_a_status(tmp_path: Path):
    """As a shell tells it."""
    status, _, _ = start("import os; os.kill(os.getpid(), 9)", tmp_path)

    assert status == ExitStatus(137, is_oom_killed=False)


def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    """With what to do."""
    with pytest.raises(NotFoundError, match="no-such-program-7") as told:
        start("", tmp_path, argv=("no-such-program-7",))

    assert "PATH" in str(told.value.hint)


def test_an_interruption_ends_it(tmp_path: Path):
    """Whatever comes out of the loop, the process is gone."""
    seen: list[int] = []

    def interrupt(text: str) -> None:
        seen.append(int(text))
        raise KeyboardInterrupt

    output = Output(Redactor([]), stdout_bytes=100, log_bytes=100)
    code = "import os,sys,time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    program = Program((sys.executable, "-c", code), tmp_path, {}, b"")

    with pytest.raises(KeyboardInterrupt):
        run_process(program, output=output, on_log=interrupt, timeout_s=60, grace_s=0.3)

    assert has_ended(seen[0])


ESCAPES = {
    "a session of its own": "subprocess.Popen([*SLEEP], start_new_session=True)",
    "orphaned": "subprocess.Popen(['sh', '-c', 'setsid \"$@\" & exit 0', 'x', *SLEEP]).wait()",
    "twice removed": (
        "subprocess.Popen([sys.executable, '-c', 'import os, sys\\nif os.fork(): os._exit(0)\\nos.setsid()\\n'"
        " 'if os.fork(): os._exit(0)\\nos.execvp(sys.argv[1], sys.argv[1:])', *SLEEP], env={}).wait()"
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
@pytest.mark.parametrize("how", ESCAPES)
@pytest.mark.parametrize("ends", ["by itself", "at its limit"])
def test_what_left_its_group_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, ends: str
):
    """A session of its own, a parent that is gone, an empty environment: none of them lets it run on."""
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        f"SLEEP = ['sh', '-c', 'echo $$ > {note}; exec sleep 300']\n"
        f"{ESCAPES[how]}\n"
        f"while not open({str(note)!r}, 'a+').tell(): time.sleep(0.01)\n"
        "print('on', flush=True)\n"
    )
    if ends == "by itself":
        status, output, _ = start(code, tmp_path)
    else:
        code += "print('up', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
        status, output, _ = start(code, tmp_path, on_log=Clock(monkeypatch).leap)

    assert (status is None) is (ends == "at its limit")
    assert output.stdout == "on\n"
    assert has_ended(int(note.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
def test_what_the_caller_had_before_is_left_alone(tmp_path: Path):
    """Its own children are nobody's to end, and it adopts no orphans any more."""
    with subprocess.Popen(["sleep", "60"]) as mine:
        status, _, _ = start("pass", tmp_path)
        is_alive = mine.poll() is None
        mine.kill()

    assert status == ExitStatus(0, is_oom_killed=False)
    assert is_alive
