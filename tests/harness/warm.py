"""`orch` in a process of its own, forked from one that has imported it.

The same program with its own environment, folder and streams; what it saves is the interpreter's start and
the imports, which are most of a command's work, hundreds of times. What is killed, interrupted or watched is
started as its user starts it, with `python -m runtime.cli.main`.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

MODULES = (
    "runtime.cli.main",
    "runtime.cli.commands.daemon",
    "runtime.cli.commands.doctor",
    "runtime.cli.commands.runs",
    "runtime.cli.commands.secrets",
    "runtime.cli.run.command",
    "runtime.cli.run.plan",
    "runtime.client.connection",
    "httpcore",  # httpx imports it with its first client
)
"""What the commands that tests call import; anything else is imported by the command, as always."""
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(MODULES))


def orch(
    *arguments: str, env: Mapping[str, str], cwd: Path, stdin: str = "", timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end. Raises TimeoutExpired, as `subprocess.run` does, once it is killed."""
    with tempfile.TemporaryDirectory(prefix="warm-") as name:
        folder = Path(name)
        (folder / "0").write_text(stdin)
        process = _FORKS.Process(target=_become, args=(arguments, dict(env), str(cwd), name))
        process.start()
        process.join(timeout_s)
        try:
            if process.is_alive():
                process.kill()
                process.join()
                raise subprocess.TimeoutExpired(["orch", *arguments], timeout_s)
            out, err = ((folder / stream).read_text() for stream in "12")
            return subprocess.CompletedProcess(arguments, int(process.exitcode or 0), out, err)
        finally:
            process.close()


def _become(arguments: Sequence[str], env: Mapping[str, str], cwd: str, folder: str) -> None:
    """In the new process: be `orch`, whose status is this process's."""
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, flag in enumerate(flags):
        os.dup2(os.open(f"{folder}/{number}", flag, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, closefd=False) for n, mode in enumerate("rww"))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["orch", *arguments]
    importlib.import_module("runtime.cli.main").main()
