"""From a sandbox's specification to the container that the engine creates. Pure, but for the shipped profile.

Every restriction stands here once; the system calls are in `seccomp.json`. Source of the field names:
Docker Engine API 1.41, `POST /containers/create`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.containers.seccomp import profile
from runtime.engine.protocol import ContainerConfig
from runtime.model.run import Isolation, Limits

SANDBOX_UID = 1000
HOSTNAME = "sandbox"
HELPER_MEMORY_BYTES = 256 << 20
HELPER_PIDS = 64
GVISOR_TASKS, GVISOR_TASKS_PER_PROCESS = 64, 3
_NO_LOG = {"Type": "none", "Config": {}}
"""The engine writes nothing of an agent's output to the host's disk."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What differs between one sandbox and another."""

    image: str
    network: str
    address: str
    dns: str
    """The proxy's address on the sandbox's network: the only resolver."""
    isolation: Isolation
    limits: Limits
    labels: Mapping[str, str]
    has_apparmor: bool = False
    """The engine's host has AppArmor."""


def security_options(isolation: Isolation = Isolation.RUNC, *, has_apparmor: bool = False) -> list[str]:
    """What every container of ours starts with. Raises NotReadyError where the seccomp profile is unusable.

    The engine applies `docker-default` by itself where AppArmor is there; named, it is never silently off.
    """
    filtered = f"seccomp={profile(is_gvisor=isolation is Isolation.RUNSC)}"
    return ["no-new-privileges:true", filtered, *(["apparmor=docker-default"] if has_apparmor else [])]


def host_tasks(isolation: Isolation, pids: int) -> int:
    """The cgroup's limit of tasks for a sandbox that may have `pids` processes and threads.

    gVisor needs tasks of the host's for itself (33 at start, 2.1 for each process inside; 20240729), and one
    that gets none ends with all that is in it: its limit is a stop behind the one that it enforces itself.
    """
    return pids if isolation is Isolation.RUNC else GVISOR_TASKS + GVISOR_TASKS_PER_PROCESS * pids


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
            "Dns": [spec.dns],
            "DnsOptions": ["ndots:0", "timeout:2", "attempts:1"],
            "DnsSearch": ["."],
            "LogConfig": _NO_LOG,
            "RestartPolicy": {"Name": "no"},
        },
        "NetworkingConfig": {
            "EndpointsConfig": {spec.network: {"IPAMConfig": {"IPv4Address": spec.address}}}
        },
    }


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """The egress proxy's container."""

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
        "Env": ["ORCHBOX_CONTROL_SOCKET=/run/orchbox/control/proxy.sock"],
        "Labels": dict(spec.labels),
        "HostConfig": {
            "NetworkMode": spec.network,
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16m,mode=1777"},  # noqa: S108 - in the container
            "Binds": [f"{spec.control_dir}:/run/orchbox/control:rw"],
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


def helper_config(
    image: str,
    argv: list[str],
    *,
    labels: Mapping[str, str],
    network: str,
    address: str | None = None,
    needs_net_admin: bool = False,
    ipv6: bool = False,
) -> ContainerConfig:
    """A one-shot container of ours: `network` is `host`, `none` or a network's name.

    `ipv6` switches IPv6 on where the network has none, which no sandbox can: for the guard's proof.
    """
    endpoint = {"IPAMConfig": {"IPv4Address": address}} if address else {}
    return {
        "Image": image,
        "Entrypoint": argv[:1],
        "Cmd": argv[1:],
        # A capability counts for root only; what needs none runs as nobody.
        "User": "0:0" if needs_net_admin else "65534:65534",
        "Labels": dict(labels),
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "HostConfig": {
            "NetworkMode": network,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN"] if needs_net_admin else [],
            "SecurityOpt": security_options(),
            "PidsLimit": HELPER_PIDS,
            "Memory": HELPER_MEMORY_BYTES,
            "MemorySwap": HELPER_MEMORY_BYTES,
            "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"} if ipv6 else {},
            "IpcMode": "private",
            "LogConfig": _NO_LOG,
        },
        "NetworkingConfig": {"EndpointsConfig": {network: endpoint} if address else {}},
    }


def under(isolation: Isolation, helper: ContainerConfig) -> ContainerConfig:
    """A helper's configuration under a runtime of its own, for trying that runtime."""
    host = {
        "Runtime": isolation.value,
        "SecurityOpt": security_options(isolation),
        "PidsLimit": host_tasks(isolation, HELPER_PIDS),
    }
    return {**helper, "HostConfig": {**helper["HostConfig"], **host}}
