"""The other end of a canary's control socket."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from runtime.canary.seen import Record, record_from_json


class CanaryError(RuntimeError):
    """A canary cannot be had, or did not go away; the message says what to do."""


class Control:
    """The control socket of a simulator, wherever it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = httpx.Client(
            # Without TLS, so without the machine's CAs, which would be read for each canary.
            transport=httpx.HTTPTransport(uds=str(path), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
            base_url="http://simulator",
            trust_env=False,
            timeout=10,
        )

    def close(self) -> None:
        """Close the connection to the canary program."""
        self._client.close()

    def wait_ready(self, *, why_dead: Callable[[], str | None], timeout_s: float = 30.0) -> None:
        """Wait until it listens everywhere. Raises CanaryError with the reason when it died or is late."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if _is_listening(self._path) and self._client.get("/health").status_code == 200:
                return
            reason = why_dead()
            if reason is not None:
                raise CanaryError(f"the simulator ended at once: {reason}")
            time.sleep(0.05)
        raise CanaryError(f"the simulator was not ready after {timeout_s:.0f} s")

    def record(self) -> Record:
        """What it saw since the start or the last reset."""
        return record_from_json(self._client.get("/record").raise_for_status().json())

    def reset(self) -> None:
        """Let the canary program forget what it saw so far."""
        self._post("/reset", {})

    def set_failures(self, *failures: Mapping[str, Any]) -> None:
        """Replace the failure modes; the keys are those of `runtime.canary.world.Failure`."""
        self._post("/failures", failures)

    def set_zone(self, names: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Add DNS names: name -> the answers it gives in turn, each a list of addresses or a failure."""
        self._post("/zone", names)

    def set_token_delay(self, seconds: float) -> None:
        """The pause between two streamed tokens."""
        self._post("/settings", {"token_delay_s": seconds})

    def _post(self, path: str, data: object) -> None:
        self._client.post(path, json=data).raise_for_status()


def _is_listening(path: Path) -> bool:
    """Asked with a socket of our own: httpx leaks one for each connection that fails."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
