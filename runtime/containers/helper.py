"""One-shot containers of our own: run a command, collect what it prints, leave nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from runtime.engine.protocol import STDOUT, Attached, ContainerConfig, Engine
from runtime.engine.uninterrupted import uninterrupted

HELPER_TIMEOUT_S = 30.0


class HelperResult(NamedTuple):
    """Exit status and output, stdout and stderr apart."""

    code: int
    stdout: str
    stderr: str


@asynccontextmanager
async def started(
    engine: Engine, config: ContainerConfig, *, name: str
) -> AsyncIterator[tuple[str, Attached]]:
    """A running helper with its streams attached; removed on the way out, whatever happened."""
    unique = f"{name}-{uuid.uuid4().hex[:8]}"
    try:
        container = await engine.create(unique, config)
        attached = await engine.attach(container)
        await engine.start(container)
        try:
            yield container, attached
        finally:
            await attached.close()
    finally:
        await uninterrupted(engine.remove(unique))  # by name: creating it may have been interrupted


async def run_helper(engine: Engine, config: ContainerConfig, *, name: str) -> HelperResult:
    """Run to the end. Raises TimeoutError after 30 s, and what the engine raises."""
    async with asyncio.timeout(HELPER_TIMEOUT_S), started(engine, config, name=name) as (container, attached):
        await attached.close_stdin()
        stdout, stderr = bytearray(), bytearray()
        async for stream, data in attached.output():
            (stdout if stream == STDOUT else stderr).extend(data)
        status = await engine.wait(container)
        return HelperResult(status.code, stdout.decode(errors="replace"), stderr.decode(errors="replace"))
