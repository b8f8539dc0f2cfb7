"""tests.harness.warm: a command that was forked is the command that its user starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import warm

ROOT = Path(__file__).resolve().parents[2]
POLICY = "version: 1\nname: own\negress:\n  allow:\n    - host: ok.test\n"
COMMANDS = {
    "a result": ["policy", "explain", "https://ok.test/", "--policy", "own.yaml"],
    "a file of its own folder": ["policy", "check", "own.yaml"],
    "an error": ["run", "nowhere"],
    "no daemon": ["runs"],
    "standard input": ["secrets", "set", "KEY"],
    "help": ["run", "--help"],
    "a wrong option": ["runs", "--nonsense"],
}


@pytest.mark.parametrize("case", COMMANDS)
def test_it_says_and_returns_the_same(tmp_path: Path, case: str):
    """Status, stdout and stderr, from the same folder, environment and standard input."""
    (tmp_path / "own.yaml").write_text(POLICY)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ORCHBOX_RUN_DIR": str(tmp_path), "COLUMNS": "70"}

    forked = warm.orch(*COMMANDS[case], env=env, cwd=tmp_path, stdin="value\n", timeout_s=120)
    started = subprocess.run(
        [sys.executable, "-m", "runtime.cli.main", *COMMANDS[case]],
        env=env,
        cwd=tmp_path,
        input="value\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert forked.stdout + forked.stderr
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        started.returncode,
        started.stdout,
        started.stderr,
    )


def test_one_leaves_nothing_to_the_next(tmp_path: Path):
    """Its environment and its folder are its own."""
    first = {**os.environ, "ORCHBOX_RUN_DIR": "/nowhere/first"}
    second = {**os.environ, "ORCHBOX_RUN_DIR": "/nowhere/second"}

    said = [warm.orch("runs", env=env, cwd=tmp_path, timeout_s=120).stdout for env in (first, second)]

    assert ["first" in text for text in said] == [True, False]
    assert ["second" in text for text in said] == [False, True]


def test_one_that_takes_too_long_is_killed(tmp_path: Path):
    """As `subprocess.run` does it; here it waits for a daemon that takes a call and says nothing."""
    env = {**os.environ, "ORCHBOX_RUN_DIR": str(tmp_path)}
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "api.sock"))
        silent.listen()
        with pytest.raises(subprocess.TimeoutExpired):
            warm.orch("runs", env=env, cwd=tmp_path, timeout_s=0.3)
