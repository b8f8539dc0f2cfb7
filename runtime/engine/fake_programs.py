"""What the fake engine's containers run: a process with streams, and a few programs every image has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runtime.engine.protocol import STDERR, STDOUT, ContainerConfig


class FakeProcess:
    """What a program sees of its container."""

    def __init__(self, config: ContainerConfig) -> None:
        self.config = config
        self.stdin = asyncio.StreamReader()
        self.output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.on_sigterm: Callable[[], None] | None = None
        """A handler keeps the process alive; without one SIGTERM ends it."""

    @property
    def argv(self) -> list[str]:
        """The entrypoint and the command of the container, as one list."""
        return [*(self.config.get("Entrypoint") or []), *(self.config.get("Cmd") or [])]

    def write(self, stream: int, data: bytes) -> None:
        """Write to STDOUT or STDERR."""
        self.output.put_nowait((stream, data))


Program = Callable[[FakeProcess], Awaitable[int]]


async def _cat(process: FakeProcess) -> int:
    while data := await process.stdin.read(1 << 16):
        process.write(STDOUT, data)
    return 0


async def _tee(process: FakeProcess) -> int:
    """`tee /dev/stderr`."""
    while data := await process.stdin.read(1 << 16):
        process.write(STDOUT, data)
        process.write(STDERR, data)
    return 0


async def _true(_process: FakeProcess) -> int:
    return 0


async def _false(_process: FakeProcess) -> int:
    return 1


async def _sleep(process: FakeProcess) -> int:
    await asyncio.sleep(float(process.argv[1]))
    return 0


async def missing(process: FakeProcess) -> int:
    """What docker-init does with a command that is not there."""
    process.write(STDERR, f"exec {process.argv[0]} failed: No such file or directory\n".encode())
    return 127


PROGRAMS: dict[str, Program] = {"cat": _cat, "false": _false, "sleep": _sleep, "tee": _tee, "true": _true}
