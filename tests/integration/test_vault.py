"""The vault end to end: set by the command, used by a run, rotated and revoked while the run goes on."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.canary.net.session import CanaryNet
from tests.integration.conftest import Lab

pytestmark = pytest.mark.docker

FIRST, SECOND = "sk-proj-" + "VaultFirst" * 12, "sk-proj-" + "VaultOther" * 12
ASK = """
import json, os, sys, time, urllib.request as u, urllib.error
def ask():
    request = u.Request("https://api.openai.com/v1/models", headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})
    try:
        return u.urlopen(request).status
    except urllib.error.HTTPError as e:
        return json.load(e).get("reason_code") or e.code
seen = []
while len(seen) < 2000 and (not seen or seen[-1] != "foreign_credential"):
    seen.append(ask())
    print("asked", file=sys.stderr, flush=True)
    time.sleep(0.1)
print(json.dumps(seen))
"""
OPENAI = {"supported_providers": ["openai"]}


def wait_for(condition, what: str) -> None:
    """Poll, with a bound."""
    until = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def test_rotation_and_revocation_reach_a_running_sandbox(lab: Lab, canary_net: CanaryNet):
    """From the next request on: the other value after `set`, a refusal after `delete`; nothing of either is kept."""

    def keys_seen() -> list[str]:
        return [r.credentials["authorization"] for r in canary_net.record().requests_to("api.openai.com")]

    assert lab.orch("secrets", "set", "OPENAI_API_KEY", stdin=FIRST).code == 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lab.run, ASK, **OPENAI)
        wait_for(lambda: f"Bearer {FIRST}" in keys_seen(), "the vault's key never reached the provider")
        assert lab.orch("secrets", "set", "OPENAI_API_KEY", stdin=SECOND).code == 0
        at = len(keys_seen())
        wait_for(lambda: len(keys_seen()) > at, "no request came after the rotation")
        after = keys_seen()[at:]
        deleted = lab.orch("secrets", "delete", "OPENAI_API_KEY")
        done = running.result(timeout=90)

    assert set(after) == {f"Bearer {SECOND}"}
    assert deleted.code == 0, deleted.out
    assert done.code == 0, done.out + done.err
    assert done.json["result"][-1] == "foreign_credential"
    run_id = done.json["id"]
    told = done.out + done.err + lab.orch("logs", run_id).out + lab.orch("egress", run_id).out
    disk = b"".join(path.read_bytes() for path in Path(lab.folder).rglob("*") if path.is_file())
    for value in (FIRST, SECOND):
        assert value not in told
        assert value.encode() not in disk
    audit = json.loads(lab.orch("secrets", "audit").out)
    assert [e for e in _lines(audit) if e["action"] == "read" and e["run_id"] == run_id]


def _lines(audit: object) -> list[dict]:
    return audit if isinstance(audit, list) else next(v for v in audit.values() if isinstance(v, list))


def test_a_run_without_its_secret_names_the_command(lab: Lab, canary_net: CanaryNet):
    """In the wording that the platform's CLI reads; the command as told then makes it run."""
    refused = lab.run("print(1)", required_secrets=["LAB_TOKEN"])
    assert lab.orch("secrets", "set", "LAB_TOKEN", stdin="a-value-of-the-lab").code == 0
    works = lab.run("import os; print(len(os.environ['LAB_TOKEN']))", required_secrets=["LAB_TOKEN"])
    assert lab.orch("secrets", "delete", "LAB_TOKEN").code == 0

    assert (refused.code, refused.json["code"]) == (1, "MISSING_SECRETS")
    assert "not found in workspace: LAB_TOKEN." in refused.json["message"]
    assert refused.json["hint"] == "orch secrets set LAB_TOKEN"
    assert works.json["result"] == len("a-value-of-the-lab")
