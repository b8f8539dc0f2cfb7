"""An agent's output as it comes: stderr in whole lines as the log, stdout collected up to a bound.

The values of the run's secrets are masked in both, however they are cut into pieces: an agent that prints
its key does not put it into the record.
"""

from __future__ import annotations

import codecs

from runtime.engine.protocol import STDOUT
from runtime.keys.redactor import Redactor, StreamMask

MAX_LINE_CHARS = 64 << 10


class Output:
    """Collects the two output streams of one run, bounded and masked."""

    def __init__(self, redact: Redactor, *, stdout_bytes: int, log_bytes: int) -> None:
        self.redact = redact
        self._stdout = bytearray()
        self._stdout_limit = stdout_bytes
        self._log_limit = log_bytes
        self._mask = StreamMask(redact)
        self._partial = ""
        self._to_text = codecs.getincrementaldecoder("utf-8")("replace")
        self._log_tail = ""
        self.is_stdout_too_long = False

    def feed(self, stream: int, data: bytes) -> list[str]:
        """Take bytes of a stream; the log that they complete: all whole lines as one text, or none."""
        if stream == STDOUT:
            room = self._stdout_limit - len(self._stdout)
            self.is_stdout_too_long |= len(data) > room
            self._stdout += data[: max(0, room)]
            return []
        return self._lines(self._to_text.decode(self._mask.feed(data)))

    def finish(self) -> list[str]:
        """What is left of the log when the streams end."""
        pieces = self._lines(self._to_text.decode(self._mask.finish(), final=True))
        rest, self._partial = self._partial, ""
        return [*pieces, rest] if rest else pieces

    def _lines(self, text: str) -> list[str]:
        """The work is by the piece that was read, never by the line: an agent may write empty ones only."""
        self._log_tail = (self._log_tail + text)[-self._log_limit :]
        text = self._partial + text
        end = text.rfind("\n") + 1
        pieces, rest = [text[:end]] if end else [], text[end:]
        while len(rest) > MAX_LINE_CHARS:
            pieces.append(rest[:MAX_LINE_CHARS])
            rest = rest[MAX_LINE_CHARS:]
        self._partial = rest
        return pieces

    @property
    def raw_stdout(self) -> str:
        """All of stdout that was kept, as it came: for who masks what it reads in it."""
        return self._stdout.decode(errors="replace")

    @property
    def stdout(self) -> str:
        """All of stdout that was kept, masked."""
        return self.stdout_head(len(self._stdout))

    def stdout_head(self, chars: int) -> str:
        """The beginning of it, masked."""
        head = self._stdout[: 4 * chars + self.redact.search.longest]
        return self.redact.clean(bytes(head)).decode(errors="replace")[:chars]

    @property
    def stderr(self) -> str:
        """The end of the log, masked, as far as it was given."""
        return self._log_tail
