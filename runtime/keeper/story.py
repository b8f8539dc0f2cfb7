"""A run's story as its keeper keeps it: each entry goes into the journal, then to the daemon there is."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence

import structlog

from runtime.keeper.bounds import OMITTED, Bounds
from runtime.keeper.ends import JOURNAL_BROKEN
from runtime.keeper.folder import AppendOnly, KeeperFolder
from runtime.keeper.messages import Ended, Entry, Said, encode
from runtime.keeper.work import Done
from runtime.model.json_text import JsonText
from runtime.model.run import RunState
from runtime.sandbox.outcome import Outcome


class Story:
    """One run's."""

    def __init__(self, folder: KeeperFolder, on_unwritable: Callable[[], None]) -> None:
        """`on_unwritable` is called when the journal takes no more. Raises OSError."""
        self._folder = folder
        self._journal = AppendOnly(folder.journal)
        self._bounds = Bounds()
        self._listener: asyncio.StreamWriter | None = None
        self._on_unwritable = on_unwritable
        self._is_broken = False
        self._has_ended = False
        self._log = structlog.get_logger()

    def begin(self, earlier: Sequence[Entry], listener: asyncio.StreamWriter) -> None:
        """With what the daemon has told of the run so far."""
        self._listener = listener
        for entry in earlier:
            self._write(encode(entry))

    def replay(self, listener: asyncio.StreamWriter) -> None:
        """Another daemon: it is told everything, and then what comes."""
        listener.write(self._journal.read())
        self._listener = listener

    def leave(self) -> None:
        """Nobody listens any more."""
        self._listener = None

    def tell(self, kind: str, data: dict[str, object]) -> None:
        """Keep an event, as far as there is room for it; nothing comes behind the end."""
        if self._has_ended:
            return
        kept = self._bounds.admit(kind, data)
        if kept is not None:
            self._keep(Entry(kind=kind, data=kept, at=time.time()))
        elif kind == "decision" and self._bounds.omitted[kind] == 1:
            # The audit hears of decisions from here only: that they stop must not wait for the end.
            self._keep(Entry(kind=OMITTED, data={kind: 1}, at=time.time()))

    def say(self, message: Said) -> None:
        """Tell the daemon something that is no part of the story."""
        if self._listener is not None:
            self._listener.write(encode(message))

    def end(self, done: Done) -> None:
        """The last line; the result goes into a file of its own, whatever its size."""
        self._has_ended = True
        if omitted := dict(self._bounds.omitted):
            self._keep(Entry(kind=OMITTED, data=omitted, at=time.time()))
        outcome = done.outcome
        result = outcome.result
        has_result = result is not None and self._write_result(result)
        if outcome.state is RunState.COMPLETED and result is not None and not has_result:
            outcome = Outcome(RunState.FAILED, JOURNAL_BROKEN)
        self._keep(
            Ended(
                state=outcome.state.value,
                error=None if outcome.error is None else dataclasses.asdict(outcome.error),
                stdout=done.stdout,
                stderr=done.stderr,
                omitted=omitted,
                has_result=has_result,
                result_bytes=len(result.data) if result is not None and has_result else None,
                at=time.time(),
            )
        )

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def _keep(self, message: Entry | Ended) -> None:
        line = encode(message)
        self._write(line)
        if self._listener is not None:
            self._listener.write(line)

    def _write(self, line: bytes) -> None:
        if self._is_broken:
            return
        try:
            self._journal.add(line)
        except OSError as exc:  # a full disk: what cannot be kept must not go on as if it were
            self._is_broken = True
            self._on_unwritable()
            self._log.error("journal-not-written", run=self._folder.run_id, error=exc.strerror)

    def _write_result(self, result: JsonText) -> bool:
        try:
            file = AppendOnly(self._folder.result)
            try:
                file.add(result.data)
            finally:
                file.close()
        except OSError as exc:
            self._log.error("result-not-written", run=self._folder.run_id, error=exc.strerror)
            return False
        return True
