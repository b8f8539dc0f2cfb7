"""`orch probe` as a tester runs it: the whole corpus from inside a real sandbox, under each isolation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import docker
import pytest

from runtime.daemon.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180
"""The probe's own promise, on two cores."""


def orch(*arguments: str, folder: Path) -> tuple[int, Any]:
    """Run a probe as its user does; status and report."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("ORCHBOX_")}
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli.main", "probe", *arguments, "--json"],
        env={**own, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S + 120,
        cwd=folder,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def inventory() -> set[str]:
    """Everything on the engine, of anybody's."""
    client = docker.from_env()
    try:
        found = {c.name for c in client.containers.list(all=True, ignore_removed=True)} | {
            n.name for n in client.networks.list()
        }
        return found | {v.name for v in client.volumes.list()}
    finally:
        client.close()


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("isolation", ["runc", "runsc"])
def test_everything_holds(tmp_path: Path, isolation: str):
    """No escape, no missing audit line, nothing left behind, within the promised time; the reports agree."""
    before = inventory()

    status, report = orch(
        *("--isolation", isolation, "--junit", "junit.xml", "--sarif", "probe.sarif"), folder=tmp_path
    )

    not_held = [(c["id"], c["verdict"], c["why"]) for c in report["cases"] if c["verdict"] != "held"]
    assert not_held == []
    assert report["problems"] == []
    assert (status, report["contained"]) == (0, True)
    assert len(report["cases"]) >= 120
    assert report["took_s"] < LIMIT_S
    assert inventory() == before
    assert len(ET.parse(tmp_path / "junit.xml").findall(".//testcase")) == len(report["cases"])
    assert json.loads((tmp_path / "probe.sarif").read_text())["runs"][0]["results"] == []
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / f"probe-{isolation}.json").write_text(json.dumps(report, indent=1))


@pytest.mark.usefixtures("settings")
def test_every_denied_case_has_its_audit_line(tmp_path: Path):
    """Exactly as many lines as the case promises, each with one of its reason codes."""
    status, report = orch("--group", "names", "--group", "addresses", folder=tmp_path)

    assert status == 0
    for case in report["cases"]:
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


@pytest.mark.usefixtures("settings")
def test_trust_kit(tmp_path: Path):
    """`orch probe --trust`: every client works as it is and says that it is refused; nothing is left behind."""
    before = inventory()

    status, report = orch("--trust", folder=tmp_path)

    assert [row for row in report["rows"] if not row["ok"]] == []
    assert (status, report["ok"], report["problems"]) == (0, True, [])
    assert len({row["client"] for row in report["rows"]}) >= 20
    assert inventory() == before
