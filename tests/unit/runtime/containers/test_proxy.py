"""runtime.containers.proxy: the proxy's container is as tight as a sandbox, and sees one folder of the host."""

from __future__ import annotations

import pytest

from proxy import worker
from runtime.containers.proxy import PARENT_BYTES, WORKER_BYTES, ProxySpec, proxy_config
from runtime.containers.seccomp import profile


def spec(slots: int = 8, host_memory_bytes: int = 64 << 30) -> ProxySpec:
    """The proxy of a daemon with so many slots."""
    marks = {"io.orchbox.role": "proxy"}
    return ProxySpec(
        "p", "egress", "/run/orchbox/control", 10001, ("10.0.0.53",), marks, slots, host_memory_bytes
    )


def proxy() -> dict:
    """The proxy's configuration."""
    return proxy_config(spec())


def test_proxy_is_as_tight():
    """The proxy is no way up either: read-only, no capability, not root, no swap, no cores, no forwarding."""
    config = proxy()
    host = config["HostConfig"]
    assert config["User"] == "10001:10001"
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true", f"seccomp={profile()}"]
    assert host["Memory"] == host["MemorySwap"]
    assert {"Name": "core", "Soft": 0, "Hard": 0} in host["Ulimits"]
    assert host["Sysctls"]["net.ipv4.ip_forward"] == "0"


def test_proxy_sees_one_folder_of_the_host():
    """The control socket's folder is all the proxy mounts, and its environment holds no secret."""
    config = proxy()
    assert config["HostConfig"]["Binds"] == ["/run/orchbox/control:/run/orchbox/control:rw"]
    assert config["Env"] == ["ORCHBOX_CONTROL_SOCKET=/run/orchbox/control/proxy.sock"]
    assert config["HostConfig"]["Dns"] == ["10.0.0.53"]


@pytest.mark.parametrize(
    ("slots", "host", "memory"),
    [
        (8, 64 << 30, PARENT_BYTES + 8 * WORKER_BYTES),
        (512, 8 << 30, 4 << 30),
        (512, 0, PARENT_BYTES + WORKER_BYTES),
    ],
    ids=["all workers", "half of the host", "unknown host"],
)
def test_memory_is_for_every_worker_as_far_as_the_host_goes(slots: int, host: int, memory: int):
    """Tasks too: a worker at its own limit leaves the others theirs."""
    config = proxy_config(spec(slots, host))["HostConfig"]
    assert config["Memory"] == config["MemorySwap"] == memory
    assert config["PidsLimit"] >= 16 * slots


def test_a_workers_own_limit_is_what_the_container_counts_with():
    """One number in two rooms that may not import one another."""
    assert worker.MEMORY_BYTES == WORKER_BYTES
