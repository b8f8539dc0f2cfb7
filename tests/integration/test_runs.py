"""The life of a run on the real engine: input, output, limits, cancellation, what is removed, what is kept."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import docker
import pytest

from tests.integration.conftest import Lab, inventory

pytestmark = pytest.mark.docker

MARKER = "marker-9f1c-secret-value"


def wait_for(condition, seconds: float = 30.0):
    """The first true value of `condition()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)  # the engine has no event for these conditions
    raise AssertionError("the condition did not come true in time")


def start_in_background(lab: Lab, code: str, *arguments: str) -> subprocess.Popen[str]:
    """`orch run` that is left running."""
    folder = lab.agent("background", code)
    return subprocess.Popen(
        [sys.executable, "-m", "runtime.cli.main", "run", str(folder), "--policy", "lab", *arguments],
        env=lab.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=lab.folder,
    )


def sandboxes(engine: docker.DockerClient) -> list:
    """The running sandboxes of the tests' instance."""
    return engine.containers.list(
        filters={"label": ["io.orchbox.instance=test", "io.orchbox.role=sandbox"], "status": "running"},
        ignore_removed=True,
    )


def test_input_output_and_log(lab: Lab):
    """stdin is the input document, stdout the result, stderr the log."""
    done = lab.run(
        "import json,sys; print('to the log', file=sys.stderr); print(json.dumps({'got': json.load(sys.stdin)}))",
        data={"a": [1]},
    )

    assert done.code == 0
    assert done.json["result"] == {"got": {"a": [1]}}
    assert done.err == "to the log\n"


def test_upload_is_where_the_contract_says(lab: Lab):
    """FILE lands in /tmp/uploads and is named in the input document."""
    (lab.folder / "note.txt").write_text("hello upload")
    folder = lab.agent(
        "upload",
        "import json,sys; d=json.load(sys.stdin); f=d['files'][0]; print(json.dumps([f['path'], open(f['path']).read(), d['metadata']]))",
    )

    done = lab.orch("run", str(folder), str(lab.folder / "note.txt"), "--data", '{"k": 1}')

    assert done.json["result"] == ["/tmp/uploads/note.txt", "hello upload", {"k": 1}]


def test_large_input_and_result(lab: Lab):
    """Megabytes go both ways."""
    text = "x" * 3_000_000
    (lab.folder / "big.json").write_text(json.dumps({"text": text}))
    folder = lab.agent(
        "big", "import json,sys; t=json.load(sys.stdin)['text']; print(json.dumps({'n': len(t), 't': t}))"
    )

    done = lab.orch("run", str(folder), "--data", f"@{lab.folder / 'big.json'}")

    assert done.json["result"] == {"n": 3_000_000, "t": text}


FAILURES = {
    "a non-zero exit with JSON": (
        'print(\'{"error": "no luck"}\'); exit(1)',
        "SANDBOX_ERROR",
        "Agent error: no luck",
    ),
    "a traceback": ("raise KeyError('oops')", "SANDBOX_ERROR", "oops"),
    "too much memory": ("x = b'x' * (2 << 30); print(len(x))", "SANDBOX_ERROR", "memory|137|status"),
    "a result that is too long": ("print('y' * (11 << 20))", "SANDBOX_ERROR", "longer than"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_agent_failure_is_told(lab: Lab, case: str):
    """The agent's own failure ends in exit status 1 with the platform's code and a sentence."""
    code, expected, words = FAILURES[case]

    done = lab.run(code)

    assert (done.code, done.json["code"]) == (1, expected)
    assert re.search(words, done.json["message"])


def test_set_up_failure_is_told_apart(lab: Lab):
    """pip that fails before the agent's code is a set-up failure."""
    folder = lab.agent("setup", "print('{}')")
    (folder / "requirements.txt").write_text("this-is-nowhere==1\n")

    done = lab.orch("run", str(folder), "--policy", "lab")

    assert done.code == 1
    assert "set-up failed" in done.json["message"]


def test_time_limit(lab: Lab, engine: docker.DockerClient):
    """A run that ignores SIGTERM is gone after limit and grace, with exit status 7."""
    started = time.monotonic()

    done = lab.run(
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "--timeout", "2"
    )

    assert (done.code, done.json["code"]) == (7, "SANDBOX_TIMEOUT")
    assert time.monotonic() - started < 30
    assert sandboxes(engine) == []


def test_cancel_by_command_and_by_interrupt(lab: Lab, engine: docker.DockerClient):
    """`orch cancel` and Ctrl-C both end the run and remove its sandbox."""
    running = start_in_background(lab, "import time; time.sleep(60)")
    sandbox = wait_for(lambda: sandboxes(engine))[0]
    cancelled = lab.orch("cancel", sandbox.labels["io.orchbox.run"])
    out, _ = running.communicate(timeout=30)

    assert cancelled.json["state"] == "cancelled"
    assert json.loads(out)["code"] == "CANCELLED"
    assert lab.orch("cancel", sandbox.labels["io.orchbox.run"]).json["code"] == "CONFLICT"

    running = start_in_background(lab, "import time; time.sleep(60)")
    wait_for(lambda: sandboxes(engine))
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)

    assert running.returncode == 130
    assert sandboxes(engine) == []


def test_runs_leave_nothing(lab: Lab, engine: docker.DockerClient):
    """After a run only the proxy, its network and the watcher of the guard are there."""
    lab.run("print(1)")

    left = inventory(engine)

    watchers = {name for name in left["containers"] if name.startswith("orchbox-test-watch-")}
    assert len(watchers) == 1
    assert left["containers"] - watchers == {"orchbox-test-proxy"}
    assert left["networks"] == {"orchbox-test-egress"}


def test_two_runs_have_networks_of_their_own(lab: Lab, engine: docker.DockerClient):
    """Two sandboxes at once never share a network, and neither is on one that is not internal."""
    both = [start_in_background(lab, "import time; time.sleep(60)") for _ in range(2)]
    wait_for(lambda: len(sandboxes(engine)) == 2)
    found = sandboxes(engine)
    networks = [set(s.attrs["NetworkSettings"]["Networks"]) for s in found]
    internal = [engine.networks.get(name).attrs["Internal"] for names in networks for name in names]
    for sandbox in found:
        lab.orch("cancel", sandbox.labels["io.orchbox.run"])
    for process in both:
        process.communicate(timeout=30)

    assert [len(n) for n in networks] == [1, 1]
    assert not networks[0] & networks[1]
    assert internal == [True, True]


def test_secret_value_is_nowhere(lab: Lab, engine: docker.DockerClient):
    """A planted value is in the agent's environment, and in no record, log, image or file of the host."""
    code = (
        "import os,sys,time,json; v=os.environ['LAB_SECRET']; print('the key is '+v, file=sys.stderr, flush=True)\n"
        "time.sleep(3); print(json.dumps({'is': v == 'marker-9f1c-secret-'+'value', 'v': v}))"
    )
    folder = lab.agent("secret", code, required_secrets=["LAB_SECRET"])
    running = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli.main", "run", str(folder), "--policy", "lab"],
        env={**lab.environment, "LAB_SECRET": MARKER},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=lab.folder,
    )
    sandbox = wait_for(lambda: sandboxes(engine))[0]
    sandbox.reload()
    seen = {"docker inspect": json.dumps(sandbox.attrs)}
    proxy = engine.containers.get("orchbox-test-proxy")
    seen["docker inspect of the proxy"] = json.dumps(proxy.attrs)
    out, err = running.communicate(timeout=60)
    run_id = json.loads(out)["id"]
    seen |= {"stdout": out, "stderr": err, "docker logs": proxy.logs().decode()}
    for command in (["runs"], ["logs", run_id], ["egress", run_id]):
        seen["orch " + command[0]] = lab.orch(*command).out
    history = engine.images.get("orchbox/agent-python:local").history()
    seen["image history"] = json.dumps(history)
    written = subprocess.run(
        ["grep", "-rlaF", MARKER, str(lab.folder), "/var/lib/docker/containers", "/var/lib/docker/volumes"],
        capture_output=True,
        text=True,
        check=False,
    )
    seen["files on the host"] = written.stdout

    assert json.loads(out)["result"] == {"is": True, "v": "***"}
    assert {
        where: MARKER in text for where, text in seen.items() if where != "files on the host"
    } == dict.fromkeys((w for w in seen if w != "files on the host"), False)
    assert seen["files on the host"] == ""


def test_killing_the_proxy_leaves_no_way_out(lab: Lab, engine: docker.DockerClient):
    """With its proxy dead, a running agent reaches nothing and the run says why; later runs work again."""
    running = start_in_background(lab, "import time; time.sleep(60)")
    sandbox = wait_for(lambda: sandboxes(engine))[0]
    code, _ = sandbox.exec_run(["curl", "-s", "-m", "3", "https://ok.test/"], user="1000")
    engine.containers.get("orchbox-test-proxy").kill()
    try:
        after, said = sandbox.exec_run(["curl", "-sS", "-m", "3", "http://ok.test/"], user="1000")
    except docker.errors.APIError:
        after, said = 1, b"the sandbox is gone already"
    out, _ = running.communicate(timeout=60)

    assert after != 0, said
    assert json.loads(out)["code"] == "PROXY_LOST"
    assert "no way out" in json.loads(out)["message"]
    # The engine leaves a container alone that was killed by hand; the daemon makes the proxy anew.
    wait_for(lambda: lab.orch("doctor").code == 0, 60)
    assert lab.run("print(1)").code == 0


def test_killed_daemon_is_cleaned_up_after(lab: Lab, engine: docker.DockerClient):
    """kill -9 on the daemon: the proxy denies at once, the next daemon removes what was left and says so."""
    code = "import sys,time; print('on', file=sys.stderr, flush=True); time.sleep(60)"
    running = start_in_background(lab, code)
    assert running.stderr is not None
    assert running.stderr.readline() == "on\n"  # before that its init would end with the daemon
    [sandbox] = sandboxes(engine)
    os.kill(
        int(Path(lab.environment["ORCHBOX_RUN_DIR"], "daemon.pid").read_text().splitlines()[0]),
        signal.SIGKILL,
    )
    try:
        out, _ = running.communicate(timeout=30)
        status, said = sandbox.exec_run(["curl", "-sS", "-m", "5", "http://ok.test/"], user="1000")
    finally:  # the tests behind this one need a daemon
        again = lab.orch("up", "--detach")

    assert json.loads(out)["code"] == "NETWORK_ERROR"
    assert status != 0, said
    assert again.code == 0
    assert sandboxes(engine) == []
    run = next(r for r in lab.orch("runs").json["runs"] if r["id"] == sandbox.labels["io.orchbox.run"])
    assert run["state"] == "failed"
    assert lab.run("print(1)").code == 0
