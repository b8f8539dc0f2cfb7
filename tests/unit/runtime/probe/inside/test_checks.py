"""The checks made inside a sandbox see what is there."""

from __future__ import annotations

import socket
import threading

import pytest

from runtime.probe.inside.checks import closed_ports


def test_closed_ports_sees_an_open_port_among_closed_ones_and_takes_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads are what a sandbox has few of: two such scans at once met the limit."""

    def at_the_limit(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", at_the_limit)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        args = {"address": "127.0.0.1", "first": port, "last": port, "more": [1, 2], "allowed": []}
        seen = closed_ports(args)
        allowed = closed_ports({**args, "allowed": [port]})
    assert seen == {"outcome": "possible", "detail": f"[{port}] answer"}
    assert allowed == {"outcome": "blocked", "detail": "2 ports refused"}
