"""The guard on the real host: it holds, and its proof fails where there is no guard."""

from __future__ import annotations

import asyncio
import ipaddress
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from runtime.containers import labels
from runtime.engine.docker import DockerEngine
from runtime.engine.protocol import NetworkSpec
from runtime.network.guard import HostGuard
from runtime.network.proof import ProofPlan, plan
from runtime.network.slots import NetworkSlots
from tests.integration.conftest import Lab
from tests.integration.readiness import IMAGE, guard_losses, tampering, until_ready
from tests.integration.sandboxes import open_engine

pytestmark = pytest.mark.docker

POOL = ipaddress.IPv4Network("10.238.9.0/24")
PROXY = "import http.server; http.server.test(port=8080, bind='0.0.0.0')"


@asynccontextmanager
async def always(_address: str) -> AsyncIterator[None]:
    """The stand-in listens on all its addresses, all the time."""
    yield


@dataclass(frozen=True, slots=True)
class Host:
    """A guard and a container that stands for the proxy."""

    engine: DockerEngine
    guard: HostGuard
    proxy: str
    instance: str


async def does_answer(address: str, port: int) -> bool:
    """Whether something listens there by now."""
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """The real host, left as it was but for the guard's table, which any daemon installs."""
    engine = await open_engine(IMAGE)
    instance = f"guard-{uuid.uuid4().hex[:8]}"
    marks = labels.labels(instance, "probe")
    network, proxy = f"orchbox-{instance}-egress", f"orchbox-{instance}-proxy"
    slots = NetworkSlots(engine, instance=instance, pool=POOL)
    guard = HostGuard(engine, slots, instance=instance, image=IMAGE, listening=always)
    try:
        await engine.create_network(NetworkSpec(network, None, None, None, is_internal=False, labels=marks))
        config = {"Image": IMAGE, "Entrypoint": ["python3", "-c", PROXY], "Labels": marks}
        await engine.create(proxy, {**config, "HostConfig": {"NetworkMode": network}})
        await engine.start(proxy)
        end = (await engine.inspect(proxy))["NetworkSettings"]["Networks"][network]["IPAddress"]
        async with asyncio.timeout(60):
            while not await does_answer(end, 8080):
                await asyncio.sleep(0.05)
        yield Host(engine, guard, proxy, instance)
        await guard.close()
        left = [c.name for c in await engine.containers({labels.INSTANCE: instance}) if c.name != proxy]
        assert left == []
        assert [n.name for n in await engine.networks({labels.INSTANCE: instance})] == [network]
    finally:
        await guard.close()
        await engine.remove(proxy)
        await engine.remove_network(network)
        await engine.close()


async def test_the_guard_holds_over_both_families(host: Host):
    """With the rules a container on a sandbox's network reaches no address of the host."""
    status = await host.guard.establish(host.proxy)
    assert status.is_proved, status.detail
    assert "IPv4" in status.detail
    assert " 0 IPv6" not in status.detail or not _host_has_ipv6()


async def test_the_proof_fails_without_the_rules(host: Host, monkeypatch: pytest.MonkeyPatch):
    """On a bridge that the rules do not name, the same proof finds the host: it is not vacuous."""
    monkeypatch.setattr("runtime.network.slots.BRIDGE_PREFIX", "xrb")
    status = await host.guard.establish(host.proxy)
    assert not status.is_proved
    assert "reaches the host at" in status.detail


async def test_the_proof_by_ipv6_fails_without_the_rules(host: Host, monkeypatch: pytest.MonkeyPatch):
    """The bridge's link-local address alone is found as well, so the IPv6 half is not vacuous either."""
    if not _host_has_ipv6():
        pytest.skip("this kernel has no IPv6")
    monkeypatch.setattr("runtime.network.slots.BRIDGE_PREFIX", "xrb")
    monkeypatch.setattr("runtime.network.guard.plan", _ipv6_only)
    status = await host.guard.establish(host.proxy)
    assert not status.is_proved
    assert "reaches the host at fe80" in status.detail


async def test_the_proof_fails_without_the_proxy(host: Host):
    """A proxy that does not answer on its port is a network that does not work: nothing is proved."""
    status = await host.guard.establish(host.proxy, proxy_port=9)
    assert not status.is_proved
    assert "nothing is proved" in status.detail


def _ipv6_only(*args: str, **kwargs: object):
    whole = plan(*args, **kwargs)
    return ProofPlan(tuple(t for t in whole.host if t[0].startswith("fe80")), (), whole.controls)


def _host_has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()


TAMPERINGS = {
    "the table is deleted": "nft delete table inet orbguard",
    "a chain is flushed": "nft flush chain inet orbguard input",
    "a rule that accepts comes first": "nft insert rule inet orbguard input accept",
    "the table is replaced by one that accepts": (
        "nft delete table inet orbguard; nft add table inet orbguard; "
        "nft add chain inet orbguard input '{ type filter hook input priority -10; policy accept; }'"
    ),
}
HANG = "import time; print('up', flush=True); time.sleep(300)"


def tamper(lab: Lab, script: str) -> None:
    """Change the host's firewall, as another program on it would."""
    client = docker.from_env()
    try:
        client.containers.run(
            IMAGE, entrypoint=["sh", "-ec", script], network_mode="host", cap_add=["NET_ADMIN"], user="0",
            remove=True, labels={"io.orchbox.instance": "test"},
        )  # fmt: skip
    finally:
        client.close()


@pytest.mark.parametrize("change", TAMPERINGS)
def test_a_changed_guard_is_noticed_put_back_and_proved_again(
    lab: Lab, engine: docker.DockerClient, change: str
):
    """/readyz says what is wrong, no run starts meanwhile, and then all is as it was."""
    until_ready(lab.folder, is_ready=True)
    before, losses = rules_now(), guard_losses(lab.folder)

    with tampering(engine, TAMPERINGS[change]):
        (failing,) = until_ready(lab.folder, is_ready=False)
        refused = lab.run("print(1)")

    assert failing["name"] == "guard"
    assert failing["remedy"]
    assert "the guard's rules were changed or removed" in guard_losses(lab.folder)[len(losses) :]
    assert refused.code != 0
    assert "guard" in refused.json["message"]
    until_ready(lab.folder, is_ready=True)
    assert rules_now() == before
    assert lab.run("print(1)").code == 0


def test_a_running_agent_does_not_outlive_the_guard(lab: Lab):
    """It is killed without grace, with its reason, and how long that took is printed."""
    until_ready(lab.folder, is_ready=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lab.run, HANG)
        while "running" not in {run["state"] for run in lab.orch("runs", "--json").json["runs"]}:
            assert not running.done(), running.result()
            time.sleep(0.1)
        started = time.monotonic()
        tamper(lab, TAMPERINGS["the table is deleted"])
        done = running.result(timeout=90)
    print(
        f"from the flush (its container included) to the end of the run: {time.monotonic() - started:.2f} s"
    )
    assert done.code != 0
    assert "guard" in done.out + done.err
    until_ready(lab.folder, is_ready=True)


def rules_now() -> str:
    """The guard's table as it stands, without counters."""
    client = docker.from_env()
    try:
        said = client.containers.run(
            IMAGE, entrypoint=["nft", "-s", "list", "table", "inet", "orbguard"], network_mode="host",
            cap_add=["NET_ADMIN"], user="0", remove=True,
        )  # fmt: skip
        return said.decode()
    finally:
        client.close()


def test_another_network_ends_the_run(lab: Lab):
    """`docker network connect` on a running sandbox: the daemon notices and ends it."""
    client = docker.from_env()
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(lab.run, HANG)
            label = {"label": ["io.orchbox.instance=test", "io.orchbox.role=sandbox"], "status": "running"}
            while not (found := client.containers.list(filters=label, ignore_removed=True)):
                assert not running.done(), running.result()
                time.sleep(0.1)
            client.networks.get("bridge").connect(found[0].id)
            done = running.result(timeout=90)
        assert done.code != 0
        assert "another network" in done.out + done.err
    finally:
        client.close()
