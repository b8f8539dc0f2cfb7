"""Watches the guard's table on the host, so that a proof counts only while what was proved is still there.

A small container with host networking runs `nft monitor` (nftables 1.0.6) and, at each event that names
the table and every few seconds besides, compares the table with what it was: `nft -s list` leaves out
counters, and the same rules loaded again by another daemon are the same text. Whatever ends it counts as a
loss: a change, a flush, the container killed, the engine restarted, no word for too long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from runtime.containers.helper import started
from runtime.engine.protocol import STDOUT, Attached, ContainerConfig, Engine
from runtime.errors import OrchError

CHECK_EVERY_S = 5
SILENCE_S = 20.0
"""Without a word from the watcher for so long, it counts as gone."""
START_TIMEOUT_S = 15.0

WATCHER = """
import hashlib, os, select, subprocess, sys, time
table, every = sys.argv[1], float(sys.argv[2])
def digest():
    done = subprocess.run(["nft", "-s", "list", "table", "inet", table], capture_output=True)
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else "gone"
monitor = subprocess.Popen(["nft", "monitor"], stdout=subprocess.PIPE)
first = digest()
print(first, flush=True)
tail, due = b"", time.monotonic() + every
while True:
    # Events of other tables do not put off the next look: a busy host may have one at any moment.
    pause = due - time.monotonic()
    is_news = pause > 0 and select.select([monitor.stdout], [], [], pause)[0]
    if is_news:
        data = os.read(monitor.stdout.fileno(), 1 << 16)
        if not data:
            sys.exit("nft monitor ended")
        tail, is_ours = (tail + data)[-64:], table.encode() in tail + data
        if not is_ours:
            continue
    if digest() != first:
        print("changed", flush=True)
        sys.exit(1)
    if not is_news:
        print("same", flush=True)
        due = time.monotonic() + every
"""

DIGEST = 'nft -s list table inet "$1" | sha256sum | cut -d" " -f1'
"""Shell: the same digest as the watcher's."""


def watcher_argv(table: str) -> list[str]:
    """The command of the container that watches the guard's table."""
    return ["python3", "-c", WATCHER, table, str(CHECK_EVERY_S)]


class GuardWatch:
    """One watcher. `on_lost` is called once, with a sentence, unless it was closed before."""

    def __init__(
        self, engine: Engine, config: ContainerConfig, *, name: str, on_lost: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._config = config
        self._name = name
        self._on_lost = on_lost
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[str]

    async def start(self, expected: str) -> None:
        """Watch a table that has this digest now. Raises OrchError where it has another, or none."""
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())
        try:
            seen = await asyncio.wait_for(asyncio.shield(self._first), START_TIMEOUT_S)
        except TimeoutError:
            raise OrchError("the watcher of the guard's rules does not answer") from None
        if seen != expected:
            raise OrchError("the guard's rules were changed as soon as they were loaded")

    async def close(self) -> None:
        """Stop, and remove the container."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        why = "the watcher of the guard's rules ended"
        try:
            async with started(self._engine, self._config, name=self._name) as (_, attached):
                why = await self._follow(attached)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, nobody watches any more
            why = f"the guard's rules cannot be watched ({type(exc).__name__})"
        if not self._first.done():
            self._first.set_result(why)
        else:
            self._on_lost(why)

    async def _follow(self, attached: Attached) -> str:
        words = _words(attached)
        with contextlib.suppress(StopAsyncIteration):
            while True:
                try:
                    word = await asyncio.wait_for(anext(words), SILENCE_S)
                except TimeoutError:
                    return "the watcher of the guard's rules fell silent"
                if word == "changed":
                    return "the guard's rules were changed or removed"
                if not self._first.done():
                    self._first.set_result(word)
        return "the watcher of the guard's rules ended"


async def _words(attached: Attached) -> AsyncIterator[str]:
    """What it prints, line by line."""
    rest = b""
    async for stream, data in attached.output():
        if stream != STDOUT:
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
