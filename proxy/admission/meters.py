"""What each sandbox has spent: counters only, the hooks enforce. One meter a sandbox, gone with its grant.

A new revision of a grant keeps the meter, so a policy change gives nothing back. The clock is handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from proxy.policy import limits
from proxy.policy.limits import Limits, SlidingWindow
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny

TOO_MANY_REQUESTS = deny(ReasonCode.BUDGET_REQUESTS, "this sandbox's requests for this minute are used up")
TOO_MANY_TUNNELS = deny(ReasonCode.BUDGET_REQUESTS, "this sandbox opens too many tunnels a minute")
TOO_MANY_NAMES = deny(ReasonCode.BUDGET_REQUESTS, "this sandbox asks for too many new names a minute")
TOO_MANY_QUESTIONS = deny(ReasonCode.BUDGET_REQUESTS, "this sandbox asks for too many names a minute")
TOO_MANY_OPENED = deny(ReasonCode.BUDGET_CONNECTIONS, "this sandbox opens too many connections a minute")
TOO_MANY_CONNECTIONS = deny(ReasonCode.BUDGET_CONNECTIONS, "this sandbox has too many open connections")
NO_BYTES_LEFT = deny(ReasonCode.BUDGET_BYTES, "this sandbox's bytes are used up")


class Admission(NamedTuple):
    """Whether a new connection is served, and where not, why and whether the client is still told."""

    refusal: Decision | None = None
    is_told: bool = True


class Meter:
    """What one sandbox has spent of its budgets and of the fixed limits."""

    def __init__(self) -> None:
        self.connections = 0
        self.name_peers = 0
        self.bytes_out = 0
        self.bytes_in = 0
        self.suppressed: dict[ReasonCode, int] = {}
        """Refusals that got no audit line of their own, until `take_suppressed`."""
        self._requests = SlidingWindow()
        self._opened = SlidingWindow()
        self._tunnels = SlidingWindow()
        self._questions = SlidingWindow()
        self._new_names = SlidingWindow()
        self._lines = SlidingWindow()
        self._names: OrderedDict[str, None] = OrderedDict()
        self._reported_at = float("-inf")

    def open_connection(self, allowed: Limits, now: float) -> Admission:
        """Count a TCP connection; every call is followed by one of `close_connection`."""
        self.connections += 1
        if not self._opened.take(limits.CONNECTIONS_PER_MINUTE, now):
            return Admission(TOO_MANY_OPENED, is_told=False)
        if self.connections > allowed.connections:
            over = self.connections - allowed.connections
            return Admission(TOO_MANY_CONNECTIONS, is_told=over <= limits.MAX_TOLD_CONNECTIONS)
        return Admission(NO_BYTES_LEFT if self.is_spent(allowed) else None)

    def close_connection(self) -> None:
        """A connection that `open_connection` counted has ended."""
        self.connections -= 1

    def open_name_peer(self) -> Admission:
        """Count a client of the DNS sink; every call is followed by one of `close_name_peer`."""
        self.name_peers += 1
        is_over = self.name_peers > limits.MAX_NAME_PEERS
        return Admission(TOO_MANY_QUESTIONS if is_over else None, is_told=False)

    def close_name_peer(self) -> None:
        """A DNS client that `open_name_peer` counted is gone."""
        self.name_peers -= 1

    def is_spent(self, allowed: Limits) -> bool:
        """Whether either byte budget is used up."""
        return any(
            most is not None and spent >= most
            for spent, most in ((self.bytes_out, allowed.bytes_out), (self.bytes_in, allowed.bytes_in))
        )

    def take_bytes(self, allowed: Limits, *, out: int = 0, into: int = 0) -> bool:
        """Count bytes that passed; False where they are more than is left: they must not go on."""
        self.bytes_out += out
        self.bytes_in += into
        is_over_out = allowed.bytes_out is not None and self.bytes_out > allowed.bytes_out
        return not (is_over_out or (allowed.bytes_in is not None and self.bytes_in > allowed.bytes_in))

    def take_request(self, allowed: Limits, now: float) -> Decision | None:
        """Count a request; the refusal where it is one too many."""
        if self.is_spent(allowed):
            return NO_BYTES_LEFT
        return None if self._requests.take(allowed.requests_per_minute, now) else TOO_MANY_REQUESTS

    def take_tunnel(self, allowed: Limits, now: float) -> Decision | None:
        """Count a CONNECT. What goes through the tunnel is the request, so it is only looked at here."""
        if self.is_spent(allowed):
            return NO_BYTES_LEFT
        if self._requests.is_full(allowed.requests_per_minute, now):
            return TOO_MANY_REQUESTS
        return None if self._tunnels.take(allowed.tunnels_per_minute, now) else TOO_MANY_TUNNELS

    def take_question(self, allowed: Limits, now: float) -> Decision | None:
        """Count a DNS question; the refusal where it is one too many."""
        return None if self._questions.take(allowed.dns_questions_per_minute, now) else TOO_MANY_QUESTIONS

    def take_name(self, allowed: Limits, name: str, now: float) -> Decision | None:
        """Count a name that a certificate is made for, unless it was among the last ones."""
        if name not in self._names:
            if not self._new_names.take(allowed.new_names_per_minute, now):
                return TOO_MANY_NAMES
            self._names[name] = None
            if len(self._names) > limits.REMEMBERED_NAMES:
                self._names.popitem(last=False)
        self._names.move_to_end(name)
        return None

    def take_deny_line(self, reason: ReasonCode, now: float) -> bool:
        """Whether a refusal gets a line of its own; where not it is counted."""
        if self._lines.take(limits.DENY_LINES_PER_MINUTE, now):
            return True
        self.suppress(reason)
        return False

    def suppress(self, reason: ReasonCode) -> None:
        """Count a refusal that gets no line of its own."""
        self.suppressed[reason] = self.suppressed.get(reason, 0) + 1

    def take_suppressed(self, now: float, *, is_last: bool = False) -> dict[ReasonCode, int]:
        """What was counted since it was last asked for; empty until it is time for a report."""
        if not self.suppressed or (now - self._reported_at < limits.REPORT_EVERY_S and not is_last):
            return {}
        counted, self.suppressed, self._reported_at = self.suppressed, {}, now
        return counted


class Meters:
    """The meters of all sandboxes that hold a grant; one more counts refusals that belong to none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self.clock = clock
        self.of_none = Meter()
        self._by_sandbox: dict[str, Meter] = {}

    def of(self, sandbox_id: str) -> Meter:
        """The sandbox's meter; a new one where it has none. Only for a sandbox that holds a grant."""
        return self._by_sandbox.setdefault(sandbox_id, Meter())

    def find(self, sandbox_id: str | None) -> Meter:
        """The sandbox's meter, or the one of refusals that belong to no sandbox."""
        return self._by_sandbox.get(sandbox_id or "", self.of_none)

    def drop(self, sandbox_id: str) -> Meter | None:
        """Forget a sandbox's counters; what they were, where there were any."""
        return self._by_sandbox.pop(sandbox_id, None)

    def items(self) -> list[tuple[str | None, Meter]]:
        """Every meter with its sandbox."""
        return [*self._by_sandbox.items(), (None, self.of_none)]
