"""What the proxy's process says on stderr, apart from decisions: masked, one line a minute for each cause.

mitmproxy's own warnings quote what a client sent (a server name), and a client can cause as many as it likes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.control.audit import EVENT_LOGGER

WINDOW_S = 60.0
"""After a line, further ones of its cause are only counted for so long."""
MAX_CHARS = 4000
"""Of one line, once masked."""
_OURS = "proxy."
UNMASKED = "a message that could not be masked"


@dataclass(slots=True)
class _Cause:
    """A place in the code that logs."""

    quiet_until: float
    level: str
    logger: str
    count: int = 0


class ProcessLog(logging.Handler):
    """The one handler of the process. Audit lines pass uncounted: they have a bound of their own."""

    def __init__(
        self,
        mask: Callable[[str], str],
        write: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(logging.INFO)
        self._mask = mask
        self._write = write
        self._clock = clock
        self._causes: dict[tuple[str, int], _Cause] = {}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Handle all that is logged, and nothing else does."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write or count one record. Whatever fails, no unmasked text is written."""
        if record.name == EVENT_LOGGER:
            self._say(record)
            return
        if record.levelno < logging.WARNING:
            return
        self.sweep()
        where = (record.pathname, record.lineno)
        cause = self._causes.get(where)
        if cause is not None:
            cause.count += 1
            return
        self._causes[where] = _Cause(self._clock() + WINDOW_S, record.levelname.lower(), record.name)
        self._say(record)

    def sweep(self) -> None:
        """Tell how many lines were not written, of each cause whose time is over."""
        now = self._clock()
        for where, cause in [*self._causes.items()]:
            if now < cause.quiet_until:
                continue
            del self._causes[where]
            if cause.count:
                self._line(cause.level, cause.logger, {"event": "repeated", "count": cause.count})

    def _say(self, record: logging.LogRecord) -> None:
        try:
            text = self._mask(self.format(record))
        except Exception:  # noqa: BLE001 - a log line is never worth a value
            self._line(record.levelname.lower(), record.name, {"event": UNMASKED})
            return
        if record.name.startswith(_OURS):  # in JSON already
            self._write(text + "\n")
        else:
            self._line(record.levelname.lower(), record.name, {"event": text[:MAX_CHARS]})

    def _line(self, level: str, logger: str, data: dict[str, object]) -> None:
        self._write(json.dumps({**data, "level": level, "logger": logger}) + "\n")
