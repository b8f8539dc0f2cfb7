"""`make fuzz`: FUZZ_SECONDS (900) and FUZZ_SEED (drawn and printed) from the environment."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

from tests.harness.fuzz.engine import fuzz
from tests.harness.fuzz.report import problems_of, table

REPORT = Path("build/fuzz.md")


def main() -> int:
    """Exit status 1 where it did not hold."""
    seed = os.environ.get("FUZZ_SEED") or secrets.token_hex(4)
    seconds = float(os.environ.get("FUZZ_SECONDS", "900"))
    print(f"fuzz: seed {seed}, {seconds:.0f} s", flush=True)
    running = fuzz(
        seed,
        seconds=seconds,
        on_start=lambda: os.nice(10),  # what sends must not keep the worker from the processor
        on_progress=lambda text: print(f"fuzz: {text}", flush=True),
    )
    outcome = asyncio.run(running)
    for ms, what in outcome.turns[:12]:
        print(f"fuzz: {ms:.0f} ms in {what}")
    problems = problems_of(outcome, is_timed=True)
    text = table(outcome) + "\n\n" + ("\n".join(problems) or "held") + "\n"
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text)
    REPORT.with_suffix(".log").write_text(outcome.log)
    print(text)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
