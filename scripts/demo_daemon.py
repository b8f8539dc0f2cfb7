"""The demo's own daemon, and `orch` as a user would call it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import httpx

INSTANCE = "demo"
POOL = "10.232.0.0/24"
START_S = 120.0
_ORCH = [sys.executable, "-c", "from runtime.cli.main import main; main()"]


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One finished run, as the CLI tells it."""

    exit_code: int
    result: Any
    decisions: list[dict[str, Any]]
    envelope: dict[str, Any]


class DemoDaemon:
    """`orch up` of an instance of its own, with everything it writes under `.run/demo`."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._root = root
        self.directory = root / ".run" / "demo"
        self.environment = environment | {
            "ORCHBOX_INSTANCE": INSTANCE,
            "ORCHBOX_HOME": str(self.directory / "home"),
            "ORCHBOX_RUN_DIR": str(self.directory / "run"),
            "ORCHBOX_POOL": POOL,
            "PYTHONPATH": str(root),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._engine = docker.from_env()
        self.left_behind: list[str] = []

    def __enter__(self) -> Self:
        """Make its directories, from nothing but its id: by that it finds what a killed demo left."""
        identity = self.directory / "home" / f"{INSTANCE}.installation"
        kept = identity.read_text() if identity.is_file() else None
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("home", "run"):
            (self.directory / name).mkdir(parents=True, mode=0o700)
        if kept is not None:
            identity.write_text(kept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the daemon; whatever it left, `left_behind` names, and is removed."""
        try:
            self._stop()
        finally:
            self.left_behind = self._reap()
            self._engine.close()

    def start(self) -> None:
        """Start the daemon and wait until it is ready. Raises DemoError with its last words."""
        path = self.directory / "daemon.log"
        command = [*_ORCH, "up"]
        without_key = {k: v for k, v in self.environment.items() if not k.endswith("_API_KEY")}
        with path.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=self._root, env=without_key, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise DemoError("`orch up` did not become ready:\n" + path.read_text()[-4000:])
            time.sleep(0.1)

    def run(self, agent: str, *arguments: str, data: object | None = None) -> DemoRun:
        """`orch run` and `orch egress`; the agent's log goes to our stderr as it comes."""
        given = ["--data", json.dumps(data)] if data is not None else []
        done = self._orch("run", agent, *arguments, *given, "--json")
        envelope = _json(done.stdout, "orch run")
        run_id = envelope.get("id") or envelope.get("run_id")
        if not run_id:
            raise DemoError(f"`orch run {agent}` made no run: {json.dumps(envelope)}")
        listed = _json(self._orch("egress", str(run_id), "--json").stdout, "orch egress")
        decisions = listed if isinstance(listed, list) else listed.get("decisions", [])
        return DemoRun(done.returncode, envelope.get("result"), decisions, envelope)

    def bridge_addresses(self) -> list[str]:
        """The host's own addresses on the engine's bridges, one of which answered from a sandbox once."""
        networks = self._engine.networks.list()
        blocks = [b for n in networks for b in (n.attrs.get("IPAM") or {}).get("Config") or []]
        return sorted({b["Gateway"] for b in blocks if ":" not in b.get("Gateway", ":")})

    def _stop(self) -> None:
        if self._process is None:
            return
        self._orch("down", timeout_s=60)
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _reap(self) -> list[str]:
        label = {"label": f"io.orchbox.instance={INSTANCE}"}
        found = []
        for container in self._engine.containers.list(all=True, filters=label, ignore_removed=True):
            found.append(f"the container {container.name} was left behind")
            container.remove(force=True)
        for network in self._engine.networks.list(filters=label):
            found.append(f"the network {network.name} was left behind")
            network.remove()
        return found

    def _is_ready(self) -> bool:
        socket_path = str(self.directory / "run" / "api.sock")
        if not Path(socket_path).exists():
            return False
        transport = httpx.HTTPTransport(uds=socket_path)
        client = httpx.Client(transport=transport, base_url="http://orchbox")
        with client, contextlib.suppress(httpx.TransportError):
            return client.get("/readyz").status_code == 200
        return False

    def _orch(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_ORCH, *arguments],
            cwd=self._root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DemoError(f"`{what}` printed no JSON: {text[-500:]!r}") from error
