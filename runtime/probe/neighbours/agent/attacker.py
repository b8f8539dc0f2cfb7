"""The attacker: it waits, then makes one attack of `attacks` until its time or its count is up.

stdin   {"attack": "..", "name": "ok.test", "waits_s": 3, "lasts_s": 5}
stderr  {"begins_at": epoch s}, as its first line
stdout  JSON that says what was done; for the attack by result, the result
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from runtime.probe.neighbours.agent.attacks import ATTACKS, Bounds


def main() -> None:
    """Make the attack that stdin names."""
    given: dict[str, Any] = json.load(sys.stdin)
    attack = ATTACKS[given["attack"]]
    began = time.monotonic()
    sys.stderr.write(json.dumps({"begins_at": time.time() + given["waits_s"]}) + "\n")
    sys.stderr.flush()
    time.sleep(given["waits_s"])
    bounds = Bounds(given["name"], began + given["waits_s"] + given["lasts_s"], attack.most)
    threads = [
        threading.Thread(target=_repeat, args=(attack.act, bounds), daemon=True)
        for _ in range(attack.at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, bounds.until - time.monotonic()))
    done = attack.says or json.dumps({"done": bounds.done, "errors": bounds.errors}).encode()
    while done:
        done = done[os.write(1, done) :]
    os._exit(0)  # a thread may still wait for an answer


def _repeat(act: Any, bounds: Bounds) -> None:
    while bounds.is_on():
        try:
            act(bounds)
        except OSError as exc:  # refused or cut: an attacker tries again
            bounds.note(f"{type(exc).__name__}: {exc}")
            time.sleep(0.01)


if __name__ == "__main__":
    main()
