"""The fuzz of a real worker, for a minute at most (docs/endurance.md). `make fuzz` is this, for longer."""

from __future__ import annotations

import os

import pytest

from tests.harness.fuzz.engine import fuzz
from tests.harness.fuzz.report import problems_of, table

SEED = "orchbox"
CASES, SECONDS = 700, 60.0
"""Whichever comes first; a seed that holds here is only this seed."""


@pytest.mark.skipif(os.geteuid() != 0, reason="the ports 53, 80 and 443 need root")
async def test_no_input_reaches_anybody_else():
    """No process ends, no witness is left without an answer, no turn is long, nothing grows."""
    outcome = await fuzz(SEED, seconds=SECONDS, cases=CASES)

    print(table(outcome))
    assert problems_of(outcome, is_timed=False) == []
