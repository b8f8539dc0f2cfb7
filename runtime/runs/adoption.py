"""The runs of an earlier daemon: those whose keepers live go on, and the ends of the others are recorded."""

from __future__ import annotations

import asyncio

import structlog

from runtime.errors import NotFoundError
from runtime.keeper.ends import KEEPER_LOST, Ends
from runtime.keeper.folder import KeeperFolder
from runtime.keeper.link import KeeperLink, done_of, story_of
from runtime.keeper.messages import Adopted, Ended, Entry
from runtime.keeper.nursery import KeepersPort
from runtime.keeper.work import Done
from runtime.keys.live import LiveSecrets
from runtime.model.limits import Limits
from runtime.model.run import Run, RunState
from runtime.runs.admission import Admission
from runtime.runs.driver import RunDriver
from runtime.runs.heirloom import Heirloom
from runtime.runs.records import Records
from runtime.sandbox.outcome import Outcome


class Adoption:
    """Adopts what an earlier daemon left, once, before anything is reaped."""

    def __init__(
        self,
        keepers: KeepersPort,
        *,
        records: Records,
        admission: Admission,
        driver: RunDriver,
        ends: Ends,
        live: LiveSecrets,
    ) -> None:
        self._keepers = keepers
        self._records = records
        self._admission = admission
        self._driver = driver
        self._ends = ends
        self._live = live
        self._log = structlog.get_logger()

    async def adopt(self) -> int:
        """How many runs go on. Never raises: a run that cannot be gone on with is ended."""
        return sum([await self._adopt_safely(folder) for folder in self._keepers.left()])

    async def _adopt_safely(self, folder: KeeperFolder) -> bool:
        try:
            return await self._adopt(folder)
        except Exception as exc:  # noqa: BLE001 - the others are adopted all the same
            self._log.error("run-not-adopted", run=folder.run_id, error=type(exc).__name__)
            return False

    async def _adopt(self, folder: KeeperFolder) -> bool:
        run = await self._find(folder.run_id)
        link = await self._keepers.adopt(folder)
        if link is None:
            if run is not None and not run.state.is_final:
                await self._record_end(run, folder)
            folder.remove()
            return False
        adopted = await link.adopt()
        if adopted is None:
            await link.close(is_recorded=False)
            return False
        if run is None or run.state.is_final:  # recorded by a daemon that ended right then, or pruned
            await link.close(is_recorded=True)
            return False
        return await self._go_on(run, link, adopted)

    async def _go_on(self, run: Run, link: KeeperLink, adopted: Adopted) -> bool:
        heirloom = Heirloom.out_of(adopted)
        ticket = self._admission.readmit(memory_bytes=heirloom.plan.limits.memory_bytes)
        record = await self._records.adopt(run)
        if heirloom.asked:
            self._live.watch(run.id, heirloom.order.request.workspace, heirloom.asked)
        task = asyncio.create_task(self._driver.resume(link, heirloom, record, ticket))
        self._ends.watch(run.id, task)
        self._log.info("run-adopted", run=run.id)
        return True

    async def _record_end(self, run: Run, folder: KeeperFolder) -> None:
        """A keeper has ended its run while there was no daemon: its journal has all of it."""
        try:
            story = await story_of(folder)
        except OSError:
            return
        record = await self._records.adopt(run)
        done, omitted, log = None, 0, ""
        for said in story:
            if isinstance(said, Entry):
                await record.take(said.kind, said.data, said.at)
                log += str(said.data.get("text", "")) if said.kind == "log" else ""
            elif isinstance(said, Ended):
                done, omitted = await done_of(folder, said), said.omitted.get("decision", 0)
        if done is None:  # the keeper was killed, as a container's end kills all that is in it
            lost = Outcome(RunState.FAILED, KEEPER_LOST)
            done = Done(lost, stderr=log[-Limits().log_bytes :])
        await record.finish(done, omitted)

    async def _find(self, run_id: str) -> Run | None:
        try:
            return await self._records.get(run_id)
        except NotFoundError:
            return None
