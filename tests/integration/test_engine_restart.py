"""The guard on a host whose engine restarts and whose firewall is flushed: a host of the tests' own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import docker
import pytest

from tests.harness.private_host import PrivateHost
from tests.integration.conftest import Lab
from tests.integration.readiness import guard_losses, until_ready
from tests.integration.test_runs import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.own_engine]

HANG = "import time; time.sleep(300)"
RESTARTS: dict[str, Callable[[PrivateHost], None]] = {
    "a restart": PrivateHost.stop_engine,
    "a crash": PrivateHost.kill_engine,
}


def wait_ready(lab: Lab, *, is_ready: bool) -> dict[str, str]:
    """Wait until the daemon says so; the failing checks' sentences with their remedies."""
    failing = until_ready(lab.folder, is_ready=is_ready)
    return {check["name"]: f"{check['detail']} | {check['remedy']}" for check in failing}


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
    wait_ready(private_lab, is_ready=True)

    private_host.run("nft flush ruleset")

    wait_ready(private_lab, is_ready=False)
    refused = private_lab.run("print(1)")
    assert (refused.code, refused.json["code"]) == (8, "SERVER_ERROR")
    assert "guard" in refused.json["message"]
    doctor = {c["name"]: c for c in private_lab.orch("doctor").json["checks"]}
    assert not doctor["guard"]["ok"]
    assert "guard" in doctor["guard"]["detail"]
    if "DOCKER" not in private_host.run("nft list ruleset"):  # an engine that looks again needs no restart
        deadline = time.monotonic() + 90
        while "restart Docker" not in wait_ready(private_lab, is_ready=False).get("guard", ""):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        private_host.restart_engine()
    wait_ready(private_lab, is_ready=True)
    assert private_lab.run("print(1)").code == 0


def test_a_table_put_to_sleep_is_noticed(private_host: PrivateHost, private_lab: Lab):
    """A dormant table is all there and does nothing."""
    wait_ready(private_lab, is_ready=True)
    before = guard_losses(private_lab.folder)

    private_host.run("nft 'add table inet orbguard { flags dormant; }'")

    # Read in the log: the daemon may be ready again before anybody has asked it.
    losses = wait_for(lambda: guard_losses(private_lab.folder)[len(before) :])
    assert "changed or removed" in losses[0]
    wait_ready(private_lab, is_ready=True)
    assert "dormant" not in private_host.run("nft list table inet orbguard")


def test_the_firewall_of_others_is_no_loss(private_host: PrivateHost, private_lab: Lab):
    """Rules that come and go without a pause, as on a host that starts containers: the guard stays proved."""
    wait_ready(private_lab, is_ready=True)
    before = guard_losses(private_lab.folder)

    private_host.run(
        "nft add table ip busy; nft add chain ip busy c; end=$(($(date +%s) + 22)); "
        "while [ $(date +%s) -lt $end ]; do nft add rule ip busy c counter; sleep 0.2; done; "
        "nft delete table ip busy"
    )

    assert guard_losses(private_lab.folder) == before
    assert wait_ready(private_lab, is_ready=True) == {}


@pytest.mark.parametrize("how", RESTARTS)
def test_an_engine_that_restarts_is_waited_for(private_host: PrivateHost, private_lab: Lab, how: str):
    """The run ends with a reason, none starts meanwhile, nothing of it is left, and then all is as it was."""
    wait_ready(private_lab, is_ready=True)
    before = ours(private_host)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(private_lab.run, HANG)
        while "running" not in private_lab.orch("runs").out:
            assert not running.done(), running.result()
            time.sleep(0.1)

        RESTARTS[how](private_host)
        done = running.result(timeout=90)

    assert done.code != 0
    assert done.json["code"] in ("GUARD_LOST", "PROXY_LOST"), done.out
    failing = wait_ready(private_lab, is_ready=False)
    assert {"engine", "guard"} <= failing.keys()
    assert private_lab.run("print(1)").code == 8
    private_host.start_engine()
    wait_ready(private_lab, is_ready=True)
    assert ours(private_host) == before
    assert private_lab.run("print(1)").code == 0
    assert json.loads(private_lab.orch("runs").out)["runs"][1]["state"] == "failed"
