"""The parent of the keepers: it has imported what a keeper needs, and forks a process for each run.

It holds no secret and no connection: a line on its standard input names a run, and what it answers names the
keeper's process, which listens by then. It ends with its input, and the keepers go on without it. There is no
event loop and no thread in it: what a fork copies of either would be broken in the child.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from runtime.keeper.folder import KeeperFolder, folder_of

READ_BYTES = 1 << 16
REAP_EVERY_S = 5.0

type Keep = Callable[[socket.socket, KeeperFolder], None]
"""Keeps one run, in a process of its own."""


def serve(asked: int, answers: int, home: Path, keep: Keep) -> None:
    """Fork a keeper for each line of the descriptor `asked`, until it ends, as it does with the daemon."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the daemon's to handle
    log = structlog.get_logger()
    children: set[int] = set()
    gc.collect()
    gc.freeze()  # a collection in a keeper would copy every page that is shared with it
    rest = b""
    while True:
        is_readable, _, _ = select.select([asked], [], [], REAP_EVERY_S)
        _reap(children, log)
        if not is_readable:
            continue
        data = os.read(asked, READ_BYTES)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            answer = _open(line, home, keep, children, (asked, answers))
            os.write(answers, json.dumps(answer).encode() + b"\n")


def _open(line: bytes, home: Path, keep: Keep, children: set[int], own: tuple[int, ...]) -> dict[str, object]:
    run_id = ""
    try:
        run_id = str(json.loads(line)["run"])
        folder = folder_of(home, run_id)
        with folder.listen() as listener:
            pid = os.fork()
            if pid == 0:
                _become(listener, folder, keep, own)
    except OSError as exc:
        return {"run": run_id, "error": exc.strerror or type(exc).__name__}
    except (ValueError, KeyError, TypeError):
        return {"run": run_id, "error": "not the id of a run"}
    children.add(pid)
    return {"run": run_id, "pid": pid}


def _become(listener: socket.socket, folder: KeeperFolder, keep: Keep, own: tuple[int, ...]) -> None:
    """The child's whole life: nothing of the parent's loop is run in it."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in own:
            os.dup2(nothing, descriptor)  # the daemon's end must see the parent's end, not ours
        os.close(nothing)
        keep(listener, folder)
        status = 0
    except BaseException as exc:  # noqa: BLE001 - whatever it is, the child must not return
        structlog.get_logger().error("keeper-failed", run=folder.run_id, error=type(exc).__name__)
    finally:
        os._exit(status)


def _reap(children: set[int], log: structlog.stdlib.BoundLogger) -> None:
    """Forget the keepers that have ended; those that did not end by themselves are logged."""
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children.discard(pid)
            if status:
                log.error("keeper-ended", status=os.waitstatus_to_exitcode(status))
