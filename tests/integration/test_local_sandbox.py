"""`orch run --local --sandbox` on the real engine: a sandbox without a daemon, of which nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.integration.conftest import Lab

pytestmark = pytest.mark.docker

CODE = "import os,sys,time; print('on', file=sys.stderr, flush=True); time.sleep(300)"


def owned(engine: docker.DockerClient) -> set[str]:
    """Instances of daemons that belong to a command."""
    things = [
        *engine.containers.list(all=True, filters={"label": "io.orchbox.role=proxy"}, ignore_removed=True),
        *engine.networks.list(filters={"label": "io.orchbox.role=proxy"}),
    ]
    labels = [getattr(t, "labels", None) or t.attrs.get("Labels", {}) for t in things]
    return {
        found["io.orchbox.instance"] for found in labels if found["io.orchbox.instance"].startswith("local-")
    }


def left(engine: docker.DockerClient, temporary: Path) -> list[str]:
    """Whatever an own daemon could have left."""
    names = [c.name for c in engine.containers.list(all=True, ignore_removed=True)]
    names += [n.name for n in engine.networks.list()]
    return [name for name in names if name.startswith("orchbox-local-")] + [
        p.name for p in temporary.iterdir()
    ]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder of the test's own for temporary files, with a short name: a socket's path has a limit."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        yield Path(name)


def command(lab: Lab, temporary: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command line, and an environment in which no daemon answers."""
    own = {"TMPDIR": str(temporary), "ORCHBOX_RUN_DIR": "/nowhere/orchbox"}
    line = [
        sys.executable,
        "-m",
        "runtime.cli.main",
        "run",
        *arguments,
        "--local",
        "--sandbox",
        "--policy",
        "lab",
    ]
    return line, {**lab.environment, **own}


def run(lab: Lab, temporary: Path, *arguments: str, **env: str) -> tuple[int, dict[str, Any], str]:
    """Run to the end; status, JSON, log."""
    line, environment = command(lab, temporary, *arguments)
    done = subprocess.run(
        line, env={**environment, **env}, capture_output=True, text=True, timeout=180, check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def start(lab: Lab, temporary: Path) -> subprocess.Popen[str]:
    """A run whose agent is at work."""
    line, environment = command(lab, temporary, str(lab.agent("local", CODE)))
    running = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "on\n"
    return running


def test_the_agent_is_in_a_sandbox(lab: Lab, engine: docker.DockerClient, temporary: Path):
    """The contract's user and places, the policy's refusals, the caller's key; nothing is left."""
    code = (
        "import json,os,subprocess,sys; d=json.load(sys.stdin); print('log', file=sys.stderr);"
        "get=lambda u: subprocess.run(['curl','-s','-o','/dev/null','-w','%{http_code}',u],"
        "capture_output=True,text=True).stdout;"
        "print(json.dumps([os.getuid(), os.getcwd(), get('https://ok.test/'), get('http://evil.test/'),"
        "len(os.environ['OPENAI_API_KEY']), d]))"
    )
    folder = lab.agent("local", code, supported_providers=["openai"])

    status, done, log = run(lab, temporary, str(folder), "--data", '{"a": 1}', OPENAI_API_KEY="sk-local")

    assert status == 0, done
    uid, cwd, allowed, refused, length, document = done["result"]
    assert (uid, cwd, allowed, refused, document) == (1000, "/home/user", "200", "403", {"a": 1})
    assert length > 0
    assert (done["id"], log) == (None, "log\n")
    assert left(engine, temporary) == []


def test_a_killed_one_is_reaped_by_the_next(lab: Lab, engine: docker.DockerClient, temporary: Path):
    """kill -9 leaves a sandbox; the next run removes it and works."""
    running = start(lab, temporary)
    running.kill()
    running.communicate(timeout=90)
    before = owned(engine)

    status, done, _ = run(lab, temporary, str(lab.agent("local", "print(1)")))

    assert len(before) == 1
    assert (status, done["result"]) == (0, 1)
    assert left(engine, temporary) == []


def test_a_living_one_is_left_alone_and_ctrl_c_removes_it(
    lab: Lab, engine: docker.DockerClient, temporary: Path
):
    """Two at once do not disturb each other; an interruption leaves not a container, network or file."""
    running = start(lab, temporary)

    status, _, _ = run(lab, temporary, str(lab.agent("local", "print(1)")))

    assert status == 0
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=90)
    assert (running.returncode, json.loads(out)["code"]) == (130, "CANCELLED")
    assert left(engine, temporary) == []
