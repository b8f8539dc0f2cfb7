"""A daemon under what the systemd unit leaves it, on the real engine: told, measured, restarted and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.agents.bundle import bundle_of
from runtime.client.connection import ApiError, Client
from tests.harness.collector import collecting
from tests.integration.conftest import inventory, lab_environment, reap_killed_session

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
INSTANCE = "unit"
LIMIT_S = 120.0
UNTIL_TOLD = """
import json, os, sys, time, urllib.error, urllib.request
try: urllib.request.urlopen("http://refused.test/", timeout=20)
except urllib.error.HTTPError as exc: exc.close()
print("working", file=sys.stderr, flush=True)
while not os.path.exists("/tmp/go-on"): time.sleep(0.05)
print(json.dumps({"done": True}))
"""


def as_the_unit(folder: Path) -> list[str]:
    """The daemon with the capabilities and the privileges of the unit."""
    text = (ROOT / "contrib/systemd/orchbox.service").read_text()
    kept = next(line for line in text.splitlines() if line.startswith("CapabilityBoundingSet=")).split("=")[1]
    bounds = "".join(f",+{name.removeprefix('CAP_').lower()}" for name in kept.split())
    limits = ["setpriv", "--no-new-privs", f"--bounding-set=-all{bounds}", f"--inh-caps=-all{bounds}"]
    # A unit's processes ignore no signal, whatever started these tests (nohup has SIGHUP ignored).
    return ["env", "--default-signal=HUP", *limits, sys.executable, "-m", "runtime.cli.main", "up"]


class Unit:
    """The daemon, started and signalled as systemd would."""

    def __init__(self, folder: Path, collector: str) -> None:
        self.folder = folder
        environment = lab_environment(folder, site=folder, dns="", instance=INSTANCE, pool="10.235.0.0/22")
        del environment["ORCHBOX_SITE_POLICY"]
        notify = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "NOTIFY_SOCKET": str(folder / "notify"),
            "ORCHBOX_STOP_SECONDS": "100",
        }
        self._environment = {**environment, **notify}
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.bind(str(folder / "notify"))
        self._heard.settimeout(LIMIT_S)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the daemon has told that it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                as_the_unit(self.folder), env=self._environment, stdin=subprocess.DEVNULL, stderr=log, cwd="/"
            )
        assert self.hear() == "READY=1"

    def hear(self) -> str:
        """The next word."""
        return self._heard.recv(1000).decode().partition("\n")[0]

    def signal(self, number: int) -> None:
        """As `systemctl stop` or `restart`."""
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit status."""
        assert self.process is not None
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        """Whatever became of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._heard.close()

    def metrics(self) -> Callable[..., float]:
        """A scrape: the value of a series of ours, 0 where there is none."""
        transport = httpx.HTTPTransport(uds=str(self.folder / "run/api.sock"))
        with httpx.Client(transport=transport, base_url="http://orchbox") as client:
            answer = client.get("/metrics")
        assert (answer.status_code, answer.headers["content-type"][:10]) == (200, "text/plain")
        families = list(text_string_to_metric_families(answer.text))

        def value(name: str, **labels: str) -> float:
            found = [
                s for f in families for s in f.samples if s.name == f"orchbox_{name}" and s.labels == labels
            ]
            return found[0].value if found else 0

        return value


@contextmanager
def a_unit(engine: docker.DockerClient, collector: str) -> Iterator[Unit]:
    """One of the test's own, which sends its traces there and leaves nothing behind."""
    reap_killed_session(engine, INSTANCE)
    before = inventory(engine, INSTANCE)
    folder = Path(tempfile.mkdtemp(prefix="orchunit-"))
    (folder / "policies").mkdir()
    unit = Unit(folder, collector)
    try:
        yield unit
        assert inventory(engine, INSTANCE) == before
    finally:
        unit.close()
        reap_killed_session(engine, INSTANCE)
        shutil.rmtree(folder)


def wait_for[T](look: Callable[[], T]) -> T:
    """What is seen once it is true."""
    until = time.monotonic() + LIMIT_S
    while not (seen := look()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)
    return seen


def begin(client: Client, folder: Path) -> str:
    """A run that works until it is told to go on; its id."""
    agent = folder / "agent"
    agent.mkdir(exist_ok=True)
    (agent / "main.py").write_text(UNTIL_TOLD)
    asked = {
        "agent_ref": "unit-agent",
        "image": "orchbox/agent-python:local",
        "argv": ["python3", "main.py"],
        "input": "{}",
        "policy": "llm-only",
    }
    return str(client.create_run(asked, bundle_of(agent), {})["id"])


def sandbox(engine: docker.DockerClient) -> docker.models.containers.Container:
    """The only one."""
    labels = [f"io.orchbox.instance={INSTANCE}", "io.orchbox.role=sandbox"]
    (found,) = engine.containers.list(filters={"label": labels})
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="the unit is root's")
def test_a_run_outlives_a_restart_and_is_finished_at_a_stop(engine: docker.DockerClient):
    """SIGHUP leaves it to the next daemon; SIGTERM lets it end, refuses the next one, and tells its follower."""
    with (
        collecting() as collector,
        a_unit(engine, collector.url) as unit,
        closing(Client(unit.folder / "run/api.sock")) as client,
    ):
        unit.start()
        wait_for(lambda: client.ready()["ready"])
        run = begin(client, unit.folder)
        assert any(event.kind == "log" for event in client.events(run))
        value = unit.metrics()
        assert value("guard_proved") == value("runs", state="running") == value("keepers") == 1
        assert value("slots", **{"is": "used"}) == value("warm_parents", of="proxy") == 1
        assert value("egress_decisions_total", verdict="deny", reason_code="not_allowed_host") == 1
        assert value("run_start_seconds_count") == value("run_queue_seconds_count") == 1

        unit.signal(signal.SIGHUP)
        assert unit.ended() == -signal.SIGHUP
        unit.start()
        wait_for(lambda: client.ready()["ready"])
        value = unit.metrics()
        assert value("runs", state="running") == value("keepers") == value("slots", **{"is": "used"}) == 1
        assert client.get_run(run)["state"] == "running"

        followed: list[str] = []
        follower = threading.Thread(
            target=lambda: followed.extend(str(e.data.get("state")) for e in client.events(run))
        )
        follower.start()
        unit.signal(signal.SIGTERM)
        assert unit.hear() == "STOPPING=1"
        with pytest.raises(ApiError) as refused, closing(Client(unit.folder / "run/api.sock")) as other:
            begin(other, unit.folder)
        assert refused.value.http_status == 503
        assert sandbox(engine).exec_run(["touch", "/tmp/go-on"], user="1000")[0] == 0
        assert unit.ended() == 0
        follower.join(LIMIT_S)
        assert followed[-1] == "completed"
        assert {span.trace_id.hex() for span in collector.spans} == {run.replace("-", "")}
        assert {span.name for span in collector.spans} == {"run", "agent", "clean-up"}
        log = [json.loads(line) for line in (unit.folder / "log").read_text().splitlines()]
        assert [line["event"] for line in log if line["event"] == "stopping"] == ["stopping"]
