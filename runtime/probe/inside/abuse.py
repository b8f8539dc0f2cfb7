"""Abuse, bounded: each stops at its limit, which is above the one that must be met before."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .exchange import exchange
from .packets import question
from .trail import Trail

Seen = dict[str, Any]


def abuse(args: dict[str, Any], trail: Trail) -> Seen:
    """Run one of the named abuses of resources."""
    return ABUSES[args["name"]](args, trail)


def _blocked(detail: str) -> Seen:
    return {"outcome": "blocked", "detail": detail}


def _possible(detail: str) -> Seen:
    return {"outcome": "possible", "detail": detail}


def forks(args: dict[str, Any], _trail: Trail) -> Seen:
    """Start processes that sleep, up to `most`."""
    children: list[int] = []
    try:
        for _ in range(int(args["most"])):
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            children.append(pid)
    except OSError as error:
        return _blocked(f"after {len(children)}: {error.strerror}")
    finally:
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
                os.waitpid(pid, 0)
    return _possible(f"{len(children)} processes")


def memory(args: dict[str, Any], _trail: Trail) -> Seen:
    """Touch up to `most_mib` in a child that the kernel is to kill first."""
    code = (
        "import sys\nopen('/proc/self/oom_score_adj','w').write('1000')\nheld=[]\n"
        f"for _ in range({int(args['most_mib'])}): held.append(b'x' * (1 << 20))\nprint(len(held))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        return _blocked(f"ended with {done.returncode}")
    return _possible(f"{done.stdout.strip()} MiB")


def fill(args: dict[str, Any], _trail: Trail) -> Seen:
    """Write zeros to a file in `folder`, up to `most_mib`."""
    path, written = Path(args["folder"]) / "probe-fill", 0
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(int(args["most_mib"])):
                written += file.write(bytes(1 << 20)) >> 20
    except OSError as error:
        return _blocked(f"after {written} MiB: {error.strerror}")
    finally:
        path.unlink(missing_ok=True)
    return _possible(f"{written} MiB")


def inodes(args: dict[str, Any], _trail: Trail) -> Seen:
    """Make empty files in `folder`, up to `most`: bounded by memory or by the tmpfs."""
    folder, made = Path(args["folder"]) / "probe-inodes", 0
    folder.mkdir()
    try:
        for made in range(int(args["most"])):
            (folder / str(made)).touch()
    except OSError as error:
        return _blocked(f"after {made}: {error.strerror}")
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return _possible(f"{made} files")


def descriptors(args: dict[str, Any], _trail: Trail) -> Seen:
    """Open /dev/null up to `most` times."""
    held: list[int] = []
    try:
        for _ in range(int(args["most"])):
            held.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401 - kept up to the failure
    except OSError as error:
        return _blocked(f"after {len(held)}: {error.strerror}")
    finally:
        for descriptor in held:
            os.close(descriptor)
    return _possible(f"{len(held)} descriptors")


def connections(args: dict[str, Any], trail: Trail) -> Seen:
    """Hold connections to the proxy that say nothing, up to `most`; some must be cut or refused."""
    held: list[socket.socket] = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(int(args["most"])):
                held.append(trail.connect(args["to"][0], int(args["to"][1]), 2.0))  # noqa: PERF401
        time.sleep(1.0)
        alive = sum(_is_open(connection) for connection in held)
    finally:
        for connection in held:
            connection.close()
    if alive >= int(args["most"]):
        return _possible(f"{alive} connections stay open")
    return _blocked(f"{alive} of {args['most']} stay open")


def questions(args: dict[str, Any], _trail: Trail) -> Seen:
    """Ask the sink the same question up to `most` times; some must be refused work (REFUSED) or an answer."""
    query, answered = question("ok.test", 1, 1), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((args["server"], 53))
        sender.settimeout(1.0)
        for count in range(int(args["most"])):
            try:
                sender.send(query)
                reply = sender.recv(2048)
            except OSError:
                return _blocked(f"no answer to question {count + 1}")
            if reply[3] & 15 or not int.from_bytes(reply[6:8], "big"):
                return _blocked(f"question {count + 1} was refused")
            answered += 1
    return _possible(f"{answered} questions were answered")


def requests(args: dict[str, Any], trail: Trail) -> Seen:
    """Send the same request up to `most` times; one must be refused by a budget."""
    for count in range(int(args["most"])):
        seen = exchange(args, trail)
        if any(str(reason).startswith("budget_") for reason in seen.get("reasons", ())):
            return _blocked(f"request {count + 1} was refused")
        if seen["outcome"] != "answered":
            return _blocked(f"request {count + 1}: {seen['detail']}")
    return _possible(f"{args['most']} requests")


def upload(args: dict[str, Any], trail: Trail) -> Seen:
    """Send a body of `most_mib` in chunks; it must be cut off before its end."""
    connection = trail.connect(args["to"][0], int(args["to"][1]), 5.0)
    sent = 0
    with connection:
        connection.sendall(args["head"].encode("latin-1"))
        try:
            for _ in range(int(args["most_mib"])):
                connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                sent += 1
            connection.sendall(b"0\r\n\r\n")
            connection.settimeout(5.0)
            answer = connection.recv(4096)
        except OSError as error:
            return _blocked(f"cut after about {sent} MiB: {error}")
    if answer.startswith(b"HTTP/1.1 200"):
        return _possible(f"{sent} MiB went out")
    return _blocked(f"refused after {sent} MiB: {answer[:12]!r}")


def trickle(args: dict[str, Any], trail: Trail) -> Seen:
    """Send a byte of a head at a time, for at most `most_s`; the connection must be closed before."""
    connection = trail.connect(args["to"][0], int(args["to"][1]), 5.0)
    started = time.monotonic()
    with connection:
        try:
            while time.monotonic() - started < float(args["most_s"]):
                connection.sendall(b"a")
                connection.settimeout(1.0)
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(4096)
                    return _blocked(f"{answer[:12]!r} after {time.monotonic() - started:.0f} s")
        except OSError:
            return _blocked(f"cut after {time.monotonic() - started:.0f} s")
    return _possible(f"still open after {args['most_s']} s")


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)  # noqa: FBT003 - the socket API
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


ABUSES: dict[str, Callable[[dict[str, Any], Trail], Seen]] = {
    function.__name__: function
    for function in (
        forks,
        memory,
        fill,
        inodes,
        descriptors,
        connections,
        questions,
        requests,
        upload,
        trickle,
    )
}
