"""What is said with a started sandbox: one message to its init, then its output until it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from runtime.containers.isolation import start_isolated
from runtime.engine.protocol import STDERR, Attached, Engine, ExitStatus
from runtime.sandbox.output import Output
from runtime.sandbox.pace import Pace
from runtime.sandbox.sandbox import Sandbox


async def converse(
    engine: Engine,
    sandbox: Sandbox,
    message: AsyncIterator[bytes],
    output: Output,
    on_log: Callable[[str], None],
) -> ExitStatus:
    """Start, hand over the message (see `sandbox_init`), read to the end. Bound it with a timeout.

    Raises NotReadyError, before anything is handed over, where the isolation is not the one asked for.
    """
    await start_isolated(engine, sandbox.container, sandbox.isolation)
    feeding = asyncio.create_task(_feed(sandbox.attached, message))
    try:
        await _read(sandbox.attached, output, on_log)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return await engine.wait(sandbox.container)


async def _read(attached: Attached, output: Output, on_log: Callable[[str], None]) -> None:
    pace, taken = Pace(time.monotonic()), 0
    async for stream, data in attached.output():
        for text in output.feed(stream, data):
            on_log(text)
        # A turn of the loop for the others at least: what is there already is read without one.
        small, taken = attached.small_pieces - taken, attached.small_pieces
        size = len(data) if stream == STDERR else 0
        await asyncio.sleep(pace.wait_s(size, small, time.monotonic()))
    for text in output.finish():
        on_log(text)


async def _feed(attached: Attached, message: AsyncIterator[bytes]) -> None:
    try:
        async for piece in message:
            await attached.write(piece)
        await attached.close_stdin()
    except ConnectionError:
        return  # the container ended without reading it all; its exit status tells why
