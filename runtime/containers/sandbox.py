"""From a sandbox's specification to the container that the engine creates.

Pure, but for the shipped seccomp profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.containers.resolv_conf import ENGINE_OPTIONS, TARGET
from runtime.containers.restrictions import NO_LOG, host_tasks, security_options
from runtime.engine.protocol import ContainerConfig
from runtime.model.limits import Isolation, Limits

SANDBOX_UID = 1000


HOSTNAME = "sandbox"


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What differs between one sandbox and another."""

    image: str
    network: str
    address: str
    dns: str
    """The proxy's address on the sandbox's network: the only resolver."""
    resolv_conf: str
    """The file that names it to the sandbox's programs, on the engine's host."""
    isolation: Isolation
    limits: Limits
    labels: Mapping[str, str]
    has_apparmor: bool = False
    """The engine's host has AppArmor."""


def _read_only_file(source: str, target: str) -> dict[str, Any]:
    """Never one of `Binds`: for these the engine makes a folder where the source is missing."""
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _process_limit(isolation: Isolation, pids: int) -> list[dict[str, Any]]:
    """RLIMIT_NPROC counts a user's processes: under gVisor the sandbox's, elsewhere the whole host's."""
    return [{"Name": "nproc", "Soft": pids, "Hard": pids}] if isolation is Isolation.RUNSC else []


def sandbox_config(spec: SandboxSpec) -> ContainerConfig:
    """A sandbox: nothing writable but sized tmpfs, no capability, no way to gain one, one network."""
    limits = spec.limits
    owner = f"uid={SANDBOX_UID},gid={SANDBOX_UID}"
    size = f"size={limits.tmpfs_bytes}"
    return {
        "Image": spec.image,
        "Hostname": HOSTNAME,
        "User": f"{SANDBOX_UID}:{SANDBOX_UID}",
        "WorkingDir": "/home/user",
        "Labels": dict(spec.labels),
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": False,
        "HostConfig": {
            "NetworkMode": spec.network,
            "Runtime": spec.isolation.value,
            "ReadonlyRootfs": True,
            "Tmpfs": {
                # The agent's code and what it installs run from here, hence exec.
                "/home/user": f"rw,exec,nosuid,nodev,{size},mode=0700,{owner}",
                "/tmp": f"rw,exec,nosuid,nodev,{size},mode=1777",  # noqa: S108 - inside the sandbox
                "/run": f"rw,noexec,nosuid,nodev,size=8m,mode=0755,{owner}",
            },
            "ShmSize": 16 << 20,
            "CapDrop": ["ALL"],
            "SecurityOpt": security_options(spec.isolation, has_apparmor=spec.has_apparmor),
            "Privileged": False,
            "PidsLimit": host_tasks(spec.isolation, limits.pids),
            "Memory": limits.memory_bytes,
            "MemorySwap": limits.memory_bytes,  # equal: no swap
            "NanoCpus": int(limits.cpus * 1e9),
            "Ulimits": [
                {"Name": "nofile", "Soft": limits.nofile, "Hard": limits.nofile},
                {"Name": "core", "Soft": 0, "Hard": 0},
                *_process_limit(spec.isolation, limits.pids),
            ],
            "Sysctls": {
                "net.ipv6.conf.all.disable_ipv6": "1",
                "net.ipv6.conf.default.disable_ipv6": "1",
            },
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "Init": True,
            "Mounts": [_read_only_file(spec.resolv_conf, TARGET)],
            # Whoever asks the engine's own resolver all the same has it ask the proxy, and nobody else.
            "Dns": [spec.dns],
            "DnsOptions": list(ENGINE_OPTIONS),
            "DnsSearch": ["."],
            "LogConfig": NO_LOG,
            "RestartPolicy": {"Name": "no"},
        },
        "NetworkingConfig": {
            "EndpointsConfig": {spec.network: {"IPAMConfig": {"IPv4Address": spec.address}}}
        },
    }
