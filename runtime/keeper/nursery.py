"""The daemon's side of the keepers: the parent's process, started once, and a keeper of it for each run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import weakref
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Protocol

import structlog

from runtime.errors import InternalError
from runtime.keeper.folder import KeeperFolder, folder_of, folders
from runtime.keeper.link import KeeperLink, open_link
from runtime.keeper.process import KeeperSettings

ANSWER_TIMEOUT_S = 30.0
"""A parent imports for a second when it is started; a fork takes milliseconds."""
END_TIMEOUT_S = 5.0
_PACKAGES = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "XDG_RUNTIME_DIR", "PYTHONPYCACHEPREFIX")


class KeepersPort(Protocol):
    """Makes keepers of runs, and finds those that an earlier daemon has left."""

    async def open(self, run_id: str) -> KeeperLink:
        """A keeper for a new run. Raises InternalError."""

    def left(self) -> list[KeeperFolder]:
        """The folders of runs whose end is not recorded."""

    async def adopt(self, folder: KeeperFolder) -> KeeperLink | None:
        """The way to a keeper that lives; None where there is none any more."""


class Nursery:
    """Starts the parent and asks it for keepers."""

    def __init__(self, settings: KeeperSettings, *, is_quiet: bool = False) -> None:
        """With `is_quiet` nothing that keepers log reaches our stderr: a command speaks there."""
        self._settings = settings
        self._stderr = DEVNULL if is_quiet else None
        self._parent: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._asked: dict[str, asyncio.Future[int]] = {}
        self._links: weakref.WeakSet[KeeperLink] = weakref.WeakSet()
        self._log = structlog.get_logger()

    @property
    def is_warm(self) -> bool:
        """Whether the parent lives, of which keepers are forked."""
        return self._parent is not None and self._parent.returncode is None

    @property
    def alive(self) -> int:
        """How many keepers live, of those that this daemon speaks with."""
        return sum(link.is_alive for link in self._links)

    async def start(self) -> None:
        """Start the parent ahead of the first run. Raises OSError."""
        async with self._starting:
            if self.is_warm:
                return
            self._parent = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "runtime.keeper",
                self._settings.model_dump_json(),
                stdin=PIPE,
                stdout=PIPE,
                stderr=self._stderr,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
            self._reading = asyncio.create_task(self._read(self._parent))

    async def close(self) -> None:
        """End the parent; keepers go on."""
        if self._parent is None or self._parent.stdin is None:
            return
        self._parent.stdin.close()
        try:
            await asyncio.wait_for(self._parent.wait(), END_TIMEOUT_S)
        except TimeoutError:
            self._parent.kill()
            await self._parent.wait()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    async def open(self, run_id: str) -> KeeperLink:
        """A keeper for a new run. Raises InternalError where there is none."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self.start()
                pid = await self._ask(run_id)
                link = await open_link(folder_of(self._settings.home, run_id))
                link.know(pid)
                self._links.add(link)
                return link
        except (OSError, TimeoutError) as exc:
            self._log.error("no-keeper", run=run_id, error=type(exc).__name__)
            raise InternalError("no process could be made that keeps the run") from None

    def left(self) -> list[KeeperFolder]:
        """The folders of runs whose end is not recorded."""
        return folders(self._settings.home)

    async def adopt(self, folder: KeeperFolder) -> KeeperLink | None:
        """The way to a keeper that lives; None where there is none any more."""
        try:
            link = await open_link(folder)
        except OSError:
            return None
        if (pid := folder.pid) is not None:
            link.know(pid)
        self._links.add(link)
        return link

    async def _ask(self, run_id: str) -> int:
        parent = self._parent
        if parent is None or parent.stdin is None:
            raise ConnectionError
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[run_id] = asked
        try:
            parent.stdin.write(json.dumps({"run": run_id}).encode() + b"\n")
            return await asked
        finally:
            self._asked.pop(run_id, None)

    async def _read(self, parent: Process) -> None:
        if parent.stdout is None:
            return
        while line := await parent.stdout.readline():
            answer = json.loads(line)
            asked = self._asked.get(answer["run"])
            if asked is None or asked.done():
                continue
            if "error" in answer:
                self._log.error("no-keeper", run=answer["run"], detail=answer["error"])
                asked.set_exception(ConnectionError())
            else:
                asked.set_result(answer["pid"])
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ConnectionError())


def _environment() -> dict[str, str]:
    """What a keeper needs of ours: the engine's address, and none of the keys that a caller may have."""
    kept = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("DOCKER_")
    }
    return {**kept, "PYTHONPATH": str(_PACKAGES), "PYTHONUNBUFFERED": "1"}
