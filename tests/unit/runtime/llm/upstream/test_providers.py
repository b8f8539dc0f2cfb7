"""The dialects: each has an SDK, and each row a dialect."""

from __future__ import annotations

from runtime.llm.upstream import providers
from runtime.llm.upstream.providers import ENDPOINTS
from runtime.model.llm_provider import Dialect
from runtime.model.llm_providers import HOSTED


def test_every_dialect_is_spoken():
    """A dialect without an SDK would fail at a run's first call."""
    assert providers._SPEECH.keys() == set(Dialect)


def test_every_hosted_provider_is_where_its_row_says():
    """The router has no list of its own."""
    assert dict(ENDPOINTS) == {name: row.endpoint for name, row in HOSTED.items()}
