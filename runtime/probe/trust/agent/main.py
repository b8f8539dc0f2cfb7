"""Runs client programs in the sandbox and tells what they printed; standard library only, judges nothing.

stdin   {"timeout_s": 60, "attempts": [{"id": "..", "argv": [..], "files": {"name": "text"}, "proxy": bool}]}
stdout  {"attempt's id": {"status": 0 or null where it took too long, "output": "..", "took_s": 0.1}}

Each attempt has a home of its own with its files in it, so that none finds what another one has cached.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

AT_ONCE = 2
OUTPUT_BYTES = 16 << 10
"""Of each attempt, half from the start and half from the end."""
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "JAVA_TOOL_OPTIONS")


def environment(home: Path, *, with_proxy: bool) -> dict[str, str]:
    """The sandbox's own environment, with or without what names the proxy."""
    dropped = () if with_proxy else (*PROXY_VARIABLES, *(name.lower() for name in PROXY_VARIABLES))
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "HOME": str(home)}


def bounded(output: bytes) -> str:
    """The output's start and end."""
    half = OUTPUT_BYTES // 2
    if len(output) > OUTPUT_BYTES:
        output = output[:half] + b"\n...\n" + output[-half:]
    return output.decode(errors="replace")


def run(argv: list[str], home: Path, *, with_proxy: bool, timeout_s: float) -> tuple[int | None, bytes]:
    """Exit status and output of one program; whatever it started ends with it."""
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                cwd=home,
                env=environment(home, with_proxy=with_proxy),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as exc:
            return 127, f"{argv[0]}: {exc.strerror}\n".encode()
        status: int | None = None
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):  # all of it has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return status, output.read(64 << 20)


def attempt(given: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """One attempt, in a home that is gone afterwards."""
    started = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="client-"))
    try:
        for name, text in given["files"].items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        status, output = run(given["argv"], home, with_proxy=given["proxy"], timeout_s=timeout_s)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    took_s = round(time.monotonic() - started, 2)
    sys.stderr.write(f"{given['id']}: {'timeout' if status is None else status} after {took_s} s\n")
    return {"status": status, "output": bounded(output), "took_s": took_s}


def main() -> None:
    """Run every client that the document names, and print what came of each."""
    document = json.load(sys.stdin)
    attempts = document["attempts"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda given: attempt(given, document["timeout_s"]), attempts)
        json.dump({given["id"]: result for given, result in zip(attempts, done, strict=True)}, sys.stdout)


if __name__ == "__main__":
    main()
