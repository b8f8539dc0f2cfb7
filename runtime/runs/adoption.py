"""The runs of an earlier daemon: those whose keepers live go on, and the ends of the others are recorded."""

from __future__ import annotations

import asyncio

import structlog

from runtime.errors import NotFoundError
from runtime.keeper.ends import KEEPER_LOST, Ends
from runtime.keeper.folder import KeeperFolder
from runtime.keeper.link import KeeperLink, done_of, log_tail, story_of
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
        """How many runs go on. A run that cannot be gone on with is ended.

        Raises what the store raises, before anything is touched.
        """
        found = [(folder, await self._find(folder.run_id)) for folder in self._keepers.left()]
        return sum(await asyncio.gather(*(self._adopt_safely(folder, run) for folder, run in found)))

    async def _adopt_safely(self, folder: KeeperFolder, run: Run | None) -> bool:
        try:
            return await self._adopt(folder, run)
        except Exception as exc:  # noqa: BLE001 - the others are adopted all the same
            self._log.error("run-not-adopted", run=folder.run_id, error=type(exc).__name__)
            await self._records.give_back(folder.run_id)
            return False

    async def _adopt(self, folder: KeeperFolder, run: Run | None) -> bool:
        link = await self._keepers.adopt(folder)
        if link is not None and (adopted := await link.adopt()) is not None:
            if run is not None and not run.state.is_final:
                return await self._go_on(run, link, adopted)
            await link.close(is_recorded=True)  # recorded by a daemon that ended right then, or pruned
            return False
        if link is not None:  # it does not answer: what it keeps must not go on unseen
            link.kill()
            await link.close(is_recorded=False)
        if run is None or run.state.is_final or await self._record_end(run, folder):
            folder.remove()
        return False

    async def _go_on(self, run: Run, link: KeeperLink, adopted: Adopted) -> bool:
        try:
            heirloom = Heirloom.out_of(adopted)
            record = await self._records.adopt(run)
        except Exception:
            await link.close(is_recorded=True)  # a keeper of another version, say: it ends its run
            raise
        ticket = self._admission.readmit(memory_bytes=heirloom.plan.limits.memory_bytes)
        if heirloom.asked:
            self._live.watch(run.id, heirloom.order.request.workspace, heirloom.asked)
        task = asyncio.create_task(self._driver.resume(link, heirloom, record, ticket))
        self._ends.watch(run.id, task)
        self._log.info("run-adopted", run=run.id)
        return True

    async def _record_end(self, run: Run, folder: KeeperFolder) -> bool:
        """What is known of a run whose keeper has ended while there was no daemon; whether it is recorded."""
        story = await story_of(folder)
        record = await self._records.adopt(run)
        done, omitted = None, 0
        for said in story:
            if isinstance(said, Entry):
                await record.take(said.kind, said.data, said.at)
            elif isinstance(said, Ended):
                done, omitted = await done_of(folder, said), said.omitted.get("decision", 0)
        if done is None:  # the keeper was killed, as a container's end kills all that is in it
            lost = Outcome(RunState.FAILED, KEEPER_LOST)
            done = Done(lost, stderr=await log_tail(folder, Limits().log_bytes))
        return await record.finish(done, omitted)

    async def _find(self, run_id: str) -> Run | None:
        try:
            return await self._records.get(run_id)
        except NotFoundError:
            return None
