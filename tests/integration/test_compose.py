"""`docker compose up`, and `orch run` on the host against it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import docker
import pytest

from tests.integration.readiness import tampering, until_ready

pytestmark = [pytest.mark.docker, pytest.mark.compose]

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "orchbox-compose-test"
AGENT = """
import json, os, sys, urllib.error, urllib.request
given = json.load(sys.stdin)
try:
    urllib.request.urlopen("https://refused.example/", timeout=60)
    reason = "it got out"
except urllib.error.HTTPError as refused:
    reason = json.load(refused)["reason_code"]
names = open("/etc/resolv.conf").read().split()
print(json.dumps({"given": given, "reason": reason, "asks": names[:2], "proxy": os.environ["HTTPS_PROXY"]}))
"""


@pytest.fixture(scope="module")
def compose_folder(engine: docker.DockerClient) -> Iterator[Path]:
    """Run and configuration folders; when Compose is down, nothing of the project is left."""
    present = (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    )
    if not present and os.environ.get("CI"):
        pytest.fail("no Docker Compose v2: make setup")
    if not present:
        pytest.skip("no Docker Compose v2")
    folder = Path(tempfile.mkdtemp(prefix="orchc-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHBOX_RUN_DIR", str(folder / "run"))
        patch.setenv("ORCHBOX_CONFIG_DIR", str(folder / "config"))
        patch.setenv("ORCHBOX_INSTANCE", "compose-test")
        patch.setenv("ORCHBOX_POOL", "10.235.0.0/24")
        for name in ("ORCHBOX_POLICY_DIR", "ORCHBOX_SITE_POLICY", "ORCHBOX_USER", "ORCHBOX_PULL"):
            patch.delenv(name, raising=False)
        yield folder
        left = leftovers(engine) + [path.name for path in folder.glob("run/api.sock")]
        # pytest-docker does not clean up after an `up` that failed.
        command = ["docker", "compose", "-p", PROJECT, "-f", str(ROOT / "compose.yaml"), "down", "-v"]
        subprocess.run(command, capture_output=True, check=False)
    shutil.rmtree(folder)
    assert left == []


def leftovers(engine: docker.DockerClient) -> list[str]:
    """What is there of this Compose project and of its daemon."""
    names: set[str] = set()
    for label in ("io.orchbox.instance=compose-test", f"com.docker.compose.project={PROJECT}"):
        filters = {"label": label}
        names |= {c.name for c in engine.containers.list(all=True, filters=filters, ignore_removed=True)}
        names |= {n.name for n in engine.networks.list(filters=filters)}
        names |= {v.name for v in engine.volumes.list(filters=filters)}
    return sorted(names)


@pytest.fixture(scope="module")
def docker_compose_file(compose_folder: Path) -> str:
    """The file as it is shipped (pytest-docker)."""
    return str(ROOT / "compose.yaml")


@pytest.fixture(scope="module")
def docker_compose_project_name() -> str:
    """A name of the tests' own (pytest-docker)."""
    return PROJECT


@pytest.fixture(scope="module")
def docker_setup() -> list[str]:
    """Up, until the health checks say so (pytest-docker)."""
    return ["up -d --wait --quiet-pull"]


@pytest.fixture(scope="module")
def docker_cleanup() -> list[str]:
    """Down, with the volumes (pytest-docker)."""
    return ["down -v"]


def orch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`orch` on the host, as its user calls it."""
    command = [sys.executable, "-m", "runtime.cli.main", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(ROOT / "build/pycache")}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def test_an_agent_runs_against_compose(docker_services: object, compose_folder: Path) -> None:
    """`orch run` finds the daemon by its socket; the agent gets its input, and no further than the policy.

    Its resolver is the proxy: the daemon has found where the engine's host has the file that says so.
    """
    agent = compose_folder / "agent"
    agent.mkdir()
    (agent / "main.py").write_text(AGENT)
    (agent / "orchagent.json").write_text(
        json.dumps({"name": "compose-agent", "type": "tool", "description": "a test"})
    )

    done = orch("run", str(agent), "--data", '{"n": 1}', "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)["result"]
    assert (result["given"], result["reason"]) == ({"n": 1}, "not_allowed_host")
    assert result["asks"] == ["nameserver", urlsplit(result["proxy"]).hostname]
    assert list((compose_folder / "run/resolv").iterdir()) == []


def test_the_api_is_its_owners_alone(docker_services: object, compose_folder: Path) -> None:
    """The socket on the host is 0600, and the control socket is not on the host at all."""
    assert stat.S_IMODE((compose_folder / "run/api.sock").stat().st_mode) == 0o600
    assert not (compose_folder / "run/control/proxy.sock").exists()


def test_nothing_is_published_and_only_the_daemon_is_near_the_engine(
    docker_services: object, engine: docker.DockerClient
) -> None:
    """As the engine itself tells it: no ports, one holder of the socket, which is on no sandbox's network."""
    project = {"label": f"com.docker.compose.project={PROJECT}"}
    found = {
        c.labels["com.docker.compose.service"]: c.attrs
        for c in engine.containers.list(filters=project, ignore_removed=True)
    }

    assert {"daemon", "proxy"} == found.keys()
    assert not any(attrs["HostConfig"]["PortBindings"] for attrs in found.values())
    assert set(found["daemon"]["NetworkSettings"]["Networks"]) == {f"{PROJECT}_daemon"}
    assert found["daemon"]["NetworkSettings"]["Ports"] == {}
    assert not any("docker.sock" in mount["Source"] for mount in found["proxy"]["Mounts"])


def test_a_guard_that_is_removed_is_put_back(
    docker_services: object, compose_folder: Path, engine: docker.DockerClient
) -> None:
    """A daemon in a container notices as well, refuses runs, and heals."""
    agent = compose_folder / "guarded"
    agent.mkdir()
    (agent / "main.py").write_text("print(1)")
    (agent / "orchagent.json").write_text(
        json.dumps({"name": "guarded-agent", "type": "tool", "description": "a test"})
    )
    until_ready(compose_folder, is_ready=True)

    with tampering(engine, "nft delete table inet orbguard"):
        (failing,) = until_ready(compose_folder, is_ready=False)
        refused = orch("run", str(agent))

    assert failing["name"] == "guard"
    assert refused.returncode == 8
    until_ready(compose_folder, is_ready=True)
    assert orch("run", str(agent)).returncode == 0
