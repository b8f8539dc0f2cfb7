"""schemathesis, unmodified, against a running daemon: it answers as its description says, and never fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Lab

pytestmark = [pytest.mark.docker, pytest.mark.own_engine]

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "5")
"""For each operation and phase: 100 takes some twenty minutes."""


def test_the_api_answers_as_it_is_described(private_lab: Lab, tmp_path: Path):
    """All of its checks but two, for every operation that ends.

    Left out is that whatever fits the schema is accepted: a schema cannot say that a cursor is one of ours, or
    that a key was not used before. And that a wrong token is always a 401: too many are a 429 (`test_gate.py`
    asks every route without one). The stream of a run's events ends with the run only.
    """
    made = json.loads(private_lab.orch("token", "create", "--role", "operator", "--json").out)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"http://127.0.0.1:{private_lab.tcp_port}/openapi.json",
        *("--header", f"Authorization: Bearer {made['token']}"),
        *("--max-examples", EXAMPLES, "--seed", "11", "--generation-deterministic", "--workers", "1"),
        *("--exclude-checks", "positive_data_acceptance,ignored_auth", "--exclude-path-regex", "events$"),
        *("--request-timeout", "60", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout or " passed" in done.stdout
    assert private_lab.orch("runs").code == 0
    log = (private_lab.folder / "home/daemon.log").read_text()
    assert "request-failed" not in log
    assert made["token"] not in log
