"""Makes gVisor's runsc known to a Docker engine of ours, without restarting it (standard library only).

    runsc.py register PATH     adds it to /etc/docker/daemon.json and has dockerd read that file again
    runsc.py is-ours           exit status 0 where set-up started the engine: by this clone or another
    runsc.py unregister NAME   takes a runtime out again

Keys that stand in daemon.json already are never changed. An engine that set-up did not start is the
operator's: `orch doctor` shows the lines to add.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONFIG = Path("/etc/docker/daemon.json")
PID_FILE = Path("/var/run/docker.pid")
LOG_NAME = "build/dockerd.log"
"""Where set-up's dockerd writes: nobody else's does."""
ARGUMENTS = ("--platform=systrap", "--network=host", "--oci-seccomp", "--overlay2=none")
"""systrap needs no virtual machine. "host" is the container's own network namespace: gVisor's own network
stack does not start on every kernel. Our seccomp profile holds inside too. Nothing is written beside the
image."""
WAIT_S = 15.0


def with_runtime(text: str, name: str, path: str, arguments: tuple[str, ...] = ARGUMENTS) -> str:
    """A daemon.json with one more runtime; the same text where it names that one already.

    Raises ValueError where the file is not one that could be added to.
    """
    document = _document(text)
    runtimes = document.setdefault("runtimes", {})
    if not isinstance(runtimes, dict):
        raise ValueError('"runtimes" is no object')
    if name in runtimes:
        return text
    runtimes[name] = {"path": path, **({"runtimeArgs": list(arguments)} if arguments else {})}
    return json.dumps(document, indent=2) + "\n"


def without_runtime(text: str, name: str) -> str:
    """A daemon.json without a runtime. Raises ValueError as above.

    "runtimes" stays, empty if need be: dockerd keeps what it has where the key is not there (20.10).
    """
    document = _document(text)
    runtimes = document.get("runtimes")
    if not isinstance(runtimes, dict) or name not in runtimes:
        return text
    del runtimes[name]
    return json.dumps(document, indent=2) + "\n"


def _document(text: str) -> dict[str, Any]:
    document = json.loads(text) if text.strip() else {}
    if not isinstance(document, dict):
        raise ValueError("it holds no object")
    return document


def our_engine(proc: Path = Path("/proc"), pid_file: Path = PID_FILE) -> int | None:
    """The process id of a dockerd that set-up started, told by where its output goes; None otherwise."""
    try:
        pid = int(pid_file.read_text())
        is_dockerd = (proc / str(pid) / "comm").read_text().strip() == "dockerd"
        output = str((proc / str(pid) / "fd/1").readlink()).removesuffix(" (deleted)")
    except (OSError, ValueError):
        return None
    return pid if is_dockerd and output.endswith(f"/{LOG_NAME}") else None


def known_runtimes() -> set[str]:
    """What the engine lists; empty where it does not answer."""
    command = ["docker", "info", "--format", "{{json .Runtimes}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return set(json.loads(done.stdout) or {})
    except ValueError:
        return set()


def apply(text: str, *, expect: str, present: bool) -> None:
    """Write daemon.json in one step and have our engine read it. Exits with a message where it does not."""
    pid = our_engine()
    if pid is None:
        sys.exit("this engine was not started by set-up: nothing was changed")
    before = CONFIG.read_text() if CONFIG.exists() else None
    _replace(text or None)
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + WAIT_S
    while (expect in known_runtimes()) != present:
        if time.monotonic() > deadline:
            _replace(before)
            os.kill(pid, signal.SIGHUP)
            sys.exit(f"dockerd did not take {CONFIG} up, which is as it was: its log says why")
        time.sleep(0.1)


def _replace(text: str | None) -> None:
    if text is None:
        CONFIG.unlink(missing_ok=True)
        return
    CONFIG.parent.mkdir(exist_ok=True)
    fresh = CONFIG.with_suffix(".orchbox")
    fresh.write_text(text)
    fresh.replace(CONFIG)


def main(arguments: list[str]) -> None:
    """The command line."""
    text = CONFIG.read_text() if CONFIG.exists() else ""
    try:
        match arguments:
            case ["is-ours"]:
                sys.exit(0 if our_engine() else 1)
            case ["register", path]:
                apply(with_runtime(text, "runsc", path), expect="runsc", present=True)
            case ["unregister", name]:
                apply(without_runtime(text, name), expect=name, present=False)
            case _:
                sys.exit(__doc__)
    except ValueError as exc:
        sys.exit(f"{CONFIG}: {exc}: nothing was changed")


if __name__ == "__main__":
    main(sys.argv[1:])
