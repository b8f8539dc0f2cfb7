"""The harness for pytest. Import what you need in a `conftest.py`: `from tests.harness.fixtures import *`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import docker.errors
import pytest

from runtime.canary.net.host_listener import HostListener
from runtime.canary.net.session import IMAGE, CanaryNet
from runtime.policies.registries import all_registry_hosts
from tests.harness.simulator import LoopbackSimulator

__all__ = ["canary_net", "canary_session", "host_listener", "loopback_simulator"]


@pytest.fixture(scope="package")
def canary_session() -> Iterator[CanaryNet]:
    """The canary network of a whole tier; take `canary_net` in a test.

    Gone before `orch probe` brings its own, of which a machine has one at a time, so the folder that imports this must be a
    package: without `__init__.py` pytest quietly keeps a package's fixture until the whole session ends.
    """
    image = os.environ.get("ORCHBOX_CANARY_IMAGE", IMAGE)
    reason = _why_not(image)
    if reason is not None and os.environ.get("CI"):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)
    with CanaryNet(image=image, avoid=all_registry_hosts()) as net:
        yield net


@pytest.fixture
def canary_net(canary_session: CanaryNet) -> CanaryNet:
    """The canary network with an empty record and no failure modes."""
    canary_session.control.set_failures()
    canary_session.control.set_token_delay(0.0)
    canary_session.reset()
    return canary_session


@pytest.fixture
def host_listener() -> Iterator[HostListener]:
    """A service on every address of the host."""
    with HostListener() as listener:
        yield listener


@pytest.fixture(scope="module")
def loopback_simulator() -> Iterator[LoopbackSimulator]:
    """The simulators on loopback, without Docker."""
    with LoopbackSimulator() as simulator:
        yield simulator


def _why_not(image: str) -> str | None:
    try:
        client = docker.from_env()
    except docker.errors.DockerException:
        return "no Docker engine answers"
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        return f"the image {image} is not built: make images"
    finally:
        client.close()
    return None
