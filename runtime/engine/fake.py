"""An engine in memory that passes the same contract suite as the Docker one: for tests without Docker.

An image is a name and a program; a program is a coroutine that reads its standard input, writes to its
output and returns an exit status. `fake_programs.py` has those that an `Entrypoint` may name.

    engine = FakeEngine({"agent:test": program})

`before` is awaited ahead of every call with its name: raise there, or wait, to play a failing engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.engine.fake_programs import PROGRAMS, FakeProcess, Program, missing
from runtime.engine.frames import SMALL_BYTES
from runtime.engine.protocol import (
    Attached,
    ContainerConfig,
    EngineInfo,
    ExitStatus,
    Labelled,
    NetworkSpec,
)
from runtime.errors import ConflictError, EngineUnavailableError, InvalidInputError, NotFoundError

SIGNALS = {"SIGTERM": 15, "SIGKILL": 9}


@dataclass(slots=True)
class _Container:
    id: str
    name: str
    config: ContainerConfig
    process: FakeProcess
    program: Program | None
    task: asyncio.Task[int] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: ExitStatus = field(default_factory=lambda: ExitStatus(0, is_oom_killed=False))
    killed_by: int = 0

    @property
    def is_running(self) -> bool:
        return self.task is not None and not self.ended.is_set()


@dataclass(slots=True)
class _Network:
    id: str
    spec: NetworkSpec
    members: dict[str, str] = field(default_factory=dict)
    """Container name -> address."""


class FakeEngine:
    """An engine in memory that behaves as the contract suite demands of `protocol.Engine`."""

    def __init__(
        self,
        images: Mapping[str, Program | None],
        *,
        runtimes: frozenset[str] = frozenset({"runc"}),
        has_apparmor: bool = False,
        memory_bytes: int = 64 << 30,
        marks: Mapping[str, str] | None = None,
    ) -> None:
        self._images = dict(images)
        self.marks = dict(marks or {})
        """Labels on all that is made."""
        self._info = EngineInfo("0-fake", runtimes, has_apparmor, memory_bytes)
        self.broken_runtimes: set[str] = set()
        """Listed, but their program does not start."""
        self.swapped_runtime: str | None = None
        """What it starts instead of what was asked for."""
        self._ids = (f"{n:064x}" for n in itertools.count(1))
        self.by_name: dict[str, _Container] = {}
        self.by_network: dict[str, _Network] = {}
        self.is_down = False
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.calls: list[str] = []
        """`<method> <name>`, in order."""

    def add_image(self, reference: str, program: Program) -> None:
        """Make one more image known, under this name."""
        self._images[reference] = program

    async def _enter(self, call: str, name: str = "") -> None:
        self.calls.append(f"{call} {name}".strip())
        if self.before is not None:
            await self.before(call)
        if self.is_down:
            raise EngineUnavailableError("the container engine does not answer", hint="orch doctor")

    async def close(self) -> None:
        """End the program of every container."""
        for container in list(self.by_name.values()):
            await self._kill(container, 9)

    async def info(self) -> EngineInfo:
        """Tell the version, the runtimes and whether the pretended host has AppArmor."""
        await self._enter("info")
        return self._info

    async def image_id(self, reference: str) -> str | None:
        """The image's id, or None."""
        await self._enter("image_id", reference)
        return f"sha256:{reference}" if reference in self._images else None

    # -- networks ------------------------------------------------------------------------------

    async def create_network(self, spec: NetworkSpec) -> None:
        """Keep a network. Raises ConflictError where its name, subnet or bridge is taken."""
        await self._enter("create_network", spec.name)
        for other in self.by_network.values():
            if spec.name == other.spec.name or _is_taken(spec, other.spec):
                raise ConflictError(f"network {spec.name}: its name, bridge or subnet is taken")
        marked = dataclasses.replace(spec, labels={**spec.labels, **self.marks})
        self.by_network[spec.name] = _Network(next(self._ids), marked)

    async def remove_network(self, name: str) -> None:
        """Forget a network; one that is not there is no error."""
        await self._enter("remove_network", name)
        self.by_network.pop(name, None)

    async def connect(self, network: str, container: str, address: str) -> None:
        """Note the address that a container has on a network."""
        await self._enter("connect", network)
        found, member = self._network(network), self._container(container)
        if member.name in found.members or address in found.members.values():
            raise ConflictError(f"{container} or {address} is on {network} already")
        if found.spec.subnet and ipaddress.ip_address(address) not in ipaddress.ip_network(found.spec.subnet):
            raise InvalidInputError(f"{address} is no address of {network}")
        found.members[member.name] = address

    async def disconnect(self, network: str, container: str) -> None:
        """Forget the address that a container has on a network."""
        await self._enter("disconnect", network)
        if network in self.by_network:
            self.by_network[network].members.pop(container, None)

    async def networks(self, labels: Mapping[str, str]) -> list[Labelled]:
        """List the networks that carry these labels."""
        await self._enter("networks")
        found = [(n.id, n.spec.name, n.spec.labels) for n in self.by_network.values()]
        return [Labelled(*each) for each in found if _has(each[2], labels)]

    # -- containers ----------------------------------------------------------------------------

    async def create(self, name: str, config: ContainerConfig) -> str:
        """Keep a container that has not started."""
        await self._enter("create", name)
        image = str(config["Image"])
        if image not in self._images:
            raise NotFoundError(f"no such image: {image}", hint="make images")
        host = config.get("HostConfig") or {}
        if host.get("Runtime", "runc") not in self._info.runtimes:
            raise InvalidInputError(f"unknown runtime specified {host['Runtime']}", hint="orch doctor")
        if name in self.by_name:
            raise ConflictError(f"the container name {name} is already in use")
        process = FakeProcess(config)
        argv = process.argv
        program = PROGRAMS.get(argv[0]) if argv else self._images[image]
        if program is None and argv and host.get("Init"):
            program = missing
        marked = {**config, "Labels": {**(config.get("Labels") or {}), **self.marks}}
        container = _Container(next(self._ids), name, marked, process, program)
        self.by_name[name] = container
        network = host.get("NetworkMode")
        if network in self.by_network:
            ends = (config.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
            address = (ends.get(network) or {}).get("IPAMConfig", {}).get("IPv4Address", "")
            self.by_network[network].members[name] = address
        return container.id

    async def attach(self, container: str) -> Attached:
        """Give the streams of a container."""
        await self._enter("attach", container)
        return _FakeAttached(self._container(container))

    async def start(self, container: str) -> None:
        """Run the container's program as a task."""
        await self._enter("start", container)
        found = self._container(container)
        runtime = (found.config.get("HostConfig") or {}).get("Runtime", "runc")
        if runtime in self.broken_runtimes:
            raise InvalidInputError("the engine cannot start this container: failed to create shim")
        if found.program is None:
            raise InvalidInputError(f"the engine cannot start this container: {found.process.argv}")
        if found.task is None:
            found.task = asyncio.create_task(self._run(found, found.program))

    async def wait(self, container: str) -> ExitStatus:
        """Wait until the container's program has ended."""
        await self._enter("wait", container)
        found = self._container(container)
        await found.ended.wait()
        return found.status

    async def signal(self, container: str, name: str) -> None:
        """Deliver a signal to the container's program."""
        await self._enter("signal", name)
        with contextlib.suppress(NotFoundError):
            found = self._container(container)
            handler = found.process.on_sigterm
            if name == "SIGTERM" and handler is not None and found.is_running:
                handler()
            else:
                await self._kill(found, SIGNALS[name])

    async def remove(self, container: str) -> None:
        """End the container's program and forget the container."""
        await self._enter("remove", container)
        with contextlib.suppress(NotFoundError):
            found = self._container(container)
            await self._kill(found, 9)
            self.by_name.pop(found.name, None)
            for network in self.by_network.values():
                network.members.pop(found.name, None)

    async def containers(self, labels: Mapping[str, str]) -> list[Labelled]:
        """List the containers that carry these labels."""
        await self._enter("containers")
        found = [(c.id, c.name, c.config.get("Labels") or {}) for c in self.by_name.values()]
        return [Labelled(*each) for each in found if _has(each[2], labels)]

    async def inspect(self, container: str) -> dict[str, Any]:
        """The parts of Docker's record that callers read."""
        await self._enter("inspect", container)
        found = self._container(container)
        state = {"Running": found.is_running, "ExitCode": found.status.code}
        networks = {
            name: {"IPAddress": network.members[found.name]}
            for name, network in self.by_network.items()
            if found.name in network.members
        }
        swapped = {"Runtime": self.swapped_runtime} if self.swapped_runtime else {}
        return {
            "Id": found.id,
            "Name": f"/{found.name}",
            "Config": found.config,
            "HostConfig": {"Runtime": "runc", **(found.config.get("HostConfig") or {}), **swapped},
            "State": state,
            "NetworkSettings": {"Networks": networks},
        }

    # -- inside --------------------------------------------------------------------------------

    def _container(self, reference: str) -> _Container:
        for container in self.by_name.values():
            if reference in {container.id, container.name}:
                return container
        raise NotFoundError(f"No such container: {reference}")

    def _network(self, name: str) -> _Network:
        if name not in self.by_network:
            raise NotFoundError(f"network {name} not found")
        return self.by_network[name]

    async def _run(self, container: _Container, program: Program) -> int:
        code, is_oom_killed = 0, False
        try:
            code = await program(container.process)
        except asyncio.CancelledError:
            code = 128 + container.killed_by
        except MemoryError:
            code, is_oom_killed = 137, True
        finally:
            container.status = ExitStatus(code, is_oom_killed=is_oom_killed)
            container.ended.set()
            container.process.output.put_nowait(None)
        return code

    async def _kill(self, container: _Container, number: int) -> None:
        if container.task is None or container.ended.is_set():
            return
        container.killed_by = number
        await asyncio.sleep(0)  # a task cancelled before its first step would never end its streams
        container.task.cancel()
        await asyncio.wait([container.task])


class _FakeAttached:
    """The other ends of a process's streams."""

    def __init__(self, container: _Container) -> None:
        self._container = container
        self._small_pieces = 0

    async def write(self, data: bytes) -> None:
        if self._container.ended.is_set():
            raise ConnectionResetError("the container has ended")
        self._container.process.stdin.feed_data(data)
        await asyncio.sleep(0)

    async def close_stdin(self) -> None:
        self._container.process.stdin.feed_eof()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while (item := await self._container.process.output.get()) is not None:
            self._small_pieces += len(item[1]) < SMALL_BYTES
            yield item

    @property
    def small_pieces(self) -> int:
        return self._small_pieces

    async def close(self) -> None:
        """Nothing to let go of."""


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(name in labels and (not value or labels[name] == value) for name, value in wanted.items())


def _is_taken(one: NetworkSpec, other: NetworkSpec) -> bool:
    if one.bridge and one.bridge == other.bridge:
        return True
    if not one.subnet or not other.subnet:
        return False
    return ipaddress.ip_network(one.subnet).overlaps(ipaddress.ip_network(other.subnet))
