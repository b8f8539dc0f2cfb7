"""The watcher's program, with an `nft` of the tests' own: what it takes for a change, and what not."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.network.watch import WATCHER

TABLE = "orbguard"
RULES = "table inet orbguard { a rule }\n"
DIGEST = hashlib.sha256(RULES.encode()).hexdigest()
NFT = """#!/bin/sh
cd {folder}
if [ "$1" = monitor ]; then exec cat events; fi
[ -e rules ] && cat rules
"""


class Host:
    """A folder that plays the host's firewall: `rules` is the table, `events` a pipe of what `monitor` says."""

    def __init__(self, folder: Path) -> None:
        self.rules = folder / "rules"
        self.rules.write_text(RULES)
        self.pipe = folder / "events"
        os.mkfifo(self.pipe)
        nft = folder / "nft"
        nft.write_text(NFT.format(folder=folder))
        nft.chmod(0o755)
        self._path = f"{folder}:{os.environ['PATH']}"

    @contextmanager
    def watched(self, *, every: float) -> Iterator[subprocess.Popen[bytes]]:
        """The watcher, once it has said its first word."""
        argv = [sys.executable, "-c", WATCHER, TABLE, str(every)]
        watcher = subprocess.Popen(argv, env={"PATH": self._path}, stdout=subprocess.PIPE, bufsize=0)
        try:
            with self.pipe.open("w") as self.events:
                assert next_word(watcher) == DIGEST
                yield watcher
        finally:
            watcher.kill()
            watcher.communicate()

    def say(self, event: str) -> None:
        """One event of the host's firewall."""
        self.events.write(event)
        self.events.flush()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with the guard's table."""
    return Host(tmp_path)


def next_word(watcher: subprocess.Popen[bytes]) -> str:
    """What it says next, within a time that is ample; empty when it has ended."""
    assert watcher.stdout is not None
    if not select.select([watcher.stdout], [], [], 5)[0]:
        return "nothing"
    return watcher.stdout.readline().decode().strip()


def test_a_busy_host_does_not_keep_the_watcher_from_speaking(host: Host):
    """Events of other tables, closer together than the watcher's pause: it looks and says so all the same."""
    with host.watched(every=0.2) as watcher:
        other = subprocess.Popen(
            ["sh", "-c", f"while :; do echo 'add rule ip filter FORWARD' >{host.pipe}; sleep 0.02; done"]
        )
        try:
            words = [next_word(watcher) for _ in range(2)]
        finally:
            other.kill()
            other.wait()
    assert words == ["same", "same"]


def test_a_change_that_is_announced_is_told_at_once(host: Host):
    """Long before the watcher would have looked by itself."""
    with host.watched(every=3600) as watcher:
        host.rules.write_text("table inet orbguard { }\n")
        host.say("delete rule inet orbguard input handle 4\n")
        assert next_word(watcher) == "changed"
        assert watcher.wait(10) != 0


def test_a_table_that_is_gone_is_a_change(host: Host):
    """`nft flush ruleset`, `nft delete table`."""
    with host.watched(every=3600) as watcher:
        host.rules.unlink()
        host.say("delete table inet orbguard\n")
        assert next_word(watcher) == "changed"


def test_a_change_that_nobody_announced_is_found(host: Host):
    """An event may get lost: netlink drops what a slow reader does not fetch."""
    with host.watched(every=0.2) as watcher:
        host.rules.write_text("table inet orbguard { flags dormant }\n")
        assert next_word(watcher) == "changed"


def test_an_event_that_is_cut_in_two_is_read_as_one(host: Host):
    """A pipe does not keep the monitor's lines together."""
    with host.watched(every=3600) as watcher:
        host.rules.unlink()
        host.say("delete table inet orb")
        host.say("guard\n")
        assert next_word(watcher) == "changed"


def test_the_same_rules_loaded_again_are_no_change(host: Host):
    """Another daemon of this host that starts loads them too."""
    with host.watched(every=0.2) as watcher:
        host.say("delete table inet orbguard\nadd table inet orbguard\n")
        assert next_word(watcher) == "same"


def test_without_the_monitor_the_watcher_ends(host: Host):
    """Its end is a loss to whoever listens to it."""
    with host.watched(every=3600) as watcher:
        host.events.close()
        assert next_word(watcher) == ""
        assert watcher.wait(10) != 0
