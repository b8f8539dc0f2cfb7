"""Fixtures of the integration tier: one canary network and one daemon for the whole tier."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from runtime.canary.net.session import CanaryNet
from tests.harness import warm
from tests.harness.fixtures import canary_net, canary_session, host_listener, loopback_simulator
from tests.harness.private_host import PrivateHost
from tests.harness.private_host import why_not as why_no_private_host

__all__ = ["canary_net", "canary_session", "host_listener", "loopback_simulator"]

ROOT = Path(__file__).resolve().parents[2]
INSTANCE = "test"
POLICIES = """
version: 1
name: lab
extends: [llm-only]
egress:
  allow:
    - host: ok.test
      ports: [443, 80]
      tls: inspect
    - host: pip.mirror.example
      tls: inspect
    - host: npm.mirror.example
    - host: git.mirror.example
      tls: inspect
"""


@dataclass
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout."""
        return json.loads(self.out)


@dataclass
class Lab:
    """A daemon of the tests' own, and `orch` as its user calls it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    tcp_port: int = 0
    """Where its API listens beside the socket, on every address of the host; 0 is nowhere."""

    def orch(
        self, *arguments: str, env: dict[str, str] | None = None, stdin: str = "", timeout: float = 180
    ) -> Finished:
        """Run one command with stdout and stderr apart."""
        environment = {**self.environment, **(env or {})}
        done = warm.orch(*arguments, env=environment, cwd=self.folder, stdin=stdin, timeout_s=timeout)
        return Finished(done.returncode, done.stdout, done.stderr)

    def agent(self, name: str, code: str, *, entry: str = "main.py", **manifest: Any) -> Path:
        """A fresh agent directory."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        (folder / entry).write_text(code)
        document = {"name": "lab-agent", "type": "tool", "description": "a test", **manifest}
        (folder / "orchagent.json").write_text(json.dumps(document))
        return folder

    def run(
        self, code: str, *arguments: str, data: Any = None, env: dict[str, str] | None = None, **manifest: Any
    ) -> Finished:
        """Run code as an agent under the `lab` policy."""
        folder = self.agent("agent", code, **manifest)
        given = ["--data", json.dumps(data)] if data is not None else []
        return self.orch("run", str(folder), "--policy", "lab", *given, *arguments, env=env)

    def kill_daemon(self) -> None:
        """kill -9, and wait until the process is gone."""
        pid = int((self.folder / "run/daemon.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 60
        while not is_gone(pid):
            assert time.monotonic() < until, "the daemon outlives kill -9"
            time.sleep(0.02)

    def decisions(self, run_id: str) -> list[dict[str, Any]]:
        """What the proxy decided for a run."""
        return list(self.orch("egress", run_id).json["decisions"])


def is_gone(pid: int) -> bool:
    """Whether a process has ended, buried or not."""
    try:
        return "Z (zombie)" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def engine_or_skip() -> docker.DockerClient:
    """The engine; skipped without one locally, a failure in CI."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as exc:
        if os.environ.get("CI"):
            pytest.fail(f"no Docker engine answers: {exc}")
        pytest.skip("no Docker engine answers")
    return client


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The real engine, for looking at what the daemon made."""
    client = engine_or_skip()
    yield client
    client.close()


@pytest.fixture(scope="package")
def lab_session(engine: docker.DockerClient, canary_session: CanaryNet) -> Iterator[Lab]:
    """The tier's daemon; it leaves nothing behind, and that is asserted."""
    reap_killed_session(engine)
    before = inventory(engine)
    folder = Path(tempfile.mkdtemp(prefix="orchlab-"))
    (folder / "policies").mkdir()
    (folder / "policies/lab.yaml").write_text(POLICIES)
    site = canary_session.write_site_policy(folder)
    lab = Lab(folder, lab_environment(folder, site=site, dns=canary_session.ground.dns), free_port())
    lab.environment["ORCHBOX_LISTEN"] = f"0.0.0.0:{lab.tcp_port}"
    started = lab.orch("up", "--detach")
    assert started.code == 0, started.out + started.err
    yield lab
    stopped = lab.orch("down")
    shutil.rmtree(folder)
    assert stopped.code == 0, stopped.out
    assert inventory(engine) == before


@pytest.fixture(scope="package")
def private_host(engine: docker.DockerClient) -> Iterator[PrivateHost]:
    """A second host with an engine of its own and our images; skipped without root, a failure in CI."""
    reason = why_no_private_host()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with PrivateHost(
        images=[f"orchbox/{name}:local" for name in ("daemon", "proxy", "agent-python")]
    ) as host:
        yield host


@pytest.fixture(scope="package")
def private_lab(private_host: PrivateHost) -> Iterator[Lab]:
    """A daemon on the private host."""
    folder = Path(tempfile.mkdtemp(prefix="orchlab-"))
    (folder / "policies").mkdir()
    (folder / "policies/lab.yaml").write_text(POLICIES)
    site = folder / "site.yaml"
    site.write_text("version: 1\nname: site\n")
    environment = lab_environment(folder, site=site, dns="127.0.0.1", instance="private")
    port = free_port()
    listen = {"ORCHBOX_LISTEN": f"http://127.0.0.1:{port}"}
    lab = Lab(folder, {**environment, **listen, "DOCKER_HOST": private_host.docker_host}, port)
    started = lab.orch("up", "--detach")
    assert started.code == 0, started.out + started.err
    yield lab
    stopped = lab.orch("down")
    shutil.rmtree(folder)
    assert stopped.code == 0, stopped.out


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("0.0.0.0", 0)) as found:
        return int(found.getsockname()[1])


def lab_environment(
    folder: Path, *, site: Path, dns: str, instance: str = INSTANCE, pool: str = "10.233.0.0/20"
) -> dict[str, str]:
    """The environment of a daemon that keeps everything in `folder`."""
    return {
        **{
            k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("ORCHBOX_")
        },
        "ORCHBOX_HOME": str(folder / "home"),
        "ORCHBOX_RUN_DIR": str(folder / "run"),
        "ORCHBOX_INSTANCE": instance,
        "ORCHBOX_POOL": pool,
        "ORCHBOX_POLICY_DIR": str(folder / "policies"),
        "ORCHBOX_SITE_POLICY": str(site),
        "ORCHBOX_PROXY_DNS": dns,
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(ROOT / "build/pycache"),
    }


@pytest.fixture
def lab(lab_session: Lab, canary_net: CanaryNet) -> Lab:
    """The daemon, with an empty record at the canaries and the simulators' present CA."""
    canary_net.write_site_policy(lab_session.folder)
    return lab_session


def reap_killed_session(engine: docker.DockerClient, instance: str = INSTANCE) -> None:
    """Remove what a test session that was killed left of an instance; the daemon would replace it."""
    label = {"label": f"io.orchbox.instance={instance}"}
    for container in engine.containers.list(all=True, filters=label, ignore_removed=True):
        container.remove(force=True, v=True)
    for network in engine.networks.list(filters=label):
        network.remove()


def inventory(engine: docker.DockerClient, instance: str = INSTANCE) -> dict[str, set[str]]:
    """All of an instance on the engine, by kind; anonymous volumes are anybody's, so all are counted."""
    label = {"label": f"io.orchbox.instance={instance}"}
    return {
        "containers": {c.name for c in engine.containers.list(all=True, filters=label, ignore_removed=True)},
        "networks": {n.name for n in engine.networks.list(filters=label)},
        "volumes": {v.name for v in engine.volumes.list()},
    }
