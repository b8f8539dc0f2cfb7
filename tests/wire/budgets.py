"""Budgets of a test's sandbox: put in force, read, and used."""

from __future__ import annotations

from dataclasses import replace

from proxy.admission import meters
from proxy.policy.model import Budgets
from tests.wire.conftest import Rig
from tests.wire.raw import request_line, send


async def budget(rig: Rig, **values: int) -> None:
    """Put budgets in force, as a new revision."""
    policy = replace(rig.policy(), budgets=Budgets(**values))
    revision = max(grant.revision for grant in rig.server.grants.held()) + 1
    await rig.link.grant(rig.grant(revision=revision, policy=policy))


def meter(rig: Rig) -> meters.Meter:
    """The counters of this test's sandbox."""
    return rig.server.hooks.clients.meters.of("run-1")


async def get(rig: Rig, door: str) -> bytes:
    """One allowed request on a connection of its own."""
    return await send(rig, door, request_line(rig, door) + b"Connection: close\r\n\r\n")
