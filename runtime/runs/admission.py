"""How many runs work at once: a host's memory admits them, and the others wait in order.

The memory limits of all sandboxes together stay within a share of the engine's memory, so that what agents
use cannot take the host down. Nobody passes: a small run waits behind a large one, which would never get in
otherwise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from runtime.errors import InvalidInputError, NotReadyError

MAX_WAITING = 1000
MAX_WAITING_BYTES = 1 << 30
"""Of the bundles, uploads and inputs that waiting runs hold in the daemon's memory."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A run's place: it waits, then it is admitted, and at last it leaves."""

    memory_bytes: int
    payload_bytes: int
    _admission: Admission
    _turn: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ahead(self) -> int | None:
        """How many wait before it; None once it is admitted."""
        return self._admission.place_of(self)

    async def admitted(self) -> None:
        """Wait for the run's turn. One that is cancelled meanwhile has to leave, as any other."""
        await self._turn.wait()

    def admit(self) -> None:
        """It is the run's turn."""
        self._turn.set()

    def leave(self) -> None:
        """Give the place back, whether it was admitted or not. Nothing the second time."""
        self._admission.leave(self)


class Admission:
    """The runs of one daemon: those that work, and those that wait."""

    def __init__(self, *, percent: int) -> None:
        """`percent` is the share of the engine's memory that sandboxes may have together."""
        self._percent = percent
        self._room = 0
        self._used = 0
        self._working: set[Ticket] = set()
        self._waiting: deque[Ticket] = deque()

    @property
    def used_bytes(self) -> int:
        """What the limits of the runs that work add up to."""
        return self._used

    @property
    def free_bytes(self) -> int:
        """What they may reach beyond that."""
        return max(0, self._room - self._used)

    def measure(self, host_bytes: int) -> None:
        """The engine's host has so much memory."""
        self._room = host_bytes * self._percent // 100

    def queue(self, *, memory_bytes: int, payload_bytes: int, host_bytes: int) -> Ticket:
        """A place for one more run, at the end.

        Raises InvalidInputError for a run that can never fit, NotReadyError where too many wait.
        """
        self.measure(host_bytes)
        if memory_bytes > self._room:
            raise InvalidInputError(
                f"the run's memory limit of {memory_bytes >> 20} MiB is more than all sandboxes may have"
                f" together: {self._room >> 20} MiB ({self._percent} % of the host's {host_bytes >> 20} MiB)",
                hint="give the run a lower limit, or set ORCHBOX_MEMORY_PERCENT",
            )
        held = sum(ticket.payload_bytes for ticket in self._waiting)
        if len(self._waiting) >= MAX_WAITING or (held and held + payload_bytes > MAX_WAITING_BYTES):
            raise NotReadyError(
                f"{len(self._waiting)} runs wait for memory already, with {held >> 20} MiB of files",
                hint="wait for runs to end, or cancel some (orch runs)",
            )
        ticket = Ticket(memory_bytes, payload_bytes, self)
        self._waiting.append(ticket)
        self._admit()
        return ticket

    def readmit(self, *, memory_bytes: int) -> Ticket:
        """A place for a run that an earlier daemon has admitted: it works already, whoever waits."""
        ticket = Ticket(memory_bytes, 0, self)
        self._working.add(ticket)
        self._used += memory_bytes
        ticket.admit()
        return ticket

    def place_of(self, ticket: Ticket) -> int | None:
        """How many wait before this one; None where it does not wait."""
        return self._waiting.index(ticket) if ticket in self._waiting else None

    def leave(self, ticket: Ticket) -> None:
        """One place less; those behind it move up."""
        if ticket in self._working:
            self._working.remove(ticket)
            self._used -= ticket.memory_bytes
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        self._admit()

    def _admit(self) -> None:
        """Alone, the first one is always admitted: the host may have had more memory when it came."""
        while self._waiting and self._has_room_for(self._waiting[0]):
            ticket = self._waiting.popleft()
            self._working.add(ticket)
            self._used += ticket.memory_bytes
            ticket.admit()

    def _has_room_for(self, ticket: Ticket) -> bool:
        return not self._working or self._used + ticket.memory_bytes <= self._room
