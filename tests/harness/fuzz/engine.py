"""Runs a fuzz from its seed to its outcome."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator

from tests.harness.fuzz.cases import Case
from tests.harness.fuzz.client import send
from tests.harness.fuzz.grammar import case_of
from tests.harness.fuzz.lab import Lab, open_lab
from tests.harness.fuzz.place import own_place
from tests.harness.fuzz.proxy_log import read_log
from tests.harness.fuzz.report import Outcome

AT_ONCE = 8
WARM_SHARE = 0.15
"""Of the time or the cases, until which all code is loaded and all caches are full."""
WARM_CASES = 400
"""No fewer than these."""
QUIET_S = 45.0
"""Within which all of a worker's connections are gone once nobody speaks with it any more."""


async def fuzz(
    seed: str,
    *,
    seconds: float,
    cases: int | None = None,
    on_start: Callable[[], object] = lambda: None,
    on_progress: Callable[[str], None] = lambda _text: None,
) -> Outcome:
    """Throw cases until the time or their number is used up."""
    outcome = Outcome(seed=seed)
    async with open_lab(seed, own_place()) as lab:
        on_start()
        began = time.monotonic()
        numbers = itertools.count()
        idle = lab.vitals()
        warm = min(WARM_CASES, cases // 3) if cases else WARM_CASES
        await _throw(lab, outcome, seed, itertools.islice(numbers, warm), began + seconds)
        while not cases and time.monotonic() < began + WARM_SHARE * seconds and not outcome.ended:
            await _throw(lab, outcome, seed, itertools.islice(numbers, 100), began + seconds)
        await _quiet(lab, idle["worker"].descriptors)
        _look(lab, outcome)
        on_progress(f"warm after {outcome.cases.total()} cases")
        rest = itertools.islice(numbers, cases - warm) if cases else numbers
        await _throw(lab, outcome, seed, rest, began + seconds)
        await _quiet(lab, idle["worker"].descriptors)
        _look(lab, outcome)
        outcome.lasted_s = time.monotonic() - began
    outcome.samples = lab.samples
    return outcome


async def _throw(lab: Lab, outcome: Outcome, seed: str, numbers: Iterator[int], until: float) -> None:
    """Send the cases of these numbers, some at a time, and stop at once where a process has ended."""
    under_way: dict[int, str] = {}

    async def keep_sending(slot: int) -> None:
        for number in numbers:
            if time.monotonic() > until or outcome.ended:
                return
            case: Case = case_of(seed, number)
            under_way[slot] = case.name
            outcome.ends[await send(lab.place, case)] += 1
            outcome.cases[case.kind] += 1

    async def keep_looking() -> None:
        while True:
            if gone := lab.missing():
                outcome.ended += [f"{who}; under way: {', '.join(under_way.values())}" for who in gone]
                return
            await asyncio.sleep(0.25)

    looking = asyncio.create_task(keep_looking())
    await asyncio.gather(*(keep_sending(slot) for slot in range(AT_ONCE)))
    looking.cancel()


async def _quiet(lab: Lab, descriptors: int) -> None:
    """Until the worker has let go of what its clients left, or the time for it is over."""
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until and not lab.missing():
        if lab.vitals()["worker"].descriptors <= descriptors + 2:  # the witness's connections come and go
            return
        await asyncio.sleep(0.25)


def _look(lab: Lab, outcome: Outcome) -> None:
    """Write down what the processes hold, and what the proxy's log says."""
    outcome.ended += [who for who in lab.missing() if not outcome.ended]
    if not outcome.ended:
        for who, vitals in lab.vitals().items():
            outcome.vitals.setdefault(who, []).append(vitals)
    outcome.log = lab.log.read_text(errors="replace")
    outcome.faults, outcome.guarded, outcome.turns = read_log(outcome.log)
