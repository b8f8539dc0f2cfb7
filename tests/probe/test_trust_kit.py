"""`orch probe --trust`: the image with every client, which is too big to be copied to another engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.probe.command import inventory, orch


@pytest.mark.usefixtures("trust_image")
def test_trust_kit(tmp_path: Path):
    """`orch probe --trust`: every client works as it is and says that it is refused; nothing is left behind."""
    before = inventory()

    status, report = orch("--trust", folder=tmp_path)

    assert [row for row in report["rows"] if not row["ok"]] == []
    assert (status, report["ok"], report["problems"]) == (0, True, [])
    assert len({row["client"] for row in report["rows"]}) >= 20
    assert inventory() == before
