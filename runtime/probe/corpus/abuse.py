"""Abuse (attacks.md section 6): each ends at a limit of its own, and the control behind it still works."""

from __future__ import annotations

from dataclasses import replace

from runtime.probe.corpus.build import BY_HOST, FIX_LIMITS, PROXY, abused
from runtime.probe.corpus.case import Case, Contained

CASES: tuple[Case, ...] = (
    # gVisor ends the whole sandbox before its last process is had: shown by tests/integration/test_isolation.py.
    replace(abused("R-01", "processes without end", "forks", most=2000), isolations=frozenset({"runc"})),
    abused("R-03a", "a full /tmp", "fill", folder="/tmp", most_mib=400),  # noqa: S108
    abused("R-03b", "a full /dev/shm", "fill", folder="/dev/shm", most_mib=400),  # noqa: S108
    abused("R-03c", "a full /run", "fill", folder="/run", most_mib=64),
    Case("P-33", "abuse", "a request head that never ends, a byte a second", "abuse",
         {"name": "trickle", "to": BY_HOST, "most_s": 45}, Contained("bad_request"), FIX_LIMITS),
    abused("P-36", "connections without end", "connections", reason="budget_connections", fix=FIX_LIMITS, to=PROXY, most=400),
    abused("R-13", "DNS questions without end", "questions", fix=FIX_LIMITS, server="{proxy}", most=4000),
    abused("R-12", "requests without end", "requests", reason="budget_requests", fix=FIX_LIMITS, to=BY_HOST, most=1500,
           steps=[["send", "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n"]]),
    abused("R-02", "memory without end", "memory", is_last=True, most_mib=2200),
    abused("R-05", "descriptors without end", "descriptors", most=10000),
)  # fmt: skip
