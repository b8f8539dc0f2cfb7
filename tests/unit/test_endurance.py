"""The judges of fuzz and soak can fail, and what they are told is true."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.fuzz import report as fuzz_report
from tests.harness.fuzz.cases import Case
from tests.harness.fuzz.grammar import KINDS, case_of
from tests.harness.fuzz.proxy_log import read_log
from tests.harness.fuzz.report import percentile
from tests.harness.soak import report as soak_report
from tests.harness.vitals import Vitals, children_of, cpu_seconds, vitals_of

ROOT = Path(__file__).resolve().parents[2]
CALM = Vitals(private_bytes=20 << 20, resident_bytes=80 << 20, peak_bytes=80 << 20, descriptors=16)
LARGE = CALM._replace(private_bytes=CALM.private_bytes + (49 << 20))
GROWN = CALM._replace(private_bytes=CALM.private_bytes + (25 << 20))
LEAKING = CALM._replace(descriptors=CALM.descriptors + 5)
ASKED = ("control", "worker http", "worker dns", "neighbour http", "neighbour dns")


def fuzzed(**more: object) -> fuzz_report.Outcome:
    """A fuzz that held."""
    samples = [fuzz_report.Sample(kind, 1.0, 2.0, None) for kind in ASKED for _ in range(100)]
    held = fuzz_report.Outcome("a", 1.0, Counter(raw=9), samples=samples, vitals={"worker": [CALM, CALM]})
    return dataclasses.replace(held, **more)  # type: ignore[arg-type]


def soaked(**more: object) -> soak_report.Outcome:
    """A soak that held."""
    samples = [soak_report.Sample("alone", kind, 2.0, None) for kind in soak_report.KINDS]
    held = soak_report.Outcome(1.0, {"alone": 3}, samples=samples, vitals={"daemon": [CALM, CALM, CALM]})
    return dataclasses.replace(held, **more)  # type: ignore[arg-type]


def gap(kind: str, took_ms: float, error: str | None = None) -> list[fuzz_report.Sample]:
    """The samples of a fuzz that held, and two more."""
    return [*fuzzed().samples, *[fuzz_report.Sample(kind, 1.0, took_ms, error)] * 2]


FUZZ_PROBLEMS = {
    "nothing was done": (fuzz_report.Outcome(), "nothing was sent"),
    "a process ended": (fuzzed(ended=["the worker"]), "a process has ended: the worker"),
    "a traceback": (fuzzed(faults=["boom"]), "in the proxy's log: boom"),
    "a lookup unanswered": (fuzzed(samples=gap("worker dns", 5000, "TimeoutError")), "worker dns unanswered"),
    "a gap": (fuzzed(samples=gap("worker http", 400.0)), "worker http: 2 of 102 answers took over 250 ms"),
    "the neighbour waits": (fuzzed(samples=gap("neighbour http", 300.0)), "neighbour http: 2 of 102"),
    "a long turn": (fuzzed(turns=[(300.0, "x")]), "a turn of 300 ms: x"),
    "memory": (fuzzed(vitals={"worker": [CALM, GROWN]}), "worker grew from 20480 to 46080 KiB"),
    "descriptors": (fuzzed(vitals={"worker": [CALM, LEAKING]}), "worker has 21 descriptors, 16"),
    "nobody looked": (fuzzed(vitals={}), "no process was looked at"),
    "nobody asked": (fuzzed(samples=[]), "nobody asked: neighbour dns"),
}


@pytest.mark.parametrize("case", FUZZ_PROBLEMS)
def test_a_fuzz_that_does_not_hold_is_told(case: str) -> None:
    """Each kind of problem alone is enough; without one there is none."""
    outcome, problem = FUZZ_PROBLEMS[case]
    assert fuzz_report.problems_of(fuzzed(), is_timed=True) == []
    assert any(found.startswith(problem) for found in fuzz_report.problems_of(outcome, is_timed=True))


def test_a_gap_is_the_machines_where_everybody_waited() -> None:
    """What asks no worker waited for as long; and where nothing is timed, no gap counts."""
    all_wait = fuzzed(samples=[*gap("worker http", 400.0), fuzz_report.Sample("control", 1.0, 200.0, None)])
    assert fuzz_report.problems_of(all_wait, is_timed=True) == []
    assert fuzz_report.problems_of(fuzzed(samples=gap("worker http", 400.0)), is_timed=False) == []


SOAK_PROBLEMS = {
    "nothing was done": (soak_report.Outcome(), "no run came to its end: alone"),
    "a run failed": (soaked(failed=["why"]), "a run failed: why"),
    "a lookup failed": (
        soaked(samples=[*soaked().samples, soak_report.Sample("alone", "dns", 5000.0, "TimeoutError")]),
        "dns failed (alone): TimeoutError",
    ),
    "nobody asked": (soaked(samples=[]), "nobody asked: dns"),
    "something is left": (soaked(left_over=["net"]), "left on the engine: net"),
    "memory": (soaked(vitals={"daemon": [CALM, CALM, LARGE]}), "daemon grew from 20 to 69 MiB"),
    "descriptors": (
        soaked(vitals={"daemon": [CALM, CALM, CALM._replace(descriptors=37)]}),
        "daemon went from 16 to 37 descriptors",
    ),
    "descriptors of who has no connections": (
        soaked(vitals={"proxy parent": [CALM, CALM, LEAKING]}),
        "proxy parent went from 16 to 21 descriptors",
    ),
    "nobody looked": (soaked(vitals={}), "no process was looked at"),
}


@pytest.mark.parametrize("case", SOAK_PROBLEMS)
def test_a_soak_that_does_not_hold_is_told(case: str) -> None:
    """Each kind of problem alone is enough; without one there is none."""
    outcome, problem = SOAK_PROBLEMS[case]
    assert soak_report.problems_of(soaked(), phases=["alone"]) == []
    assert problem in soak_report.problems_of(outcome, phases=["alone"])


def test_the_tables_have_every_row() -> None:
    """Whoever was asked and looked at is in them."""
    assert all(f"| {kind} |" in fuzz_report.table(fuzzed()) for kind in ASKED)
    assert all(
        f"| alone | {kind} |" in soak_report.table(soaked(idle={"daemon": 0.001}))
        for kind in soak_report.KINDS
    )


def test_a_percentile_is_one_of_the_values() -> None:
    """The smallest that so great a share does not exceed."""
    assert [percentile([4, 1, 3, 2], share) for share in (0.5, 0.99, 0.0)] == [2, 4, 1]
    assert percentile([], 0.5) == 0


def test_a_seed_makes_the_same_cases_again() -> None:
    """Whatever was drawn in between; another seed makes others; every kind is drawn, and sends something."""
    first = [case_of("a", number) for number in range(300)]
    case_of("b", 1)
    assert first == [case_of("a", number) for number in range(300)]
    assert first != [case_of("b", number) for number in range(300)]
    assert {case.kind for case in first} == KINDS.keys()
    assert all(isinstance(case, Case) and case.number == number for number, case in enumerate(first))


def test_the_proxys_log_is_sorted() -> None:
    """A guarded exception is counted, anything else that is an error or no JSON is a fault."""
    lines = [
        {
            "event": "layer-failed",
            "level": "error",
            "error": "E",
            "trace": 'File "/a/b.py", line 1, in f\nE: x',
        },
        {"event": "mitmproxy has crashed!\nTraceback ...", "level": "error"},
        {"event": "Client TLS handshake failed", "level": "warning"},
        {"event": "slow-turn", "level": "warning", "ms": 7, "what": "w"},
        {"event": "slow-turn", "level": "warning", "ms": 70, "what": "v"},
    ]
    log = read_log("\n".join([*map(json.dumps, lines), "Fatal Python error"]))

    assert [fault.split(" ")[0] for fault in log.faults] == ["mitmproxy", "Fatal"]
    assert log.guarded == {"layer-failed: E in b.py, line 1, in f (E: x)": 1}
    assert log.turns == [(70.0, "v"), (7.0, "w")]


HOLDS = """
import sys
held, size = [], []
for line in sys.stdin:
    held += [open("/dev/null") for _ in range(9)]
    size.append(b"x" * (60 << 20))
    print("held", flush=True)
"""


def test_a_process_that_holds_more_is_seen() -> None:
    """Descriptors and private memory of a real process, before and after it took more."""
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = []
        for _ in range(2):
            process.stdin.write("more\n")
            process.stdin.flush()
            process.stdout.readline()
            seen.append(vitals_of(process.pid))
        used = cpu_seconds(process.pid)
        process.stdin.close()

    assert seen[1].descriptors == seen[0].descriptors + 9
    assert (59 << 20) < seen[1].private_bytes - seen[0].private_bytes < (65 << 20)
    assert seen[1].peak_bytes >= seen[1].resident_bytes > seen[1].private_bytes
    assert used >= 0
    problems = soak_report.problems_of(soaked(vitals={"it": seen}), phases=["alone"])
    assert [problem.split(" ")[:2] for problem in problems] == [["it", "grew"], ["it", "went"]]


async def test_children_are_those_of_now() -> None:
    """A process that has been waited for is none any more."""
    import os

    before = set(children_of(os.getpid()))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    assert set(children_of(os.getpid())) - before == {process.pid}
    process.terminate()
    await process.wait()
    assert process.pid not in children_of(os.getpid())


def test_a_turn_that_works_for_long_is_told() -> None:
    """In the processor's time: one that only waits is not."""
    code = (
        "import asyncio, time, sys; from tests.harness.fuzz.proxy_main import tell_slow_turns\n"
        "import structlog; structlog.configure(processors=[structlog.processors.JSONRenderer()])\n"
        "def work():\n    began = time.thread_time()\n    while time.thread_time() < began + 0.2: pass\n"
        "def rest():\n    time.sleep(0.2)\n"
        "tell_slow_turns()\n"
        "async def main():\n    loop = asyncio.get_running_loop()\n"
        "    loop.call_soon(rest); loop.call_soon(work); await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    long = [turn for turn in read_log(done.stdout).turns if turn[0] > 150]
    assert [("work" in what) for _, what in long] == [True]
