"""The probe's canaries: containers that hold every address an attack aims at, so that no escape leaves here.

    world      no network of its own; a link to the host leads all of 203.0.113.0/24 and every special
               address of the corpus to it. Simulated upstreams, a name server, canaries, a packet watch.
    host       the host's network: a service that a sandbox must not reach
    published  an ordinary container with a published port

Each says what it saw on a control socket. Made through the Docker API alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import shutil
import socket
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.canary.client import CanaryError, Control
from runtime.canary.wiring import Rows, conflicts, wire_script
from runtime.containers import labels
from runtime.containers.helper import run_helper
from runtime.daemon.owner import this_process
from runtime.engine.protocol import ContainerConfig, Engine, NetworkSpec
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import ConflictError

GATEWAY = "203.0.113.1"
UPSTREAM = "203.0.113.10"
DNS = "203.0.113.53"
PUBLIC = "203.0.113.66"
METADATA = "169.254.169.254"
ADDRESSES = (UPSTREAM, DNS, PUBLIC, METADATA)
DOCUMENTATION = "203.0.113.0/24"
FIRST_CASE_ADDRESS = 100
"""Of 203.0.113.0/24: from here on, one address a case."""
PUBLISHED_PORT = 9000
_TRIES = 64
_PORTS = (21, 22, 25, 53, 80, 443, 853, 2375, 6379, 8080, 8443)
_MODULE = ["python3", "-m", "runtime.canary"]


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the corpus needs to know of the host."""

    address: str
    """One of the host's own, by which it reaches its default gateway; loopback's where there is none."""
    docker0: str
    port: int
    """Of the host's canary."""
    published_port: int
    published_address: str


class Canaries:
    """Started once for a probe; `close` removes everything."""

    def __init__(self, engine: Engine, *, instance: str, image: str) -> None:
        self._engine = engine
        self._instance = instance
        self._image = image
        self._networks: tuple[str, ...] = (DOCUMENTATION, f"{METADATA}/32")
        self._link = f"cnh{uuid.uuid4().hex[:8]}"
        self._folder = Path(tempfile.mkdtemp(prefix="orchbox-probe-"))
        self._names: list[str] = []
        self._bridge = f"orchbox-{instance}-published"
        self.controls: dict[str, Control] = {}
        self.facts: HostFacts

    async def hold(self, wanted: Sequence[str]) -> dict[str, str]:
        """Lead addresses here too; a network stands for one of its addresses that the host does not use.

        Call it before `start`. Raises CanaryError where the host uses an address or a whole network.
        """
        links, routes = await self._look()
        held = {}
        for text in wanted:
            network = ipaddress.IPv4Network(text)
            tried = (
                [network[-2 - 253 * n] for n in range(_TRIES)] if network.num_addresses > 1 else [network[0]]
            )
            free = next((a for a in tried if not conflicts(links, routes, [f"{a}/32"])), None)
            if free is None:
                self._require_free(links, routes, [text])
            held[text] = str(free)
        self._networks += tuple(f"{address}/32" for address in held.values())
        return held

    async def start(self, zone: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Bring all three up and see that they count. Raises CanaryError, OrchError."""
        links, routes = await self._look()
        self._require_free(links, routes, self._networks)
        port = _free_port()
        await asyncio.gather(
            self._world(zone),
            self._start("host", [f"--canary=0.0.0.0:{port}"], {"NetworkMode": "host"}),
            self._published(),
        )
        record = await self._engine.inspect(self._name("published"))
        ends = record["NetworkSettings"]
        self.facts = HostFacts(
            address=_own_address(links, routes),
            docker0=_address_of(links, "docker0"),
            port=port,
            published_port=int(ends["Ports"][f"{PUBLISHED_PORT}/tcp"][0]["HostPort"]),
            published_address=str(ends["Networks"][self._bridge]["IPAddress"]),
        )
        await self._trip()

    @property
    def ca_pem(self) -> str:
        """The simulated upstreams' CA."""
        return (self._folder / "world" / "ca.pem").read_text()

    async def record(self) -> dict[str, Any]:
        """What each canary saw, by its name."""
        return {name: await asyncio.to_thread(control.record) for name, control in self.controls.items()}

    async def close(self) -> None:
        """Remove the link, the containers, the network and the files."""
        await uninterrupted(self._close())

    async def _close(self) -> None:
        for control in self.controls.values():
            control.close()
        with contextlib.suppress(Exception):
            await self._on_host(f"ip link del {self._link} 2>/dev/null || true")
        for name in self._names:
            await self._engine.remove(name)
        await self._engine.remove_network(self._bridge)
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the three -----------------------------------------------------------------------------

    async def _world(self, zone: Mapping[str, Sequence[Sequence[str]]]) -> None:
        flags = [f"--canary={address}:{port}" for address in (PUBLIC, METADATA) for port in _PORTS]
        flags += [f"--udp-canary={PUBLIC}:{port}" for port in (53, 123, 443)]
        flags += [f"--https={UPSTREAM}:443", f"--http={UPSTREAM}:80", f"--dns={DNS}:53", "--watch=canary0"]
        flags += [f"--zone={json.dumps(zone)}"]
        network = {"NetworkMode": "none", "Sysctls": {"net.ipv4.ip_nonlocal_bind": "1"}}
        await self._start("world", flags, network)
        record = await self._engine.inspect(self._name("world"))
        script = wire_script(
            link=self._link,
            pid=record["State"]["Pid"],
            gateway=GATEWAY,
            addresses=ADDRESSES,
            networks=self._networks,
        )
        await self._on_host(script)
        for address in (*ADDRESSES, *(network.partition("/")[0] for network in self._networks[2:])):
            said = json.loads(await self._on_host(f"ip -j -4 route get {address}"))
            if said[0]["dev"] != self._link:
                raise CanaryError(f"{address} would leave by {said[0]['dev']}, not to the canary")

    async def _published(self) -> None:
        marks = self._marks()
        with contextlib.suppress(ConflictError):
            await self._engine.create_network(NetworkSpec(self._bridge, None, None, None, False, marks))  # noqa: FBT003
        host = {"NetworkMode": self._bridge, "PortBindings": {f"{PUBLISHED_PORT}/tcp": [{"HostPort": ""}]}}
        await self._start("published", [f"--canary=0.0.0.0:{PUBLISHED_PORT}"], host)

    async def _start(self, name: str, flags: list[str], host: dict[str, Any]) -> None:
        folder = self._folder / name
        folder.mkdir()
        folder.chmod(0o777)
        config = self._config(
            [*_MODULE, "--control=/canary/control.sock", "--ca=/canary/ca.pem", *flags], host
        )
        config["HostConfig"]["Binds"] = [f"{folder}:/canary:rw"]
        if "PortBindings" in host:
            config["ExposedPorts"] = {port: {} for port in host["PortBindings"]}
        self._names.append(self._name(name))
        await self._engine.create(self._name(name), config)
        await self._engine.start(self._name(name))
        control = Control(folder / "control.sock")
        self.controls[name] = control
        await asyncio.to_thread(control.wait_ready, why_dead=lambda: None)

    def _marks(self) -> dict[str, str]:
        return labels.labels(self._instance, "canary", **{labels.OWNER: this_process()})

    def _name(self, name: str) -> str:
        return f"orchbox-{self._instance}-canary-{name}"

    def _config(
        self, argv: list[str], host: dict[str, Any], *, caps: Sequence[str] = ("NET_RAW",)
    ) -> ContainerConfig:
        return {
            "Image": self._image,
            "Entrypoint": argv[:1],
            "Cmd": argv[1:],
            "User": "0:0",
            "Labels": self._marks(),
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "HostConfig": {
                "ReadonlyRootfs": True,
                "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16m"},  # noqa: S108 - in the container
                "CapDrop": ["ALL"],
                "CapAdd": list(caps),
                "SecurityOpt": ["no-new-privileges:true"],
                "PidsLimit": 128,
                "Memory": 512 << 20,
                "LogConfig": {"Type": "none", "Config": {}},
                **host,
            },
        }

    # -- the host ------------------------------------------------------------------------------

    async def _on_host(self, script: str) -> str:
        """Run a script in the host's network and process namespaces."""
        host = {"NetworkMode": "host", "PidMode": "host"}
        caps = ("NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE")  # links; nsenter into the canary's network
        config = self._config(["sh", "-ec", script], host, caps=caps)
        done = await run_helper(self._engine, config, name=f"orchbox-{self._instance}-wire")
        if done.code:
            raise CanaryError(f"a network command failed: {done.stderr.strip()[:300]}")
        return done.stdout

    async def _look(self) -> tuple[Rows, Rows]:
        said = await self._on_host("ip -j -4 addr; ip -j -4 route show table all")
        links, routes = (json.loads(line) for line in said.strip().splitlines())
        return links, routes

    @staticmethod
    def _require_free(links: Rows, routes: Rows, networks: Sequence[str]) -> None:
        if found := conflicts(links, routes, networks):
            said = "; ".join(found)
            raise CanaryError(f"the probe's canaries need addresses that the host has in use: {said}")

    async def _trip(self) -> None:
        """Touch each canary from the host: one that does not count could not prove anything."""
        facts = self.facts
        doors = [
            (PUBLIC, 443),
            (METADATA, 80),
            ("127.0.0.1", facts.port),
            (facts.published_address, PUBLISHED_PORT),
        ]
        code = f"import socket\nfor door in {doors!r}: socket.create_connection(door, 5).close()"
        await self._on_host(_python(code))
        seen = await self.record()
        counts = {name: len(record.accepts) for name, record in seen.items()}
        if counts["world"] < 2 or counts["host"] < 1 or counts["published"] < 1:
            raise CanaryError(f"a canary did not count who came: {counts}")
        for control in self.controls.values():
            await asyncio.to_thread(control.reset)


def _python(code: str) -> str:
    """A shell command that runs it."""
    quoted = code.replace("'", "'\"'\"'")
    return f"python3 -c '{quoted}'"


def case_address(number: int) -> str:
    """The address that belongs to one case. Raises ValueError when there are too many."""
    if number > 254 - FIRST_CASE_ADDRESS:
        raise ValueError("more cases with an address of their own than there are addresses")
    return str(ipaddress.IPv4Address("203.0.113.0") + FIRST_CASE_ADDRESS + number)


def _own_address(links: list[dict[str, Any]], routes: list[dict[str, Any]]) -> str:
    device = next((route.get("dev", "") for route in routes if route["dst"] == "default"), "")
    return _address_of(links, device)


def _address_of(links: list[dict[str, Any]], device: str) -> str:
    found = [a["local"] for link in links if link["ifname"] == device for a in link["addr_info"]]
    return str(found[0]) if found else "127.0.0.1"


def _free_port() -> int:
    """A port that is free on this host at the time of asking."""
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])
