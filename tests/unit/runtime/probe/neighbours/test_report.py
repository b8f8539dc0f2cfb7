"""runtime.probe.neighbours.report: JSON and the table."""

from __future__ import annotations

import io
import json

from rich.console import Console

from runtime.probe.neighbours.judge import Sample, judge
from runtime.probe.neighbours.report import render_table, results_to_json
from runtime.probe.neighbours.table import ROWS
from tests.unit.runtime.probe.neighbours.test_judge import WINDOWS, samples, seen

HELD = judge(ROWS[0], seen(did='{"done": 3}'), WINDOWS)
BROKEN = judge(
    ROWS[1], seen(samples=(*samples(), Sample("dns", 103.0, 5000.0, "timed out")), did='{"d'), WINDOWS
)


def test_json_has_the_ratios_and_both_windows():
    """Everything that the verdict rests on, as plain JSON."""
    held, broken = json.loads(json.dumps(results_to_json([HELD, BROKEN])))

    assert (held["attack"], held["held"], held["why"], held["failures"]) == (ROWS[0].id, True, [], 0)
    assert held["victim"]["https"] == {
        "quiet": {"count": 40, "p50": 5.0, "p99": 5.0, "worst": 5.0},
        "attack": {"count": 40, "p50": 5.0, "p99": 5.0, "worst": 5.0},
        "p99_ratio": 1.0,
    }
    assert held["attacker_did"] == {"done": 3}
    assert (broken["held"], broken["failures"], broken["first_failures"]) == (False, 1, ["dns: timed out"])
    assert broken["victim"]["dns"]["p99_ratio"] == 1000.0
    assert broken["attacker_did"] == '{"d'


def test_table_has_a_line_for_each_attack():
    """Titles, latencies and the verdict."""
    written = io.StringIO()
    Console(width=240, file=written).print(render_table([HELD, BROKEN]))

    text = written.getvalue()
    assert ROWS[0].title in text
    assert "5/5/5  5/5/5  x1.0" in text
    assert text.count("not held") == 1
