"""The mask of the log: the values of every grant, and of those that have just ended."""

from __future__ import annotations

import base64

import pytest

from proxy.hooks.log_mask import KEPT_S, LogMask
from tests.unit.proxy.hooks.conftest import DB, TRUE, Wired


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        """The time that was set."""
        return self.now


@pytest.mark.parametrize(
    "text",
    [
        f"for {DB}.evil.test",
        f"for {DB.upper()}.evil.test",
        f"for {DB[:10]}.{DB[10:]}.evil.test",
        f"for {DB.encode().hex()}.evil.test",
        f"for {base64.b64encode(TRUE.encode()).decode().lower()}.evil.test",
        f"{{'path': '/x?a={DB.replace('-', '%2d')}&b={TRUE}'}}",
    ],
)
def test_no_value_is_left_in_any_spelling(wired: Wired, text: str) -> None:
    """In a text, and in a name, which has no case and is cut by dots."""
    masked = LogMask(wired.grants, wired.hooks.known)(text)
    assert "***" in masked
    assert DB[:9] not in masked.lower()
    assert TRUE not in masked
    assert DB.encode().hex() not in masked


def test_what_holds_no_value_stays(wired: Wired) -> None:
    """Most lines."""
    text = "[127.0.0.1:41] Client TLS handshake failed for ok.test (\udcff)"
    assert LogMask(wired.grants, wired.hooks.known)(text) == text


def test_a_value_is_masked_for_some_seconds_behind_its_grant(wired: Wired) -> None:
    """The ends of its connections are logged then; after that nothing is kept of it."""
    clock = Clock()
    mask = LogMask(wired.grants, wired.hooks.known, clock)
    mask.sweep()
    wired.grants.drop("run-1")
    clock.now = KEPT_S - 1
    assert mask(DB) == "***"
    clock.now = KEPT_S
    mask.sweep()
    assert mask._by_sandbox == {}
