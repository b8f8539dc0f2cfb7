"""The guard on the real host: it holds, and its proof fails where there is no guard."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime import labels
from runtime.docker_engine import DockerEngine
from runtime.engine import NetworkSpec
from runtime.guard import HostGuard
from runtime.guard_proof import ProofPlan, plan
from runtime.networks import NetworkSlots
from tests.integration.sandboxes import open_engine

pytestmark = pytest.mark.docker

IMAGE = "orchbox/daemon:local"
POOL = ipaddress.IPv4Network("10.238.9.0/24")
PROXY = "import http.server; http.server.test(port=8080, bind='0.0.0.0')"


@dataclass(frozen=True, slots=True)
class Host:
    """A guard and a container that stands for the proxy."""

    engine: DockerEngine
    guard: HostGuard
    proxy: str
    instance: str


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """The real host, left as it was but for the guard's table, which any daemon installs."""
    engine = await open_engine(IMAGE)
    instance = f"guard-{uuid.uuid4().hex[:8]}"
    marks = labels.labels(instance, "probe")
    network, proxy = f"orchbox-{instance}-egress", f"orchbox-{instance}-proxy"
    slots = NetworkSlots(engine, instance=instance, pool=POOL)
    guard = HostGuard(engine, slots, instance=instance, image=IMAGE)
    try:
        await engine.create_network(NetworkSpec(network, None, None, None, is_internal=False, labels=marks))
        config = {"Image": IMAGE, "Entrypoint": ["python3", "-c", PROXY], "Labels": marks}
        await engine.create(proxy, {**config, "HostConfig": {"NetworkMode": network}})
        await engine.start(proxy)
        yield Host(engine, guard, proxy, instance)
        left = [c.name for c in await engine.containers({labels.INSTANCE: instance}) if c.name != proxy]
        assert left == []
        assert [n.name for n in await engine.networks({labels.INSTANCE: instance})] == [network]
    finally:
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
    monkeypatch.setattr("runtime.networks.BRIDGE_PREFIX", "xrb")
    status = await host.guard.establish(host.proxy)
    assert not status.is_proved
    assert "reaches the host at" in status.detail


async def test_the_proof_by_ipv6_fails_without_the_rules(host: Host, monkeypatch: pytest.MonkeyPatch):
    """The bridge's link-local address alone is found as well, so the IPv6 half is not vacuous either."""
    if not _host_has_ipv6():
        pytest.skip("this kernel has no IPv6")
    monkeypatch.setattr("runtime.networks.BRIDGE_PREFIX", "xrb")
    monkeypatch.setattr("runtime.guard.plan", _ipv6_only)
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
