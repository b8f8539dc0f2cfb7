"""Descendants are found by their parents, whatever they did to their group."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.local.descendants import descendants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def test_what_was_there_before_and_what_is_spared_stay():
    """Only what was started since is ended."""
    with subprocess.Popen(["sleep", "60"]) as before, descendants() as started:
        spared = subprocess.Popen(["sleep", "60"])
        ended = subprocess.Popen(["sleep", "60"], start_new_session=True)

        started.end(but=spared.pid)

        assert before.poll() is None
        assert spared.poll() is None
        assert ended.poll() is not None
        for process in (before, spared):
            process.kill()
            process.wait()


def test_one_that_starts_others_is_ended_too():
    """A chain that replaces itself all the time is met in some round."""
    loop = "while :; do sh -c 'sleep 0.005' & done"
    with descendants() as started:
        first = subprocess.Popen(["sh", "-c", f"{loop}"], start_new_session=True)
        started.end(but=0)

        assert first.poll() is not None
        assert started._find(but=0) == set()
