"""The engines under contract: the fake always, the real one with the `docker` marker."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from runtime.containers import labels
from runtime.engine.docker import DockerEngine
from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import ContainerConfig, Engine, NetworkSpec
from runtime.errors import OrchError

IMAGE = os.environ.get("ORCHBOX_TEST_IMAGE", "orchbox/agent-python:local")
"""Any image with coreutils."""


@dataclass(frozen=True, slots=True)
class Lab:
    """An engine and names that nobody else on the host uses."""

    engine: Engine
    instance: str
    image: str

    @property
    def labels(self) -> dict[str, str]:
        """Of everything a test makes."""
        return labels.labels(self.instance, "probe")

    def name(self, part: str = "c") -> str:
        """A container's or network's name."""
        return f"orchbox-{self.instance}-{part}"

    def config(self, *argv: str, network: str = "none", **host: object) -> ContainerConfig:
        """A container that runs a command with its streams open."""
        return {
            "Image": self.image,
            "Entrypoint": [argv[0]],
            "Cmd": list(argv[1:]),
            "Labels": self.labels,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "HostConfig": {"NetworkMode": network, "Init": True, "LogConfig": {"Type": "none"}, **host},
        }

    def network(self, index: int, part: str = "n", *, bridge: int | None = None) -> NetworkSpec:
        """An internal network of a range of the tests' own."""
        return NetworkSpec(
            name=self.name(part),
            bridge=f"orbt{index if bridge is None else bridge}",
            subnet=f"10.238.7.{index * 8}/29",
            gateway=f"10.238.7.{index * 8 + 1}",
            is_internal=True,
            labels=self.labels,
        )


async def _open(kind: str) -> Engine:
    if kind == "fake":
        return FakeEngine({IMAGE: None})
    engine = DockerEngine()
    try:
        image = await engine.image_id(IMAGE)
    except OrchError as exc:
        await engine.close()
        _give_up(exc.message)
    if image is None:
        await engine.close()
        _give_up(f"the image {IMAGE} is not built: make images")
    return engine


def _give_up(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which engine."""
    return request.param


@pytest.fixture
async def lab(kind: str) -> AsyncIterator[Lab]:
    """An engine; everything made with its labels is removed afterwards."""
    engine = await _open(kind)
    lab = Lab(engine, f"contract-{uuid.uuid4().hex[:8]}", IMAGE)
    try:
        yield lab
    finally:
        for container in await engine.containers(lab.labels):
            await engine.remove(container.id)
        for network in await engine.networks(lab.labels):
            await engine.remove_network(network.name)
        await engine.close()
