"""The container that owns every target address of an attack, and the host's routes to it.

Only exact addresses are led there, so that the rest of their range stays what it is to the host:

    .10              simulated upstreams (HTTPS and HTTP)
    .53              the name server
    .66              the "public" canary: answers anybody on many ports, and counts
    169.254.169.254  the metadata canary
    what `hold` adds (an address a case, special addresses, IPv6 ones)
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runtime.canary.client import CanaryError, Control
from runtime.canary.net import wiring
from runtime.canary.net.container import WATCH_RIGHTS, canary_config, start_canary
from runtime.canary.net.ground import METADATA, Ground, HostUse, choose, stand_in
from runtime.canary.net.host import Host
from runtime.containers import labels
from runtime.containers.owner import is_alive, this_process
from runtime.engine.protocol import Engine
from runtime.engine.uninterrupted import uninterrupted

Zone = Mapping[str, Sequence[Sequence[str]]]
ROLE = "canary"
FOLDER_LABEL = "io.orchbox.canary.folder"
FOLDER_PREFIX = "orchbox-canary-"
TCP_PORTS = (21, 22, 25, 53, 80, 443, 853, 2375, 6379, 8080, 8443)
UDP_PORTS = (53, 123, 443, 853)
_DNS_TCP_PORTS = (80, 443, 853)


class WorldNet:
    """`start`, then `hold` more addresses; `close` removes everything. One at a time on a machine."""

    control: Control
    ground: Ground
    """The range in use, from `start` on."""

    def __init__(self, engine: Engine, *, instance: str, image: str) -> None:
        self.name = f"orchbox-{instance}-canary-world"
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self.marks = labels.labels(
            instance, ROLE, **{labels.OWNER: this_process(), FOLDER_LABEL: str(self.folder)}
        )
        self.host = Host(engine, image=image, labels=self.marks, name=f"orchbox-{instance}-wire")
        self.link = f"cnh{uuid.uuid4().hex[:8]}"
        self._engine = engine
        self._image = image
        self._use = HostUse()
        self._owned: set[str] = set()

    @property
    def owned(self) -> frozenset[str]:
        """Every address that leads to the canary and nowhere else: what an attack may aim at."""
        return frozenset(self._owned)

    @property
    def ca_pem(self) -> str:
        """The certificate of the simulated upstreams' CA."""
        return (self.folder / "world" / "ca.pem").read_text()

    async def start(self, *, avoid: Sequence[str] = ()) -> None:
        """Choose the range and bring the container up; `avoid` are hosts that the machine needs meanwhile.

        Its name server knows no name yet: `control.set_zone`. Raises CanaryError with what is in the way, and
        OrchError.
        """
        self._use = await self.host.use(avoid)
        self.ground = choose(self._use)
        folder = self.folder / "world"
        config = canary_config(
            self._image, self._flags(), labels=self.marks, folder=folder, network="none", is_watching=True
        )
        self.control = await start_canary(self._engine, self.name, config, folder=folder)
        pid = (await self._engine.inspect(self.name))["State"]["Pid"]
        # `ip` opens the namespace of a process by its number: for one whose rights are within its own.
        script = wiring.join_script(self.ground, link=self.link, pid=pid)
        await self.host.run(script, rights=WATCH_RIGHTS)
        await self.host.run(wiring.inside_script(self.ground), network=f"container:{self.name}")
        await self._lead(self.ground.canaries)

    async def hold(self, wanted: Iterable[str]) -> dict[str, str]:
        """Lead more addresses here; a network is stood for by one of its addresses. What stands for each.

        Raises CanaryError where the host itself uses an address, or every one that was tried of a network.
        """
        held = {text: text if text in self._owned else stand_in(self._use, text) for text in wanted}
        await self._lead([address for address in dict.fromkeys(held.values()) if address not in self._owned])
        return held

    async def close(self) -> None:
        """Remove the link, the container and the files. Raises CanaryError where the link stays."""
        await uninterrupted(self._close())

    async def _lead(self, addresses: Sequence[str]) -> None:
        if not addresses:
            return
        said = await self.host.run(wiring.lead_script(self.ground, addresses, link=self.link))
        wiring.require_led(said, addresses, link=self.link)
        self._owned.update(addresses)

    async def _close(self) -> None:
        """The link first, since removing a container leaves its network to the kernel's own time."""
        gone = f"ip link del {self.link} 2>/dev/null || true; ! ip link show {self.link} >/dev/null 2>&1"
        try:
            if hasattr(self, "control"):
                self.control.close()
            if hasattr(self, "ground"):
                await self.host.run(gone)
        finally:
            await self._engine.remove(self.name)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _flags(self) -> list[str]:
        at = self.ground
        flags = [f"--canary={address}:{port}" for address in (at.public, METADATA) for port in TCP_PORTS]
        flags += [f"--canary={at.dns}:{port}" for port in _DNS_TCP_PORTS]
        flags += [f"--udp-canary={at.public}:{port}" for port in UDP_PORTS]
        flags += [f"--https={at.upstream}:443", f"--http={at.upstream}:80", f"--dns={at.dns}:53"]
        return [*flags, f"--watch={wiring.INSIDE}"]


async def reap_dead(engine: Engine) -> set[str]:
    """Remove what a killed process left of its canaries; the instances they were of.

    Raises CanaryError while another process has canaries on this host: their addresses are one machine's.
    """
    instances = set()
    for container in await engine.containers({labels.ROLE: ROLE}):
        if is_alive(owner := container.labels.get(labels.OWNER, "")):
            pid = owner.partition(":")[0]
            raise CanaryError(
                f"process {pid} has its canaries on this host (a probe, a demo, tests): one at a time"
            )
        await engine.remove(container.id)
        instances.add(container.labels[labels.INSTANCE])
        folder = Path(container.labels.get(FOLDER_LABEL, "/"))
        if folder.name.startswith(FOLDER_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
    for network in await engine.networks({labels.ROLE: ROLE}):
        await engine.remove_network(network.name)
    if instances:
        await asyncio.sleep(0.5)  # the kernel takes the link and its routes away with the container's network
    return instances
