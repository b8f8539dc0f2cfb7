"""Reads the cases on stdin, makes each attempt, writes what it saw to stderr: one JSON line a case.

Line by line, so that an attempt that ends the whole sandbox takes nothing of the others with it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import actions
from .places import Places
from .trail import Trail

THREADS = 12
_writing = threading.Lock()


def make(case: dict[str, Any], places: Places) -> None:
    """One attempt; whatever goes wrong becomes an `error` that says so."""
    trail = Trail()
    started = time.monotonic()
    try:
        seen = actions.ACTIONS[case["action"]](places.fill(case["args"]), trail)
    except Exception as error:  # noqa: BLE001 - an attack that crashes proves nothing, and says so
        seen = {"outcome": "error", "detail": f"{type(error).__name__}: {error}"[:300]}
    seen.update(id=case["id"], ports=trail.ports, took_s=round(time.monotonic() - started, 3))
    say(seen)


def say(seen: dict[str, Any]) -> None:
    """Write one whole line to stdout, at once."""
    with _writing:
        sys.stderr.write(json.dumps(seen) + "\n")
        sys.stderr.flush()


def main() -> int:
    """Make all attempts. Exit 0 whatever they saw: the judging is done outside."""
    document = json.load(sys.stdin)
    places = Places(document["facts"])
    with ThreadPoolExecutor(THREADS) as pool:
        parallel = [case for case in document["cases"] if not case["is_serial"]]
        list(pool.map(lambda case: make(case, places), parallel))
    for case in document["cases"]:
        if case["is_serial"]:
            make(case, places)
    print("{}")  # noqa: T201 - a run has a result
    return 0


if __name__ == "__main__":
    sys.exit(main())
