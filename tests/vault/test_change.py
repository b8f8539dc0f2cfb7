"""Whoever has a secret is told of its change, in order, before the one who made it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from runtime.errors import NotFoundError
from runtime.model.secret import Secret
from runtime.vault.service import Vault

Told = list[tuple[str, str | None]]


@pytest.fixture
def told(vault: Vault) -> Told:
    """What was told of the default workspace."""
    told: Told = []

    async def note(workspace: Collection[str], name: str, value: Secret | None) -> None:
        assert "default" in workspace
        told.append((name, value.reveal() if value else None))

    vault.on_change = note
    return told


async def test_each_change_is_told(vault: Vault, told: Told):
    """Set, changed by either name of it, deleted; a new description alone is no change of a secret."""
    entry = await vault.put("default", "KEY", Secret("one"), who="t")
    await vault.patch("default", entry.id, who="t", value=Secret("two"), description=None)
    await vault.patch("default", "KEY", who="t", value=None, description="for tests")
    await vault.delete("default", "KEY", who="t")

    assert told == [("KEY", "one"), ("KEY", "two"), ("KEY", None)]


async def test_what_failed_is_not_told(vault: Vault, told: Told):
    """Nothing changed."""
    with pytest.raises(NotFoundError):
        await vault.delete("default", "KEY", who="t")
    with pytest.raises(NotFoundError):
        await vault.put("nowhere", "KEY", Secret("one"), who="t")

    assert told == []


async def test_the_last_one_told_is_the_one_that_is_kept(vault: Vault, told: Told):
    """Changes at once are told in the order in which they were made."""
    await asyncio.gather(*(vault.put("default", "KEY", Secret(f"v{n}"), who="t") for n in range(20)))

    kept = await vault.read("default", ["KEY"], run_id="r", reader="t")
    assert told[-1] == ("KEY", kept["KEY"].reveal())
    assert len(told) == 20
