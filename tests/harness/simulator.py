"""A simulator process of our own on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.canary.client import Control
from tests.harness.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]


class LoopbackSimulator:
    """The simulators on 127.0.0.1, on ports the system chose: `https_port`, `http_port`, `dns_port`."""

    def __init__(self, *, zone: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._zone = zone or {}

    def __enter__(self) -> Self:
        """Start the process and wait until it answers."""
        self.directory = Path(tempfile.mkdtemp(prefix="orchbox-sim-"))
        self.https_port, self.http_port, self.dns_port, self.canary_port = free_ports(4)
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
        return [sys.executable, "-m", "runtime.canary", *pairs]

    def _why_dead(self) -> str | None:
        if self._process.poll() is None:
            return None
        self._log.seek(0)
        return self._log.read()[-2000:] or f"exit status {self._process.returncode}"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
