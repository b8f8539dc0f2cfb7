"""runtime.containers.sandbox: nothing that a sandbox could use to leave is in its container's configuration."""

from __future__ import annotations

import pytest

from runtime.containers.sandbox import SandboxSpec, sandbox_config
from runtime.containers.seccomp import profile
from runtime.model.limits import Isolation, Limits

LIMITS = Limits(memory_bytes=512 << 20, cpus=1.5, pids=99, nofile=1000, tmpfs_bytes=64 << 20)


def sandbox(isolation: Isolation = Isolation.RUNC, *, has_apparmor: bool = False) -> dict:
    """A sandbox's configuration."""
    spec = SandboxSpec(
        image="orchbox/agent-python:local",
        network="orchbox-default-1",
        address="10.231.0.3",
        dns="10.231.0.2",
        resolv_conf="/run/orchbox/resolv/10.231.0.2.conf",
        isolation=isolation,
        limits=LIMITS,
        labels={"io.orchbox.role": "sandbox"},
        has_apparmor=has_apparmor,
    )
    return sandbox_config(spec)


HOST_ITEMS = {
    "the root is read-only": ("ReadonlyRootfs", True),
    "no capability is left": ("CapDrop", ["ALL"]),
    "nothing gains privileges, and the system calls are ours to choose": (
        "SecurityOpt",
        ["no-new-privileges:true", f"seccomp={profile()}"],
    ),
    "it is not privileged": ("Privileged", False),
    "processes are limited": ("PidsLimit", 99),
    "memory is limited": ("Memory", 512 << 20),
    "there is no swap beside the memory": ("MemorySwap", 512 << 20),
    "the CPU is limited": ("NanoCpus", 1_500_000_000),
    "it has an IPC namespace of its own": ("IpcMode", "private"),
    "it has a cgroup namespace of its own": ("CgroupnsMode", "private"),
    "an init reaps its zombies": ("Init", True),
    "the engine logs nothing of it to disk": ("LogConfig", {"Type": "none", "Config": {}}),
    "its only resolver is the proxy": ("Dns", ["10.231.0.2"]),
    "the engine starts none for it": ("DnsOptions", ["ndots:none", "timeout:2", "attempts:1"]),
    "it is on its own network only": ("NetworkMode", "orchbox-default-1"),
    "it never restarts": ("RestartPolicy", {"Name": "no"}),
}


@pytest.mark.parametrize("item", HOST_ITEMS)
def test_sandbox_host_config(item: str):
    """Each restriction stands in the sandbox's configuration."""
    name, value = HOST_ITEMS[item]
    assert sandbox()["HostConfig"][name] == value


def test_sandbox_is_an_ordinary_user_with_a_fixed_name():
    """uid 1000, and a host name that tells nothing of the host."""
    assert (sandbox()["User"], sandbox()["Hostname"]) == ("1000:1000", "sandbox")


def test_sandbox_has_no_ipv6():
    """IPv6 is switched off for all interfaces there are and will be."""
    assert sandbox()["HostConfig"]["Sysctls"] == {
        "net.ipv6.conf.all.disable_ipv6": "1",
        "net.ipv6.conf.default.disable_ipv6": "1",
    }


def test_sandbox_ulimits():
    """Open files are limited and cores are never dumped, the hard limits too."""
    assert sandbox()["HostConfig"]["Ulimits"] == [
        {"Name": "nofile", "Soft": 1000, "Hard": 1000},
        {"Name": "core", "Soft": 0, "Hard": 0},
    ]


@pytest.mark.parametrize("path", ["/home/user", "/tmp", "/run"])
def test_sandbox_tmpfs_is_sized_nosuid_nodev(path: str):
    """What is writable is memory, bounded, without setuid programs or devices."""
    options = set(sandbox()["HostConfig"]["Tmpfs"][path].split(","))
    assert {"nosuid", "nodev"} <= options
    assert any(option.startswith("size=") for option in options)
    assert ("noexec" in options) == (path == "/run")


def test_sandbox_mounts_one_file_of_the_host():
    """The file that names its resolver, read-only, in no mount of the host's; never one of `Binds`."""
    assert sandbox()["HostConfig"]["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/run/orchbox/resolv/10.231.0.2.conf",
            "Target": "/etc/resolv.conf",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate"},
        }
    ]


def test_sandbox_has_nothing_else_of_the_host():
    """No folder, no volume, no device, no port, no environment, no entry point but the image's."""
    config = sandbox()
    host = config["HostConfig"]
    for name in (
        "Binds",
        "Devices",
        "PortBindings",
        "VolumesFrom",
        "CapAdd",
        "ExtraHosts",
        "Links",
    ):
        assert not host.get(name), name
    assert not config.get("Env")
    assert not config.get("Entrypoint")


def test_sandbox_runtime_is_the_chosen_one():
    """gVisor is asked for by its name, so that an engine without it refuses."""
    assert [sandbox(i)["HostConfig"]["Runtime"] for i in Isolation] == ["runc", "runsc"]


def test_gvisor_counts_processes_itself_with_room_for_its_own_behind():
    """RLIMIT_NPROC is the agent's limit under gVisor only: elsewhere it would count the host's processes."""
    limits = {i: {u["Name"]: u["Hard"] for u in sandbox(i)["HostConfig"]["Ulimits"]} for i in Isolation}
    assert limits[Isolation.RUNSC]["nproc"] == 99
    assert "nproc" not in limits[Isolation.RUNC]
    assert [sandbox(i)["HostConfig"]["PidsLimit"] for i in Isolation] == [99, 64 + 3 * 99]


def test_gvisor_has_its_form_of_the_profile():
    """The filter is there under either runtime, in the words that each understands."""
    for isolation in Isolation:
        filtered = f"seccomp={profile(is_gvisor=isolation is Isolation.RUNSC)}"
        assert filtered in sandbox(isolation)["HostConfig"]["SecurityOpt"]
    assert profile() != profile(is_gvisor=True)


def test_apparmor_is_named_where_the_host_has_it():
    """A host with AppArmor confines a sandbox by name; elsewhere naming it would keep it from starting."""
    assert "apparmor=docker-default" in sandbox(has_apparmor=True)["HostConfig"]["SecurityOpt"]
    assert not any("apparmor" in option for option in sandbox()["HostConfig"]["SecurityOpt"])


def test_sandbox_address_is_fixed():
    """The address is the grant's, not one of the engine's choice."""
    ends = sandbox()["NetworkingConfig"]["EndpointsConfig"]
    assert ends == {"orchbox-default-1": {"IPAMConfig": {"IPv4Address": "10.231.0.3"}}}
