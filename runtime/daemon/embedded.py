"""A daemon in this process, under an instance of its own, which leaves nothing behind (ADR 0007, 0009).

For what needs the daemon's own code and no daemon that keeps running: `orch probe`, `orch run --local
--sandbox`. It shares with others what is the host's: the engine, the images, the guard's table, the pool.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from proxy.contract.messages import CONTROL_SOCKET
from runtime.containers import labels
from runtime.containers.owner import Life, life_of, this_process
from runtime.containers.sweep import PROXY_ROLE, sweep
from runtime.daemon.daemon import Daemon
from runtime.daemon.settings import Settings
from runtime.engine.docker import DockerEngine
from runtime.engine.protocol import Engine
from runtime.errors import NotReadyError

READY_TIMEOUT_S = 60.0
MAX_SOCKET_PATH = 103
"""macOS; Linux takes 107."""
_INSTANCE = re.compile(r"[a-z]+-[0-9a-f]{6}")
"""A label is not trusted to name another daemon, or another folder."""


def own_settings(settings: Settings, kind: str) -> Settings:
    """The operator's settings, for an instance `kind-xxxxxx` that keeps everything in a folder of its own."""
    instance = f"{kind}-{secrets.token_hex(3)}"
    folder = own_folder(instance)
    return dataclasses.replace(
        settings,
        home=folder / "home",
        run_dir=folder / "run",
        instance=instance,
        proxy_mode="managed",
        database=None,
        vault_key=None,
        old_vault_key=None,
        listen=None,
        adopt_s=0,
    )


def own_folder(instance: str) -> Path:
    """Where an instance keeps everything; found again by its name when its process was killed."""
    return Path(tempfile.gettempdir()) / f"orchbox-{instance}"


class EmbeddedDaemon:
    """A daemon in this process. Call `close`, then `remove`, whatever became of `start`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = DockerEngine()
        self._daemon: Daemon | None = None

    @property
    def daemon(self) -> Daemon:
        """The daemon, once `start` has been called."""
        if self._daemon is None:
            raise NotReadyError("the daemon is not started")
        return self._daemon

    def make_folder(self) -> None:
        """Before `start`, for who puts something into it. Raises FileExistsError: it must be ours alone."""
        own_folder(self.settings.instance).mkdir(mode=0o700)

    async def start(self) -> None:
        """Start, and wait until runs may start. Raises NotReadyError and what the engine raises."""
        if len(str(self.settings.control_dir / CONTROL_SOCKET)) > MAX_SOCKET_PATH:
            raise NotReadyError(
                f"{self.settings.control_dir}: too long for a socket's path",
                hint="set TMPDIR to a shorter one",
            )
        for path in (self.settings.home, self.settings.run_dir):
            path.mkdir(mode=0o700)
        self._daemon = Daemon(self.settings, owner=this_process())
        await self._daemon.start()
        await self._wait_ready()

    async def close(self) -> None:
        """End the runs and the daemon."""
        if self._daemon is not None:
            await self._daemon.close()

    async def remove(self) -> list[str]:
        """Remove whatever is still there, then the folder; the names of what could not be removed."""
        try:
            await sweep(self.engine, self.settings.instance, installation=None, with_proxy=True)
            mark = {labels.INSTANCE: self.settings.instance}
            left = [*await self.engine.containers(mark), *await self.engine.networks(mark)]
            return [thing.name for thing in left]
        finally:
            await self.engine.close()
            shutil.rmtree(own_folder(self.settings.instance), ignore_errors=True)

    async def _wait_ready(self) -> None:
        until = asyncio.get_running_loop().time() + READY_TIMEOUT_S
        while True:
            failing = [check for check in await self.daemon.service.checks() if not check.is_ok]
            if not failing:
                return
            if asyncio.get_running_loop().time() > until:
                said = "; ".join(f"{check.name}: {check.detail}" for check in failing)
                raise NotReadyError(f"no sandbox can be started: {said}", hint="orch doctor")
            await asyncio.sleep(0.1)


async def reap_dead(engine: Engine) -> list[str]:
    """Remove what killed processes left of daemons of their own; their instances.

    The proxy's container and network name the process: they are made first and removed last.
    """
    mark = {labels.ROLE: PROXY_ROLE}
    things = [*await engine.containers(mark), *await engine.networks(mark)]
    dead = {
        thing.labels[labels.INSTANCE]
        for thing in things
        if labels.OWNER in thing.labels
        and life_of(thing.labels[labels.OWNER]) is Life.DEAD
        and _INSTANCE.fullmatch(thing.labels[labels.INSTANCE])
    }
    for instance in sorted(dead):
        await sweep(engine, instance, installation=None, with_proxy=True)
        shutil.rmtree(own_folder(instance), ignore_errors=True)
    return sorted(dead)
