"""Making something once: what is sent again, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.client import retry
from runtime.client.connection import ApiError
from runtime.client.retry import HEADER, LostAnswerError, make_once
from runtime.errors import DaemonUnreachableError

LOST = LostAnswerError("went away")
NOBODY = DaemonUnreachableError("nobody")
BUSY = ApiError(409, {"detail": "in flight", "retryable": True, "retry_after_ms": 1500})
WRONG = ApiError(400, {"detail": "wrong", "retryable": False})


class Line:
    """A connection on which this happens, one after the other."""

    def __init__(self, *happens: Exception | dict[str, Any]) -> None:
        self.happens = list(happens)
        self.keys: list[str] = []

    def send(self, headers: dict[str, str]) -> dict[str, Any]:
        self.keys.append(headers[HEADER])
        what = self.happens.pop(0)
        if isinstance(what, Exception):
            raise what
        return what


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, in nobody's time."""
    waited: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize("between", [[LOST], [LOST, LOST], [LOST, NOBODY, BUSY], [LOST, BUSY, BUSY]])
def test_a_lost_answer_is_asked_for_again(between: list[Exception], slept: list[float]):
    """Under the same key, through a daemon's restart too; a daemon that says how long is listened to."""
    line = Line(*between, {"id": "run"})

    assert make_once(line.send) == {"id": "run"}
    assert len(set(line.keys)) == 1
    assert len(slept) == len(between)
    assert all(wait >= 1.5 for wait, what in zip(slept, between, strict=True) if what is BUSY)


@pytest.mark.parametrize("first", [NOBODY, BUSY, WRONG])
def test_what_made_nothing_is_not_tried_again(first: Exception, slept: list[float]):
    """An error that everybody can see at once is shown at once."""
    line = Line(first)
    with pytest.raises(type(first)):
        make_once(line.send)

    assert (len(line.keys), slept) == (1, [])


def test_a_refusal_after_a_lost_answer_is_the_answer():
    """It is of the same request."""
    line = Line(LOST, WRONG)
    with pytest.raises(ApiError, match="wrong"):
        make_once(line.send)


def test_it_ends(monkeypatch: pytest.MonkeyPatch):
    """After so many attempts, or so much time."""
    line = Line(*[LOST] * 9)
    with pytest.raises(LostAnswerError):
        make_once(line.send)
    assert len(line.keys) == len(retry.WAITS_S) + 1

    monkeypatch.setattr(retry, "GIVE_UP_S", -1.0)
    line = Line(*[LOST] * 9)
    with pytest.raises(LostAnswerError):
        make_once(line.send)
    assert len(line.keys) == 2


def test_each_request_has_a_key_of_its_own():
    """Two runs with the same body are two runs."""
    line = Line({}, {})
    make_once(line.send)
    make_once(line.send)

    assert len(set(line.keys)) == 2
