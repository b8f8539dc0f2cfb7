"""The victim: it asks the same two things again and again, and tells how long each answer took.

stdin   {"lasts_s": 10, "every_s": 0.05, "name": "ok.test"}
stderr  {"at": epoch s, "samples": [[kind, due at, took ms, null or error], ..]}, four lines a second
stdout  {"asked": {"dns": n, "https": n}}

Each question is due at a time of its own, and its latency counts from then. Where the answer before it has
not come by then it is not asked but counts all the same, as answered with that one: a pause of a second is
twenty slow answers, as it would be for twenty callers, and a slow machine is not asked ever more.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from runtime.probe.inside.packets import own_resolver, question
from runtime.probe.neighbours.agent import wire

type Sample = tuple[str, float, float, str | None]

TELL_S = 0.25
REQUESTS_PER_CONNECTION = 20
FIRST_PORT, PORTS = 40_000, 4
"""Source ports that every victim asks from, so that each is one that an earlier sandbox used, too."""


class Diary:
    """What was asked so far and not told yet; any thread may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self.asked: dict[str, int] = {}

    def add(self, kind: str, at: float, took_s: float, error: str | None) -> None:
        """One answer, or why there was none."""
        with self._lock:
            self.asked[kind] = self.asked.get(kind, 0) + 1
            self._samples.append((kind, round(at, 4), round(took_s * 1000, 2), error))

    def tell(self) -> None:
        """Write what was added since the last time as one line."""
        with self._lock:
            samples, self._samples = self._samples, []
        line = json.dumps({"at": round(time.time(), 4), "samples": samples})
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def keep_asking(kind: str, ask: Callable[[], None], diary: Diary, *, every_s: float, lasts_s: float) -> None:
    """Ask at every due time until the end; what falls due during an answer waits as long as that one."""
    began, began_at, count = time.monotonic(), time.time(), 0
    while count * every_s < lasts_s:
        time.sleep(max(0.0, began + count * every_s - time.monotonic()))
        error, asked = _error_of(ask), count
        answered = time.monotonic() - began
        while count == asked or (count * every_s < min(answered, lasts_s)):
            diary.add(kind, began_at + count * every_s, answered - count * every_s, error)
            error, count = None, count + 1


def _error_of(ask: Callable[[], None]) -> str | None:
    try:
        ask()
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def ask_name(name: str, server: str, *, port: int = 0) -> None:
    """One question of type A, from a source port where one is given. Raises OSError, ValueError."""
    query = question(name, 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("", port))
        asking.connect((server, wire.NAMES_PORT))
        asking.settimeout(wire.TIMEOUT_S)
        asking.send(query)
        answer = asking.recv(4096)
    if answer[:2] != query[:2] or answer[3] & 15 or not int.from_bytes(answer[6:8], "big"):
        raise ValueError(f"no address in the answer: {answer[:12].hex()}")


class Requests:
    """GET over one inspected connection, which is made anew for each twenty requests and after a failure."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._context = ssl.create_default_context()
        self._connection: http.client.HTTPSConnection | None = None
        self._left = 0

    def ask(self) -> None:
        """Raises OSError, HTTPException, ValueError for an answer that is not the host's own."""
        try:
            self._ask()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self) -> None:
        if self._connection is None or not self._left:
            self.close()
            self._connection = self._open()
            self._left = REQUESTS_PER_CONNECTION
        self._left -= 1
        self._connection.request("GET", "/")
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200 or self._name.encode() not in body:
            raise ValueError(f"status {answer.status}: {body[:100]!r}")

    def _open(self) -> http.client.HTTPSConnection:
        at = wire.proxy()
        made = http.client.HTTPSConnection(at.host, at.port, timeout=wire.TIMEOUT_S, context=self._context)
        made.set_tunnel(self._name, 443, {"Proxy-Authorization": at.authorization})
        return made


def main() -> None:
    """Ask until the time is up, and tell meanwhile."""
    given: dict[str, Any] = json.load(sys.stdin)
    name, diary, server = given["name"], Diary(), own_resolver()
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        at, began = time.time(), time.monotonic()
        error = _error_of(partial(ask_name, name, wire.proxy().host, port=port))
        diary.add("dns", at, time.monotonic() - began, error)
    kinds: dict[str, Callable[[], None]] = {
        "dns": partial(ask_name, name, server),
        "https": Requests(name).ask,
    }
    timing = {"every_s": float(given["every_s"]), "lasts_s": float(given["lasts_s"])}
    asking = [
        threading.Thread(target=keep_asking, args=(kind, ask, diary), kwargs=timing, daemon=True)
        for kind, ask in kinds.items()
    ]
    for thread in asking:
        thread.start()
    while any(thread.is_alive() for thread in asking):
        time.sleep(TELL_S)
        diary.tell()
    diary.tell()
    os.write(1, json.dumps({"asked": diary.asked}).encode())


if __name__ == "__main__":
    main()
