"""The simulators' shared state: the record, the failure modes, the DNS zone and the token delay."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from runtime.canary.seen import Record

Answers = list[str]
"""One answer of a name: addresses of either family, or one of NXDOMAIN, SERVFAIL, REFUSED, DROP."""


@dataclass(slots=True)
class Failure:
    """What goes wrong for requests whose host and path match; used up after `times`."""

    host: str = "*"
    path: str = "*"
    status: int | None = None
    delay_s: float = 0.0
    cut_after_chunks: int | None = None
    """Drop the connection after so many pieces of the answer's body."""
    is_dropped: bool = False
    """Drop the connection in the place of an answer."""
    times: int | None = None

    def matches(self, host: str, path: str) -> bool:
        """Whether this failure is meant for the request, and not used up."""
        return self.times != 0 and fnmatchcase(host, self.host) and fnmatchcase(path, self.path)


@dataclass(slots=True)
class Zone:
    """Names and the answers they get, in turn; the last answer stays. `*.x` stands for all below x."""

    names: dict[str, list[Answers]] = field(default_factory=dict)

    def take(self, name: str) -> Answers:
        """The next answer for a name; NXDOMAIN for a name that is not in the zone."""
        for pattern in (name, *("*." + name.split(".", n)[n] for n in range(1, name.count(".") + 1))):
            turns = self.names.get(pattern)
            if turns:
                return turns.pop(0) if len(turns) > 1 else turns[0]
        return ["NXDOMAIN"]


@dataclass(slots=True)
class World:
    """One simulator process: everything its servers share."""

    seen: Record = field(default_factory=Record)
    failures: list[Failure] = field(default_factory=list)
    zone: Zone = field(default_factory=Zone)
    token_delay_s: float = 0.0
    sni_by_connection: dict[tuple[str, int], str | None] = field(default_factory=dict)

    @staticmethod
    def now() -> float:
        """Epoch seconds, comparable with the clocks of containers on the same machine."""
        return time.time()

    def failure_for(self, host: str, path: str) -> Failure | None:
        """The first failure mode that matches, counted as used."""
        for failure in self.failures:
            if failure.matches(host, path):
                if failure.times is not None:
                    failure.times -= 1
                return failure
        return None

    def reset(self) -> None:
        """Forget what was seen; failure modes and zone stay."""
        self.seen = Record()

    def snapshot(self) -> dict[str, Any]:
        """The record as JSON-able data."""
        return asdict(self.seen)
