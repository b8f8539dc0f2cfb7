"""runtime.probe.neighbours.agent.victim: it measures from when an answer was due."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from runtime.probe.neighbours.agent import victim, wire
from runtime.probe.neighbours.agent.victim import Diary, ask_name, keep_asking


def told(diary: Diary, capsys: pytest.CaptureFixture[str]) -> list[list[object]]:
    """The samples of the next line."""
    diary.tell()
    return list(json.loads(capsys.readouterr().err)["samples"])


class Clock:
    """A clock that goes on only while somebody sleeps, or an answer takes its time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def go_on(self, seconds: float) -> None:
        self.now += seconds

    sleep = go_on


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the victim's own."""
    made = Clock()
    monkeypatch.setattr(victim, "time", made)
    return made


def test_a_pause_is_as_many_slow_answers_as_were_due(clock: Clock, capsys: pytest.CaptureFixture[str]):
    """What falls due during one answer of 0.22 s is not asked, and counts from when it was due."""
    took_s, diary = iter([0.22]), Diary()

    keep_asking("dns", lambda: clock.go_on(next(took_s, 0.0)), diary, every_s=0.05, lasts_s=0.35)

    samples = told(diary, capsys)
    assert [sample[2] for sample in samples] == pytest.approx([220, 170, 120, 70, 20, 0, 0], abs=0.1)
    assert [sample[1] for sample in samples] == pytest.approx([1000 + 0.05 * n for n in range(7)])
    assert ([sample[3] for sample in samples], diary.asked) == ([None] * 7, {"dns": 7})


def test_a_victim_that_gets_no_answer_ends_all_the_same(clock: Clock, capsys: pytest.CaptureFixture[str]):
    """One failure, and as many slow answers as were due until its end."""

    def fail() -> None:
        clock.go_on(wire.TIMEOUT_S)
        raise TimeoutError("timed out")

    diary = Diary()
    keep_asking("https", fail, diary, every_s=0.5, lasts_s=1.0)

    assert [sample[2:] for sample in told(diary, capsys)] == [
        [5000.0, "TimeoutError: timed out"],
        [4500.0, None],
    ]


@pytest.mark.usefixtures("clock")
def test_an_error_is_a_sample_with_its_text(capsys: pytest.CaptureFixture[str]):
    """The victim goes on after it."""

    def fail() -> None:
        raise TimeoutError("timed out")

    diary = Diary()
    keep_asking("dns", fail, diary, every_s=0.01, lasts_s=0.02)

    assert [sample[3] for sample in told(diary, capsys)] == ["TimeoutError: timed out"] * 2


@pytest.mark.parametrize(
    ("flags", "answers", "is_ok"), [(0x8180, 1, True), (0x8183, 0, False), (0x8180, 0, False)]
)
def test_only_an_address_is_an_answer(monkeypatch: pytest.MonkeyPatch, flags: int, answers: int, is_ok: bool):
    """NXDOMAIN and an empty answer are failures."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30.0)
        monkeypatch.setattr(wire, "NAMES_PORT", server.getsockname()[1])

        def answer() -> None:
            query, peer = server.recvfrom(512)
            counts = (1).to_bytes(2, "big") + answers.to_bytes(2, "big") + bytes(4)
            server.sendto(query[:2] + flags.to_bytes(2, "big") + counts, peer)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            if is_ok:
                ask_name("ok.test", "127.0.0.1")
            else:
                with pytest.raises(ValueError, match="no address"):
                    ask_name("ok.test", "127.0.0.1")
        finally:
            thread.join()
