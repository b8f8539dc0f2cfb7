"""Each restriction of a sandbox, shown from inside a real one, by trying what it forbids."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import platform
from pathlib import Path

import pytest

from runtime.containers.restrictions import host_tasks
from runtime.containers.seccomp import profile
from runtime.model.limits import Isolation
from tests.integration.sandboxes import LIMITS, POOL, Seen, see

pytestmark = pytest.mark.docker

MARKER = "marker-5d3e-secret-value"

# Tries everything and reports it as JSON; the assertions are below, one restriction each.
LOOK_AROUND = r"""
import ctypes, errno, json, os, resource, socket, subprocess, time
from pathlib import Path

def attempt(action):
    try:
        action()
    except OSError as exc:
        return errno.errorcode.get(exc.errno, str(exc.errno))
    return "ok"

def write(folder):
    path = Path(folder, "orchbox-probe")
    path.write_text("x")
    path.unlink()

def execute(folder):
    path = Path(folder, "orchbox-probe")
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o700)
    subprocess.run([path], check=True)

def fill(folder):
    path = Path(folder, "orchbox-fill")
    try:
        with path.open("wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
    finally:
        path.unlink()

def open_many():
    held = []
    try:
        while len(held) < 5000:
            held.append(open("/dev/null"))
    finally:
        report["opened"] = len(held)
        for file in held:
            file.close()

def fork_many():
    children = []
    try:
        while len(children) < 1000:
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            children.append(pid)
    finally:
        report["forked"] = len(children)
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)

def leave_orphans():
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.waitpid(pid, 0)

def zombies():
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found += stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            pass
    return found

def syscall(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)

def connect_ipv6(address):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        sock.connect((address, 80))

def cgroup(*names):
    for name in names:
        for path in (Path("/sys/fs/cgroup", name), *Path("/sys/fs/cgroup").glob("*/" + name)):
            if path.exists():
                return path.read_text().split()
    return None

report = {}
report["status"] = dict(l.split(":\t", 1) for l in Path("/proc/self/status").read_text().splitlines() if ":\t" in l)
report["no_new_privileges"] = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)
report["version"] = Path("/proc/version").read_text()
report["mounts"] = [l.split() for l in Path("/proc/self/mounts").read_text().splitlines()]
report["writes"] = {f: attempt(lambda: write(f)) for f in (
    "/", "/etc", "/usr/bin", "/usr/local/bin", "/opt/orchbox", "/var/tmp", "/var/lib", "/home", "/root", "/dev",
    "/sys/fs/cgroup", "/sys/kernel", "/proc/sys/kernel", "/home/user", "/tmp", "/run")}
report["executes"] = {f: attempt(lambda: execute(f)) for f in ("/home/user", "/tmp", "/run")}
report["fills"] = {f: attempt(lambda: fill(f)) for f in ("/home/user", "/tmp", "/run", "/dev/shm")}
report["open"] = attempt(open_many)
report["fork"] = attempt(fork_many)
leave_orphans()
until = time.monotonic() + 20
while zombies() and time.monotonic() < until:
    time.sleep(0.05)
report["zombies"] = zombies()
report["pid_1"] = Path("/proc/1/cmdline").read_text().split("\0")[0]
report["limits"] = {n: resource.getrlimit(getattr(resource, "RLIMIT_" + n)) for n in ("NOFILE", "CORE")}
report["denied"] = {
    "mount": attempt(lambda: syscall("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "a user namespace": attempt(lambda: syscall("unshare", 0x10000000)),
    "a network namespace": attempt(lambda: syscall("unshare", 0x40000000)),
    "a raw socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "a packet socket": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)),
    "another user": attempt(lambda: os.setuid(0)),
    "another host name": attempt(lambda: socket.sethostname("evil")),
    "the clock": attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, 0)),
    "a device": attempt(lambda: os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(8, 0))),
    "chroot": attempt(lambda: syscall("chroot", b"/tmp")),
    "the kernel's log": attempt(lambda: Path("/dev/kmsg").read_text()),
}
report["ipv6"] = {a: attempt(lambda: connect_ipv6(a)) for a in ("::1", "fe80::1%eth0", "2001:db8::1")}
report["ipv6_addresses"] = Path("/proc/net/if_inet6").read_text() if Path("/proc/net/if_inet6").exists() else ""
report["namespaces"] = {p.name: os.readlink(p) for p in Path("/proc/self/ns").iterdir()}
report["interfaces"] = sorted(name for _, name in socket.if_nameindex())
report["routes"] = [l.split()[1:3] for l in Path("/proc/net/route").read_text().splitlines()[1:]]
report["host_name"] = socket.gethostname()
report["memory"] = cgroup("memory.max", "memory.limit_in_bytes")
report["memory_and_swap"] = cgroup("memory.memsw.limit_in_bytes")
report["swap"] = cgroup("memory.swap.max")
report["cpu"] = cgroup("cpu.max") or [*cgroup("cpu.cfs_quota_us"), *cgroup("cpu.cfs_period_us")]
report["pids"] = cgroup("pids.max")
report["engine_sockets"] = [p for p in ("/var/run/docker.sock", "/run/docker.sock", "/run/orchbox/control") if Path(p).exists()]
report["secret_file"] = [oct(os.stat("/run/secrets/env").st_mode & 0o777), os.stat("/run/secrets/env").st_uid]
report["has_secret"] = os.environ["API_KEY"]
report["setuid_programs"] = subprocess.run(
    ["find", "/", "-xdev", "-perm", "/6000", "-type", "f"], capture_output=True, text=True).stdout.split()
print(json.dumps(report))
"""


GVISOR_LIMITS = dataclasses.replace(LIMITS, memory_bytes=1 << 30)
"""gVisor's kernel is in the sandbox's memory, and so are the pages of every process that it forks."""
LIMITS_OF = {Isolation.RUNC: LIMITS, Isolation.RUNSC: GVISOR_LIMITS}


@pytest.fixture(scope="module", params=list(Isolation))
def isolation(request: pytest.FixtureRequest) -> Isolation:
    """Every restriction holds under each."""
    return request.param


@pytest.fixture(scope="module")
def seen(isolation: Isolation) -> Seen:
    """One sandbox that looks around."""
    limits = LIMITS_OF[isolation]
    return asyncio.run(see(LOOK_AROUND, secrets={"API_KEY": MARKER}, isolation=isolation, limits=limits))


@pytest.fixture(scope="module")
def report(seen: Seen) -> dict:
    """What it saw."""
    assert seen.status.code == 0, seen.stderr
    return seen.report


@pytest.mark.parametrize("kind", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_no_capability(report: dict, isolation: Isolation, kind: str):
    """No capability is held, inheritable, or to be had (gVisor shows no ambient ones)."""
    if isolation is Isolation.RUNSC and kind == "CapAmb":
        assert kind not in report["status"]
        return
    assert int(report["status"][kind], 16) == 0


def test_no_new_privileges_and_a_seccomp_filter(report: dict):
    """Nothing gains privileges by exec, and a filter is in force."""
    assert report["no_new_privileges"] == 1
    assert report["status"]["Seccomp"] == "2"


def test_an_ordinary_user(report: dict):
    """uid and gid 1000, all four of each, and no other group."""
    assert set(report["status"]["Uid"].split()) == {"1000"}
    assert set(report["status"]["Gid"].split()) == {"1000"}
    assert set(report["status"]["Groups"].split()) <= {"1000"}


def test_no_setuid_program(report: dict):
    """The image has nothing that could change the user."""
    assert report["setuid_programs"] == []


WRITABLE = {"/home/user", "/tmp", "/run"}


def test_only_the_tmpfs_are_writable(report: dict):
    """Every other place refuses a write; the root because it is read-only."""
    assert {folder for folder, outcome in report["writes"].items() if outcome == "ok"} == WRITABLE
    assert report["writes"]["/etc"] in {"EROFS", "EACCES"}
    root = next(mount for mount in report["mounts"] if mount[1] == "/")
    assert "ro" in root[3].split(",")


def test_what_is_writable_is_sized_memory(report: dict, isolation: Isolation):
    """The writable places are tmpfs with nosuid and nodev, and they end where they should.

    gVisor does not show those two: no program is setuid there and no device can be made (test_isolation).
    """
    for folder in WRITABLE:
        _, _, kind, options, *_ = next(mount for mount in report["mounts"] if mount[1] == folder)
        assert kind == "tmpfs"
        if isolation is Isolation.RUNC:
            assert {"nosuid", "nodev"} <= set(options.split(","))
    assert set(report["fills"].values()) == {"ENOSPC"}


def test_no_disk_is_mounted_writable(report: dict):
    """An agent cannot fill the host's disk: what is not memory is read-only."""
    memory = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}
    writable = [m[1] for m in report["mounts"] if m[2] not in memory and "ro" not in m[3].split(",")]
    assert writable == []


def test_programs_run_from_home_and_tmp_only(report: dict):
    """The agent's code and what it installs run; nothing runs from /run."""
    assert report["executes"] == {"/home/user": "ok", "/tmp": "ok", "/run": "EACCES"}


def test_memory_without_swap(seen: Seen, report: dict, isolation: Isolation):
    """The cgroup holds the limit, with no swap beside it; gVisor's is around it, and cannot be seen inside."""
    if isolation is Isolation.RUNSC:
        host = seen.record["HostConfig"]
        assert (host["Memory"], host["MemorySwap"]) == (GVISOR_LIMITS.memory_bytes,) * 2
        return
    assert report["memory"] == [str(LIMITS.memory_bytes)]
    if report["memory_and_swap"] is not None:  # cgroup v1
        assert report["memory_and_swap"] == report["memory"]
    else:
        assert report["swap"] == ["0"]


def test_cpu(seen: Seen, report: dict, isolation: Isolation):
    """Half a CPU is half of each period."""
    if isolation is Isolation.RUNSC:
        assert seen.record["HostConfig"]["NanoCpus"] == LIMITS.cpus * 1e9
        return
    quota, period = (int(n) for n in report["cpu"])
    assert quota / period == LIMITS.cpus


def test_pids(seen: Seen, report: dict, isolation: Isolation):
    """A fork bomb ends at the limit, and the sandbox goes on."""
    assert seen.record["HostConfig"]["PidsLimit"] == host_tasks(isolation, LIMITS.pids)
    if isolation is Isolation.RUNC:
        assert report["pids"] == [str(LIMITS.pids)]
    assert report["fork"] == "EAGAIN"
    assert report["forked"] < LIMITS.pids


def test_open_files_and_cores(report: dict):
    """Open files end at the limit, hard and soft; a core is never dumped."""
    assert report["limits"] == {"NOFILE": [LIMITS.nofile, LIMITS.nofile], "CORE": [0, 0]}
    assert report["open"] == "EMFILE"
    assert report["opened"] < LIMITS.nofile


@pytest.mark.parametrize(
    "what",
    [
        "mount",
        "a user namespace",
        "a network namespace",
        "a raw socket",
        "a packet socket",
        "another user",
        "another host name",
        "the clock",
        "a device",
        "chroot",
        "the kernel's log",
    ],
)
def test_denied(report: dict, what: str):
    """What needs a privilege is refused."""
    assert report["denied"][what] in {"EPERM", "EACCES", "ENOENT"}


def test_no_ipv6(report: dict):
    """There is no IPv6 address, not even loopback's, and no way to connect by it."""
    assert report["ipv6_addresses"] == ""
    assert "ok" not in report["ipv6"].values()


@pytest.mark.parametrize("name", ["cgroup", "ipc", "mnt", "net", "pid", "uts"])
def test_own_namespaces(report: dict, isolation: Isolation, name: str):
    """No namespace is shared with the host; gVisor's own have no such number at all."""
    if isolation is Isolation.RUNSC:
        assert report["namespaces"].get(name) != str(Path(f"/proc/self/ns/{name}").readlink())
        return
    assert report["namespaces"][name] != str(Path(f"/proc/self/ns/{name}").readlink())


def test_one_network(report: dict):
    """One interface on the sandbox's own /29; a route beyond it leads at most to the guarded host.

    Engine 20.10 gives an internal network a default route all the same: test_guard shows that it leads nowhere.
    """
    assert report["interfaces"] == ["eth0", "lo"]
    gateways = {
        ipaddress.IPv4Address(int(gateway, 16).to_bytes(4, "little")) for _, gateway in report["routes"]
    }
    gateways.discard(ipaddress.IPv4Address(0))
    assert all(address in POOL and int(address) % 8 == 1 for address in gateways)


def test_an_init_reaps_zombies(report: dict):
    """Orphans of the agent do not stay as zombies: pid 1 is an init."""
    assert "init" in report["pid_1"]
    assert report["zombies"] == 0


def test_the_host_is_not_named(report: dict):
    """The host name is the same in every sandbox."""
    assert report["host_name"] == "sandbox"


def test_no_socket_of_engine_or_proxy_control(report: dict):
    """Neither the engine's socket nor the proxy's control socket is there."""
    assert report["engine_sockets"] == []


def test_secrets_are_inside_and_nowhere_in_the_engines_record(seen: Seen, report: dict):
    """The agent has its secret, in an owner-only file on a tmpfs; `docker inspect` does not."""
    assert report["has_secret"] == MARKER
    assert report["secret_file"] == ["0o400", 1000]
    assert MARKER not in json.dumps(seen.record)


def test_the_engines_record_shows_the_restrictions(seen: Seen, isolation: Isolation):
    """`docker inspect` of the running sandbox shows what was asked for, and that nothing is logged to disk."""
    host = seen.record["HostConfig"]
    assert host["LogConfig"]["Type"] == "none"
    assert host["Privileged"] is False
    assert not host["Binds"]
    [mounted] = seen.record["Mounts"]
    assert (mounted["Type"], mounted["Destination"], mounted["RW"], mounted["Propagation"]) == (
        *("bind", "/etc/resolv.conf", False, "rprivate"),
    )
    assert host["Runtime"] == isolation.value
    filtered = f"seccomp={profile(is_gvisor=isolation is Isolation.RUNSC)}"
    assert host["SecurityOpt"][:2] == ["no-new-privileges:true", filtered]


def test_the_kernel_is_the_one_that_was_asked_for(report: dict, isolation: Isolation):
    """Under runsc the agent talks to gVisor, which calls itself Linux 4.4.0; otherwise to the host's kernel."""
    release = platform.release() if isolation is Isolation.RUNC else "4.4.0"
    assert report["version"].startswith(f"Linux version {release} ")


def test_memory_that_is_used_up_ends_the_agent_only(isolation: Isolation):
    """An agent over its memory is killed, and the engine says why."""
    code = "x = bytearray(512 << 20); print('still here')"
    limits = dataclasses.replace(LIMITS, memory_bytes=128 << 20)
    seen = asyncio.run(see(code, limits=limits, isolation=isolation))
    assert seen.status.code == 137
    assert seen.status.is_oom_killed
    assert seen.stdout == ""


def test_files_in_memory_count_as_memory(isolation: Isolation):
    """What an agent writes to its tmpfs and shared memory is its own memory, not the host's."""
    code = (
        "import os\n"
        "for n in range(64):\n"
        "    fd = os.memfd_create(str(n)); os.write(fd, bytes(8 << 20))\n"
        "print('still here')\n"
    )
    limits = dataclasses.replace(LIMITS, memory_bytes=128 << 20)
    seen = asyncio.run(see(code, limits=limits, isolation=isolation))
    assert (seen.status.is_oom_killed, seen.stdout) == (True, "")
