"""The canary network for a program without an event loop: the demo and the tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runtime.canary.client import CanaryError, Control
from runtime.canary.net.ground import Ground
from runtime.canary.net.world import WorldNet, Zone, reap_dead
from runtime.canary.seen import Record
from runtime.canary.upstreams.application import HOSTS
from runtime.engine.docker import DockerEngine
from runtime.errors import OrchError

IMAGE = "orchbox/daemon:local"


class CanaryNet:
    """`with CanaryNet() as net:`; one at a time on a machine. `net.control` sets failures, zone, delay.

    `avoid` are hosts that the machine needs meanwhile: its package mirrors.
    """

    ca_pem: str
    control: Control
    ground: Ground

    def __init__(
        self,
        *,
        image: str = IMAGE,
        zone: Zone | None = None,
        token_delay_s: float = 0.0,
        avoid: Sequence[str] = (),
    ) -> None:
        self.image = image
        self._zone = zone or {}
        self._token_delay_s = token_delay_s
        self._avoid = avoid
        self._loop: _Loop | None = None
        self._world: WorldNet | None = None

    def __enter__(self) -> Self:
        """Bring it up. Raises CanaryError where no range is free, another is up, or engine or image lack."""
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
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            loop.run(self._close)
        finally:
            loop.close()

    @property
    def container(self) -> str:
        """The name of the canary's container."""
        return self._up.name

    @property
    def owned(self) -> frozenset[str]:
        """Every address that leads to the canary."""
        return self._up.owned

    @property
    def networks(self) -> tuple[str, ...]:
        """The same as networks of one address each."""
        return tuple(f"{address}/{128 if ':' in address else 32}" for address in sorted(self.owned))

    def record(self) -> Record:
        """What the simulators and canaries saw since the start or the last `reset`."""
        return self.control.record()

    def escapes(self) -> Record:
        """The record without the packets and connections that are the host's own."""
        return self.record().without(self.ground.host)

    def reset(self) -> None:
        """Let the canaries forget what they saw so far."""
        self.control.reset()

    def site_policy_yaml(self, *, upstream_ca: str = "upstream-ca.pem", pins: bool = True) -> str:
        """The operator's site policy that leads the simulated names to the simulators."""
        upstream = self.ground.upstream
        pinned = "".join(f"  {host}: [{upstream}]\n" for host in HOSTS) if pins else ""
        resolve = f"resolve:\n{pinned}" if pinned else ""
        head = "version: 1\nname: site\n"
        return f"{head}{resolve}allow_private: [{upstream}/32]\nupstream_ca: {upstream_ca}\n"

    def write_site_policy(self, directory: Path, *, pins: bool = True) -> Path:
        """Write the site policy and the CA's certificate it names; gives the policy's path."""
        (directory / "upstream-ca.pem").write_text(self.ca_pem)
        path = directory / "site.yaml"
        path.write_text(self.site_policy_yaml(pins=pins))
        return path

    @property
    def _up(self) -> WorldNet:
        if self._world is None:
            raise CanaryError("the canary network is not up")
        return self._world

    def _start(self) -> None:
        self._loop = _Loop()
        try:
            self._loop.run(self._bring_up)
        except OrchError as exc:
            raise CanaryError(f"the canary network cannot be had: {exc}") from exc
        world = self._up
        self.control, self.ground, self.ca_pem = world.control, world.ground, world.ca_pem
        self.control.set_zone({**_zone(self.ground), **self._zone})
        self.control.set_token_delay(self._token_delay_s)

    async def _bring_up(self) -> None:
        self._engine = DockerEngine()
        if await self._engine.image_id(self.image) is None:
            raise CanaryError(f"the image {self.image} is missing: build it with `make images`")
        await reap_dead(self._engine)
        instance = f"net-{uuid.uuid4().hex[:8]}"
        self._world = WorldNet(self._engine, instance=instance, image=self.image)
        await self._world.start(avoid=self._avoid)

    async def _close(self) -> None:
        world, self._world = self._world, None
        try:
            if world is not None:
                await world.close()
        finally:
            if hasattr(self, "_engine"):
                await self._engine.close()


class _Loop:
    """An event loop on a thread of its own, so that the caller may have one too."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="canary-net")

    def run(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run to the end and raise what it raises."""
        self._thread.submit(lambda: self._runner.run(start())).result()

    def close(self) -> None:
        """End the loop and the thread."""
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


def _zone(ground: Ground) -> Mapping[str, Sequence[Sequence[str]]]:
    """Every simulated name leads to the simulators, the attacker's to the public canary."""
    upstream, public = [[ground.upstream]], [[ground.public]]
    return {
        **dict.fromkeys((*HOSTS, "*.wild.test"), upstream),
        **dict.fromkeys(("evil.test", "*.evil.test"), public),
    }
