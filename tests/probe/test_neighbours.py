"""`orch probe --neighbours`: what a sandbox notices of another one's attacks, and that the probe can fail."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from runtime.daemon.settings import Settings
from runtime.model.limits import Isolation
from runtime.probe.neighbours.judge import Result
from runtime.probe.neighbours.report import results_to_json
from runtime.probe.neighbours.run import prove_neighbours
from runtime.probe.neighbours.table import OUTLIVES_S, ROWS, Row, Windows
from tests.probe.command import ROOT, inventory
from tests.probe.sabotage import Sabotage

# As in test_sabotage.py: the lab's loop ends with connections of workers that failed or were sabotaged.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SHORT = Windows(quiet_s=1.5, attack_s=2.0, settle_s=0.5, tail_s=1.0)
WORST_P99_MS = 1000.0
"""What is asserted on a machine that does other work meanwhile; the probe's own verdict is stricter."""
ATTEMPTS = 3
"""At a row that seems not to hold: other work of the machine passes, and an attack that works goes on working."""


def proved(settings: Settings, *rows: Row) -> list[Result]:
    """The rows' results in a lab of their own, which leaves nothing behind."""
    results, problems = asyncio.run(
        prove_neighbours(settings, isolation=Isolation.RUNC, windows=SHORT, rows=rows)
    )
    assert problems == []
    return results


def test_no_attack_reaches_a_neighbour(settings: Settings):
    """Nothing fails, each run ends as it should, no worker outgrows its limit; the report is complete."""
    before = inventory()

    results = proved(settings, *ROWS)

    report = results_to_json(results)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "neighbours-runc.json").write_text(json.dumps(report, indent=1))
    assert [row["attack"] for row in report] == [row.id for row in ROWS]
    assert inventory() - before == set()
    for result in results:
        found = [faults(result)]
        while found[-1] and len(found) < ATTEMPTS:
            [again] = proved(settings, result.row)
            found.append(faults(again))
        assert not found[-1], (result.row.id, found, result.why)


def faults(result: Result) -> list[str]:
    """What an attack did to its neighbour, and what is missing of the measurement."""
    seen = result.seen
    is_right = {
        f"the victim's run ended: {seen.victim_ended}": seen.victim_ended == "completed",
        f"failures: {result.failures}": result.failures == (),
        f"lost: {seen.lost}": seen.lost == 0,
        "the attacker ended another run": seen.is_attacker_alone,
        f"worker's memory: {seen.worker_bytes}": 0 < seen.worker_bytes <= seen.worker_limit,
        "nothing measured": min(latency.count for latency in result.attack.values()) > 0,
        f"outlived by {seen.outlived_s} s": seen.outlived_s <= OUTLIVES_S,
        "p99": max(latency.p99 for latency in result.attack.values()) <= WORST_P99_MS,
    }
    return [text for text, holds in is_right.items() if not holds]


def test_workers_that_wait_for_one_another_are_noticed(
    settings: Settings,
    sabotaged_image: str,
    monkeypatch: pytest.MonkeyPatch,
    matrix: Path,
):
    """Where one sandbox's work holds up the others', the victim's latency says so."""
    Sabotage(sabotaged_image, defence="own_turns").install(monkeypatch)

    (result,) = proved(settings, next(row for row in ROWS if row.id == "refused"))

    with matrix.open("a") as file:
        file.write(f"own_turns: {result.row.id}: {'; '.join(result.why)}\n")
    assert not result.is_held
    assert any(": p99" in reason for reason in result.why), result.why
