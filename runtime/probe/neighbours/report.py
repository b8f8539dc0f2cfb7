"""The neighbours' report: JSON for machines, a table for a person."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtime.probe.neighbours.judge import KINDS, MIB, Latency, Result
from runtime.probe.neighbours.table import FLOOR_MS, RATIO

if TYPE_CHECKING:
    from rich.table import Table


def results_to_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One object for each attack; latencies in milliseconds, memory in bytes."""
    return [
        {
            "attack": result.row.id,
            "title": result.row.title,
            "held": result.is_held,
            "why": list(result.why),
            "failures": len(result.failures),
            "first_failures": list(result.failures[:5]),
            "victim": {
                kind: {
                    "quiet": dataclasses.asdict(result.quiet[kind]),
                    "attack": dataclasses.asdict(result.attack[kind]),
                    "p99_ratio": round(result.ratio(kind), 2),
                }
                for kind in KINDS
            },
            "victim_ended": result.seen.victim_ended,
            "victim_end_s": round(result.seen.victim_end_s, 2),
            "attacker_ended": result.seen.attacker_ended,
            "attacker_end_s": round(result.seen.attacker_end_s, 2),
            "attacker_did": _read(result.seen.did),
            "worker_bytes": result.seen.worker_bytes,
            "worker_limit": result.seen.worker_limit,
            "worker_outlived_s": round(result.seen.outlived_s, 1),
        }
        for result in results
    ]


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def render_table(results: Sequence[Result]) -> Table:
    """One line an attack: the victim's p50 / p99 / worst before it and under it."""
    from rich.table import Table  # noqa: PLC0415 - only for a person

    heads = [f"{kind}: quiet, attacked (ms)" for kind in KINDS]
    caption = (
        f"p50/p99/worst of the victim, then p99's ratio; held: nothing failed, every p99 is at most "
        f"{RATIO:g} times the quiet one or {FLOOR_MS:g} ms, and no run "
        "ended but by itself or by a limit of its own"
    )
    columns = ("attack", *heads, "failed", "worker", "ends", "")
    table = Table(*columns, title="orch probe --neighbours", caption=caption)
    for result in results:
        cells = [
            f"{_text(result.quiet[kind])}  {_text(result.attack[kind])}  x{result.ratio(kind):.1f}"
            for kind in KINDS
        ]
        seen = result.seen
        table.add_row(
            result.row.title,
            *cells,
            str(len(result.failures)),
            f"{seen.worker_bytes // MIB} MiB",
            f"{seen.victim_end_s:.1f}, {seen.attacker_end_s:.1f} s",
            "[green]held[/]" if result.is_held else "[red]not held[/]",
        )
    return table


def _text(latency: Latency) -> str:
    return f"{latency.p50:.0f}/{latency.p99:.0f}/{latency.worst:.0f}"
