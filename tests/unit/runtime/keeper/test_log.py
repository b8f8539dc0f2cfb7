"""A log that nobody can take any more ends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from runtime.keeper.log import Unbreakable

ROOT = Path(__file__).resolve().parents[4]
PROGRAM = """
import structlog, sys
from runtime.keeper.log import configure_logs
configure_logs()
structlog.get_logger().error("said", detail="half a pair: \\ud83d")
print("alive", flush=True)
"""


def run(stderr: int) -> subprocess.CompletedProcess[bytes]:
    """A process that logs one line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=stderr, env=environment, check=False
    )


def test_a_line_is_json(tmp_path: Path):
    """With its level and its time."""
    with (tmp_path / "log").open("wb") as file:
        assert run(file.fileno()).stdout == b"alive\n"
    line = json.loads((tmp_path / "log").read_bytes())
    assert (line["event"], line["level"]) == ("said", "error")
    assert "timestamp" in line


def test_a_disk_that_is_full_and_a_reader_that_is_gone_end_nothing():
    """Whoever logs goes on."""
    with Path("/dev/full").open("wb") as full:
        done = run(full.fileno())
    assert (done.stdout, done.returncode) == (b"alive\n", 0)
    near, far = os.pipe()
    os.close(near)
    done = run(far)
    os.close(far)
    assert (done.stdout, done.returncode) == (b"alive\n", 0)


def test_it_is_written_at_once(tmp_path: Path):
    """Nothing waits for a flush."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    file = Unbreakable(descriptor)
    assert file.write("a line\n") == 7
    assert (tmp_path / "log").read_text() == "a line\n"
    file.flush()
    os.close(descriptor)
