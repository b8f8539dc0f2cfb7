"""From the proxy's specification to the container that the engine creates.

Pure, but for the shipped seccomp profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.contract.messages import CONTROL_FOLDER, CONTROL_SOCKET
from runtime.containers.restrictions import security_options
from runtime.engine.protocol import ContainerConfig


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """What differs between one daemon's proxy container and another's."""

    image: str
    network: str
    control_dir: str
    """Folder on the host with the control socket; no sandbox ever mounts it."""
    uid: int
    dns: tuple[str, ...]
    labels: Mapping[str, str]
    slots: int
    """How many sandboxes there can be at a time: each has a process in the container."""
    host_memory_bytes: int


PARENT_BYTES = 256 << 20
WORKER_BYTES = 192 << 20
"""What a worker takes at most by its own limit (`proxy/worker.py`)."""
TASKS_BASE, TASKS_PER_WORKER, MAX_TASKS = 64, 16, 32768


def proxy_config(spec: ProxySpec) -> ContainerConfig:
    """The proxy: as tight as a sandbox, but for its networks and its control socket.

    Its memory has room for every worker at its own limit, as far as half of the host's goes: what the workers
    can do to one another is to be bounded by their limits, not by the container's.
    """
    memory = max(
        PARENT_BYTES + WORKER_BYTES,
        min(PARENT_BYTES + spec.slots * WORKER_BYTES, spec.host_memory_bytes // 2),
    )
    return {
        "Image": spec.image,
        "Hostname": "proxy",
        "User": f"{spec.uid}:{spec.uid}",
        "Env": [f"ORCHBOX_CONTROL_SOCKET={CONTROL_FOLDER}/{CONTROL_SOCKET}"],
        "Labels": dict(spec.labels),
        "HostConfig": {
            "NetworkMode": spec.network,
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108 - in the container
            "Binds": [f"{spec.control_dir}:{CONTROL_FOLDER}:rw"],
            "CapDrop": ["ALL"],
            "SecurityOpt": security_options(),
            "PidsLimit": min(MAX_TASKS, TASKS_BASE + spec.slots * TASKS_PER_WORKER),
            "Memory": memory,
            "MemorySwap": memory,
            "Ulimits": [
                {"Name": "nofile", "Soft": 16384, "Hard": 16384},  # of the parent; a worker's own is lower
                {"Name": "core", "Soft": 0, "Hard": 0},  # its processes hold tokens and keys of CAs
            ],
            "Sysctls": {
                "net.ipv4.ip_forward": "0",
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv6.conf.all.disable_ipv6": "1",
            },
            "IpcMode": "private",
            "Init": True,
            "Dns": list(spec.dns),
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
            "RestartPolicy": {"Name": "unless-stopped"},
        },
    }
