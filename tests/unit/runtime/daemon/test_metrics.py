"""runtime.daemon.metrics: each figure comes from what there is, and nobody outside makes their number grow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from proxy.policy.reasons import ReasonCode
from runtime.api.counts import RequestCounts
from runtime.daemon.metrics import Metrics
from runtime.daemon.parts import Parts
from runtime.database.connection import Database, open_database
from runtime.engine.fake_programs import FakeProcess
from runtime.errors import NotReadyError, rows
from runtime.model.secret import Secret
from runtime.network.proof import GuardStatus
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from runtime.version import VERSION
from tests.unit.runtime.run_world import POOL, World, hang, request, world

__all__ = ["world"]
PAGE = Path(__file__).resolve().parents[4] / "docs/operations.md"


class FakeNursery:
    """The keepers that a test says there are (real ones: `keeper/test_nursery.py`)."""

    is_warm = True
    alive = 0


@dataclass
class Measured:
    """A service, and its metrics as a scrape reads them."""

    world: World
    database: Database
    vault: Vault
    nursery: FakeNursery
    requests: RequestCounts
    metrics: Metrics

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every series of ours, by name and labels."""
        text, _ = self.metrics.text()
        return {
            (sample.name.removeprefix("orchbox_"), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name.startswith("orchbox_")
        }

    def value(self, name: str, **labels: str) -> float:
        """One series; 0 where there is none yet."""
        return self.samples().get((name, tuple(sorted(labels.items()))), 0)


@pytest.fixture
async def measured(world: World, tmp_path: Path) -> AsyncIterator[Measured]:
    """A world that is measured."""
    database = open_database(None, default=tmp_path / "db")
    vault = Vault(database, (FileKey(tmp_path / "vault.key"),))
    await vault.prepare()
    nursery = FakeNursery()
    requests: RequestCounts = Counter()
    world.guard.losses = 0  # type: ignore[attr-defined]
    slots = world.service._driver._networks._slots
    parts: Any = Parts(world.service, slots, nursery, world.link, world.guard, vault, database)  # type: ignore[arg-type]
    made = Measured(world, database, vault, nursery, requests, Metrics(parts, requests))
    yield made
    made.metrics.lag.close()
    await database.close()


async def test_runs_move_their_figures(measured: Measured):
    """Their state, their slot and memory while they live; their end, wait and start once they have had them."""
    world = measured.world
    world.agent = hang
    free, slots = measured.value("sandbox_memory_bytes", **{"is": "free"}), POOL.num_addresses // 8
    assert measured.value("slots", **{"is": "free"}) == slots
    run = await world.service.create(request())
    await world.until_running(run)

    limit = request().limits.memory_bytes
    assert measured.value("runs", state="running") == 1
    assert measured.value("runs", state="queued") == 0
    assert measured.value("slots", **{"is": "used"}) == 1
    assert measured.value("slots", **{"is": "free"}) == slots - 1
    assert measured.value("sandbox_memory_bytes", **{"is": "used"}) == limit
    assert measured.value("sandbox_memory_bytes", **{"is": "free"}) == free - limit
    assert measured.value("run_queue_seconds_count") == measured.value("run_start_seconds_count") == 1

    await world.service.cancel(run.id)

    assert measured.value("runs", state="running") == measured.value("slots", **{"is": "used"}) == 0
    assert measured.value("sandbox_memory_bytes", **{"is": "free"}) == free
    assert measured.value("runs_ended_total", state="cancelled", reason="CANCELLED") == 1


async def test_the_guard_and_the_proxy_move_theirs(measured: Measured):
    """What is lost is 0, and a loss is counted."""
    parents = {"of": "proxy"}
    assert (measured.value("guard_proved"), measured.value("warm_parents", **parents)) == (1, 1)
    measured.world.guard.status = GuardStatus(detail="lost")
    measured.world.guard.losses += 1  # type: ignore[attr-defined]
    measured.world.link.is_connected = False
    assert (measured.value("guard_proved"), measured.value("guard_losses_total")) == (0, 1)
    assert measured.value("warm_parents", **parents) == 0


async def test_keepers_move_theirs(measured: Measured):
    """Those that live, and the parent that the next one is forked of."""
    assert (measured.value("keepers"), measured.value("warm_parents", of="keeper")) == (0, 1)
    measured.nursery.alive, measured.nursery.is_warm = 3, False
    assert (measured.value("keepers"), measured.value("warm_parents", of="keeper")) == (3, 0)


async def test_the_vault_and_the_database_move_theirs(measured: Measured):
    """What was given, what is not there, what could not be had, and a database that does not answer."""
    await measured.vault.put("default", "A_KEY", Secret("a value of this test"), who="uid:0")
    await measured.vault.read("default", ["A_KEY", "B_KEY"], run_id="1", reader="a")
    assert measured.value("vault_reads_total", result="given") == 1
    assert measured.value("vault_reads_total", result="absent") == 1
    assert measured.value("database_errors_total") == 0

    def away(_connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("select", {}, OSError("away"))

    with pytest.raises(NotReadyError):
        await measured.database.read(away)
    assert measured.value("database_errors_total") == 1


async def test_the_loop_and_the_api_move_theirs(measured: Measured):
    """The lag is measured from the first reading on; an answer is counted as it was labelled."""
    assert measured.value("event_loop_lag_seconds_count") == 0
    assert measured.metrics.lag.is_measuring
    measured.metrics.lag.histogram.observe(0.2)
    measured.requests["/healthz", "GET", 200] += 2
    assert measured.value("event_loop_lag_seconds_bucket", le="0.1") == 0
    assert measured.value("event_loop_lag_seconds_bucket", le="0.25") == 1
    assert measured.value("event_loop_lag_seconds_bucket", le="+Inf") == 1
    assert measured.value("event_loop_lag_seconds_sum") == 0.2
    assert measured.value("api_requests_total", route="/healthz", method="GET", status="200") == 2


async def test_the_build_is_named(measured: Measured):
    """So that a graph tells when a version came."""
    [(_, labels)] = [key for key in measured.samples() if key[0] == "build_info"]
    assert dict(labels)["version"] == VERSION


async def test_nothing_that_an_agent_does_adds_a_series(measured: Measured):
    """A flood of hosts, paths, codes and runs: labels are of closed sets, and their number is bounded."""
    hostile = "evil-host.test"

    async def flood(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = measured.world.link.workers.items()
        for number in range(200):
            worker.on_decision(
                {
                    "sandbox_id": sandbox_id,
                    "verdict": "deny",
                    "reason_code": list(ReasonCode)[number % len(ReasonCode)].value,
                    "suppressed": 0,
                    "host": f"{number}.{hostile}",
                    "path": f"/{hostile}/{number}",
                    "method": f"M{number}",
                }
            )
        return number % 2

    measured.world.agent = flood
    ids = [(await measured.world.run()).id for _ in range(3)]
    before = len(measured.samples())
    ids += [(await measured.world.run()).id for _ in range(3)]

    assert len(measured.samples()) == before
    assert before < 60 + 2 * len(ReasonCode) + len(rows())
    text = measured.metrics.text()[0].decode()
    assert [word for word in (*ids, hostile, "acme/test") if word in text] == []


async def test_the_page_has_each_metric(measured: Measured):
    """Name by name: none is missing, and none is left of what was."""
    section = PAGE.read_text().partition("## Metrics")[2].partition("\n## ")[0]
    told = set(re.findall(r"(?m)^\| `orchbox_(\w+)`", section))
    text = measured.metrics.text()[0].decode()
    there = set(re.findall(r"(?m)^# TYPE orchbox_(\w+) ", text))
    assert told == there
