"""What streams by: whatever fails refuses."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.hooks.bodies import downward
from proxy.layers.refuse import BodyRefusedError
from proxy.secrets.scrub import Reflection, StreamScrub
from tests.unit.proxy.hooks.conftest import DB, Wired


def boom(*_: Any) -> Any:
    """Stands for any bug."""
    raise ZeroDivisionError


def test_a_body_with_a_value_is_refused_with_an_answer(wired: Wired) -> None:
    """The client is told, the audit too."""
    flow = wired.exchange()
    with pytest.raises(BodyRefusedError) as caught:
        flow.request.stream(DB.encode())
    assert caught.value.response is not None
    assert caught.value.response.status_code == 403
    assert [line["reason_code"] for line in wired.lines] == ["secret_leak"]


def test_a_body_that_is_clean_passes_piece_by_piece(wired: Wired) -> None:
    """As lists: an empty piece would end a chunked body."""
    stream = wired.exchange().request.stream
    assert stream(b"hello") + stream(b"") == [b"hello"]


def test_an_answer_that_cannot_be_scrubbed_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to tell: the head has gone."""
    monkeypatch.setattr(StreamScrub, "feed", boom)
    with pytest.raises(BodyRefusedError) as caught:
        downward(StreamScrub(Reflection((), {})))(b"x")
    assert caught.value.response is None
