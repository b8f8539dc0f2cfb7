"""`python -m tests.harness.fuzz.witness`: asks the same things again and again, and writes down how long it took.

stdin   {"worker", "neighbour", "honest"}: addresses; then it asks until stdin ends
stdout  [kind, due at (epoch s), took ms, null or error], one a line

The kind `control` asks the honest upstream itself: what it waits is the machine's doing, and nobody else's.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from runtime.probe.neighbours.agent.victim import ask_name
from tests.harness.fuzz.place import HONEST_PORT, TOKEN, WITNESS

EVERY_S = 0.05
TIMEOUT_S = 10.0
REQUESTS_PER_CONNECTION = 20
_AUTHORIZATION = f"Basic {base64.b64encode(f'plain:{TOKEN}'.encode()).decode()}"


class Requests:
    """GET over a connection that is made anew for each twenty requests, and after a failure."""

    def __init__(self, address: str, port: int, target: str) -> None:
        self._where = (address, port)
        self._target = target
        self._connection: http.client.HTTPConnection | None = None
        self._left = 0

    def ask(self) -> None:
        """Raises OSError, HTTPException, and ValueError for an answer that is not the upstream's own."""
        try:
            self._ask()
        except BaseException:
            self._left = 0
            raise

    def _ask(self) -> None:
        if self._connection is None or not self._left:
            if self._connection is not None:
                self._connection.close()
            self._connection = http.client.HTTPConnection(*self._where, timeout=TIMEOUT_S)
            self._left = REQUESTS_PER_CONNECTION
        self._left -= 1
        headers = {"Host": f"{WITNESS}:{HONEST_PORT}", "Proxy-Authorization": _AUTHORIZATION}
        self._connection.request("GET", self._target, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if (answer.status, body) != (200, b"honest\n"):
            raise ValueError(f"status {answer.status}: {body[:200]!r}")


def keep_asking(kind: str, ask: Callable[[], None], is_over: threading.Event) -> None:
    """Ask at every due time; what falls due during an answer counts as answered with it."""
    began, began_at, count = time.monotonic(), time.time(), 0
    while not is_over.wait(max(0.0, began + count * EVERY_S - time.monotonic())):
        try:
            ask()
            error = None
        except (OSError, http.client.HTTPException, ValueError) as exc:
            error = f"{type(exc).__name__}: {exc}"
        answered, first = time.monotonic() - began, True
        while first or count * EVERY_S < answered:
            sample = (
                kind,
                round(began_at + count * EVERY_S, 4),
                round(1000 * (answered - count * EVERY_S), 2),
                error,
            )
            sys.stdout.write(json.dumps(sample) + "\n")
            count, first, error = count + 1, False, None
        sys.stdout.flush()


def main() -> None:
    """Ask until stdin ends."""
    given = json.loads(sys.stdin.readline())
    through = f"http://{WITNESS}:{HONEST_PORT}/"
    asks: dict[str, Callable[[], None]] = {"control": Requests(given["honest"], HONEST_PORT, "/").ask}
    for who in ("worker", "neighbour"):
        asks[f"{who} http"] = Requests(given[who], 8080, through).ask
        asks[f"{who} dns"] = partial(ask_name, WITNESS, given[who])
    is_over = threading.Event()
    threads = [threading.Thread(target=keep_asking, args=(*item, is_over)) for item in asks.items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    is_over.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
