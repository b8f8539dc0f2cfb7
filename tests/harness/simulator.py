"""Clients of a simulator process: its control socket, and a process of our own on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.harness.errors import HarnessError
from tests.upstreams.seen import Record, record_from_json

REPOSITORY = Path(__file__).resolve().parents[2]


class Control:
    """The control socket of a simulator, wherever it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)),
            base_url="http://simulator",
            trust_env=False,
            timeout=10,
        )

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def wait_ready(self, *, why_dead: Callable[[], str | None], timeout_s: float = 30.0) -> None:
        """Wait until it listens everywhere. Raises HarnessError with the reason when it died or is late."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if _is_listening(self._path) and self._client.get("/health").status_code == 200:
                return
            reason = why_dead()
            if reason is not None:
                raise HarnessError(f"the simulator ended at once: {reason}")
            time.sleep(0.05)
        raise HarnessError(f"the simulator was not ready after {timeout_s:.0f} s")

    def record(self) -> Record:
        """What it saw since the start or the last reset."""
        return record_from_json(self._client.get("/record").raise_for_status().json())

    def reset(self) -> None:
        """Forget what it saw."""
        self._post("/reset", {})

    def set_failures(self, *failures: Mapping[str, Any]) -> None:
        """Replace the failure modes; the keys are those of `tests.upstreams.world.Failure`."""
        self._post("/failures", failures)

    def set_zone(self, names: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Add DNS names: name -> the answers it gives in turn, each a list of addresses or a failure."""
        self._post("/zone", names)

    def set_token_delay(self, seconds: float) -> None:
        """The pause between two streamed tokens."""
        self._post("/settings", {"token_delay_s": seconds})

    def _post(self, path: str, data: object) -> None:
        self._client.post(path, json=data).raise_for_status()


class LoopbackSimulator:
    """The simulators on 127.0.0.1, on ports the system chose: `https_port`, `http_port`, `dns_port`."""

    def __init__(self, *, zone: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._zone = zone or {}

    def __enter__(self) -> Self:
        """Start the process and wait until it answers."""
        self.directory = Path(tempfile.mkdtemp(prefix="orchbox-sim-"))
        self.https_port, self.http_port, self.dns_port, self.canary_port = _free_ports(4)
        self.ca_path = self.directory / "ca.pem"
        self._log = (self.directory / "log").open("w+")
        self._process = subprocess.Popen(
            self._command(), cwd=REPOSITORY, stderr=self._log, env=_environment()
        )
        self.control = Control(self.directory / "control.sock")
        try:
            self.control.wait_ready(why_dead=self._why_dead)
            self.control.set_zone(self._zone)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process and remove its files."""
        self.control.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _command(self) -> list[str]:
        flags = {
            "control": self.directory / "control.sock",
            "ca": self.ca_path,
            "https": f"127.0.0.1:{self.https_port}",
            "http": f"127.0.0.1:{self.http_port}",
            "dns": f"127.0.0.1:{self.dns_port}",
            "canary": f"127.0.0.1:{self.canary_port}",
        }
        pairs = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        return [sys.executable, "-m", "tests.upstreams", *pairs]

    def _why_dead(self) -> str | None:
        if self._process.poll() is None:
            return None
        self._log.seek(0)
        return self._log.read()[-2000:] or f"exit status {self._process.returncode}"


def _is_listening(path: Path) -> bool:
    """Asked with a socket of our own: httpx leaks one for each connection that fails."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}


def _free_ports(count: int) -> list[int]:
    """Ports free for TCP and UDP at the time of asking."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports
