"""Whether a daemon says that it is ready, and who keeps it from being so for as long as a test needs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from runtime.client.connection import Client

IMAGE = "orchbox/daemon:local"
TAMPERING_S = 120
"""After so long the tampering ends by itself, should a test die that would have ended it."""
_AGAIN_AND_AGAIN = (
    f'end=$(($(date +%s) + {TAMPERING_S})); while [ "$(date +%s)" -lt $end ]; do sh -c "$0"; sleep 0.05; done'
)


def until_ready(folder: Path, *, is_ready: bool, timeout_s: float = 90) -> list[dict[str, Any]]:
    """Wait until the `/readyz` of the daemon in this folder says so; the checks that fail."""
    until = time.monotonic() + timeout_s
    said: object = None
    with closing(Client(folder / "run/api.sock")) as client:
        while time.monotonic() < until:
            said = client.ready()
            if said["ready"] is is_ready:
                return [check for check in said["checks"] if not check["ok"]]
            time.sleep(0.02)
    pytest.fail(f"the daemon was not {'' if is_ready else 'un'}ready within {timeout_s} s: {said}")


def guard_losses(folder: Path) -> list[str]:
    """What the daemon in this folder has logged of its guard's losses, the oldest first."""
    lines = (folder / "home/daemon.log").read_text().splitlines()
    return [json.loads(line)["detail"] for line in lines if '"guard-lost"' in line]


@contextmanager
def tampering(engine: docker.DockerClient, script: str) -> Iterator[None]:
    """Change the host's firewall again and again, as another program on it would, until the block ends.

    Once is not enough to look at what a daemon does without its guard: it puts the guard back at once, and
    that may take less time than it takes to look.
    """
    container = engine.containers.run(
        IMAGE, entrypoint=["sh", "-c", _AGAIN_AND_AGAIN, script], network_mode="host", cap_add=["NET_ADMIN"],
        user="0", labels={"io.orchbox.instance": "test"}, detach=True,
    )  # fmt: skip
    try:
        yield
        container.reload()
        assert container.status == "running", "the tampering ended before it was asked to"
    finally:
        container.remove(force=True)
