"""`python -m proxy`: the parent and its workers as real processes, on loopback addresses of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.contract.grant import Grant
from proxy.contract.messages import Open, Ready, encode
from proxy.parent import MAX_SILENT
from proxy.policy.model import Policy
from runtime.egress.worker_link import open_worker
from runtime.errors import InvalidInputError, NotReadyError
from tests.unit.runtime.egress.workers import Workers

ROOT = Path(__file__).resolve().parents[3]
NEAR, OTHER = "127.0.71.2", "127.0.71.10"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the ports 53, 80 and 443 need root")


def grant(sandbox_id: str, address: str = NEAR, revision: int = 1) -> Grant:
    """A grant that allows nothing."""
    return Grant(sandbox_id, revision, Policy("p"), address, address, 60.0, "token")


class Proxy:
    """The process, and where it is spoken to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "proxy.sock"
        self.log = folder / "log"
        environment = {**os.environ, "ORCHBOX_CONTROL_SOCKET": str(self.path), "PYTHONPATH": str(ROOT)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "proxy"], env=environment, stderr=log)

    @property
    def workers(self) -> list[int]:
        """The processes that the parent has made and not yet buried."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that serves; it leaves neither a socket nor a process."""
    made = Proxy(tmp_path_factory.mktemp("proxy"))
    until = time.monotonic() + 60
    while not made.path.exists() and time.monotonic() < until:
        assert made.process.poll() is None, made.log.read_text()
        time.sleep(0.05)
    yield made
    made.process.terminate()
    assert made.process.wait(30) == 0
    assert not made.path.exists()


@pytest.fixture
async def link(proxy: Proxy) -> AsyncIterator[Workers]:
    """The daemon's link to it; its end ends every worker."""
    made = Workers(proxy.path)
    await made.start()
    await made.wait_connected(30)
    yield made
    await made.close()
    async with asyncio.timeout(30):
        while proxy.workers:
            await asyncio.sleep(0.02)


def answers(address: str, port: int = 8080) -> bool:
    """Whether something listens there."""
    with socket.socket() as sock:
        sock.settimeout(30)
        return sock.connect_ex((address, port)) == 0


def sockets_of(pid: int) -> set[str]:
    """The sockets that a process has open, as the kernel names them."""
    held = (str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())
    return {name for name in held if name.startswith("socket:")}


def limits_of(pid: int) -> dict[str, list[str]]:
    """Soft and hard limit by name (proc(5), limits)."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


async def test_each_sandbox_has_a_process_on_its_own_address(proxy: Proxy, link: Workers) -> None:
    """Two grants are two processes with a CA each; the parent's own address has no port."""
    await link.grant(grant("one"))
    await link.grant(grant("two", OTHER))

    assert len(proxy.workers) == 2
    assert answers(NEAR)
    assert answers(OTHER)
    assert not answers("127.0.0.1")
    assert link.ca_pem("one") != link.ca_pem("two")

    await link.revoke("one")
    async with asyncio.timeout(30):
        while len(proxy.workers) > 1:
            await asyncio.sleep(0.02)
    assert not answers(NEAR)
    assert answers(OTHER)


async def test_a_worker_that_dies_takes_nobody_along(proxy: Proxy, link: Workers) -> None:
    """Its own sandbox is told of; the others' grants stay, and their next revision is acknowledged."""
    lost: list[str] = []
    link.on_sandbox_lost = lost.append
    await link.grant(grant("one"))
    [first] = proxy.workers
    await link.grant(grant("two", OTHER))

    os.kill(first, signal.SIGKILL)

    async with asyncio.timeout(30):
        while not lost:
            await asyncio.sleep(0.02)
    assert lost == ["one"]
    assert link.is_connected
    await link.grant(grant("two", OTHER, revision=2))
    with pytest.raises(NotReadyError):
        link.ca_pem("one")


async def test_a_worker_has_limits_of_its_own(proxy: Proxy, link: Workers) -> None:
    """Memory, descriptors and cores are bounded for good, and the kernel takes it before the parent."""
    await link.grant(grant("one"))
    [pid] = proxy.workers
    rows = limits_of(pid)

    assert rows["Max open files"] == ["2048", "2048"]
    assert rows["Max core file size"] == ["0", "0"]
    soft, hard = rows["Max data size"]
    assert soft == hard
    assert (192 << 20) < int(soft) < (400 << 20)
    assert await asyncio.to_thread(Path(f"/proc/{pid}/oom_score_adj").read_text) == "500\n"


async def test_a_worker_keeps_nothing_of_its_parents(proxy: Proxy, link: Workers) -> None:
    """Of the parent's sockets a worker has its own connection, which the parent watches, and nothing else."""
    await link.grant(grant("one"))
    await link.grant(grant("two", OTHER))
    one, two = (sockets_of(pid) & sockets_of(proxy.process.pid) for pid in proxy.workers)

    assert (len(one), len(two)) == (1, 1)
    assert one != two


@pytest.mark.parametrize("moment", ["before its grant", "with its grant"])
async def test_a_worker_that_is_stopped_gives_its_address_back(
    proxy: Proxy, link: Workers, moment: str
) -> None:
    """It cannot end by itself; the slot's next sandbox listens all the same, and no process stays."""
    if moment == "with its grant":
        await link.grant(grant("one"))
        [pid] = proxy.workers
        os.kill(pid, signal.SIGSTOP)
        await link.revoke("one")
    else:
        worker = await open_worker(proxy.path, NEAR)
        [pid] = proxy.workers
        os.kill(pid, signal.SIGSTOP)
        await worker.close()

    await link.grant(grant("two"))

    assert pid not in proxy.workers
    assert answers(NEAR)


async def test_a_worker_is_one_sandboxs_alone(link: Workers) -> None:
    """Neither another sandbox's grant nor one for another network is taken."""
    await link.grant(grant("one"))
    [worker] = link._workers.values()

    with pytest.raises(InvalidInputError, match="another sandbox's"):
        await worker.grant(grant("two"))
    with pytest.raises(InvalidInputError, match="another network"):
        await worker.grant(grant("one", OTHER, revision=2))


async def test_an_address_that_cannot_be_had_is_an_error_with_its_reason(link: Workers) -> None:
    """Not an address of this host: nothing listens, and the caller reads why."""
    with pytest.raises(NotReadyError, match=r"cannot listen on .*192\.0\.2\.9:\d+: Cannot assign"):
        await link.grant(grant("one", "192.0.2.9"))


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\n",
        b'{"op":"hello","ca_cert_pem":"","ca_key_pem":""}\n',
        b'{"op":"grant","grant":{}}\n',
        b"x" * 5000,
        encode(Open(NEAR)) + b'{"op":"hello","ca_cert_pem":"","ca_key_pem":""}\n',
    ],
    ids=["nonsense", "hello", "grant", "too long", "more behind the line"],
)
async def test_the_parent_takes_one_line_and_nothing_else(proxy: Proxy, link: Workers, said: bytes) -> None:
    """Whatever else is said ends that connection: no key and no grant is ever read by the parent."""
    reader, writer = await asyncio.open_unix_connection(proxy.path)
    assert await reader.readline() == b'{"event":"ready"}\n'
    writer.write(said)

    with contextlib.suppress(ConnectionResetError):  # where not all of it was read
        assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert proxy.workers == []
    assert link.is_connected


def silent_connection(proxy: Proxy, said: bytes = b"") -> socket.socket:
    """One that the parent has accepted, and that asks for no worker."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(proxy.path))
    assert sock.recv(100) == encode(Ready())
    with contextlib.suppress(BrokenPipeError):
        sock.send(said)
    return sock


@pytest.mark.parametrize("said", [b"", b"{"], ids=["nothing", "half a line"])
async def test_the_silent_use_up_nothing(proxy: Proxy, link: Workers, said: bytes) -> None:
    """A thousand that connect and never ask: few stay, the daemon's own stays, and workers are made."""
    before = len(sockets_of(proxy.process.pid))
    with contextlib.ExitStack() as silent:
        for _ in range(1000):
            silent.enter_context(silent_connection(proxy, said))

        assert len(sockets_of(proxy.process.pid)) <= before + MAX_SILENT
        await link.grant(grant("one"))
        assert link.is_connected
    assert link.is_connected


async def test_one_that_speaks_as_it_loses_its_place_ends_alone(proxy: Proxy, link: Workers) -> None:
    """Its word and its end come in one turn of the parent's loop: nothing is read of what is closed."""
    with contextlib.ExitStack() as silent:
        oldest, *_ = [silent.enter_context(silent_connection(proxy)) for _ in range(MAX_SILENT - 1)]
        newest = silent.enter_context(socket.socket(socket.AF_UNIX))
        newest.settimeout(10)
        os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            newest.connect(str(proxy.path))
            oldest.send(b"{")
        finally:
            os.kill(proxy.process.pid, signal.SIGCONT)

        assert newest.recv(100) == encode(Ready())
        with contextlib.suppress(ConnectionResetError):  # its word was not read
            assert oldest.recv(100) == b""
        await link.grant(grant("one"))
    assert link.is_connected


def test_a_worker_whose_loop_is_busy_ends_with_its_connection() -> None:
    """It reads no end of anything, and must not keep the address of a sandbox that is gone."""
    code = (
        "import socket, sys; from proxy.worker import end_with\n"
        "end_with(socket.socket(fileno=int(sys.argv[1])), grace_s=0.1)\n"
        "sys.stdout.write('busy'); sys.stdout.flush()\n"
        "while True: pass"
    )
    near, far = socket.socketpair()
    with near, far:
        command = [sys.executable, "-c", code, str(far.fileno())]
        with subprocess.Popen(command, cwd=ROOT, pass_fds=[far.fileno()], stdout=subprocess.PIPE) as busy:
            try:
                far.close()
                assert busy.stdout is not None
                assert busy.stdout.read(4) == b"busy"
                near.sendall(b"what is said does not end it")
                with pytest.raises(subprocess.TimeoutExpired):
                    busy.wait(0.5)
                near.close()
                assert busy.wait(30) == 1
            finally:
                busy.kill()


async def test_a_parent_that_dies_takes_its_workers_along(tmp_path: Path) -> None:
    """kill -9: no worker serves on without anybody who could end it; both kinds of loss are told."""
    proxy = Proxy(tmp_path)
    link = Workers(proxy.path)
    lost = asyncio.Event()
    gone: list[str] = []
    link.on_lost, link.on_sandbox_lost = lost.set, gone.append
    await link.start()
    await link.wait_connected(60)
    await link.grant(grant("one", "127.0.71.18"))

    proxy.process.kill()
    proxy.process.wait()

    async with asyncio.timeout(30):
        await lost.wait()
        while not gone or answers("127.0.71.18"):
            await asyncio.sleep(0.02)
    await link.close()


async def test_a_slot_that_was_used_before_is_like_a_new_one(proxy: Proxy, link: Workers) -> None:
    """A question from a source port that an earlier sandbox of the slot used is answered (fault A17)."""
    query = bytes.fromhex("abcd01000001000000000000") + b"\x02ok\x04test\x00\x00\x01\x00\x01"
    for number in range(20):
        name = f"run-{number}"
        await link.grant(grant(name))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((NEAR, 40001))
            sock.settimeout(30)
            sock.sendto(query, (NEAR, 53))
            answer = await asyncio.to_thread(sock.recv, 512)
        assert answer[:2] == query[:2], number
        await link.revoke(name)


async def test_opening_a_hundred_leaves_the_parent_as_it_was(proxy: Proxy) -> None:
    """Descriptors and children of the parent after a hundred workers are those after none."""
    before = len(sockets_of(proxy.process.pid))
    for _ in range(10):
        links = await asyncio.gather(*(open_worker(proxy.path, f"127.0.71.{n}") for n in range(20, 30)))
        for worker in links:
            await worker.close()
        async with asyncio.timeout(30):
            while proxy.workers:
                await asyncio.sleep(0.02)
    assert len(sockets_of(proxy.process.pid)) == before


async def test_an_address_is_free_once_its_worker_was_revoked(link: Workers) -> None:
    """The slot's next sandbox begins where the last one has just ended, a hundred times over."""
    for number in range(100):
        await link.grant(grant(f"run-{number}"))
        await link.revoke(f"run-{number}")


async def test_a_change_behind_the_end_of_a_run_takes_no_address(proxy: Proxy, link: Workers) -> None:
    """A vault's new value for a run that is over makes no process that would keep the slot's ports."""
    worker = await open_worker(proxy.path, NEAR)
    await worker.grant(grant("one"))
    await worker.revoke("one")
    await worker.close()

    with pytest.raises(NotReadyError, match="has ended"):
        await worker.grant(grant("one", revision=2))

    async with asyncio.timeout(30):
        while proxy.workers:  # until the parent has buried the first
            await asyncio.sleep(0.02)
    await link.grant(grant("two"))
