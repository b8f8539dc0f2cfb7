"""uvicorn's server, asleep while nobody calls: its own loop looks ten times a second whether to end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn


class SleepingServer(uvicorn.Server):
    """Ends as uvicorn does, by a signal or by `should_exit`; its answers have no Date header.

    uvicorn 0.54 writes that header in the loop that this one leaves out, as it does the limit on the number
    of requests, which is not to be configured here.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _woken: asyncio.Event
    _is_ending = False

    @property
    def should_exit(self) -> bool:
        """Whether the server ends, or has."""
        return self._is_ending

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._is_ending = value
        if value and self._loop is not None:
            # From a signal's handler, too: what it sets alone would not end the wait.
            self._loop.call_soon_threadsafe(self._woken.set)

    async def main_loop(self) -> None:
        """Wait until the server is to end."""
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.server_state.default_headers = self.config.encoded_headers
        try:
            if not self._is_ending:
                await self._woken.wait()
        finally:
            self._loop = None


class SignallessServer(SleepingServer):
    """Leaves the signals to the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
