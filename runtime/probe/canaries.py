"""The probe's canaries: whatever an escape could reach, so that none leaves this machine unseen.

    world      every address that a case aims at, and no other: simulated upstreams, a name server,
               canaries, a packet watch (`runtime.canary.net.world`)
    host       the host's network: a service that a sandbox must not reach
    published  an ordinary container with a published port

Each says what it saw on a control socket. Made through the Docker API alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.canary.client import CanaryError, Control
from runtime.canary.net import wiring
from runtime.canary.net.container import canary_config, start_canary
from runtime.canary.net.ground import METADATA
from runtime.canary.net.world import WorldNet
from runtime.engine.protocol import Engine, NetworkSpec
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import ConflictError

PUBLISHED_PORT = 9000


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

    facts: HostFacts

    def __init__(self, engine: Engine, *, instance: str, image: str) -> None:
        self.world = WorldNet(engine, instance=instance, image=image)
        self._engine = engine
        self._instance = instance
        self._image = image
        self._names: list[str] = []
        self._bridge = f"orchbox-{instance}-published"
        self._controls: dict[str, Control] = {}

    async def start(self, *, avoid: Sequence[str] = ()) -> None:
        """Bring all three up and see that they count; `avoid` as in WorldNet.

        Raises CanaryError, OrchError.
        """
        port = _free_port()
        await asyncio.gather(
            self.world.start(avoid=avoid),
            self._start("host", f"--canary=0.0.0.0:{port}", network="host"),
            self._published(),
        )
        ends = (await self._engine.inspect(self._name("published")))["NetworkSettings"]
        said = await self.world.host.look()
        links = wiring.links_of(said)
        self.facts = HostFacts(
            address=_own_address(links, wiring.routes_of(said)),
            docker0=_address_of(links, "docker0"),
            port=port,
            published_port=int(ends["Ports"][f"{PUBLISHED_PORT}/tcp"][0]["HostPort"]),
            published_address=str(ends["Networks"][self._bridge]["IPAddress"]),
        )
        await self._trip()

    async def record(self) -> dict[str, Any]:
        """What each canary saw, by its name."""
        controls = {"world": self.world.control, **self._controls}
        return {name: await asyncio.to_thread(control.record) for name, control in controls.items()}

    async def reset(self) -> None:
        """Forget what each canary saw."""
        for control in (self.world.control, *self._controls.values()):
            await asyncio.to_thread(control.reset)

    async def close(self) -> None:
        """Remove the link, the containers, the network and the files."""
        await uninterrupted(self._close())

    async def _close(self) -> None:
        for control in self._controls.values():
            control.close()
        for name in self._names:
            await self._engine.remove(name)
        await self._engine.remove_network(self._bridge)
        await self.world.close()

    # -- the two beside the world --------------------------------------------------------------

    async def _published(self) -> None:
        spec = NetworkSpec(
            self._bridge, bridge=None, subnet=None, gateway=None, is_internal=False, labels=self.world.marks
        )
        with contextlib.suppress(ConflictError):
            await self._engine.create_network(spec)
        await self._start(
            "published", f"--canary=0.0.0.0:{PUBLISHED_PORT}", network=self._bridge, port=PUBLISHED_PORT
        )

    async def _start(self, name: str, flag: str, *, network: str, port: int | None = None) -> None:
        folder = self.world.folder / name
        config = canary_config(
            self._image, [flag], labels=self.world.marks, folder=folder, network=network, port=port
        )
        self._names.append(self._name(name))
        self._controls[name] = await start_canary(self._engine, self._name(name), config, folder=folder)

    def _name(self, name: str) -> str:
        return f"orchbox-{self._instance}-canary-{name}"

    async def _trip(self) -> None:
        """Touch each canary from the host: one that does not count could not prove anything."""
        facts = self.facts
        doors = [
            (self.world.ground.public, 443),
            (METADATA, 80),
            ("127.0.0.1", facts.port),
            (facts.published_address, PUBLISHED_PORT),
        ]
        code = f"import socket\nfor door in {doors!r}: socket.create_connection(door, 5).close()"
        await self.world.host.run(_python(code))
        seen = await self.record()
        counts = {name: len(record.accepts) for name, record in seen.items()}
        if counts["world"] < 2 or counts["host"] < 1 or counts["published"] < 1:
            raise CanaryError(f"a canary did not count who came: {counts}")
        await self.reset()


def _python(code: str) -> str:
    """A shell command that runs it."""
    quoted = code.replace("'", "'\"'\"'")
    return f"python3 -c '{quoted}'"


def _own_address(links: wiring.Rows, routes: wiring.Rows) -> str:
    device = next((route.get("dev", "") for route in routes if route["dst"] == "default"), "")
    return _address_of(links, device)


def _address_of(links: wiring.Rows, device: str) -> str:
    entries = [entry for link in links if link["ifname"] == device for entry in link["addr_info"]]
    found = [entry["local"] for entry in entries if ":" not in entry["local"]]
    return str(found[0]) if found else "127.0.0.1"


def _free_port() -> int:
    """A port that is free on this host at the time of asking."""
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])
