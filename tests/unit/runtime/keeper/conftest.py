"""The service and the keeper that these tests run their agents on."""

from __future__ import annotations

from tests.unit.runtime.keeper.scene import scene
from tests.unit.runtime.run_world import world

__all__ = ["scene", "world"]
