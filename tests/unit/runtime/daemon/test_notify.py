"""runtime.daemon.notify: what systemd is told, over a real socket of its kind."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.daemon.notify import Notifier


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """One that listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(20)
        yield sock


@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_is_told_of_beginning_and_end(tmp_path: Path, is_abstract: bool):
    """By the words of sd_notify(3); an end asks for the time that it takes."""
    name = f"orchbox-test-{secrets.token_hex(8)}"
    with manager(f"\0{name}" if is_abstract else str(tmp_path / "notify")) as heard:
        notifier = Notifier(f"@{name}" if is_abstract else str(tmp_path / "notify"))
        notifier.ready("serves")
        assert heard.recv(1000) == b"READY=1\nSTATUS=serves"
        notifier.stopping("ends", takes_s=1.5)
        assert heard.recv(1000) == b"STOPPING=1\nSTATUS=ends\nEXTEND_TIMEOUT_USEC=1500000"


@pytest.mark.parametrize("path", [None, ""])
def test_without_a_manager_nothing_is_said(path: str | None):
    """Nor logged."""
    with capture_logs() as logs:
        Notifier(path).ready("serves")
    assert logs == []


def test_a_manager_that_is_gone_is_no_failure(tmp_path: Path):
    """The daemon serves; its log says so once."""
    with capture_logs() as logs:
        Notifier(str(tmp_path / "none")).ready("serves")
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("service-manager-not-told", "No such file or directory")
    ]
