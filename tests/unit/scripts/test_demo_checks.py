"""scripts.demo_checks: whatever got out, by anybody's word, fails the demo."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime.canary.seen import Accept, Exchange, Packet, Query, Record

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
KEY = "sk-fake"
REQUEST = Exchange(0.0, "http", "203.0.113.10", 80, None, "m1.evil.test", "GET", "/", "", [])
TEXT = "One lamp burned. Two\nkeepers slept. Three ships came."
DENIED = {"verdict": "deny", "host": "m1.evil.test", "port": 443}
ALLOWED = {"verdict": "allow", "host": "api.openai.com", "port": 443}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, imported as the script imports it."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("demo_checks")


def _run(checks: ModuleType, result: Any, decisions: list[dict[str, Any]], exit_code: int = 0) -> Any:
    return checks.DemoRun(exit_code, result, decisions, {"id": "r1"})


def _attempt(*, got_out: bool) -> dict[str, Any]:
    return {"attempt": "socket", "expected": "no path", "got_out": got_out, "detail": "d"}


def _intruder(checks: ModuleType, **change: Any) -> list[str]:
    attempts = change.pop("attempts", [_attempt(got_out=False)])
    decisions = change.pop("decisions", [DENIED])
    seen = {"record": Record(), "host_peers": [], "sightings": [], "marker": "m1"} | change
    return checks.check_intruder(_run(checks, attempts, decisions), **seen)


def test_an_intruder_that_was_held_passes(checks: ModuleType) -> None:
    """Nothing seen by anybody, and a decision that names the refused host: no problem."""
    assert _intruder(checks) == []


@pytest.mark.parametrize(
    "change",
    [
        {"attempts": [_attempt(got_out=True)]},
        {"attempts": []},
        {"attempts": {"error": "x"}},
        {"record": Record(accepts=[Accept(1.0, "203.0.113.66", 443, "p")])},
        {"record": Record(packets=[Packet(1.0, "udp", "s", "203.0.113.66", 53)])},
        {"record": Record(dns=[Query(1.0, "a.evil.test", "A", "udp")])},
        {"record": Record(requests=[REQUEST])},
        {"host_peers": ["10.0.0.3:5"]},
        {"sightings": ["eth0: a packet"]},
        {"decisions": [DENIED, ALLOWED]},
        {"decisions": []},
    ],
)
def test_any_single_sign_of_an_escape_fails(checks: ModuleType, change: dict[str, Any]) -> None:
    """Each view alone is enough, and so is an intruder that did not run or was not audited."""
    assert len(_intruder(checks, **change)) == 1


def _exchange(**change: Any) -> Exchange:
    header = [("authorization", f"Bearer {change.pop('key', KEY)}")]
    entry = Exchange(
        0.0, "https", "203.0.113.10", 443, None, "api.openai.com", "POST", "/v1/chat/completions", "", header
    )
    entry.first_byte_at, entry.last_byte_at = 10.0, change.pop("last_byte_at", 12.0)
    return entry


def _summary(checks: ModuleType, **change: Any) -> list[str]:
    result = {
        "summary": "One lamp burned. Two keepers slept.",
        "tokens": 10,
        "first_token_s": 0.1,
        "total_s": 2.0,
    }
    run = _run(checks, result | change.pop("result", {}), change.pop("decisions", [ALLOWED]))
    record = Record(requests=change.pop("requests", [_exchange(**change)]))
    return checks.check_summary(run, TEXT, record=record, key=KEY, token_delay_s=0.1)


def test_a_real_summary_passes(checks: ModuleType) -> None:
    """Sentences of the text, by one allowed and streamed request with the given key: no problem."""
    assert _summary(checks) == []


@pytest.mark.parametrize(
    "change",
    [
        {"result": {"summary": "Four gulls sang."}},
        {"result": {"summary": ""}},
        {"result": {"first_token_s": 1.9}},
        {"decisions": []},
        {"requests": []},
        {"key": "another"},
        {"last_byte_at": 10.1},
    ],
)
def test_a_summary_that_is_not_real_fails(checks: ModuleType, change: dict[str, Any]) -> None:
    """An invented sentence, no answer, another key, or tokens in one piece fail the demo."""
    assert len(_summary(checks, **change)) == 1
