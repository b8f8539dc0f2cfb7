"""`orch probe` as its user calls it, and what there is on the engine before and after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600
"""A probe takes a minute or two; one that hangs is ended."""


def orch(*arguments: str, folder: Path) -> tuple[int, Any]:
    """Run a probe as its user does; status and report. Fails with the probe's own words where it made none."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("ORCHBOX_")}
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli.main", "probe", *arguments, "--json"],
        env={**own, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=folder,
        check=False,
    )
    report = json.loads(done.stdout)
    if report.get("error"):
        pytest.fail(f"{report['message']}: {report.get('hint')}")
    return done.returncode, report


def inventory() -> set[str]:
    """Everything on the engine, of anybody's."""
    client = docker.from_env()
    try:
        found = {c.name for c in client.containers.list(all=True, ignore_removed=True)} | {
            n.name for n in client.networks.list()
        }
        return found | {v.name for v in client.volumes.list()}
    finally:
        client.close()
