"""The exit status of `orch run` for every way a run can end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.cli.run.report import report

ENDS = {
    ("failed", "SANDBOX_ERROR"): 1,
    ("failed", "PROXY_LOST"): 8,
    ("failed", "GUARD_LOST"): 8,
    ("failed", "NETWORK_CHANGED"): 8,
    ("failed", "INTERNAL_ERROR"): 8,
    ("failed", "A_NEWER_DAEMONS_CODE"): 1,
    ("failed", None): 1,
    ("timeout", "SANDBOX_TIMEOUT"): 7,
    ("cancelled", "CANCELLED"): 130,
}


def done(state: str, code: str | None) -> dict[str, Any]:
    """A run's record."""
    error = None if code is None else {"code": code, "message": "it ended"}
    ended = {"state": state, "error": error, "result": None, "created_at": 1.0, "finished_at": 2.0}
    return {"id": "r1", "agent_ref": "a", "policy_name": "p", "isolation": "runc", **ended}


@pytest.mark.parametrize(("state", "code"), ENDS)
def test_a_run_exits_with_its_codes_status(capsys: pytest.CaptureFixture[str], state: str, code: str | None):
    """And its JSON says both."""
    status = report(done(state, code))

    told = json.loads(capsys.readouterr().out)
    assert status == told["exit_code"] == ENDS[state, code]
    assert told["code"] == (code or "GENERAL_ERROR")


def test_what_the_caller_interrupted_exits_as_interrupted(capsys: pytest.CaptureFixture[str]):
    """Also where the run had ended by itself meanwhile."""
    assert report(done("failed", "SANDBOX_ERROR"), was_interrupted=True) == 130
    assert json.loads(capsys.readouterr().out)["code"] == "SANDBOX_ERROR"


def test_a_completed_run_exits_with_0(capsys: pytest.CaptureFixture[str]):
    """Its record is what is printed."""
    assert report(done("completed", None)) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "completed"
