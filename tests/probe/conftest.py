"""The probe tier: `orch probe` itself, on the real engine, with and without each defence."""

from __future__ import annotations

import os
from pathlib import Path

import docker
import docker.errors
import pytest

from runtime.daemon.settings import Settings

TEST_IMAGE = "orchbox/agent-python:local"


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of a developer who has set nothing."""
    reason = _why_not()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    own = {k: v for k, v in os.environ.items() if not k.startswith("ORCHBOX_")}
    return Settings.from_env(own)


@pytest.fixture
def matrix() -> Path:
    """Where the sabotage matrix is written for people: build/sabotage.txt."""
    folder = Path(__file__).resolve().parents[2] / "build"
    folder.mkdir(exist_ok=True)
    return folder / "sabotage.txt"


def _why_not() -> str | None:
    try:
        client = docker.from_env()
    except docker.errors.DockerException:
        return "no Docker engine answers"
    try:
        client.images.get(TEST_IMAGE)
    except docker.errors.ImageNotFound:
        return f"the image {TEST_IMAGE} is not built"
    finally:
        client.close()
    return None
