"""Asks all that an agent may ask for, and tells how long each answer took.

stdin   {"name": "ok.test", "unknown": null or a name, "times": 10, "big_bytes": 2000000}
stdout  {"samples": [[kind, took ms, null or error], ..], "big": "xx.."}
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from runtime.probe.inside.packets import own_resolver
from runtime.probe.neighbours.agent import wire
from runtime.probe.neighbours.agent.victim import FIRST_PORT, PORTS, Requests, ask_name

EVENTS = 20


class Plain:
    """GET without TLS over one connection to the proxy."""

    def __init__(self, name: str) -> None:
        at = wire.proxy()
        self._headers = {"Host": name, "Proxy-Authorization": at.authorization}
        self._target = f"http://{name}/"
        self._connection = http.client.HTTPConnection(at.host, at.port, timeout=wire.TIMEOUT_S)

    def ask(self) -> None:
        """Raises OSError, HTTPException, and ValueError for an answer that is not the host's own."""
        self._connection.request("GET", self._target, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200 or not body.startswith(b"this is "):
            raise ValueError(f"status {answer.status}: {body[:100]!r}")


class Echo:
    """A WebSocket whose other end says everything again."""

    def __init__(self, name: str) -> None:
        self._socket = wire.secure(name)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /ws HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._socket.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        if answer.split(b" ", 2)[1] != b"101":
            raise ValueError(f"no WebSocket: {answer[:100]!r}")

    def ask(self) -> None:
        """One message and its echo. Raises OSError, ValueError."""
        said, mask = secrets.token_hex(20).encode(), os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(said))
        self._socket.sendall(bytes((0x81, 0x80 | len(said))) + mask + masked)
        heard = b""
        while len(heard) < 2 + len(said):
            heard += self._more()
        if heard != bytes((0x81, len(said))) + said:
            raise ValueError(f"another echo: {heard[:60]!r}")

    def _more(self) -> bytes:
        if not (data := self._socket.recv(4096)):
            raise ConnectionError("the WebSocket has ended")
        return data


def stream(name: str) -> None:
    """An answer that comes in pieces. Raises OSError, HTTPException, ValueError."""
    at = wire.proxy()
    connection = http.client.HTTPSConnection(
        at.host, at.port, timeout=wire.TIMEOUT_S, context=ssl.create_default_context()
    )
    connection.set_tunnel(name, 443, {"Proxy-Authorization": at.authorization})
    connection.request("GET", f"/events?n={EVENTS}")
    body = connection.getresponse().read()
    connection.close()
    if body.count(b"data:") != EVENTS:
        raise ValueError(f"{body.count(b'data:')} events of {EVENTS}")


class Control:
    """Two threads of this sandbox, and nothing of ours between them: what the machine itself makes one wait."""

    def __init__(self) -> None:
        self._near, far = socket.socketpair()
        threading.Thread(target=self._serve, args=(far,), daemon=True).start()

    @staticmethod
    def _serve(far: socket.socket) -> None:
        while data := far.recv(16):
            far.sendall(data)

    def ask(self) -> None:
        """One byte and its echo."""
        self._near.sendall(b"x")
        self._near.recv(16)


def asked(kind: str, ask: Callable[[], None]) -> list[Any]:
    """One sample."""
    began, error = time.monotonic(), None
    try:
        ask()
    except (OSError, http.client.HTTPException, ValueError) as exc:
        error = f"{type(exc).__name__}: {exc}"
    return [kind, round(1000 * (time.monotonic() - began), 2), error]


def main() -> None:
    """Ask everything, some of it many times."""
    given = json.load(sys.stdin)
    name, times = given["name"], range(given["times"])
    used = range(FIRST_PORT, FIRST_PORT + PORTS)  # by the slot's last sandbox, too
    control = Control()
    samples = [asked("dns", partial(ask_name, name, own_resolver(), port=port)) for port in used]
    samples += [asked("dns", partial(ask_name, name, own_resolver())) for _ in times]
    samples += [asked("dns", partial(socket.getaddrinfo, name, 443)) for _ in times]
    if given["unknown"]:
        samples.append(asked("dns", partial(ask_name, given["unknown"], own_resolver())))
    for kind, make in (("http", Plain), ("https", Requests), ("websocket", Echo)):
        speaker: list[Any] = []
        samples.append(asked(kind, lambda make=make, speaker=speaker: speaker.append(make(name))))  # type: ignore[misc]
        samples += [asked(kind, speaker[0].ask) for _ in times if speaker]
        samples += [asked("control", control.ask) for _ in times]
    samples.append(asked("stream", partial(stream, name)))
    sys.stdout.write(json.dumps({"samples": samples, "big": "x" * given["big_bytes"]}))


if __name__ == "__main__":
    main()
