"""Shared by the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that silences its process's logs (`console.quiet`) silences them for no other test."""
    yield
    structlog.reset_defaults()
