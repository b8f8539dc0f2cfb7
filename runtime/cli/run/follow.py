"""Following a run to its end: its log on stderr, its result on stdout, Ctrl-C as its cancellation."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

import click

from runtime.cli.console.notes import is_talkative, note_of
from runtime.cli.console.output import printable, write_log
from runtime.cli.run.report import report
from runtime.client.connection import ApiError, Client, ServerEvent
from runtime.errors import DaemonUnreachableError, GoneError
from runtime.model.run import RunState

REFOLLOW_S = 0.2
AWAY_S = 60.0
"""For the next daemon to come: as long as runs wait for it by default."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Ctrl-C, a termination and a lost terminal, as KeyboardInterrupt.

    While a run is being created the first one waits, so that a run is never started and forgotten.
    """

    def __init__(self) -> None:
        self.is_deferred = True
        self._count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def release(self) -> None:
        """From now on they interrupt at once, as one that waited does here."""
        self.is_deferred = False
        if self._count:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if not self.is_deferred or self._count > 1:
            raise KeyboardInterrupt


def follow(client: Client, run_id: str, interrupts: Interrupts, *, is_quiet: bool) -> int:
    """Until the run has ended; the exit status. An interruption cancels it."""
    try:
        interrupts.release()
        return report(_wait(client, run_id, is_quiet=is_quiet))
    except KeyboardInterrupt:
        click.echo(f"cancelling {run_id}", err=True)
        return report(_cancel(client, run_id), was_interrupted=True)


def _wait(client: Client, run_id: str, *, is_quiet: bool) -> dict[str, Any]:
    """Follow to the end, also from a daemon that is killed to the next one: the run goes on meanwhile."""
    seen, away_since = 0, None
    while True:
        try:
            for event in client.events(run_id, after=seen):
                seen, away_since = event.seq, None
                _show(event, is_quiet=is_quiet)
            done = client.get_run(run_id)
        except ApiError as exc:
            if exc.http_status != GoneError.status:
                raise
            seen = 0  # another daemon, which keeps no events of a run that had ended: its state alone
        except DaemonUnreachableError as exc:
            if away_since is None:
                away_since = time.monotonic()
                click.echo(f"{exc.message}; the run goes on, waiting for the next daemon (orch up)", err=True)
            if time.monotonic() - away_since > AWAY_S:
                hint = f"orch up --detach, then orch logs {run_id}"
                raise DaemonUnreachableError(exc.message, hint=hint) from None
        else:
            if RunState(done["state"]).is_final:
                return done
        time.sleep(REFOLLOW_S)


def _show(event: ServerEvent, *, is_quiet: bool) -> None:
    if is_quiet:
        return
    if event.kind == "log":
        write_log(str(event.data["text"]), sys.stderr)
    elif (note := note_of(event.kind, event.data)) and is_talkative():
        click.echo(printable(note), err=True)


def _cancel(client: Client, run_id: str) -> dict[str, Any]:
    try:
        return client.cancel_run(run_id)
    except ApiError as exc:
        if exc.http_status != 409:
            raise
    return client.get_run(run_id)  # it had ended by itself
