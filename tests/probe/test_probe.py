"""`orch probe` as a tester runs it: the whole corpus from inside a real sandbox, under each isolation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from runtime.daemon.settings import Settings
from tests.probe.command import ROOT, inventory, orch


@dataclass(frozen=True, slots=True)
class Whole:
    """A probe with every case, and what it wrote."""

    isolation: str
    status: int
    report: Any
    folder: Path
    left: set[str]
    """What was on the engine afterwards and not before, or the reverse."""


@pytest.fixture(scope="module", params=["runc", "runsc"])
def whole(
    request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Whole:
    """One whole probe for each isolation, which takes a minute: every test that reads its report shares it."""
    folder = tmp_path_factory.mktemp("probe")
    before = inventory()
    status, report = orch(
        *("--isolation", request.param, "--junit", "junit.xml", "--sarif", "probe.sarif"), folder=folder
    )
    return Whole(request.param, status, report, folder, inventory() ^ before)


def test_everything_holds(whole: Whole):
    """No escape, no missing audit line, nothing left behind; the reports agree."""
    report = whole.report
    not_held = [(c["id"], c["verdict"], c["why"]) for c in report["cases"] if c["verdict"] != "held"]
    assert not_held == []
    assert report["problems"] == []
    assert (whole.status, report["contained"]) == (0, True)
    assert len(report["cases"]) >= 120
    assert whole.left == set()
    assert len(ET.parse(whole.folder / "junit.xml").findall(".//testcase")) == len(report["cases"])
    assert json.loads((whole.folder / "probe.sarif").read_text())["runs"][0]["results"] == []
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / f"probe-{whole.isolation}.json").write_text(json.dumps(report, indent=1))


def test_every_denied_case_has_its_audit_line(whole: Whole):
    """Exactly as many lines as the case promises, each with one of its reason codes."""
    cases = [case for case in whole.report["cases"] if case["group"] in {"names", "addresses"}]

    assert cases
    for case in cases:
        if case["expected"]["kind"] != "refused":
            continue
        denied = [line for line in case["outside"]["audit"] if line["verdict"] == "deny"]
        assert len(denied) == case["expected"]["lines"], case["id"]
        assert {line["reason_code"] for line in denied} <= set(case["expected"]["reasons"]), case["id"]


@pytest.mark.usefixtures("settings")
def test_an_open_policy_is_attacked_too(tmp_path: Path):
    """`open-internet` allows any public host, and still no private one."""
    status, report = orch("--policy", "open-internet", "--group", "addresses", folder=tmp_path)

    not_held = [(c["id"], c["why"]) for c in report["cases"] if c["verdict"] != "held"]
    assert (status, not_held, report["problems"]) == (0, [], [])


@pytest.mark.usefixtures("settings")
def test_a_killed_probe_is_cleaned_up_by_the_next(tmp_path: Path):
    """kill -9 in the middle leaves canaries behind; the next probe removes them and works."""
    before = inventory()
    own = {k: v for k, v in os.environ.items() if not k.startswith("ORCHBOX_")}
    command = [sys.executable, "-m", "runtime.cli.main", "probe", "--group", "control", "--json"]
    process = subprocess.Popen(
        command, env={**own, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        while not any("-canary-world" in name for name in inventory() - before):
            assert process.poll() is None
    finally:  # one probe at a time: a survivor would fail every test behind this one
        process.kill()
        process.wait()
    assert inventory() != before

    status, _ = orch("--group", "control", folder=tmp_path)

    assert status == 0
    assert inventory() == before


def test_settings_are_a_newcomers(settings: Settings):
    """The tier attacks the shipped defaults, whatever this machine's environment says."""
    assert settings.site_policy is None
