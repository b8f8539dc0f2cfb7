"""Two daemons of one instance name on one engine: neither the second nor a stray `orch down` touches the first."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.integration.conftest import Lab
from tests.integration.test_runs import UNTIL_TOLD, sandboxes, tell_to_go_on, wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def stranger() -> Iterator[dict[str, str]]:
    """The environment of another operator, who chose the same instance name."""
    with tempfile.TemporaryDirectory(prefix="orchx-") as folder:
        own = {"ORCHBOX_HOME": f"{folder}/home", "ORCHBOX_RUN_DIR": f"{folder}/run"}
        yield {**own, "ORCHBOX_LISTEN": ""}


def test_a_second_daemon_of_the_same_name_is_refused(
    lab: Lab, engine: docker.DockerClient, stranger: dict[str, str]
):
    """It says whose the name is; the first one's run goes on to its result under the same proxy."""
    folder = lab.agent("long", f"import os, time\n{UNTIL_TOLD}print(42)")
    with subprocess.Popen(
        [sys.executable, "-m", "runtime.cli.main", "run", str(folder), "--policy", "lab"],
        env=lab.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=lab.folder,
    ) as running:
        [sandbox] = wait_for(lambda: sandboxes(engine))
        proxy = engine.containers.get("orchbox-test-proxy").id

        started = lab.orch("up", "--detach", env=stranger)
        stopped = [lab.orch("down", *flag, env=stranger) for flag in ((), ("--foreign",))]
        elsewhere = lab.orch("down", env={"ORCHBOX_RUN_DIR": stranger["ORCHBOX_RUN_DIR"]})

        tell_to_go_on(sandbox)
        out, _ = running.communicate(timeout=90)

    pid = Path(lab.environment["ORCHBOX_RUN_DIR"], "daemon.pid").read_text().splitlines()[0]
    for refused in (started, *stopped, elsewhere):
        assert refused.code != 0
        assert lab.environment["ORCHBOX_RUN_DIR"] in refused.json["message"]
        assert f"pid {pid}" in refused.json["message"]
    assert {done.json["code"] for done in (*stopped, elsewhere)} == {"CONFLICT"}
    assert json.loads(out)["result"] == 42
    assert engine.containers.get("orchbox-test-proxy").id == proxy
    assert sandbox.labels["io.orchbox.installation"]
