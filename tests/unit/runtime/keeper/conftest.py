"""The service that these tests run their agents on."""

from __future__ import annotations

from tests.unit.runtime.run_world import world

__all__ = ["world"]
