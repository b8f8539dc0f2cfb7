"""The container engine as the runtime sees it. `docker_engine.py` and `fake_engine.py` implement it.

Container configurations are bodies of Docker's `POST /containers/create` (API 1.41), built by
`hardening.py`; nothing else here is Docker's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

ContainerConfig = dict[str, Any]
"""Body of `POST /containers/create`."""

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine says of itself."""

    version: str
    runtimes: frozenset[str]
    has_apparmor: bool = False
    memory_bytes: int = 0
    """Of the host; 0 where the engine does not say."""
    clock: float | None = None
    """The host's, in epoch seconds, as it answered; None where the engine does not say."""
    host: str = ""
    """Its name."""
    data_root: str = ""
    """Where images and containers are, on that host."""


ISOLATED_GATEWAYS_SINCE = 28
"""Major release with `gateway_mode=isolated`: an internal network's bridge then has no address of the host's
(docs.docker.com, packet filtering, gateway modes)."""


def has_isolated_gateways(version: str) -> bool:
    """Whether an engine of this version (`28.0.1`, `20.10.24+dfsg1`) has it; no where it cannot be read."""
    major = version.partition(".")[0]
    return major.isdecimal() and int(major) >= ISOLATED_GATEWAYS_SINCE


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A bridge network as it is asked of the engine."""

    name: str
    bridge: str | None
    """Name of the host's interface, at most 15 characters; None leaves it to the engine."""
    subnet: str | None
    gateway: str | None
    is_internal: bool
    labels: Mapping[str, str]


class Labelled(NamedTuple):
    """A container or network that carries labels."""

    id: str
    name: str
    labels: Mapping[str, str]


class ExitStatus(NamedTuple):
    """How a container ended: its exit status, and whether the kernel killed it for want of memory."""

    code: int
    is_oom_killed: bool


class Attached(Protocol):
    """The standard streams of one container, attached before it starts."""

    async def write(self, data: bytes) -> None:
        """Send to its stdin. Raises ConnectionError when it is closed."""

    async def close_stdin(self) -> None:
        """Close the container's stdin, so that its program reads an end of file."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(STDOUT or STDERR, bytes) as they come, until the container ends.

        Who reads no further stops the container's writes, after what the engine holds.
        """

    @property
    def small_pieces(self) -> int:
        """In how many pieces of a few bytes what was read so far has come: each costs the engine a turn."""

    async def close(self) -> None:
        """Let go of the streams."""


class Engine(Protocol):
    """Every method raises EngineUnavailableError when the engine does not answer in time.

    A cancelled call that changes something has happened or has failed by the time CancelledError comes:
    what it may have made can then be removed by name.
    """

    async def close(self) -> None:
        """Let go of the engine."""

    async def info(self) -> EngineInfo:
        """Ask for the engine's version, its runtimes and what its host offers."""

    async def image_id(self, reference: str) -> str | None:
        """The image's id, or None where it is not here."""

    async def create_network(self, spec: NetworkSpec) -> None:
        """Raises ConflictError where the name, subnet or bridge is taken."""

    async def remove_network(self, name: str) -> None:
        """Disconnect whoever is still there and remove it; nothing where it is gone."""

    async def connect(self, network: str, container: str, address: str) -> None:
        """Give a container a second interface with this address."""

    async def disconnect(self, network: str, container: str) -> None:
        """Take a container off a network; nothing where it is not there."""

    async def create(self, name: str, config: ContainerConfig) -> str:
        """Create a container; its id. Raises NotFoundError (image), InvalidInputError (runtime)."""

    async def attach(self, container: str) -> Attached:
        """Attach to the streams of a created container."""

    async def start(self, container: str) -> None:
        """Start it. Raises InvalidInputError where its runtime or command cannot be started."""

    async def wait(self, container: str) -> ExitStatus:
        """Wait for its end, at most the engine's time limit once its streams are closed."""

    async def signal(self, container: str, name: str) -> None:
        """Send SIGTERM or SIGKILL; nothing where it has ended."""

    async def remove(self, container: str) -> None:
        """Kill and remove it with its anonymous volumes; nothing where it is gone."""

    async def containers(self, labels: Mapping[str, str]) -> list[Labelled]:
        """All containers, running or not, that carry these labels."""

    async def networks(self, labels: Mapping[str, str]) -> list[Labelled]:
        """All networks that carry these labels."""

    async def inspect(self, container: str) -> dict[str, Any]:
        """The engine's own record. Raises NotFoundError."""
