"""`orch run` follows its run from a daemon that is killed to the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.cli.run import follow as module
from runtime.cli.run.follow import Interrupts, follow
from runtime.client.connection import ApiError, ServerEvent
from runtime.errors import DaemonUnreachableError

AWAY = DaemonUnreachableError("the daemon went away while it answered", hint="orch doctor")
DONE = {
    "id": "run-1", "agent_ref": "a", "policy_name": "p", "isolation": "runc", "state": "completed",
    "created_at": 1.0, "finished_at": 2.0, "result": {"n": 1}, "error": None, "stdout": "", "stderr": "",
}  # fmt: skip


class FlakyClient:
    """Tells one line at each connection, and breaks behind it; `away` times nobody answers."""

    def __init__(self, lines: int, away: float) -> None:
        self.lines = lines
        self.away = away
        self.asked: list[int] = []

    def events(self, _run_id: str, *, after: int = 0) -> Iterator[ServerEvent]:
        """The next line, then a broken connection; all is told at the end."""
        self.asked.append(after)
        if after and self.away > 0:
            self.away -= 1
            raise AWAY
        if after < self.lines:
            yield ServerEvent(after + 1, "log", {"text": f"line {after + 1}\n"})
            raise AWAY

    def get_run(self, _run_id: str) -> dict[str, Any]:
        """Its record."""
        return DONE


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits here."""
    monkeypatch.setattr(module, "REFOLLOW_S", 0)


def test_every_line_is_told_once(capsys: pytest.CaptureFixture[str]):
    """It asks for what is behind the last line that it has, and says once that it waits."""
    client = FlakyClient(lines=3, away=2)
    with Interrupts() as interrupts:
        status = follow(client, "run-1", interrupts, is_quiet=False)  # type: ignore[arg-type]
    said = capsys.readouterr()

    assert status == 0
    assert [line for line in said.err.splitlines() if line.startswith("line")] == [
        "line 1",
        "line 2",
        "line 3",
    ]
    assert client.asked == [0, 1, 1, 1, 2, 3]
    assert said.err.count("the run goes on") == 3  # once for each time that it was gone
    assert '"n": 1' in said.out


def test_a_daemon_that_keeps_no_events_is_asked_for_the_end(capsys: pytest.CaptureFixture[str]):
    """The run ended while nobody followed it: what was told before is gone, its result is not."""

    class Forgetful(FlakyClient):
        def events(self, _run_id: str, *, after: int = 0) -> Iterator[ServerEvent]:
            if after:
                raise ApiError(410, {"code": "GONE", "detail": "not kept"})
            if not self.asked:
                yield from super().events(_run_id)
            self.asked.append(-1)

    client = Forgetful(lines=2, away=0)
    with Interrupts() as interrupts:
        status = follow(client, "run-1", interrupts, is_quiet=True)  # type: ignore[arg-type]

    assert (status, client.asked) == (0, [0, -1])
    assert '"n": 1' in capsys.readouterr().out


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """After that the error names what helps."""
    monkeypatch.setattr(module, "AWAY_S", 0)
    client = FlakyClient(lines=1, away=float("inf"))
    with Interrupts() as interrupts, pytest.raises(DaemonUnreachableError) as caught:
        follow(client, "run-1", interrupts, is_quiet=True)  # type: ignore[arg-type]

    assert caught.value.hint == "orch up --detach, then orch logs run-1"
    assert "the run goes on" in capsys.readouterr().err
