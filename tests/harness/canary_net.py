"""A container that owns every target address of the tests on this machine, and the host's routes to it.

    203.0.113.10     the simulators (HTTPS and HTTP)
    203.0.113.53     the DNS server
    203.0.113.66     the "public" canary: answers anybody on many ports, and counts
    169.254.169.254  the metadata canary

All of 203.0.113.0/24 is routed there, so that nothing sent to a documentation address leaves the machine.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import docker.errors

from runtime.canary.client import Control
from runtime.canary.seen import Record
from runtime.canary.wiring import wire_script
from runtime.daemon.owner import is_alive, this_process
from tests.harness.errors import HarnessError
from tests.harness.host_network import best_run, conflicts, device_of, has_link
from tests.harness.simulator import REPOSITORY
from tests.upstreams.app import HOSTS

GATEWAY = "203.0.113.1"
SIMULATORS = "203.0.113.10"
DNS = "203.0.113.53"
PUBLIC = "203.0.113.66"
METADATA = "169.254.169.254"
ADDRESSES = (SIMULATORS, DNS, PUBLIC, METADATA)
NETWORKS = ("203.0.113.0/24", f"{METADATA}/32")
IMAGE = "orchbox/daemon:local"
LABEL = "io.orchbox.canary"
DIRECTORY_LABEL = f"{LABEL}.directory"
_PREFIX = "orchbox-canary-"

TCP_PORTS = (21, 22, 25, 53, 80, 443, 853, 2375, 6379, 8080, 8443)
UDP_PORTS = (53, 123, 443, 853)
ZONE: dict[str, list[list[str]]] = {
    **{host: [[SIMULATORS]] for host in HOSTS},
    "*.wild.test": [[SIMULATORS]],
    "evil.test": [[PUBLIC]],
    "*.evil.test": [[PUBLIC]],
}


class CanaryNet:
    """`with CanaryNet() as net:`; one at a time on a machine. `net.control` sets failures, zone, delay."""

    ca_pem: str
    control: Control
    dns_address = DNS
    networks = NETWORKS

    def __init__(
        self,
        *,
        image: str = IMAGE,
        zone: Mapping[str, Sequence[Sequence[str]]] | None = None,
        token_delay_s: float = 0.0,
    ) -> None:
        self._image = image
        self._zone = {**ZONE, **(zone or {})}
        self._token_delay_s = token_delay_s
        self._id = uuid.uuid4().hex[:8]
        self._link = f"canh{self._id}"
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Bring it up. Raises HarnessError when an address is taken, or when there is no image."""
        atexit.register(self.close)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything."""
        self.close()

    def close(self) -> None:
        """Remove the links, the container and the files; safe to call again."""
        atexit.unregister(self.close)
        self._closing.close()

    def record(self) -> Record:
        """What the simulators and canaries saw since the start or the last `reset`."""
        return self.control.record()

    def reset(self) -> None:
        """Forget what was seen."""
        self.control.reset()

    def site_policy_yaml(self, *, upstream_ca: str = "upstream-ca.pem", pins: bool = True) -> str:
        """The operator's site policy that leads the simulated names to the simulators."""
        pinned = "".join(f"  {host}: [{SIMULATORS}]\n" for host in HOSTS) if pins else ""
        resolve = f"resolve:\n{pinned}" if pinned else ""
        head = "version: 1\nname: site\n"
        return f"{head}{resolve}allow_private: [{SIMULATORS}/32]\nupstream_ca: {upstream_ca}\n"

    def write_site_policy(self, directory: Path, *, pins: bool = True) -> Path:
        """Write the site policy and the CA's certificate it names; gives the policy's path."""
        (directory / "upstream-ca.pem").write_text(self.ca_pem)
        path = directory / "site.yaml"
        path.write_text(self.site_policy_yaml(pins=pins))
        return path

    def _start(self) -> None:
        client = docker.from_env()
        self._closing.callback(client.close)
        _require_image(client, self._image)
        self._run = best_run(client, self._image, {LABEL: f"helper {this_process()}"})
        _remove_stale(client)
        self._require_free()
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._closing.callback(shutil.rmtree, directory, ignore_errors=True)
        container = self._start_container(client, directory)
        self._run(
            wire_script(
                link=self._link,
                pid=container.attrs["State"]["Pid"],
                gateway=GATEWAY,
                addresses=ADDRESSES,
                networks=NETWORKS,
            )
        )
        self._require_held()
        self.control = Control(directory / "control.sock")
        self._closing.callback(self.control.close)
        self.control.wait_ready(why_dead=lambda: _why_dead(container))
        self.control.set_token_delay(self._token_delay_s)
        self.ca_pem = (directory / "ca.pem").read_text()

    def _start_container(self, client: docker.DockerClient, directory: Path) -> Any:
        flags = [f"--canary={address}:{port}" for address in (PUBLIC, METADATA) for port in TCP_PORTS]
        flags += [f"--canary={DNS}:{port}" for port in (80, 443, 853)]
        flags += [f"--udp-canary={PUBLIC}:{port}" for port in UDP_PORTS]
        flags += [f"--https={SIMULATORS}:443", f"--http={SIMULATORS}:80", f"--dns={DNS}:53"]
        flags += ["--control=/sim/control.sock", "--ca=/sim/ca.pem", "--watch=canary0"]
        flags += [f"--zone={json.dumps(self._zone)}"]
        container = client.containers.create(
            self._image,
            entrypoint=["python3", "-m", "tests.upstreams"],
            command=flags,
            name=f"{_PREFIX}{self._id}",
            labels={LABEL: this_process(), DIRECTORY_LABEL: str(directory)},
            user="0",
            network_mode="none",
            sysctls={"net.ipv4.ip_nonlocal_bind": "1"},  # the addresses come after the program
            volumes={
                str(REPOSITORY / "tests"): {"bind": "/opt/canary/tests", "mode": "ro"},
                str(directory): {"bind": "/sim", "mode": "rw"},
            },
            environment={"PYTHONDONTWRITEBYTECODE": "1"},  # its PYTHONPATH is the image's own
            working_dir="/opt/canary",
        )
        self._closing.callback(self._remove, container)
        container.start()
        container.reload()
        if not container.attrs["State"]["Pid"]:
            raise HarnessError(f"the canary container ended at once: {_why_dead(container)}")
        return container

    def _require_free(self) -> None:
        found = conflicts(self._run, NETWORKS)
        if found:
            raise HarnessError(
                f"the canary network needs {', '.join(NETWORKS)}, but the host has: {'; '.join(found)}. "
                "Remove that, or run on another machine."
            )

    def _require_held(self) -> None:
        for address in ADDRESSES:
            device = device_of(self._run, address)
            if device != self._link:
                raise HarnessError(f"{address} would leave by {device}, not by the canary's {self._link}")

    def _remove(self, container: Any) -> None:
        """The link first, since removing a container leaves its network to the kernel's own time."""
        with contextlib.suppress(HarnessError):
            self._run(f"ip link del {self._link} 2>/dev/null || true")
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True)
        if has_link(self._run, self._link):
            raise HarnessError(f"the link {self._link} is still there: ip link del {self._link}")


def _require_image(client: docker.DockerClient, image: str) -> None:
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound as error:
        raise HarnessError(f"the image {image} is missing: build it with `make images`") from error


def _remove_stale(client: docker.DockerClient) -> None:
    """Remove what a dead earlier run left. Raises HarnessError while its owner is alive."""
    for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
        owner = container.labels[LABEL].removeprefix("helper ")
        if is_alive(owner):
            raise HarnessError(f"process {owner.split(':')[0]} holds the canary network; one at a time")
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True)
        directory = Path(container.labels.get(DIRECTORY_LABEL, "/"))
        if directory.name.startswith(_PREFIX):
            shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.5)  # the kernel takes the link and its routes away with the container's network


def _why_dead(container: Any) -> str | None:
    container.reload()
    if container.status == "running":
        return None
    return container.logs(tail=20).decode(errors="replace").strip() or container.status
