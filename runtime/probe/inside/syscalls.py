"""What a sandbox may ask of its kernel: one attempt each. Runs inside the sandbox, standard library only.

`ATTEMPTS[name]()` gives (is_blocked, detail). Each runs in a child of its own, since one that succeeds may
change its process; make them one after the other. A call is blocked when it is refused for what it is: an
answer about its arguments (EFAULT, EINVAL, EBADF) means that it got through to the kernel, and is reported
as possible even though it did nothing.

Under gVisor the same holds by other errors: a socket family or a call that its kernel has not is
EAFNOSUPPORT or ENOSYS, and files of a real kernel (kcore, sysrq, most of /proc/sys and /sys) are not there.
What answers without an effect on anything counts as blocked (`/proc/1/root` that is the sandbox's own root,
a masked file that is empty, an option that is taken and not set).

    python3 -m inside.syscalls [NAME...]     the attempts as one JSON object; exit status 1 if any succeeded
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

Result = tuple[bool, str]
Attempt = Callable[[], Result]

CHILD_TIMEOUT_S = 10
REFUSALS = frozenset(
    {
        *(errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS),
        *(errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EOPNOTSUPP),
        *(errno.ENOPROTOOPT, errno.ECONNREFUSED, errno.EADDRNOTAVAIL),
    }
)
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})
"""Refusals too where the attempt is on a file or a device; to a system call they are answers."""
IS_X86 = platform.machine() == "x86_64"
NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET, NEW_TIME = 0x10000000, 0x20000000, 0x40000000, 0x00000080
AT_FDCWD, BAD = -100, 1
"""BAD: a pointer to nothing."""
NO_TIME = struct.pack("=qq", 0, -1)
"""Invalid, so that even a call with every right leaves the clock alone."""
HOST_NAME = os.uname().nodename.encode()

# name -> number on x86_64, number on aarch64, arguments
CALLS: dict[str, tuple[int, int, tuple[int | bytes, ...]]] = {
    "acct": (163, 89, (0,)),
    "add_key": (248, 217, (BAD, BAD, 0, 0, -3)),
    "adjtimex": (159, 171, (BAD,)),
    "bpf": (321, 280, (0, BAD, 0)),
    "chroot": (161, 51, (b"/tmp",)),
    "clock_settime": (227, 112, (0, NO_TIME)),
    "delete_module": (176, 106, (BAD, 0)),
    "fanotify_init": (300, 262, (0, 0)),
    "finit_module": (313, 273, (-1, BAD, 0)),
    "fsconfig": (431, 431, (-1, 0, 0, 0, 0)),
    "fsmount": (432, 432, (-1, 0, 0)),
    "fsopen": (430, 430, (b"tmpfs", 0)),
    "fspick": (433, 433, (AT_FDCWD, b"/", 0)),
    "init_module": (175, 105, (BAD, 0, BAD)),
    "io_setup": (206, 0, (0, BAD)),
    "io_uring_enter": (426, 426, (-1, 0, 0, 0, 0, 0)),
    "io_uring_register": (427, 427, (-1, 0, 0, 0)),
    "io_uring_setup": (425, 425, (1, BAD)),
    "kcmp": (312, 272, (1, 1, 0, 0, 0)),
    "kexec_file_load": (320, 294, (-1, -1, 0, 0, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "keyctl": (250, 219, (0, -3, 0, 0, 0)),
    "memfd_secret": (447, 447, (0,)),
    "mount_setattr": (442, 442, (AT_FDCWD, b"/tmp", 0, BAD, 32)),
    "move_mount": (429, 429, (-1, b"", AT_FDCWD, b"/tmp", 0)),
    "msgget": (68, 186, (0, 0o1600)),
    "name_to_handle_at": (303, 264, (AT_FDCWD, b"/", BAD, BAD, 0)),
    "open_by_handle_at": (304, 265, (AT_FDCWD, BAD, 0)),
    "open_tree": (428, 428, (AT_FDCWD, b"/", 1)),
    "perf_event_open": (298, 241, (BAD, 0, -1, -1, 0)),
    "personality_no_randomize": (135, 92, (0x0040000,)),
    "pidfd_getfd": (438, 438, (-1, -1, 0)),
    "pivot_root": (155, 41, (b"/", b"/")),
    "process_madvise": (440, 440, (-1, 0, 0, 0, 0)),
    "process_vm_readv": (310, 270, (1, 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (1, 0, 0, 0, 0, 0)),
    "ptrace_pid_1": (101, 117, (0x4206, 1, 0, 0)),
    "ptrace_traceme": (101, 117, (0, 0, 0, 0)),
    "quotactl": (179, 60, (0, 0, 0, 0)),
    "reboot": (169, 142, (0, 0, 0, 0)),
    "request_key": (249, 218, (BAD, BAD, 0, -3)),
    "setdomainname": (171, 162, (b"(none)", 6)),
    "sethostname": (170, 161, (HOST_NAME, len(HOST_NAME))),
    "settimeofday": (164, 170, (NO_TIME, 0)),
    "swapon": (167, 224, (b"/etc/passwd", 0)),
    "syslog": (103, 116, (10, 0, 0)),
    "umount": (166, 39, (b"/mnt", 0)),
    "unshare_cgroup": (272, 97, (NEW_CGROUP,)),
    "unshare_ipc": (272, 97, (NEW_IPC,)),
    "unshare_mount": (272, 97, (NEW_NS,)),
    "unshare_net": (272, 97, (NEW_NET,)),
    "unshare_pid": (272, 97, (NEW_PID,)),
    "unshare_time": (272, 97, (NEW_TIME,)),
    "unshare_user": (272, 97, (NEW_USER,)),
    "unshare_user_and_net": (272, 97, (NEW_USER | NEW_NET,)),
    "unshare_uts": (272, 97, (NEW_UTS,)),
    "userfaultfd": (323, 282, (1,)),
    "vmsplice": (278, 75, (-1, 0, 0, 0)),
}

# name -> family, type, protocol
SOCKETS: dict[str, tuple[int, int, int]] = {
    "alg": (38, 5, 0),
    "bluetooth": (31, 3, 1),
    "can": (29, 3, 1),
    "dccp": (2, 6, 33),
    "icmp_ping": (2, 2, 1),
    "icmp_raw": (2, 3, 1),
    "icmpv6_ping": (10, 2, 58),
    "ip_raw": (2, 3, 255),
    "ipv6_raw": (10, 3, 255),
    "kcm": (41, 2, 0),
    "key": (15, 3, 2),
    "mptcp": (2, 1, 262),
    "netlink_audit": (16, 3, 9),
    "netlink_generic": (16, 3, 16),
    "netlink_netfilter": (16, 3, 12),
    "netlink_sock_diag": (16, 3, 4),
    "netlink_uevent": (16, 3, 15),
    "netlink_xfrm": (16, 3, 6),
    "nfc": (39, 5, 0),
    "packet": (17, 3, 0x0300),
    "packet_datagram": (17, 2, 0x0300),
    "qipcrtr": (42, 2, 0),
    "rds": (21, 5, 0),
    "sctp": (2, 1, 132),
    "smc": (43, 1, 0),
    "tipc": (30, 4, 0),
    "udplite": (2, 2, 136),
    "vsock": (40, 1, 0),
    "xdp": (44, 3, 0),
}

# name -> level, option: on a TCP socket, set to 1
OPTIONS: dict[str, tuple[int, int]] = {
    "ip_transparent": (socket.SOL_IP, 19),
    "ipv6_transparent": (socket.IPPROTO_IPV6, 75),
    "so_mark": (socket.SOL_SOCKET, 36),
    "tcp_repair": (socket.IPPROTO_TCP, 19),
}

UNREADABLE = {
    "kcore": "/proc/kcore",
    "kernel_keys": "/proc/keys",
    "kernel_log": "/dev/kmsg",
    "dev_mem": "/dev/mem",
    "dev_kmem": "/dev/kmem",
    "dev_port": "/dev/port",
    "dev_kvm": "/dev/kvm",
    "dev_fuse": "/dev/fuse",
    "dev_net_tun": "/dev/net/tun",
    "dev_loop_control": "/dev/loop-control",
    "dev_vhost_vsock": "/dev/vhost-vsock",
    "dev_vsock": "/dev/vsock",
    "timer_list": "/proc/timer_list",
}
UNWRITABLE = {
    "root": "/",
    "etc": "/etc",
    "usr_bin": "/usr/bin",
    "dev": "/dev",
    "sysrq_trigger": "/proc/sysrq-trigger",
    "core_pattern": "/proc/sys/kernel/core_pattern",
    "modprobe": "/proc/sys/kernel/modprobe",
    "ip_forward": "/proc/sys/net/ipv4/ip_forward",
    "disable_ipv6": "/proc/sys/net/ipv6/conf/all/disable_ipv6",
    "ping_group_range": "/proc/sys/net/ipv4/ping_group_range",
    "binfmt_misc": "/proc/sys/fs/binfmt_misc/register",
    "uevent_helper": "/sys/kernel/uevent_helper",
    "power_state": "/sys/power/state",
    "acpi": "/proc/acpi",
}
ENGINE_SOCKETS = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/docker.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/orchbox/api.sock",
    "/run/orchbox/control/proxy.sock",
    "/run/podman/podman.sock",
    "/var/run/docker.sock",
)
HOST_WORDS = ("containerd", "docker", "dbus", "systemd", "X11-unix")


def in_child(attempt: Attempt) -> Result:
    """Make an attempt in a process of its own; one that the kernel kills for it is blocked."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(CHILD_TIMEOUT_S)
            os.write(writer, json.dumps(_refused(attempt)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if said:
        is_blocked, detail = json.loads(said)
        return bool(is_blocked), str(detail)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return number == signal.SIGSYS, f"ended by signal {number}"


def _refused(attempt: Attempt) -> Result:
    """An attempt that raises a refusal is blocked; one that raises anything else got through."""
    try:
        return attempt()
    except OSError as exc:
        name = errno.errorcode.get(exc.errno or 0, str(exc.errno))
        is_blocked = exc.errno in REFUSALS
        return is_blocked, name if is_blocked else f"{name}: it got through"
    except Exception as exc:  # noqa: BLE001 - a defect of ours is never a pass
        return False, f"the attempt failed: {type(exc).__name__}: {exc}"


def _raw(number: int, *arguments: int | bytes) -> int:
    """One system call by number. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    typed = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *typed))
    if result == -1:
        raise OSError(ctypes.get_errno(), "syscall")
    return result


def _call(name: str) -> Result:
    x86, arm, arguments = CALLS[name]
    return False, f"returned {_raw(x86 if IS_X86 else arm, *arguments)}"


def _clone(flags: int) -> Result:
    """A child in new namespaces; the order of the other arguments differs, but all are 0."""
    pid = _raw(56 if IS_X86 else 220, flags | signal.SIGCHLD, 0, 0, 0, 0)
    return _cloned(pid)


def _clone3() -> Result:
    arguments = struct.pack("=8Q", NEW_USER | NEW_NET, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    return _cloned(_raw(435, arguments, len(arguments)))


def _cloned(pid: int) -> Result:
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return False, "a process in namespaces of its own"


def _mount() -> Result:
    _raw(165 if IS_X86 else 40, b"none", b"/mnt", b"tmpfs", 0, 0)
    _raw(166 if IS_X86 else 39, b"/mnt", 0)
    return False, "mounted a tmpfs"


def _setns() -> Result:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    return False, f"returned {_raw(308 if IS_X86 else 268, fd, 0)}"


def _machine_code(code: bytes) -> Result:
    """Run a few instructions; being killed for them is the refusal."""
    if not IS_X86:
        return True, "this architecture has no such call"
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    result = int(function())
    return result < 0, f"returned {result}"


def _i386() -> Result:
    """The call getpid by int 0x80: mov eax, 20; int 0x80; ret (a kernel without 32-bit calls: SIGSEGV)."""
    is_blocked, detail = in_child(partial(_machine_code, b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"))
    return is_blocked or detail == f"ended by signal {int(signal.SIGSEGV)}", detail


def _x32() -> Result:
    """The call getpid by the x32 number: mov eax, 0x40000027; syscall; ret."""
    return _machine_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3")


def _socket(name: str) -> Result:
    family, kind, protocol = SOCKETS[name]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.socket(family, kind, protocol) == -1:
        raise OSError(ctypes.get_errno(), "socket")
    return False, f"opened family {family}, type {kind}, protocol {protocol}"


def _option(name: str) -> Result:
    level, option = OPTIONS[name]
    family = socket.AF_INET6 if level == socket.IPPROTO_IPV6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        before = sock.getsockopt(level, option)
        sock.setsockopt(level, option, 1)
        after = sock.getsockopt(level, option)
    return before == after, f"was {before}, is {after}"


def _bind_to_device() -> Result:
    """The host's own bridge; the sandbox's only interface is another matter."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"docker0\0")
    return False, "bound to docker0"


def _foreign_source() -> Result:
    """A datagram from an address that is not the sandbox's (IP_FREEBIND needs no right to bind one)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_IP, 15, 1)
        try:
            sock.bind(("192.0.2.9", 0))
            sock.sendto(b"x", ("127.0.0.1", 9))
        except OSError as exc:
            return True, errno.errorcode.get(exc.errno or 0, "refused")
    return False, "sent from 192.0.2.9"


def _netlink(kind: int, body: bytes) -> Result:
    """One rtnetlink request with an acknowledgement (NLM_F_REQUEST|ACK|CREATE)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(5)
        sock.sendto(struct.pack("=IHHII", 16 + len(body), kind, 0x405, 1, 0) + body, (0, 0))
        answer = sock.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] != 2:  # NLMSG_ERROR
        return False, "answered without an error"
    error = -struct.unpack_from("=i", answer, 16)[0]
    if error:
        raise OSError(error, "netlink")
    return False, "accepted"


def _add_address() -> Result:
    """RTM_NEWADDR: 192.0.2.1/32 on loopback."""
    address = socket.inet_aton("192.0.2.1")
    attribute = struct.pack("=HH4s", 8, 2, address)
    return _netlink(20, struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, 1) + attribute)


def _add_route() -> Result:
    """RTM_NEWROUTE: 198.51.100.0/24 by loopback."""
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 24, 0, 0, 254, 3, 253, 1, 0)
    target = struct.pack("=HH4s", 8, 1, socket.inet_aton("198.51.100.0"))
    return _netlink(24, route + target + struct.pack("=HHi", 8, 4, 1))


def _interface_flags() -> Result:
    """SIOCSIFFLAGS: loopback up, which it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        libc = ctypes.CDLL(None, use_errno=True)
        request = ctypes.create_string_buffer(struct.pack("16sH14x8x", b"lo", 0x49))
        if libc.ioctl(sock.fileno(), 0x8914, request) == -1:
            number = ctypes.get_errno()
            if number == errno.ENOTTY:
                return True, "gVisor has no such request"
            raise OSError(number, "ioctl")
    return False, "loopback was set up"


def _or_absent(attempt: Attempt) -> Result:
    """An attempt on a file or a device, which may not be there."""
    try:
        return attempt()
    except OSError as exc:
        if exc.errno in ABSENT:
            return True, errno.errorcode[exc.errno]
        raise


def _read(path: str) -> Result:
    with Path(path).open("rb", buffering=0) as file:
        return (True, "empty") if not file.read(64) else (False, f"{path} can be read")


def _write(path: str) -> Result:
    """Open for writing, without a byte written, or make a file in a folder."""
    target = Path(path)
    if target.is_dir():
        target /= f"probe-{os.getpid()}"
    is_new = not target.exists()
    fd = os.open(target, os.O_WRONLY | (os.O_CREAT if is_new and target.parent == Path(path) else 0), 0o600)
    os.close(fd)
    if is_new:
        target.unlink()
    return False, f"{path} can be written"


def _cgroup() -> Result:
    """A cgroup of one's own, or the limits of the one that the sandbox is in."""
    top = Path("/sys/fs/cgroup")
    for folder in [top, *top.glob("*")]:
        if folder.is_dir():
            with contextlib.suppress(OSError):
                (folder / "probe").mkdir()
                return False, f"made {folder}/probe"
        for name in ("release_agent", "cgroup.procs", "memory.limit_in_bytes", "memory.max", "pids.max"):
            if os.access(folder / name, os.W_OK):
                return False, f"{folder / name} can be written"
    return True, "nothing there can be written"


def _root_of_pid_1() -> Result:
    theirs, ours = Path("/proc/1/root").stat(), Path("/").stat()
    is_own = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
    return is_own, "the sandbox's own root" if is_own else "another root"


def _environment_of_pid_1() -> Result:
    """The sandbox's first process is the agent's own user's, so it must hold nothing that is secret."""
    said = Path("/proc/1/environ").read_bytes()
    found = [word for word in (b"_API_KEY=", b"TOKEN=", b"PROXY=") if word in said.upper()]
    return not found, f"{found} is there" if found else "nothing secret in it"


def _status(names: tuple[str, ...]) -> dict[str, str]:
    lines = (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in lines if name in names}


def _capabilities() -> Result:
    """All sets that the kernel shows are empty (gVisor shows four), and the effective one is shown."""
    sets = _status(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    held = {name: value for name, value in sets.items() if int(value, 16)}
    return "CapEff" in sets and "CapBnd" in sets and not held, f"{held or sets}"


def _new_privileges() -> Result:
    """PR_GET_NO_NEW_PRIVS: a setuid program would gain nothing; and there is none."""
    libc = ctypes.CDLL(None)
    found = [
        str(path)
        for folder in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local/bin", "/opt")
        for path in Path(folder).rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    ]
    is_set = libc.prctl(39, 0, 0, 0, 0) == 1
    return is_set and not found, f"no_new_privs is {is_set}, setuid programs: {found or 'none'}"


def _give_to_root() -> Result:
    """A file of one's own for root, the first half of a setuid program."""
    path = Path(f"/tmp/own-{os.getpid()}")  # noqa: S108 - the sandbox's tmpfs
    path.write_bytes(b"")
    try:
        os.chown(path, 0, 0)
    finally:
        path.unlink()
    return False, "gave a file to root"


def _device_node() -> Result:
    path = f"/tmp/disk-{os.getpid()}"  # noqa: S108 - the sandbox's tmpfs
    os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(8, 0))
    Path(path).unlink()
    return False, "made a block device"


def _become_root() -> Result:
    os.setuid(0)
    return False, "uid 0"


def _join_group() -> Result:
    os.setgroups([0])
    return False, "joined group 0"


def _core_dumps() -> Result:
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    if limits != (0, 0):
        return False, f"cores up to {limits}"
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
    except (ValueError, OSError):
        return True, "none, and the limit stays"
    return False, "the limit was raised"


def _more_files() -> Result:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
    except (ValueError, OSError):
        return True, f"stays at {hard}"
    return False, "the limit was raised"


def _oom_score() -> Result:
    """To be spared by the host's OOM killer; under gVisor the number is gVisor's alone."""
    if "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016" in Path("/proc/version").read_text():
        return True, "gVisor's own number"
    path = Path("/proc/self/oom_score_adj")
    before = int(path.read_text())
    path.write_text(str(before - 1))
    after = int(path.read_text())
    return after >= before, f"was {before}, is {after}"


def _realtime() -> Result:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            return True, "gVisor has no such policy"
        raise
    return os.sched_getscheduler(0) == os.SCHED_OTHER, "real-time scheduling"


def _engine_sockets() -> Result:
    found = [path for path in ENGINE_SOCKETS if Path(path).exists()]
    return not found, f"{found[0]} exists" if found else f"none of {len(ENGINE_SOCKETS)}"


def _abstract_sockets() -> Result:
    """Names without a file belong to a network namespace: none of the host's is listed or answers."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    names = {line.split()[-1] for line in lines if len(line.split()) > 7}  # with a path
    foreign = sorted(name for name in names if any(word in name for word in HOST_WORDS))
    for name in (*foreign, "/tmp/.X11-unix/X0", "/run/containerd/containerd.sock"):  # noqa: S108
        with socket.socket(socket.AF_UNIX) as sock:
            if sock.connect_ex(b"\0" + name.lstrip("@").encode()) == 0:
                return False, f"connected to @{name}"
    return not foreign, f"{foreign[0]} is listed" if foreign else "none of the host's"


def _table() -> dict[str, Attempt]:
    table: dict[str, Attempt] = {name: partial(_call, name) for name in CALLS}
    table |= {f"socket_{name}": partial(_socket, name) for name in SOCKETS}
    table |= {f"option_{name}": partial(_option, name) for name in OPTIONS}
    table |= {f"read_{name}": partial(_or_absent, partial(_read, path)) for name, path in UNREADABLE.items()}
    table |= {
        f"write_{name}": partial(_or_absent, partial(_write, path)) for name, path in UNWRITABLE.items()
    }
    named = ("user", NEW_USER), ("net", NEW_NET), ("mount", NEW_NS), ("pid", NEW_PID)
    table |= {f"clone_{name}": partial(_clone, flag) for name, flag in named}
    return table | {
        "abstract_sockets": _abstract_sockets,
        "become_root": _become_root,
        "bind_to_host_device": partial(_or_absent, _bind_to_device),
        "capabilities": _capabilities,
        "cgroup_writable": _cgroup,
        "chown_to_root": _give_to_root,
        "clone3_user_and_net": _clone3,
        "core_dumps": _core_dumps,
        "device_node": _device_node,
        "engine_sockets": _engine_sockets,
        "environment_of_pid_1": _environment_of_pid_1,
        "foreign_source_address": _foreign_source,
        "i386_call": _i386,
        "interface_flags": _interface_flags,
        "join_group_root": _join_group,
        "mount": _mount,
        "netlink_add_address": _add_address,
        "netlink_add_route": _add_route,
        "new_privileges": _new_privileges,
        "oom_score": _oom_score,
        "raise_open_files": _more_files,
        "realtime_scheduling": _realtime,
        "root_of_pid_1": _root_of_pid_1,
        "setns": _setns,
        "x32_call": _x32,
    }


ATTEMPTS: dict[str, Attempt] = {name: partial(in_child, attempt) for name, attempt in _table().items()}
"""Name -> the attempt, which never raises for a refusal."""


def main(names: list[str]) -> int:
    """Make the named attempts, or all."""
    seen = {name: ATTEMPTS[name]() for name in names or ATTEMPTS}
    print(json.dumps(seen))  # noqa: T201 - the report
    return 0 if all(is_blocked for is_blocked, _ in seen.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
