"""The wrapper: any exception refuses, and its text is told nobody."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.hooks.fail_closed import fail_closed
from proxy.policy.refusal import INTERNAL_ERROR, NO_GRANT, RefusedError
from tests.unit.proxy.hooks.conftest import Wired


class Refusing:
    """An addon whose hooks fail."""

    def __init__(self, wired: Wired, exc: Exception) -> None:
        self.clients, self.recorder = wired.hooks.clients, wired.hooks.recorder
        self.exc = exc
        self.refused: list[Any] = []

    @fail_closed(lambda addon, _data, decision: addon.refused.append(decision))  # type: ignore[attr-defined]
    def hook(self, _data: object) -> None:
        """Fails."""
        raise self.exc

    @fail_closed(lambda addon, _data, decision: addon.refused.append(decision))  # type: ignore[attr-defined]
    async def later(self, _data: object) -> None:
        """Fails."""
        raise self.exc


@pytest.mark.parametrize(
    ("exc", "decision"), [(ZeroDivisionError("a secret"), INTERNAL_ERROR), (RefusedError(NO_GRANT), NO_GRANT)]
)
async def test_any_exception_refuses(wired: Wired, capfd, exc: Exception, decision: Any) -> None:
    """Both kinds of hook, with a line each."""
    addon = Refusing(wired, exc)
    addon.hook(object())
    await addon.later(object())
    assert addon.refused == [decision] * 2
    assert [line["reason_code"] for line in wired.lines] == [decision.reason_code.value] * 2
    assert "a secret" not in "".join(capfd.readouterr())
