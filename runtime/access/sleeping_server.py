"""uvicorn's server, asleep while nobody calls: its own loop looks ten times a second whether to end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn


class SleepingServer(uvicorn.Server):
    """Ends as uvicorn does, by a signal or by `should_exit`; its answers have no Date header.

    uvicorn 0.54 writes that header in the loop that this one leaves out, as it does the limit on the number
    of requests, which is not to be configured here.
    """

    on_end: Callable[[], None] | None = None
    """Called when the server is to end, before it waits for the answers that are still to come."""
    _loop: asyncio.AbstractEventLoop | None = None
    _woken: asyncio.Event
    _is_ending = False
    _asked = 0
    on_serving: Callable[[], None] = staticmethod(lambda: None)
    """Called when it listens."""
    on_signal: Callable[[], None] | None = None
    """Called in the loop at the first two signals in the place of an end: whoever is called ends it."""
    MAX_ASKED = 2

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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn has it
        """A signal ends it, unless somebody else is to be asked; none is asked a third time.

        uvicorn raises the first one again, when it is done. Its own handler is not called: sse-starlette 3
        would cut every stream at it.
        """
        self._asked += 1
        if self._asked == 1:
            self._captured_signals.append(sig)
        if self.on_signal is not None and self._loop is not None and self._asked <= self.MAX_ASKED:
            self._loop.call_soon_threadsafe(self.on_signal)
        else:
            self.should_exit = True

    async def main_loop(self) -> None:
        """Wait until the server is to end."""
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.on_serving()
        self.server_state.default_headers = self.config.encoded_headers
        try:
            if not self._is_ending:
                await self._woken.wait()
        finally:
            self._loop = None
            if self.on_end is not None:
                self.on_end()


class SignallessServer(SleepingServer):
    """Leaves the signals to the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
