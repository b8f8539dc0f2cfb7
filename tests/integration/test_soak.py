"""Nothing ages: runs through few slots, again and again (docs/endurance.md). `make soak` is this, for longer."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from runtime.canary.net.session import CanaryNet
from tests.harness.soak.engine import ALONE, PHASES, TOGETHER, Place, soak
from tests.harness.soak.report import problems_of, table
from tests.integration.conftest import (
    POLICIES,
    ROOT,
    Lab,
    inventory,
    lab_environment,
    reap_killed_session,
)

pytestmark = pytest.mark.docker

INSTANCE = "soak"
POOL = "10.237.0.0/25"
"""Sixteen slots: ten runs at a time use each of them again and again."""
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
IDLE_S = 5.0 if SECONDS < 300 else 60.0
REPORT = ROOT / "build/soak.md"


@pytest.fixture(scope="module")
def place(engine: docker.DockerClient, canary_session: CanaryNet) -> Iterator[Place]:
    """A daemon with few slots, and memory for all of them; it leaves nothing behind."""
    reap_killed_session(engine, INSTANCE)
    before = inventory(engine, INSTANCE)
    folder = Path(tempfile.mkdtemp(prefix="orchsoak-"))
    (folder / "policies").mkdir()
    (folder / "policies/lab.yaml").write_text(POLICIES)
    site, names = canary_session.write_site_policy(folder), canary_session.ground.dns
    environment = lab_environment(folder, site=site, dns=names, instance=INSTANCE, pool=POOL)
    lab = Lab(folder, {**environment, "ORCHBOX_MEMORY_PERCENT": "1000"})
    started = lab.orch("up", "--detach")
    assert started.code == 0, started.out + started.err
    run_dir = Path(environment["ORCHBOX_RUN_DIR"])
    yield Place(
        api=run_dir / "api.sock",
        pid=int((run_dir / "daemon.pid").read_text().splitlines()[0]),
        instance=INSTANCE,
        image="orchbox/agent-python:local",
        policy="lab",
        host="ok.test",
        engine=engine,
    )
    stopped = lab.orch("down")
    shutil.rmtree(folder)
    assert stopped.code == 0, stopped.out
    assert inventory(engine, INSTANCE) == before


def test_a_slot_that_was_used_before_is_like_a_new_one(place: Place, canary_net: CanaryNet):
    """No lookup, request or run fails; daemon and proxy hold at the end what they held; nothing is left."""
    outcome = soak(place, seconds=SECONDS, idle_s=IDLE_S, on_progress=lambda text: print(f"soak: {text}"))

    problems = problems_of(outcome, phases=PHASES)
    text = table(outcome) + "\n\n" + ("\n".join(problems) or "held") + "\n"
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text)
    print(text)
    assert problems == []


def test_a_lookup_that_fails_is_noticed(place: Place, canary_net: CanaryNet):
    """The soak can fail: a name that the policy does not know makes each of its runs a problem."""
    outcome = soak(place, seconds=0, idle_s=0.5, warm_runs=0, parts=1, unknown="evil.test")

    problems = problems_of(outcome, phases=PHASES)
    assert outcome.failed == []
    assert {problem.partition(":")[0] for problem in problems} == {
        f"dns failed ({ALONE})",
        f"dns failed ({TOGETHER})",
    }
    assert len(problems) == sum(outcome.runs.values())
