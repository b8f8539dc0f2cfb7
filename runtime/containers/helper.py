"""One-shot containers of our own: run a command, collect what it prints, leave nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from runtime.containers.restrictions import NO_LOG, host_tasks, security_options
from runtime.engine.protocol import STDOUT, Attached, ContainerConfig, Engine
from runtime.engine.uninterrupted import uninterrupted
from runtime.model.limits import Isolation

HELPER_TIMEOUT_S = 30.0


class HelperResult(NamedTuple):
    """Exit status and output, stdout and stderr apart."""

    code: int
    stdout: str
    stderr: str


@asynccontextmanager
async def started(
    engine: Engine, config: ContainerConfig, *, name: str
) -> AsyncIterator[tuple[str, Attached]]:
    """A running helper with its streams attached; removed on the way out, whatever happened."""
    unique = f"{name}-{uuid.uuid4().hex[:8]}"
    try:
        container = await engine.create(unique, config)
        attached = await engine.attach(container)
        await engine.start(container)
        try:
            yield container, attached
        finally:
            await attached.close()
    finally:
        await uninterrupted(engine.remove(unique))  # by name: creating it may have been interrupted


async def run_helper(engine: Engine, config: ContainerConfig, *, name: str) -> HelperResult:
    """Run to the end. Raises TimeoutError after 30 s, and what the engine raises."""
    async with asyncio.timeout(HELPER_TIMEOUT_S), started(engine, config, name=name) as (container, attached):
        await attached.close_stdin()
        stdout, stderr = bytearray(), bytearray()
        async for stream, data in attached.output():
            (stdout if stream == STDOUT else stderr).extend(data)
        status = await engine.wait(container)
        return HelperResult(status.code, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


HELPER_MEMORY_BYTES = 256 << 20


HELPER_PIDS = 64


def helper_config(
    image: str,
    argv: list[str],
    *,
    labels: Mapping[str, str],
    network: str,
    address: str | None = None,
    needs_net_admin: bool = False,
    ipv6: bool = False,
) -> ContainerConfig:
    """A one-shot container of ours: `network` is `host`, `none` or a network's name.

    `ipv6` switches IPv6 on where the network has none, which no sandbox can: for the guard's proof.
    """
    endpoint = {"IPAMConfig": {"IPv4Address": address}} if address else {}
    return {
        "Image": image,
        "Entrypoint": argv[:1],
        "Cmd": argv[1:],
        # A capability counts for root only; what needs none runs as nobody.
        "User": "0:0" if needs_net_admin else "65534:65534",
        "Labels": dict(labels),
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "HostConfig": {
            "NetworkMode": network,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN"] if needs_net_admin else [],
            "SecurityOpt": security_options(),
            "PidsLimit": HELPER_PIDS,
            "Memory": HELPER_MEMORY_BYTES,
            "MemorySwap": HELPER_MEMORY_BYTES,
            "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"} if ipv6 else {},
            "IpcMode": "private",
            "LogConfig": NO_LOG,
        },
        "NetworkingConfig": {"EndpointsConfig": {network: endpoint} if address else {}},
    }


def under(isolation: Isolation, helper: ContainerConfig) -> ContainerConfig:
    """A helper's configuration under a runtime of its own, for trying that runtime."""
    host = {
        "Runtime": isolation.value,
        "SecurityOpt": security_options(isolation),
        "PidsLimit": host_tasks(isolation, HELPER_PIDS),
    }
    return {**helper, "HostConfig": {**helper["HostConfig"], **host}}
