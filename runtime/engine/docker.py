"""The Docker engine, by its SDK. That blocks, so every call runs in a thread.

What the engine says is turned into our errors here, and nowhere else.

A call that changes something is finished even where its task is cancelled: whoever cancels can then
remove what was made, by name. A thread cannot be stopped, so anything else would leak.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import docker.errors
import requests.exceptions

from runtime.engine.connections import KEPT, share_connections
from runtime.engine.frames import Frames
from runtime.engine.protocol import (
    Attached,
    ContainerConfig,
    EngineInfo,
    ExitStatus,
    Labelled,
    NetworkSpec,
    has_isolated_gateways,
)
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import (
    ConflictError,
    EngineUnavailableError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    OrchError,
)

CALL_TIMEOUT_S = 60
WRITE_BYTES = 1 << 18
"""Written at once, so that a large bundle does not hold up the event loop."""
READ_AHEAD_BYTES = 512
"""Of a container's output: who reads slowly stops the engine, and through it the container, at once."""
SDK_ERRORS = (
    docker.errors.DockerException,
    docker.errors.StreamParseError,  # the one that is no DockerException (docker 7.2)
    requests.exceptions.RequestException,
)
_TAKEN = ("already exists", "already in use", "pool overlaps", "overlaps with", "conflicts with network")
_NO_SOURCE = "bind source path does not exist"
_FIREWALL = "no chain/target/match by that name"
_RUNTIME = (
    "unknown or invalid runtime name",
    "unknown runtime specified",
    "oci runtime",
    "failed to create shim",
)


def to_orch_error(exc: Exception) -> OrchError:
    """An error of the SDK as one of ours; the engine's own sentence is kept as the message."""
    if isinstance(exc, docker.errors.ImageNotFound):
        return NotFoundError(f"no such image: {_explain(exc)}", hint="make images")
    if isinstance(exc, docker.errors.NotFound):
        return NotFoundError(_explain(exc))
    if isinstance(exc, docker.errors.APIError):
        text = _explain(exc)
        if any(words in text.lower() for words in _RUNTIME):
            return InvalidInputError(f"the engine cannot start this container: {text}", hint="orch doctor")
        if _NO_SOURCE in text.lower():
            return NotReadyError(
                f"the engine's host does not have what is mounted into a sandbox: {text}",
                hint="run the daemon on the engine's host, or in a container of that engine",
            )
        if exc.status_code == 409 or any(words in text.lower() for words in _TAKEN):
            return ConflictError(text)
        if (
            _FIREWALL in text.lower()
        ):  # after `nft flush ruleset` (20.10, iptables-nft); it does not look again
            gone = "the engine's own firewall rules are gone, so it makes no network"
            return OrchError(f"{gone}: {text}", hint="restart Docker: it loads its rules when it starts")
        if exc.status_code is not None and exc.status_code < 500:
            return InvalidInputError(f"the engine refused: {text}")
        return OrchError(f"the engine failed: {text}")
    return EngineUnavailableError(
        f"the container engine does not answer ({type(exc).__name__})", hint="orch doctor"
    )


def engine_info(data: Mapping[str, Any]) -> EngineInfo:
    """From `GET /info`; a security option is `name=apparmor`, others follow its name after a comma."""
    secured = {str(option).partition(",")[0] for option in data.get("SecurityOptions") or ()}
    runtimes = frozenset(data.get("Runtimes") or ())
    return EngineInfo(
        data["ServerVersion"],
        runtimes,
        has_apparmor="name=apparmor" in secured,
        memory_bytes=int(data.get("MemTotal") or 0),
        clock=_epoch(str(data.get("SystemTime") or "")),
        host=str(data.get("Name") or ""),
        data_root=str(data.get("DockerRootDir") or ""),
    )


def _epoch(text: str) -> float | None:
    """RFC 3339, with nine digits behind the second and with the host's zone."""
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _explain(exc: docker.errors.APIError) -> str:
    return str(exc.explanation or exc)


class DockerEngine:
    """Talks to the engine that DOCKER_HOST names, or the local one."""

    def __init__(self, *, base_url: str | None = None, marks: Mapping[str, str] | None = None) -> None:
        """Put the labels `marks` on all that is made. Raises EngineUnavailableError where none is there."""
        self._marks = dict(marks or {})
        self._threads = ThreadPoolExecutor(KEPT, thread_name_prefix="docker")
        options: dict[str, Any] = {"timeout": CALL_TIMEOUT_S, "version": "1.41"}
        try:
            client = (
                docker.DockerClient(base_url=base_url, **options) if base_url else docker.from_env(**options)
            )
        except docker.errors.DockerException as exc:
            raise to_orch_error(exc) from exc
        self._api = client.api
        share_connections(self._api)
        self._version: str | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        self._threads.shutdown(wait=False)
        self._api.close()

    async def _ask(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call; abandoned when cancelled, since it changes nothing."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, functools.partial(function, *args, **kwargs))
        except SDK_ERRORS as exc:
            raise to_orch_error(exc) from exc

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call; finished, one way or the other, before a cancellation is let through."""
        return await uninterrupted(self._ask(function, *args, **kwargs))

    async def info(self) -> EngineInfo:
        """Ask the engine for its version, its runtimes and whether its host has AppArmor."""
        found = engine_info(await self._ask(self._api.info))
        self._version = found.version
        return found

    async def image_id(self, reference: str) -> str | None:
        """The image's id, or None."""
        try:
            return str((await self._ask(self._api.inspect_image, reference))["Id"])
        except NotFoundError:
            return None

    async def create_network(self, spec: NetworkSpec) -> None:
        """Create a bridge network without IPv6; an internal one without the host where the engine can."""
        options = {"com.docker.network.bridge.name": spec.bridge} if spec.bridge else {}
        if spec.is_internal and has_isolated_gateways(await self._server_version()):
            for family in ("ipv4", "ipv6"):
                options[f"com.docker.network.bridge.gateway_mode_{family}"] = "isolated"
        pools = [{"Subnet": spec.subnet, "Gateway": spec.gateway}] if spec.subnet else []
        await self._call(
            self._api.create_network,
            spec.name,
            driver="bridge",
            options=options,
            ipam={"Driver": "default", "Config": pools},
            check_duplicate=True,
            internal=spec.is_internal,
            enable_ipv6=False,
            labels={**spec.labels, **self._marks},
        )

    async def _server_version(self) -> str:
        """What it said last: it is asked before every run, so an upgrade is noticed."""
        return self._version or (await self.info()).version

    async def remove_network(self, name: str) -> None:
        """Remove a network and whoever is still connected."""
        with contextlib.suppress(NotFoundError):
            data = await self._ask(self._api.inspect_network, name)
            for container in data.get("Containers") or {}:
                await self.disconnect(name, container)
            await self._call(self._api.remove_network, name)

    async def connect(self, network: str, container: str, address: str) -> None:
        """Connect with a fixed address."""
        await self._call(self._api.connect_container_to_network, container, network, ipv4_address=address)

    async def disconnect(self, network: str, container: str) -> None:
        """Disconnect a container by force; one that is not connected is no error."""
        try:
            await self._call(self._api.disconnect_container_from_network, container, network, force=True)
        except OrchError as exc:
            # 20.10 says 500 "is not connected to [the] network", also for a network that is gone.
            if not isinstance(exc, NotFoundError) and "is not connected to" not in exc.message:
                raise

    async def create(self, name: str, config: ContainerConfig) -> str:
        """Create a container from an API body."""
        marked = {**config, "Labels": {**(config.get("Labels") or {}), **self._marks}}
        created = await self._call(self._api.create_container_from_config, marked, name)
        return str(created["Id"])

    async def attach(self, container: str) -> Attached:
        """Attach to stdin, stdout and stderr as one raw connection."""
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        wrapped = await self._call(self._api.attach_socket, container, params=params)
        raw = getattr(wrapped, "_sock", wrapped)
        raw.setblocking(False)  # noqa: FBT003 - the socket API
        reader, writer = await asyncio.open_connection(sock=raw, limit=READ_AHEAD_BYTES)
        return _DockerAttached(reader, writer, wrapped)

    async def start(self, container: str) -> None:
        """Start a created container."""
        await self._call(self._api.start, container)

    async def wait(self, container: str) -> ExitStatus:
        """Wait for the end and ask how it came."""
        status = await self._ask(self._api.wait, container, timeout=CALL_TIMEOUT_S)
        state = (await self._ask(self._api.inspect_container, container))["State"]
        return ExitStatus(int(status["StatusCode"]), bool(state.get("OOMKilled")))

    async def signal(self, container: str, name: str) -> None:
        """Send a signal to its first process."""
        with contextlib.suppress(NotFoundError, ConflictError):
            await self._call(self._api.kill, container, name)

    async def remove(self, container: str) -> None:
        """Kill a container and remove it with its anonymous volumes."""
        with contextlib.suppress(NotFoundError, ConflictError):  # 409: a removal is already under way
            await self._call(self._api.remove_container, container, v=True, force=True)

    async def containers(self, labels: Mapping[str, str]) -> list[Labelled]:
        """List all containers, running or not, that carry these labels."""
        found = await self._ask(self._api.containers, all=True, filters={"label": _label_filter(labels)})
        return [Labelled(item["Id"], item["Names"][0].lstrip("/"), item["Labels"] or {}) for item in found]

    async def networks(self, labels: Mapping[str, str]) -> list[Labelled]:
        """List all networks that carry these labels."""
        found = await self._ask(self._api.networks, filters={"label": _label_filter(labels)})
        return [Labelled(item["Id"], item["Name"], item["Labels"] or {}) for item in found]

    async def inspect(self, container: str) -> dict[str, Any]:
        """The engine's record of a container."""
        return dict(await self._ask(self._api.inspect_container, container))


def _label_filter(labels: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" if value else name for name, value in labels.items()]


class _DockerAttached:
    """One attach connection: stdin raw, output in frames (API 1.41, `POST /containers/{id}/attach`)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = Frames()
        self._keep = keep  # the SDK's response owns the socket: collected, it would close it

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), WRITE_BYTES):
            self._writer.write(view[start : start + WRITE_BYTES])
            await self._writer.drain()

    async def close_stdin(self) -> None:
        self._writer.write_eof()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                for piece in self._frames.feed(data):
                    yield piece

    @property
    def small_pieces(self) -> int:
        return self._frames.small

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        # The SDK's response holds the descriptor open until it is closed too (docker 7.2).
        getattr(self._keep, "_response", self._keep).close()
