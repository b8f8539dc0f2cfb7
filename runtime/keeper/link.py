"""The daemon's end of one keeper's connection (`runtime.keeper.messages` holds the protocol)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import select
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import structlog

from runtime.database.json_check import checked
from runtime.errors import InternalError, NotReadyError
from runtime.keeper.folder import KeeperFolder, folders
from runtime.keeper.messages import (
    MAX_LINE_BYTES,
    Adopt,
    Adopted,
    Begin,
    End,
    Ended,
    Entry,
    Go,
    KeeperProtocolError,
    Op,
    Parcel,
    Recorded,
    Renewed,
    ReplaceSecret,
    Said,
    Tell,
    encode,
    read_said,
)
from runtime.keeper.work import Done
from runtime.model.json_text import JsonText
from runtime.model.run import RunError, RunState
from runtime.model.secret import Secret
from runtime.sandbox.outcome import Outcome
from runtime.sandbox.sandbox import SandboxPlan

RENEW_TIMEOUT_S = 10.0
"""Longer than the proxy's own limit to acknowledge a grant."""
ADOPT_TIMEOUT_S = 10.0
"""A keeper that reads a result answers all the same (`Work`); one that does not answer is lost."""
END_TIMEOUT_S = 5.0
END_LEFT_TIMEOUT_S = 20.0


class KeeperLink:
    """One keeper, as its daemon speaks with it."""

    def __init__(
        self, folder: KeeperFolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Over a connection on which nothing has been said (`open_link`)."""
        self.folder = folder
        self._process: int | None = None
        self._reader = reader
        self._writer = writer
        self._said: asyncio.Queue[Said | None] = asyncio.Queue()
        """What is told of the run; None is the connection's end. The keeper bounds it (`bounds`)."""
        self._renewing: dict[int, asyncio.Future[str | None]] = {}
        self._numbers = itertools.count(1)
        self._reading: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    def know(self, pid: int) -> None:
        """The keeper's process, so that it can be killed; one that has ended is none."""
        if self._process is not None:
            return
        with contextlib.suppress(OSError):
            self._process = os.pidfd_open(pid)

    @property
    def is_alive(self) -> bool:
        """Whether the keeper's process is known and has not ended."""
        if self._process is None:
            return False
        ended = select.poll()
        ended.register(self._process, select.POLLIN)  # readable once the process has ended (pidfd_open(2))
        return not ended.poll(0)

    def kill(self) -> None:
        """End a keeper that does not answer any more."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def begin(self, plan: SandboxPlan, held: dict[str, Any], earlier: list[Entry]) -> None:
        """Hand over a run. `held` is given back to a daemon that adopts it."""
        self._say(Begin(plan=plan.to_wire(), held=held, earlier=earlier))
        self._reading = asyncio.create_task(self._read())

    async def adopt(self) -> Adopted | None:
        """Take over the run of an earlier daemon, or None where the keeper has none."""
        self._say(Adopt())
        try:
            async with asyncio.timeout(ADOPT_TIMEOUT_S):
                first = read_said(await self._reader.readline())
        except (OSError, ValueError):  # a time limit is an OSError, too
            return None
        if not isinstance(first, Adopted):
            return None
        self.know(first.pid)
        self._reading = asyncio.create_task(self._read())
        return first

    async def send_parcel(self, pieces: Iterator[bytes]) -> None:
        """Hand over the run's files and input. Where the keeper reads no more, the run has ended."""
        with contextlib.suppress(OSError):
            writer = await _connect(self.folder)
            try:
                writer.write(encode(Parcel()))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
            finally:
                writer.close()

    async def told(self) -> AsyncIterator[Said]:
        """What the keeper tells, until its end."""
        while (said := await self._said.get()) is not None:
            yield said

    def go(self) -> None:
        """Let the agent start."""
        self._say(Go())

    def tell(self, kind: str, data: dict[str, object]) -> None:
        """Add an event to the run's story; it comes back as an entry."""
        self._say(Tell(kind=kind, data=data))

    def end(self, error: RunError) -> None:
        """End the run for this reason, unless it is being ended for another."""
        self._say(End(error=dataclasses.asdict(error)))

    async def replace_secret(self, name: str, value: Secret | None) -> None:
        """Give a secret another value, or none; returns once that is enforced. Raises NotReadyError."""
        number = next(self._numbers)
        answer = self._renewing[number] = asyncio.get_running_loop().create_future()
        try:
            self._say(
                ReplaceSecret(number=number, name=name, value=None if value is None else value.reveal())
            )
            error = await asyncio.wait_for(answer, RENEW_TIMEOUT_S)
        except (TimeoutError, OSError):
            error = "the run's keeper does not answer"
        finally:
            self._renewing.pop(number, None)
        if error is not None:
            raise NotReadyError(error)

    async def close(self, *, is_recorded: bool) -> None:
        """Let go of it. Once its end is recorded nothing is kept of it any more."""
        if is_recorded:
            self._say(Recorded())
            if self._reading is not None:
                await asyncio.wait((self._reading,), timeout=END_TIMEOUT_S)
            self.folder.remove()  # where it could not: a keeper that was killed
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        if self._process is not None:
            os.close(self._process)
            self._process = None

    def _say(self, op: Op) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(op))

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                said = read_said(line)
                if not isinstance(said, Renewed):
                    self._said.put_nowait(said)
                elif (answer := self._renewing.get(said.number)) is not None and not answer.done():
                    answer.set_result(said.error)
        except OSError:
            pass
        except Exception as exc:  # noqa: BLE001 - whatever it was, the run ends with its keeper's word
            self._log.error("keeper-connection-failed", run=self.folder.run_id, error=type(exc).__name__)
        finally:
            self._said.put_nowait(None)
            for answer in self._renewing.values():
                if not answer.done():
                    answer.set_exception(ConnectionError())


async def open_link(folder: KeeperFolder) -> KeeperLink:
    """The way to the keeper of this folder. Raises OSError where none listens."""
    with folder.socket_path() as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    return KeeperLink(folder, reader, writer)


async def log_tail(folder: KeeperFolder, chars: int) -> str:
    """The end of the log in a journal, where it can be read."""
    try:
        story = await story_of(folder)
    except OSError:
        return ""
    texts = [
        str(said.data.get("text", "")) for said in story if isinstance(said, Entry) and said.kind == "log"
    ]
    return "".join(texts)[-chars:]


async def end_left(home: Path, error: RunError) -> int:
    """End the runs of a daemon that was killed, for this reason; how many. Their folders stay.

    The next daemon records how they ended.
    """
    return sum(await asyncio.gather(*(_end_left(folder, error) for folder in folders(home))))


async def _end_left(folder: KeeperFolder, error: RunError) -> bool:
    try:
        link = await open_link(folder)
    except OSError:  # it has ended already
        return False
    try:
        if await link.adopt() is None:
            return False
        link.end(error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_LEFT_TIMEOUT_S):
                async for said in link.told():
                    if isinstance(said, Ended):
                        return True
        return False
    finally:
        await link.close(is_recorded=False)


async def _connect(folder: KeeperFolder) -> asyncio.StreamWriter:
    with folder.socket_path() as path:
        _, writer = await asyncio.open_unix_connection(path)
    return writer


async def story_of(folder: KeeperFolder) -> list[Said]:
    """The journal of a keeper that has ended, as far as it came. Raises OSError."""
    return await asyncio.to_thread(_read_journal, folder.journal)


def _read_journal(path: Path) -> list[Said]:
    found: list[Said] = []
    for line in path.read_bytes().splitlines(keepends=True):
        with contextlib.suppress(KeeperProtocolError):  # the last one, cut short
            found.append(read_said(line))
    return found


async def done_of(folder: KeeperFolder, ended: Ended) -> Done:
    """How a run ended, with its result; a result that cannot be read, or that is no JSON, fails the run."""
    try:
        result = await asyncio.to_thread(_read_result, folder.result, ended) if ended.has_result else None
    except (OSError, ValueError, MemoryError):
        lost = RunError(InternalError.code, "the run's result cannot be read")
        return Done(Outcome(RunState.FAILED, lost), ended.stdout, ended.stderr, ended.at)
    error = None if ended.error is None else RunError(**ended.error)
    return Done(Outcome(RunState(ended.state), error, result), ended.stdout, ended.stderr, ended.at)


def _read_result(path: Path, ended: Ended) -> JsonText:
    """The file as it is: nothing is made of what an agent wrote."""
    with path.open("rb") as file:
        data = file.read(-1 if ended.result_bytes is None else ended.result_bytes + 1)
    if ended.result_bytes not in (None, len(data)):
        raise ValueError("not what the keeper wrote")
    return checked(data)
