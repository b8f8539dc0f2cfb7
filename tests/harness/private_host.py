"""A second host on this machine: namespaces of its own with an engine of its own in them.

What the tests' engine is shared for cannot be done to it: restart it, flush its host's firewall, change its
host's resolver. Here `dockerd` runs in a network, a mount and a process namespace that end with this process.
For the containers of that engine this namespace *is* the host: its loopback, its firewall, its bridges.

    with PrivateHost(images=["orchbox/daemon:local"]) as host:
        host.run("nft flush ruleset")
        host.restart_engine()
        docker.DockerClient(base_url=host.docker_host)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.canary.client import Control
from tests.harness.errors import HarnessError
from tests.harness.simulator import REPOSITORY

RESOLVERS = ("127.0.0.53", "127.0.0.1")
"""Of systemd-resolved and dnsmasq; with the first alone an engine would look for resolved's own file."""
PROGRAMS = ("dockerd", "containerd", "nsenter", "setpriv", "unshare")
_ENTER = """
mount --make-rprivate /
mount --bind "$0/resolv.conf" /etc/resolv.conf
ip link set lo up
trap '' CHLD
echo ready
exec sleep infinity
"""
"""The first process of the namespace ignores SIGCHLD: whatever is orphaned in it is reaped by the kernel."""
_START_S = 60.0
_STOP_S = 30.0


def why_not() -> str | None:
    """Why this machine cannot have one, or None."""
    if os.geteuid() != 0:
        return "a private host needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"a private host needs {', '.join(missing)}" if missing else None


class PrivateHost:
    """`docker_host` is its engine, `canary` the record of what reached its loopback resolver."""

    canary: Control

    def __init__(self, *, images: Sequence[str] = ()) -> None:
        self._images = list(images)
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start it. Raises HarnessError with the reason."""
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process in it, and remove its files."""
        self._closing.close()

    def run(self, script: str) -> str:
        """Run a shell script on it, as its root. Raises HarnessError where that fails."""
        done = subprocess.run(
            [*self._inside, "sh", "-ec", script], capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            raise HarnessError(f"`{script}` failed: {done.stderr.strip()}")
        return done.stdout

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command as a process on it, with the files of this machine and in the present folder."""
        return [*self._inside, "env", f"--chdir={Path.cwd()}", *command]

    def stop_engine(self) -> None:
        """As `systemctl stop docker`: every container ends."""
        with contextlib.suppress(HarnessError):  # it may have ended by itself
            self.run(f"kill $(cat {self.folder}/docker.pid)")
        try:
            self._engine.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.run(f"kill -KILL $(cat {self.folder}/docker.pid)")
            self._engine.wait()

    def kill_engine(self) -> None:
        """As if it had crashed: its containers run on until the next one starts."""
        self.run(f"kill -KILL $(cat {self.folder}/docker.pid)")
        self._engine.wait(_STOP_S)

    def start_engine(self, *flags: str) -> None:
        """Start the engine and wait until it answers. Raises HarnessError with its last words."""
        command = [
            *("dockerd", "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
            *(
                "--host",
                self.docker_host,
                "--containerd",
                str(self.folder / "containerd.sock"),
                "--pidfile",
                str(self.folder / "docker.pid"),
            ),
            *("--bip", "10.207.0.1/24", "--default-address-pool", "base=10.207.16.0/20,size=24"),
            *flags,
        ]
        with (self.folder / "engine.log").open("ab") as log:
            self._engine = subprocess.Popen([*self._inside, *command], stdout=log, stderr=log)
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self._engine.poll() is None:
            if self._does_answer():
                return
            time.sleep(0.1)
        words = (self.folder / "engine.log").read_text(errors="replace").splitlines()[-3:]
        raise HarnessError(f"the private engine does not answer: {' / '.join(words)}")

    def restart_engine(self, *flags: str) -> None:
        """As `systemctl restart docker`."""
        self.stop_engine()
        self.start_engine(*flags)

    def _start(self) -> None:
        # The engine's data has to lie on a file system that overlayfs takes, and its socket's path be short.
        self.folder = Path(tempfile.mkdtemp(prefix="orchbox-host-", dir="/var/tmp"))
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.docker_host = f"unix://{self.folder}/docker.sock"
        (self.folder / "resolv.conf").write_text("".join(f"nameserver {a}\n" for a in RESOLVERS))
        self._enter()
        self._start_canary()
        self._start_containerd()
        self.start_engine()
        self._closing.callback(self.stop_engine)
        self._load()

    def _enter(self) -> None:
        # The process namespace ends with its first process, and that with this one, even when it is killed.
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-ec", _ENTER, str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self._closing.callback(_end, holder)
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            raise HarnessError("the private host's namespaces cannot be made")
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        self._inside = ["nsenter", "--target", children[0], "--net", "--mount", "--pid"]

    def _start_containerd(self) -> None:
        """A service of its own, as systemd has it: containers outlive an engine that crashes."""
        argv = ["containerd", "--address", str(self.folder / "containerd.sock")]
        argv += [
            "--root",
            str(self.folder / "containerd"),
            "--state",
            str(self.folder / "exec" / "containerd"),
        ]
        with (self.folder / "containerd.log").open("wb") as log:
            self._closing.callback(_end, subprocess.Popen([*self._inside, *argv], stdout=log, stderr=log))

    def _start_canary(self) -> None:
        """A name server on the host's loopback that knows every name: what comes there has got out."""
        argv = [sys.executable, "-m", "runtime.canary", "--control", str(self.folder / "canary.sock")]
        argv += ["--ca", str(self.folder / "ca.pem"), *(f"--dns={address}:53" for address in RESOLVERS)]
        argv += ["--zone", '{"*.example": [["192.0.2.1"]]}']
        with (self.folder / "canary.log").open("wb") as log:
            canary = subprocess.Popen([*self._inside, *argv], stdout=log, stderr=log, cwd=REPOSITORY)
        self._closing.callback(_end, canary)
        self.canary = Control(self.folder / "canary.sock")
        self._closing.callback(self.canary.close)
        log_path = self.folder / "canary.log"
        self.canary.wait_ready(
            why_dead=lambda: (
                log_path.read_text(errors="replace")[-500:] if canary.poll() is not None else None
            )
        )

    def _does_answer(self) -> bool:
        """Asked with a socket of our own: the SDK leaks one for each connection that fails."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self.docker_host.removeprefix("unix://"))
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return probe.recv(64).split()[1:2] == [b"200"]
            except OSError:
                return False

    def _load(self) -> None:
        """The images of the machine's own engine, by way of a pipe."""
        if not self._images:
            return
        save = subprocess.Popen(["docker", "save", *self._images], stdout=subprocess.PIPE)
        load = subprocess.run(
            ["docker", "--host", self.docker_host, "load", "--quiet"], stdin=save.stdout, capture_output=True,
            check=False,
        )  # fmt: skip
        assert save.stdout is not None
        save.stdout.close()
        if save.wait() or load.returncode:
            raise HarnessError(f"the private engine does not take the images: {load.stderr.decode()}")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
