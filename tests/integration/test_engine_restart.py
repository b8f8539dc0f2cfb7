"""The guard on a host whose engine restarts and whose firewall is flushed: a host of the tests' own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import docker
import pytest

from runtime.client.connection import Client
from tests.harness.private_host import PrivateHost
from tests.integration.conftest import Lab

pytestmark = [pytest.mark.docker, pytest.mark.own_engine]

HANG = "import time; time.sleep(100)"
RESTARTS: dict[str, Callable[[PrivateHost], None]] = {
    "a restart": PrivateHost.stop_engine,
    "a crash": PrivateHost.kill_engine,
}


def until_ready(lab: Lab, *, is_ready: bool, timeout_s: float = 60) -> dict[str, str]:
    """Wait until `/readyz` says so; the failing checks' sentences with their remedies."""
    until = time.monotonic() + timeout_s
    with closing(Client(lab.folder / "run/api.sock")) as client:
        while time.monotonic() < until:
            said = client.ready()
            if said["ready"] is is_ready:
                return {c["name"]: f"{c['detail']} | {c['remedy']}" for c in said["checks"] if not c["ok"]}
            time.sleep(0.05)
    pytest.fail(f"not {'ready' if is_ready else 'unready'} within {timeout_s} s: {said}")


def ours(host: PrivateHost) -> tuple[set[str], set[str]]:
    """What containers and networks of a run or a proof are there."""
    label = {"label": "io.orchbox.instance=private"}
    with closing(docker.DockerClient(base_url=host.docker_host)) as client:
        containers = {c.name for c in client.containers.list(all=True, filters=label, ignore_removed=True)}
        networks = {n.name for n in client.networks.list(filters=label)}
    return {name for name in containers if "-watch-" not in name}, networks


def test_a_flush_of_everything_names_its_remedy_and_a_restart_heals(
    private_host: PrivateHost, private_lab: Lab
):
    """`nft flush ruleset` takes the engine's own rules too: no run starts until the engine has them back."""
    until_ready(private_lab, is_ready=True)

    private_host.run("nft flush ruleset")

    until_ready(private_lab, is_ready=False)
    refused = private_lab.run("print(1)")
    assert (refused.code, refused.json["code"]) == (8, "SERVER_ERROR")
    assert "guard" in refused.json["message"]
    doctor = {c["name"]: c for c in private_lab.orch("doctor").json["checks"]}
    assert not doctor["guard"]["ok"]
    assert "guard" in doctor["guard"]["detail"]
    if "DOCKER" not in private_host.run("nft list ruleset"):  # an engine that looks again needs no restart
        deadline = time.monotonic() + 30
        while "restart Docker" not in until_ready(private_lab, is_ready=False).get("guard", ""):
            assert time.monotonic() < deadline
        private_host.restart_engine()
    until_ready(private_lab, is_ready=True)
    assert private_lab.run("print(1)").code == 0


def test_a_table_put_to_sleep_is_noticed(private_host: PrivateHost, private_lab: Lab):
    """A dormant table is all there and does nothing."""
    until_ready(private_lab, is_ready=True)

    private_host.run("nft 'add table inet orbguard { flags dormant; }'")

    assert "changed or removed" in until_ready(private_lab, is_ready=False)["guard"]
    until_ready(private_lab, is_ready=True)
    assert "dormant" not in private_host.run("nft list table inet orbguard")


def test_the_firewall_of_others_is_no_loss(private_host: PrivateHost, private_lab: Lab):
    """Rules that come and go without a pause, as on a host that starts containers: the guard stays proved."""
    until_ready(private_lab, is_ready=True)
    log = private_lab.folder / "home/daemon.log"
    before = log.read_text().count("guard-lost")

    private_host.run(
        "nft add table ip busy; nft add chain ip busy c; "
        "for i in $(seq 110); do nft add rule ip busy c counter; sleep 0.2; done; nft delete table ip busy"
    )

    assert log.read_text().count("guard-lost") == before
    assert until_ready(private_lab, is_ready=True) == {}


@pytest.mark.parametrize("how", RESTARTS)
def test_an_engine_that_restarts_is_waited_for(private_host: PrivateHost, private_lab: Lab, how: str):
    """The run ends with a reason, none starts meanwhile, nothing of it is left, and then all is as it was."""
    until_ready(private_lab, is_ready=True)
    before = ours(private_host)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(private_lab.run, HANG)
        while "running" not in private_lab.orch("runs").out:
            time.sleep(0.1)

        RESTARTS[how](private_host)
        done = running.result(timeout=60)

    assert done.code != 0
    assert done.json["code"] in ("GUARD_LOST", "PROXY_LOST"), done.out
    failing = until_ready(private_lab, is_ready=False)
    assert {"engine", "guard"} <= failing.keys()
    assert private_lab.run("print(1)").code == 8
    private_host.start_engine()
    until_ready(private_lab, is_ready=True)
    assert ours(private_host) == before
    assert private_lab.run("print(1)").code == 0
    assert json.loads(private_lab.orch("runs").out)["runs"][1]["state"] == "failed"
