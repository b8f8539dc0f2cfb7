"""`orch prune` against a real API: what goes, or what would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.cli import main as cli
from runtime.model.retention import Pruned
from tests.unit.runtime.fake_service import FakeService, serving


class FakeRetention:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    async def prune(self, *, is_dry: bool) -> Pruned:
        """Always the same."""
        self.asked.append(is_dry)
        return Pruned(3, 2_500_000, 7)


@pytest.mark.parametrize("is_dry", [True, False])
@pytest.mark.parametrize("output", ["text", "json"])
def test_prune_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_dry: bool,
    output: str,
):
    """A dry run is asked for as one, and told as one."""
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("ORCHAGENT_OUTPUT", output)
    retention = FakeRetention()
    with (
        serving(FakeService(), tmp_path / "api.sock", retention=retention),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main(["prune", *(["--dry-run"] if is_dry else [])])
    out = capsys.readouterr().out

    assert not ended.value.code
    assert retention.asked == [is_dry]
    if output == "json":
        assert json.loads(out) == {"dry_run": is_dry, "runs": 3, "bytes": 2_500_000, "audit_lines": 7}
    else:
        verb = "would remove" if is_dry else "removed"
        assert out == f"{verb} 3 runs (2.5 MB) and 7 audit lines\n"
