"""The keeper of one run: it works on the run, keeps its story, and serves the daemon that there is.

A daemon that goes away leaves the run working. The next one adopts it, and is told the story from its first
line; where none comes within the grace, the run is ended. What is then in the folder a later daemon records.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import structlog

from proxy.contract.grant import check_secrets
from runtime.egress.port import OpenWorker
from runtime.engine.protocol import Engine
from runtime.errors import OrchError
from runtime.keeper.ends import DAEMON_GONE, HANDOVER_BROKEN, JOURNAL_BROKEN, Ends
from runtime.keeper.folder import KeeperFolder
from runtime.keeper.messages import (
    MAX_LINE_BYTES,
    Adopt,
    Adopted,
    Begin,
    End,
    Go,
    KeeperProtocolError,
    Made,
    Op,
    Parcel,
    Recorded,
    Renewed,
    ReplaceSecret,
    Tell,
    encode,
    read_op,
)
from runtime.keeper.spent import with_call
from runtime.keeper.story import Story
from runtime.keeper.work import Work
from runtime.model.needs import LlmSpent
from runtime.model.run import RunError
from runtime.model.secret import Secret
from runtime.sandbox.maker import SandboxMaker
from runtime.sandbox.sandbox import SandboxPlan, plan_from_wire

BEGIN_TIMEOUT_S = 30.0
"""For a daemon to say which run it is."""
PIECE_BYTES = 1 << 18


class Keeper:
    """One run's. `serve` returns when nothing of it is needed any more."""

    def __init__(
        self, folder: KeeperFolder, *, engine: Engine, open_worker: OpenWorker, grace_s: float
    ) -> None:
        """`grace_s` is how long the run goes on without a daemon."""
        self._folder = folder
        self._engine = engine
        self._maker = SandboxMaker(engine, open_worker)
        self._grace_s = grace_s
        self._ends = Ends()
        self._plan: SandboxPlan | None = None
        self._held: dict[str, Any] = {}
        self._work: Work | None = None
        self._working: asyncio.Task[None] | None = None
        self._story: Story | None = None
        self._daemon: asyncio.StreamWriter | None = None
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._parcel: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()
        self._is_handed_over = asyncio.Event()
        self._given_up: asyncio.TimerHandle | None = None
        self._replaced: dict[str, str | None] = {}
        self._spent = LlmSpent()
        self._replacing: set[asyncio.Task[None]] = set()
        self._has_given_up = False
        """The grace is over, and the run is being ended, for this reason or for another before it."""
        self._is_recorded = False
        self._over = asyncio.Event()
        self._log = structlog.get_logger()

    async def serve(self, listener: socket.socket) -> None:
        """Keep the run that the first daemon begins, until its end is recorded or nobody comes for it."""
        self._wait_for_a_daemon(BEGIN_TIMEOUT_S)
        # Not start_unix_server: since Python 3.13 it looks for the socket at the path that it was bound by,
        # which is one of the parent's descriptors (`KeeperFolder.socket_path`).
        server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_LINE_BYTES)
        try:
            await self._over.wait()
        finally:
            server.close()
            self._is_handed_over.set()  # whoever waits to have handed over waits no more
            if self._working is not None:
                await asyncio.gather(self._working, return_exceptions=True)
            if self._story is not None:
                self._story.close()
            for writer in self._connections.values():
                writer.close()
            await asyncio.gather(*self._connections, return_exceptions=True)

    # -- daemons -------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._connections[task] = writer
            task.add_done_callback(self._connections.pop)
        try:
            if not (line := await reader.readline()):
                return
            match read_op(line):
                case Begin() as begin if self._plan is None:
                    self._begin(begin, writer)
                    await self._follow(reader, writer)
                case Adopt() if self._plan is not None:
                    self._adopt(self._plan, writer)
                    await self._follow(reader, writer)
                case Recorded():  # of a run that was ended before it began
                    return
                case Parcel() if not self._parcel.done():
                    self._parcel.set_result(reader)
                    await self._is_handed_over.wait()
                case _:
                    raise KeeperProtocolError("not now")
        except ConnectionError:  # a daemon that was killed
            pass
        except (OSError, asyncio.LimitOverrunError, ValueError) as exc:
            self._log.error("keeper-connection-failed", run=self._folder.run_id, error=type(exc).__name__)
        finally:
            writer.close()
            if self._plan is None:  # the daemon went away before it said which run it is
                self._give_up()

    def _begin(self, begin: Begin, writer: asyncio.StreamWriter) -> None:
        plan = plan_from_wire(begin.plan)
        run_id = plan.run_id
        story = Story(self._folder, lambda: self._ends.end(run_id, JOURNAL_BROKEN))
        work = Work(
            plan,
            engine=self._engine,
            maker=self._maker,
            ends=self._ends,
            tell=story.tell,
            payload=self._payload,
            on_made=lambda: story.say(Made()),
        )
        self._plan, self._held, self._story, self._work = plan, begin.held, story, work
        self._working = asyncio.create_task(self._do(work, story))
        self._working.add_done_callback(lambda _task: self._leave_nothing())
        self._ends.watch(run_id, self._working)
        story.begin(begin.earlier, writer)  # last: a journal that cannot be written ends the run

    def _adopt(self, plan: SandboxPlan, writer: asyncio.StreamWriter) -> None:
        if self._daemon is not None:  # one that hangs: whoever is there now has the lock of the installation
            self._daemon.close()
        adopted = Adopted(
            plan=plan.to_wire(),
            held=self._held,
            replaced=self._replaced,
            pid=os.getpid(),
            llm_tokens=self._spent.tokens,
            llm_usd=self._spent.usd,
        )
        writer.write(encode(adopted))
        if self._story is not None:
            self._story.replay(writer)

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what the daemon says, until it goes away."""
        self._daemon, self._has_given_up = writer, False
        if self._given_up is not None:
            self._given_up.cancel()
        try:
            while line := await reader.readline():
                self._obey(read_op(line))
        finally:
            if self._daemon is writer:
                self._daemon = None
                self._lose_daemon()

    def _lose_daemon(self) -> None:
        if self._story is not None:
            self._story.leave()
        if self._work is not None and not (self._work.is_going and self._is_handed_over.is_set()):
            self._ends.end(self._folder.run_id, HANDOVER_BROKEN)
        self._wait_for_a_daemon(self._grace_s)

    def _obey(self, op: Op) -> None:
        if self._work is None or self._story is None or self._plan is None:
            raise KeeperProtocolError("no run")
        match op:
            case Go():
                self._work.go()
            case Tell():
                self._spent = with_call(self._spent, op.kind, op.data)
                self._story.tell(op.kind, op.data)
            case End():
                self._ends.end(self._plan.run_id, RunError(**op.error))
            case ReplaceSecret():
                task = asyncio.create_task(self._replace(op, self._story))
                self._replacing.add(task)  # what comes behind it, the run's end say, waits for no proxy
                task.add_done_callback(self._replacing.discard)
            case Recorded():
                self._is_recorded = True
                self._ends.end(self._plan.run_id, HANDOVER_BROKEN)
                self._leave_nothing()
            case _:
                raise KeeperProtocolError("not now")

    async def _replace(self, op: ReplaceSecret, story: Story) -> None:
        """Answer when it is enforced, or why it is not. Who adopts the run is given the new value."""
        if self._work is None or self._plan is None:
            return
        value = None if op.value is None else Secret(op.value)
        self._replaced[op.name] = op.value
        self._plan = _with_secret(self._plan, op.name, value)
        error: str | None = None
        try:
            await self._work.replace_secret(op.name, value)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the daemon must not take it for done
            error = exc.message if isinstance(exc, OrchError) else type(exc).__name__
        story.say(Renewed(number=op.number, error=error))

    def _leave_nothing(self) -> None:
        """Once the run has ended and is recorded."""
        if self._is_recorded and self._working is not None and self._working.done():
            self._folder.remove()
            self._over.set()

    def _wait_for_a_daemon(self, grace_s: float) -> None:
        self._given_up = asyncio.get_running_loop().call_later(grace_s, self._give_up)

    def _give_up(self) -> None:
        """Nobody came. A run that works is ended; one that has ended is left in its folder."""
        if self._plan is None:
            self._folder.remove()
            self._over.set()
        elif self._working is not None and self._working.done():
            self._over.set()
        else:
            self._has_given_up = True
            self._ends.end(self._plan.run_id, DAEMON_GONE)
            self._log.error("daemon-gone", run=self._plan.run_id)

    # -- the run -------------------------------------------------------------------------------

    async def _do(self, work: Work, story: Story) -> None:
        done = await work.run()
        try:
            story.end(done)
        except Exception as exc:  # noqa: BLE001 - an end that cannot be told is told by the keeper's own
            self._log.error("end-not-told", run=self._folder.run_id, error=type(exc).__name__)
            self._over.set()
        self._is_handed_over.set()
        if self._daemon is None and self._has_given_up:
            self._over.set()

    async def _payload(self) -> AsyncIterator[bytes]:
        """What follows the init's head. Ends the run where the daemon goes away before it has sent all."""
        if self._plan is None:
            return
        left = self._plan.head.payload_bytes
        reader = await self._parcel if left else None
        while left and reader is not None:
            with contextlib.suppress(OSError):
                if data := await reader.read(min(left, PIECE_BYTES)):
                    left -= len(data)
                    yield data
                    continue
            self._ends.end(self._plan.run_id, HANDOVER_BROKEN)
            return
        self._is_handed_over.set()


def _with_secret(plan: SandboxPlan, name: str, value: Secret | None) -> SandboxPlan:
    """With what a change has left: a value that the sandbox itself holds cannot be taken back."""
    kept = []
    for secret in plan.grant.secrets:
        if secret.name != name or secret.placeholder is None:
            kept.append(secret)
        elif value is not None:
            with contextlib.suppress(ValueError):  # it cannot be delivered, and the old one is gone
                renewed = replace(secret, value=value.reveal())
                check_secrets((*(each for each in plan.grant.secrets if each.name != name), renewed))
                kept.append(renewed)
    return replace(plan, grant=replace(plan.grant, secrets=tuple(kept)))
