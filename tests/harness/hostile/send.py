"""Sends hostile requests one after the other, and says what was wrong with an answer."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

TIMEOUT_S = 20.0
MAX_ANSWER = 4 << 20
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_TRACES = (b"Traceback", b'File "', b"site-packages", b".py:", b"sqlalchemy", b"sqlite")


@dataclass
class Report:
    """What came of it."""

    statuses: Counter[int | None] = field(default_factory=Counter)
    """None: the connection was closed without an answer."""
    problems: list[str] = field(default_factory=list)


def send_all(
    requests: Iterable[tuple[bytes, bool]], connect: Callable[[], socket.socket], *, secrets: Sequence[str]
) -> Report:
    """No answer may be a failure of the server's, show its insides, hold a secret, or never come."""
    report = Report()
    for request, is_whole in requests:
        try:
            answer = _ask(request, connect, is_whole=is_whole)
        except OSError as exc:
            report.problems.append(f"{type(exc).__name__} for {request[:300]!r}")
            continue
        found = _STATUS.match(answer)
        status = int(found[1]) if found else None
        report.statuses[status] += 1
        if status is None and answer:
            report.problems.append(f"no HTTP: {answer[:100]!r} for {request[:300]!r}")
        if status is not None and status >= 500:
            report.problems.append(f"{status} {answer[-300:]!r} for {request[:600]!r}")
        shown = [trace.decode() for trace in _TRACES if trace in answer]
        shown += ["a secret" for secret in secrets if secret.encode() in answer]
        if shown:
            report.problems.append(f"{shown} in {answer[-300:]!r} for {request[:600]!r}")
    return report


def _ask(request: bytes, connect: Callable[[], socket.socket], *, is_whole: bool) -> bytes:
    with connect() as connection:
        connection.settimeout(TIMEOUT_S)
        answer = bytearray()
        try:
            connection.sendall(request)
            if not is_whole:
                connection.shutdown(socket.SHUT_WR)
            while (piece := connection.recv(1 << 16)) and len(answer) < MAX_ANSWER:
                answer += piece
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has heard enough
        return bytes(answer)
