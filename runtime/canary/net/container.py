"""One canary's container: its configuration, its start, its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.canary.client import Control
from runtime.containers.helper import helper_config
from runtime.engine.protocol import ContainerConfig, Engine

_MEMORY_BYTES = 512 << 20
_PIDS = 128
WATCH_RIGHTS = ("NET_RAW",)
_COMMAND = ("python3", "-m", "runtime.canary", "--control=/canary/control.sock", "--ca=/canary/ca.pem")


def canary_config(
    image: str,
    flags: Sequence[str],
    *,
    labels: Mapping[str, str],
    folder: Path,
    network: str,
    is_watching: bool = False,
    port: int | None = None,
) -> ContainerConfig:
    """A helper of ours that goes on, under the same restrictions and the same seccomp profile.

    `folder` gets its socket and its CA. `is_watching` adds the one right of a packet watch (CAP_NET_RAW, and
    with it the profile's rule for AF_PACKET); `port` is published on the host.
    """
    config = helper_config(image, [*_COMMAND, *flags], labels=labels, network=network)
    host: dict[str, Any] = {
        **config["HostConfig"],
        "Binds": [f"{folder}:/canary:rw"],
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16m"},  # noqa: S108 - in the container
        "PidsLimit": _PIDS,
        "Memory": _MEMORY_BYTES,
        "MemorySwap": _MEMORY_BYTES,
    }
    if is_watching:
        config["User"] = "0:0"
        host["CapAdd"] = list(WATCH_RIGHTS)
        host["Sysctls"] = {"net.ipv4.ip_nonlocal_bind": "1"}  # the addresses come after the program
    if port is not None:
        host["PortBindings"] = {f"{port}/tcp": [{"HostPort": ""}]}
        config["ExposedPorts"] = {f"{port}/tcp": {}}
    return {**config, "HostConfig": host}


def _make(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)  # the program is nobody; the folder above is private


async def start_canary(engine: Engine, name: str, config: ContainerConfig, *, folder: Path) -> Control:
    """Create and start it, and wait until it listens. Raises CanaryError when it ends instead, OrchError.

    The container is the caller's to remove by its name, whatever happens.
    """
    await asyncio.to_thread(_make, folder)
    await engine.create(name, config)
    await engine.start(name)
    control = Control(folder / "control.sock")
    loop = asyncio.get_running_loop()

    def why_dead() -> str | None:
        state = asyncio.run_coroutine_threadsafe(engine.inspect(name), loop).result()["State"]
        return None if state["Running"] else f"exit status {state['ExitCode']}"

    try:
        await asyncio.to_thread(control.wait_ready, why_dead=why_dead)
    except BaseException:
        control.close()
        raise
    return control
