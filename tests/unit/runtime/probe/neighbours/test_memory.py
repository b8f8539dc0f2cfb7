"""runtime.probe.neighbours.memory: who watches, and what is kept."""

from __future__ import annotations

from runtime.probe.neighbours.memory import Memory, watch_config


def test_the_watcher_sees_processes_and_has_no_right_over_them():
    """Another user, no capability, no network, the proxy's process namespace."""
    config = watch_config("an-image", "the-proxy", labels={})

    host = config["HostConfig"]
    assert host["PidMode"] == "container:the-proxy"
    assert (config["User"], host["CapAdd"], host["NetworkMode"]) == ("65534:65534", [], "none")


def test_the_largest_worker_of_a_window():
    """What was before and behind the window does not count; nothing seen is zero."""
    memory = Memory(workers=[(1.0, 90), (2.0, 30), (3.0, 40), (4.0, 80)])

    assert memory.largest_worker((2.0, 4.0)) == 40
    assert memory.largest_worker((5.0, 6.0)) == 0
