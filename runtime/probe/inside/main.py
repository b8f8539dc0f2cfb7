"""Reads the cases on stdin, makes each attempt, writes what each saw to stdout; progress goes to stderr."""

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


def make(case: dict[str, Any], places: Places) -> dict[str, Any]:
    """One attempt; whatever goes wrong becomes an `error` that says so."""
    trail = Trail()
    started = time.monotonic()
    try:
        seen = actions.ACTIONS[case["action"]](places.fill(case["args"]), trail)
    except Exception as error:  # noqa: BLE001 - an attack that crashes proves nothing, and says so
        seen = {"outcome": "error", "detail": f"{type(error).__name__}: {error}"[:300]}
    seen.update(id=case["id"], ports=trail.ports, took_s=round(time.monotonic() - started, 3))
    with _writing:
        sys.stderr.write(json.dumps({"probe": case["id"], "outcome": seen["outcome"]}) + "\n")
        sys.stderr.flush()
    return seen


def main() -> int:
    """Make all attempts. Exit 0 whatever they saw: the judging is done outside."""
    document = json.load(sys.stdin)
    places = Places(document["facts"])
    with ThreadPoolExecutor(THREADS) as pool:
        parallel = [case for case in document["cases"] if not case["is_serial"]]
        seen = list(pool.map(lambda case: make(case, places), parallel))
    seen += [make(case, places) for case in document["cases"] if case["is_serial"]]
    json.dump(seen, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
