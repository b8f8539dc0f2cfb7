"""The daemon's audit end to end: a run is in it, nothing secret is, and it is whole whatever ended the daemon."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import INSTANCE, Lab

pytestmark = pytest.mark.docker

VALUE = "AuditedValue" * 4
ASK = """
import json, os, urllib.error, urllib.request
found = []
for host in ("ok.test", "evil.test"):
    try:
        found.append(urllib.request.urlopen(f"https://{host}/", timeout=10).status)
    except urllib.error.HTTPError as exc:
        found.append(exc.code)
print(json.dumps(found))
"""


def lines(lab: Lab, *words: str) -> list[dict[str, Any]]:
    """As they are exported."""
    said = lab.orch("audit", "export", *words)
    assert said.code == 0, said.err
    return [json.loads(line) for line in said.out.splitlines()]


def verdict(lab: Lab, *words: str) -> dict[str, Any]:
    """As `orch audit verify` has it."""
    found: dict[str, Any] = lab.orch("audit", "verify", *words).json
    return found


def test_a_run_is_in_the_audit_and_nothing_secret_is(lab: Lab):
    """Who started it, its policy, its secret by name, each decision, its end; the chain is whole."""
    last = verdict(lab)["last"]
    assert lab.orch("secrets", "set", "AUDITED_KEY", stdin=VALUE).code == 0
    done = lab.run(ASK, required_secrets=["AUDITED_KEY"])
    assert done.code == 0, done.out + done.err
    run = f"run:{done.json['id']}"

    found = lines(lab, "--after", str(last))
    of_run = [line for line in found if line["who"] == run]
    kinds = [line["kind"] for line in of_run]
    assert kinds[:3] == ["policy.load", "secret.read", "run.queued"]
    assert kinds[-1] == "run.ended"
    decided = [
        (line["data"]["host"], line["data"]["verdict"]) for line in of_run if line["kind"] == "decision"
    ]
    assert {("ok.test", "allow"), ("evil.test", "deny")} <= set(decided)
    shown = json.loads(lab.orch("egress", done.json["id"]).out)
    assert len(decided) == len(shown["decisions"])
    [started] = [
        line for line in found if line["kind"] == "api.answer" and line["data"].get("run") == done.json["id"]
    ]
    assert (started["who"], started["data"]["status"]) == (f"uid:{os.getuid()}", 201)
    assert VALUE not in json.dumps(found)
    assert verdict(lab)["is_whole"]
    assert lab.orch("secrets", "delete", "AUDITED_KEY").code == 0


def test_a_daemon_that_is_killed_leaves_a_whole_audit(lab: Lab):
    """What was answered is there; the next daemon goes on behind it, and the kept checkpoint still holds."""
    assert lab.orch("workspaces", "create", "audited").code == 0
    kept = lab.orch("audit", "checkpoint").json
    lab.kill_daemon()
    assert verdict(lab, "--checkpoint", kept["checkpoint"])["is_whole"]
    again = lab.orch("up", "--detach")
    assert again.code == 0, again.out + again.err
    now = verdict(lab, "--checkpoint", kept["checkpoint"])
    assert now["is_whole"]
    assert now["last"] > kept["seq"]
    assert lines(lab, "--after", str(kept["seq"]), "--kind", "daemon.start")


def test_a_copy_that_was_changed_is_told(lab: Lab, tmp_path: Path):
    """Elsewhere, by the key that was kept; one digit of one line."""
    folder = Path(lab.environment["ORCHBOX_HOME"]) / "audit" / INSTANCE
    copy = tmp_path / "audit"
    shutil.copytree(folder, copy)
    kept = lab.orch("audit", "checkpoint").json
    words = (
        "--folder",
        str(copy),
        "--installation",
        kept["installation"],
        "--public-key",
        str(folder / "public.pem"),
    )
    assert verdict(lab, *words)["is_whole"]
    first = copy / "000001.jsonl"
    first.write_bytes(first.read_bytes().replace(b'"pid":', b'"pid":9', 1))
    changed = lab.orch("audit", "verify", *words)
    assert changed.code == 1
    assert changed.json["broken"] == [{"place": "000001.jsonl:1", "what": "the line was changed"}]
