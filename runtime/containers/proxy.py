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


def proxy_config(spec: ProxySpec) -> ContainerConfig:
    """The proxy: as tight as a sandbox, but for its networks and its control socket."""
    return {
        "Image": spec.image,
        "Hostname": "proxy",
        "User": f"{spec.uid}:{spec.uid}",
        "Env": [f"ORCHBOX_CONTROL_SOCKET={CONTROL_FOLDER}/{CONTROL_SOCKET}"],
        "Labels": dict(spec.labels),
        "HostConfig": {
            "NetworkMode": spec.network,
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16m,mode=1777"},  # noqa: S108 - in the container
            "Binds": [f"{spec.control_dir}:{CONTROL_FOLDER}:rw"],
            "CapDrop": ["ALL"],
            "SecurityOpt": security_options(),
            "PidsLimit": 128,
            "Memory": 1 << 30,
            "MemorySwap": 1 << 30,
            "Ulimits": [
                {"Name": "nofile", "Soft": 16384, "Hard": 16384},
                {"Name": "core", "Soft": 0, "Hard": 0},  # it holds tokens and the CA's key
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
