"""The audit as it is written: lines in the order in which they were asked for, on the disk by one thread.

    log = AuditLog.open(folder, installation)
    await log.add("api.call", who="uid:0", data={...})   # on the disk when this returns
    log.note("decision", who="run:...", data={...})      # soon
    await log.close()

Whatever waits at a time goes to the disk at a time. What cannot be written is not done: `add` raises, and
whoever asked is told so. What was noted is kept in memory meanwhile, and written once that is possible.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import structlog

from runtime.audit.chain import Head
from runtime.audit.files import AuditFolder
from runtime.audit.writer import AuditWriter, Entry
from runtime.errors import NotReadyError, OrchError

MAX_KEPT = 10_000
"""Lines that wait for a disk; what comes beyond is counted, and the count is written."""
RETRY_S = 1.0


class _Asked(NamedTuple):
    entry: Entry
    done: asyncio.Future[None] | None


class AuditLog:
    """One installation's, which is its only writer."""

    def __init__(self, writer: AuditWriter, *, clock: Callable[[], float] = time.time) -> None:
        """Use `open`."""
        self._writer = writer
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._waiting: deque[_Asked] = deque()
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None
        self._is_failing = False
        self._is_head_told = False
        self._at_close: list[Callable[[], None]] = []
        self._log = structlog.get_logger()

    @classmethod
    def open(
        cls, folder: AuditFolder, installation: str, *, clock: Callable[[], float] = time.time
    ) -> AuditLog:
        """Go on behind the last line that is whole. Raises NotReadyError naming the folder."""
        try:
            return cls(AuditWriter.open(folder, installation, at=clock()), clock=clock)
        except (OSError, ValueError) as exc:
            raise _unwritable(folder, exc, "correct that, or move the folder away for a new audit") from None

    @property
    def head(self) -> Head:
        """The last line on the disk."""
        return self._writer.head

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._is_failing

    def note(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Write a line soon, behind all that were asked for before it; nobody waits for it."""
        if len(self._waiting) >= MAX_KEPT:
            self._lost += 1
            return
        self._ask(kind, who, data, None)

    async def add(self, kind: str, *, who: str, data: Mapping[str, object]) -> None:
        """Write a line, and return once it is on the disk. Raises NotReadyError where it cannot be."""
        done = asyncio.get_running_loop().create_future()
        self._ask(kind, who, data, done)
        await done

    def at_close(self, call: Callable[[], None]) -> None:
        """Before the audit is closed: what is noted then is written."""
        self._at_close.append(call)

    async def close(self) -> None:
        """Write what waits, sign what there is, and let go of the file."""
        for call in self._at_close:
            call()
        if self._writing is not None and self._is_failing:
            self._writing.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            await loop.run_in_executor(self._thread, self._writer.write, self._take(), self._clock())
        await loop.run_in_executor(self._thread, self._writer.close, self._clock())
        self._thread.shutdown()

    async def prune(self, before: float, *, is_dry: bool) -> int:
        """Remove the files whose lines are all older than this; how many lines. Raises NotReadyError."""
        return await self._do(lambda: self._writer.prune(before, self._clock(), is_dry=is_dry))

    def _ask(
        self, kind: str, who: str, data: Mapping[str, object], done: asyncio.Future[None] | None
    ) -> None:
        self._waiting.append(_Asked(Entry(round(self._clock(), 6), kind, who, data), done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._waiting or self._lost:
            asked, lost = list(self._waiting), self._lost
            self._waiting.clear()
            entries = [each.entry for each in asked]
            if lost:
                entries.append(Entry(self._clock(), "audit.lost", "daemon", {"lines": lost}))
            try:
                await self._do(lambda entries=entries: self._writer.write(entries, self._clock()))  # type: ignore[misc]
            except OrchError as exc:
                self._keep(asked, exc)
                await asyncio.sleep(RETRY_S)
                continue
            except BaseException:
                self._keep(asked, None)
                raise
            self._lost -= lost
            self._is_failing = False
            self._tell_of_head()
            for each in asked:
                if each.done is not None and not each.done.done():
                    each.done.set_result(None)

    def _keep(self, asked: list[_Asked], exc: OrchError | None) -> None:
        """Whoever waits is told; what nobody waits for stays."""
        for each in asked:
            if each.done is not None and not each.done.done():
                each.done.set_exception(exc or NotReadyError("the audit is closed"))
        self._waiting.extendleft(each for each in reversed(asked) if each.done is None)
        if exc is not None and not self._is_failing:
            self._is_failing = True
            self._log.error("audit-not-written", detail=exc.message, hint=exc.hint)

    def _tell_of_head(self) -> None:
        if self._writer.is_head_behind and not self._is_head_told:
            hint = "make room on its disk: until then the loss of the last lines would not be found"
            self._log.error("audit-head-not-written", hint=hint)
        self._is_head_told = self._writer.is_head_behind

    def _take(self) -> list[Entry]:
        entries = [each.entry for each in self._waiting]
        self._waiting.clear()
        return entries

    async def _do[T](self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as exc:
            remedy = "make room on its disk"
            if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
                remedy = "correct that, and start the daemon again"
            hint = f"{remedy}; what has to be on record is refused meanwhile"
            raise _unwritable(self._writer.folder, exc, hint) from None


def _unwritable(folder: AuditFolder, exc: Exception, hint: str) -> NotReadyError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
    return NotReadyError(f"{folder.path}: the audit cannot be written: {reason}", hint=hint)
