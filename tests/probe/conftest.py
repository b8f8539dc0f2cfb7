"""The probe tier: `orch probe` itself, on the real engine, with and without each defence."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from runtime.daemon.settings import Settings

TEST_IMAGES = {
    "agent-python": "make images",
    "agent-polyglot": "make trust-image",
}
"""Image that a test needs -> the command that builds it; `make test` runs both."""


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of a developer who has set nothing."""
    _need("agent-python")
    return Settings.from_env({k: v for k, v in os.environ.items() if not k.startswith("ORCHBOX_")})


@pytest.fixture(scope="session")
def trust_image(settings: Settings) -> str:
    """The image with every client of `orch probe --trust`."""
    _need("agent-polyglot")
    return settings.image("agent-polyglot")


@pytest.fixture
def matrix() -> Path:
    """Where the sabotage matrix is written for people: build/sabotage.txt."""
    folder = Path(__file__).resolve().parents[2] / "build"
    folder.mkdir(exist_ok=True)
    return folder / "sabotage.txt"


@pytest.fixture(scope="session")
def sabotaged_image() -> Iterator[str]:
    """The proxy image under test with the program that takes a defence out of it, as SABOTAGE says."""
    lines = (
        "FROM orchbox/proxy:local",
        "COPY sabotage_proxy.py /opt/orchbox/",
        'ENTRYPOINT ["python3", "-m", "sabotage_proxy"]',
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in (
            ("Dockerfile", "\n".join(lines).encode()),
            ("sabotage_proxy.py", (Path(__file__).parent / "sabotage_proxy.py").read_bytes()),
        ):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    context.seek(0)
    tag = "orchbox-test/sabotage:local"
    client = docker.from_env()
    client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, network_mode="none")
    yield tag
    client.images.remove(tag, force=True)
    client.close()


def _need(image: str) -> None:
    """Skip the test where the image cannot be had, and say how it can; in CI that is a failure."""
    reason = _why_not(f"orchbox/{image}:local", TEST_IMAGES[image])
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def _why_not(reference: str, command: str) -> str | None:
    try:
        client = docker.from_env()
    except docker.errors.DockerException:
        return "no Docker engine answers"
    try:
        client.images.get(reference)
    except docker.errors.ImageNotFound:
        return f"the image {reference} is not built: {command}"
    finally:
        client.close()
    return None
