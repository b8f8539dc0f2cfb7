"""examples/intruder: only the proxy's own refusal, or silence, counts as held."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "intruder"
PROBLEM = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\n\r\n"


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The agent's module, imported as the agent imports it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("attempts")
    for name in ("attempts", "own_network"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("reply", "got_out"),
    [
        (b"", False),
        (PROBLEM + b'{"reason_code":"not_allowed_host","detail":"d"}', False),
        (PROBLEM + b'1f\r\n{"reason_code":"port","detail":"d"}\r\n0\r\n\r\n', False),
        (PROBLEM + b"{}", True),
        (PROBLEM + b"not json", True),
        (b'HTTP/1.1 403 Forbidden\r\n\r\n{"reason_code":"port"}', True),
        (b"HTTP/1.1 200 OK\r\n\r\ncanary", True),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", True),
    ],
)
def test_an_answer_is_judged(attempts: ModuleType, reply: bytes, got_out: bool) -> None:
    """Any answer that is not a refusal of ours counts as out."""
    assert attempts._judge(reply)[0] is got_out


def test_a_fault_of_the_socket_is_a_way_that_is_shut(attempts: ModuleType) -> None:
    """An attempt that raises is reported as held, with what was raised."""

    def fail() -> tuple[bool, str]:
        raise ConnectionRefusedError("nobody there")

    line = attempts.make(attempts.Attempt("a", "no path", fail))
    assert (line["got_out"], line["detail"]) == (False, "ConnectionRefusedError: nobody there")


def test_targets_are_only_those_given(attempts: ModuleType) -> None:
    """Without an address in the input there is no attempt on it."""
    assert attempts.by_raw_socket(None, ports=(80,), what="public", marker="m") == []
    assert attempts.by_proxy_to_address(None, port=443, what="public", marker="m") == []
