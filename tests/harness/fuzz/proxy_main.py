"""`python -m tests.harness.fuzz.proxy_main RESOLV_CONF`: the real proxy, asking the fuzz's name server.

Nothing else differs from `python -m proxy` but rates that would hide what is behind them (`place.LIFTED`), and
a log that tells of every failure at once and where it was, in place of one line a minute for each cause, and of
every turn of the loop that works for long. (What counts is the processor's time: a turn that waits for the
processor is the machine's doing.)
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import structlog

import proxy.control.process_log
import proxy.destination.stub
from proxy.__main__ import main
from proxy.policy import limits
from tests.harness.fuzz.place import LIFTED

SLOW_MS = 10


def with_place(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """A log line with the traceback of the exception that is being handled."""
    return {**event, "trace": traceback.format_exc()} if sys.exc_info()[0] else event


def tell_slow_turns() -> None:
    """Log each turn of an event loop that took more than SLOW_MS of processor time."""
    run = asyncio.events.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        took_ms = 1000 * (time.thread_time() - began)
        if took_ms > SLOW_MS:
            structlog.get_logger("proxy.turns").warning(
                "slow-turn", ms=round(took_ms), what=repr(handle)[:300]
            )

    asyncio.events.Handle._run = timed


def prepare(resolv_conf: Path) -> None:
    """Change what the docstring above names."""
    proxy.destination.stub._RESOLV_CONF = resolv_conf
    proxy.control.process_log.WINDOW_S = 0.0
    for name in LIFTED:
        setattr(limits, name, 1_000_000)
    tell_slow_turns()
    configure = structlog.configure

    def configured(**how: Any) -> None:
        configure(**{**how, "processors": [with_place, *how["processors"]]})

    structlog.configure = configured


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
    sys.exit(main())
