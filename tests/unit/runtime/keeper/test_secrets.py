"""Secrets of a run that is kept: changed, enforced, handed down, and never written."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from proxy.contract.grant import GrantSecret
from runtime.engine.protocol import STDERR, STDOUT
from runtime.errors import NotReadyError
from runtime.keeper.ends import CANCELLED
from runtime.keeper.messages import Ended
from runtime.model.secret import Secret
from tests.unit.runtime.keeper.scene import PLAN, RUN, STAND_IN, Scene, leave, log_of, until


@pytest.mark.parametrize("value", ["marker-new-value", None])
async def test_a_changed_secret_is_enforced_and_handed_down(scene: Scene, value: str | None):
    """The next daemon is given what is enforced by then, and what an agent prints of it is masked."""
    daemon = await scene.begin()
    await daemon.replace_secret("KEY", None if value is None else Secret(value))
    granted = {s.name: s.value for s in scene.link.grants[RUN].secrets}
    expected = {"HELD": "marker-held-value"} | ({"KEY": value} if value else {})
    assert granted == expected

    await leave(daemon)
    successor = await scene.daemon()
    adopted = await successor.adopt()
    assert adopted is not None
    assert {s["name"]: s["value"] for s in adopted.plan["grant"]["secrets"]} == expected
    scene.said.put_nowait((STDERR, f"key {value or 'marker-old-value'}\n".encode()))
    await log_of(successor, "key ***\n")


async def test_the_journal_holds_no_secret(scene: Scene):
    """Neither what the agent prints nor what the keeper was given."""
    daemon = await scene.begin()
    scene.said.put_nowait((STDERR, b"marker-old-value marker-held-value marker-token-0123456789\n"))
    scene.said.put_nowait((STDOUT, b'{"k": "marker-held-value"}'))
    scene.said.put_nowait(None)
    await until(daemon, Ended)

    for path in scene.folder.path.iterdir():
        with contextlib.suppress(OSError):  # the socket
            assert b"marker" not in path.read_bytes()


async def test_an_end_waits_for_no_secret(scene: Scene):
    """A proxy that does not acknowledge a change does not hold up the run's end."""
    daemon = await scene.begin()

    async def never() -> None:
        await asyncio.Event().wait()

    scene.link.before_grant = never
    changing = asyncio.create_task(daemon.replace_secret("KEY", Secret("marker-new-value")))
    await asyncio.sleep(0)
    daemon.end(CANCELLED)

    assert (await until(daemon, Ended)).state == "cancelled"
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)


async def test_a_new_value_that_does_not_fit_takes_the_old_one_away(scene: Scene):
    """What the daemon is told of as not done is not in force either."""
    many = tuple(GrantSecret(f"S{n}", "v" * 16_000, f"{STAND_IN}{n:03}") for n in range(31))
    grant = replace(PLAN.grant, secrets=(*many, *PLAN.grant.secrets))
    daemon = await scene.begin(grant=grant)
    with pytest.raises(NotReadyError):
        await daemon.replace_secret("KEY", Secret("w" * 16_000 + "\U0001f511" * 3000))

    assert "KEY" not in {secret.name for secret in scene.link.grants[RUN].secrets}
    daemon.end(CANCELLED)
    assert (await until(daemon, Ended)).state == "cancelled"
