"""What a sandbox may ask of its kernel: every attempt of `runtime/probe/inside/syscalls.py`, from a real one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import uuid
from functools import cache
from pathlib import Path

import pytest

from runtime.containers.restrictions import host_tasks
from runtime.model.limits import Isolation
from runtime.probe.inside import syscalls
from runtime.probe.inside.syscalls import ATTEMPTS
from tests.integration.sandboxes import LIMITS, Seen, see

pytestmark = pytest.mark.docker

PROGRAM = Path(syscalls.__file__).read_text()
ORDINARY = r"""
import asyncio, concurrent.futures, fcntl, json, multiprocessing, os, pty, select, shutil, signal, socket
import socketserver, sqlite3, ssl, subprocess, sys, tempfile, threading, time
from pathlib import Path

def threads():
    seen = []
    workers = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]
    [w.start() for w in workers]; [w.join() for w in workers]
    return len(seen)

def square(n):
    return n * n

def processes():
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(square, range(4)))

def shared_memory():
    from multiprocessing import shared_memory as sm
    block = sm.SharedMemory(create=True, size=4096); block.buf[0] = 7
    value = block.buf[0]; block.close(); block.unlink()
    return value

async def tcp():
    async def answer(reader, writer):
        writer.write(await reader.readexactly(4)); await writer.drain(); writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"ping"); said = await reader.readexactly(4); writer.close(); server.close()
    return said.decode()

async def child():
    process = await asyncio.create_subprocess_exec("sh", "-c", "echo out; exit 3", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return [out.decode().strip(), process.returncode]

def udp():
    a, b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    b.bind(("127.0.0.1", 0)); b.settimeout(20)
    a.sendto(b"x", b.getsockname()); said = b.recv(4)
    return said.decode()

def unix():
    a, b = socket.socketpair(); a.send(b"y")
    return b.recv(4).decode()

def files():
    folder = tempfile.mkdtemp(); path = Path(folder, "a"); path.write_text("x"); path.chmod(0o600)
    shutil.copy2(path, Path(folder, "b")); os.link(path, Path(folder, "c")); os.symlink("a", Path(folder, "d"))
    os.mkfifo(Path(folder, "fifo")); os.utime(path, (1, 1)); fcntl.flock(path.open(), fcntl.LOCK_EX)
    os.chmod(Path(folder, "b"), 0o640, follow_symlinks=True)
    names = sorted(os.listdir(folder)); shutil.rmtree(folder)
    return names

def database():
    base = sqlite3.connect("/tmp/base.db"); base.execute("pragma journal_mode=wal"); base.execute("create table t(a)")
    return base.execute("select count(*) from t").fetchone()[0]

def terminal():
    master, slave = pty.openpty()
    done = subprocess.run(["tty"], stdin=slave, capture_output=True, text=True)
    return done.stdout.startswith("/dev/pts/")

print(json.dumps({
    "threads": threads(), "processes": processes(), "shared memory": shared_memory(), "asyncio": asyncio.run(tcp()),
    "asyncio's children": asyncio.run(child()), "udp": udp(), "unix sockets": unix(), "files": files(),
    "database": database(), "a terminal": terminal(), "a shell": subprocess.getoutput("seq 3 | sort -r | tr -d '\n'"),
    "interfaces": sorted(n for _, n in socket.if_nameindex()),
    "git": subprocess.getoutput("git init -q /tmp/r && cd /tmp/r && git -c user.name=a -c user.email=a@b commit -q "
                                 "--allow-empty -m x && git log --format=%s"),
}))
"""
EXPECTED = {
    "threads": 8,
    "processes": [0, 1, 4, 9],
    "shared memory": 7,
    "asyncio": "ping",
    "asyncio's children": ["out", 3],
    "udp": "x",
    "unix sockets": "y",
    "files": ["a", "b", "c", "d", "fifo"],
    "database": 0,
    "a terminal": True,
    "a shell": "321",
    "interfaces": ["eth0", "lo"],
    "git": "x",
}


@cache
def attempts(isolation: Isolation) -> dict[str, tuple[bool, str]]:
    """What each attempt saw in one real sandbox."""
    seen = asyncio.run(see(PROGRAM, isolation=isolation))
    return {name: (is_blocked, detail) for name, (is_blocked, detail) in seen.report.items()}


@pytest.mark.parametrize("isolation", list(Isolation))
@pytest.mark.parametrize("name", sorted(ATTEMPTS))
def test_attempt_is_blocked(isolation: Isolation, name: str):
    """Nothing that leads out of a sandbox, or deeper into the kernel, is open to it."""
    is_blocked, detail = attempts(isolation)[name]
    assert is_blocked, detail


@pytest.mark.parametrize("isolation", list(Isolation))
def test_ordinary_programs_work(isolation: Isolation):
    """What agents are made of goes on working under the profile: threads too, for which libc tries clone3."""
    seen = asyncio.run(see(ORDINARY, isolation=isolation))
    assert seen.status.code == 0, seen.stderr
    assert seen.report == EXPECTED


# What the engine's own profile lets through: with it instead of ours these become possible.
OPEN_BY_DEFAULT = {
    *("adjtimex", "i386_call", "io_setup", "io_uring_setup", "memfd_secret", "msgget", "ptrace_traceme"),
    *("socket_icmp_ping", "socket_netlink_generic", "socket_netlink_netfilter", "socket_netlink_sock_diag"),
    *("socket_mptcp", "socket_udplite", "vmsplice"),
}
"""Of a kernel like ours; each is an attempt that our profile alone stops."""
OPEN_UNCONFINED = {
    "add_key",
    "bpf",
    "clone_user",
    "keyctl",
    "perf_event_open",
    "process_vm_readv",
    "unshare_user",
}


@pytest.mark.parametrize(
    ("profile", "opened"), [("", OPEN_BY_DEFAULT), ("unconfined", OPEN_UNCONFINED)], ids=["engine's", "none"]
)
def test_attempts_can_succeed(monkeypatch: pytest.MonkeyPatch, profile: str, opened: set[str]):
    """The checks can fail: with the engine's profile, or with none, the same sandbox is told so."""
    options = ["no-new-privileges:true", *([f"seccomp={profile}"] if profile else [])]
    monkeypatch.setattr("runtime.containers.sandbox.security_options", lambda *_, **__: options)
    seen = asyncio.run(see(PROGRAM))
    possible = {name for name, (is_blocked, _) in seen.report.items() if not is_blocked}
    assert opened <= possible
    assert json.loads(seen.stdout)["capabilities"][0], "only the filter was taken away"


def test_abstract_sockets_of_the_host_are_out_of_sight():
    """A socket without a file belongs to a network namespace: one that listens on the host is not there."""
    name = f"orchbox-test-{uuid.uuid4().hex}"
    code = (
        "import socket, json\n"
        f"sock = socket.socket(socket.AF_UNIX); code = sock.connect_ex(b'\\0' + {name!r}.encode())\n"
        f"print(json.dumps([code, {name!r} in open('/proc/net/unix').read()]))\n"
    )
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as control:
        listener.bind(b"\0" + name.encode())
        listener.listen()
        assert control.connect_ex(b"\0" + name.encode()) == 0, "the control: it answers on the host"
        for isolation in Isolation:
            code_seen, is_listed = asyncio.run(see(code, isolation=isolation)).report
            assert (code_seen != 0, is_listed) == (True, False)


FORK_BOMB = """
import os, sys, time
print("forking", flush=True)
started = time.monotonic()
def bomb():
    while time.monotonic() - started < 4:
        try:
            if os.fork() == 0:
                continue
        except OSError:
            time.sleep(0.05)
bomb()
"""


@pytest.mark.parametrize("isolation", list(Isolation))
def test_fork_bomb_ends_in_its_own_cgroup(isolation: Isolation):
    """Children that fork children, bounded to four seconds: the sandbox ends or goes on, the engine answers."""
    limits = dataclasses.replace(LIMITS, memory_bytes=1 << 30)

    async def both() -> tuple[Seen, Seen]:
        forking = asyncio.Event()
        bomb = asyncio.create_task(see(FORK_BOMB, isolation=isolation, limits=limits, on_output=forking.set))
        async with asyncio.timeout(120):
            await forking.wait()
        neighbour = await see("print('[1]')")
        return await bomb, neighbour

    bomb, neighbour = asyncio.run(both())
    assert neighbour.report == [1], "another sandbox started and ran beside it"
    assert bomb.record["HostConfig"]["PidsLimit"] == host_tasks(isolation, limits.pids)
