"""uvicorn's HTTP with an end of its patience: for a head that does not come, and for who reads no answer."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""For a TLS handshake, and for a request's head, from its connection or from the answer before."""
UNREAD_S = 30.0
"""For a part of an answer that waits to be read. A caller that reads slowly goes on."""


class PatientProtocol(H11Protocol):
    """One connection of the port."""

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Wait for a head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        for timer in (self._late, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        """The answer waits for its reader, and we for a while."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def _watch(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(UNREAD_S, self._close_when_unread, unsent)

    def _close_when_unread(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch()
        else:
            self.transport.abort()

    def _wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(HEAD_S, self._close_when_silent)

    def _close_when_silent(self) -> None:
        if self.flow.write_paused:  # that has an end of its own, and the next head is not late before
            self._wait()
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
