"""A daemon that is killed, on the real engine: its runs go on in their keepers, and nothing of them is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest

from runtime.agents.bundle import bundle_of
from runtime.client.connection import Client
from tests.harness.vitals import children_of, vitals_of
from tests.integration.conftest import Lab

pytestmark = pytest.mark.docker

MARKER = "marker-4e1d-secret-value"
TICKING = """
import json, os, sys, time
asked = json.load(sys.stdin)
for n in range(asked["ticks"]):
    print("tick", asked["n"], n, os.environ["LAB_KEY"], file=sys.stderr, flush=True)
    time.sleep(0.1)
print(json.dumps({"n": asked["n"], "key": os.environ["LAB_KEY"]}))
"""
FINAL = {"completed", "failed", "cancelled", "timeout"}
MAX_PRIVATE_BYTES = 20 << 20
"""Of a run's own processes together, its keeper and its worker at the proxy."""
STATES = ("one that ends meanwhile", "one at work", "one that goes on for long")
TICKS = dict(zip(STATES, (50, 200, 300), strict=True))


@pytest.fixture
def client(lab: Lab) -> Iterator[Client]:
    """The API, as the command speaks with it; it connects anew for each call."""
    with closing(Client(lab.folder / "run/api.sock")) as made:
        yield made


def start(lab: Lab, client: Client, number: int, ticks: int, code: str = TICKING) -> str:
    """A run; its id."""
    request = {
        "agent_ref": "lab-agent",
        "image": "orchbox/agent-python:local",
        "argv": ["python3", "main.py"],
        "input": f'{{"n": {number}, "ticks": {ticks}}}',
        "policy": "lab",
        "secrets": {"LAB_KEY": MARKER},
        "needs": {"required": ["LAB_KEY"]},
    }
    return str(client.create_run(request, bundle_of(lab.agent("ticking", code)), {})["id"])


def wait_for[T](look: Callable[[], T], seconds: float = 90) -> T:
    """What is seen once it is true, at most after so long."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)
    return seen


def until_it_speaks(client: Client, run: str) -> None:
    """Wait for the agent's first line: it has all of its files, and its daemon may go."""
    assert any(event.kind == "log" for event in client.events(run))


def states(client: Client, runs: list[str]) -> list[str]:
    """How they stand."""
    return [client.get_run(run)["state"] for run in runs]


def keepers(lab: Lab) -> list[int]:
    """The processes that keep runs of the lab's daemon, without their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().split(b"\0")
            is_keeper = b"runtime.keeper" in argv and str(lab.folder).encode() in b"".join(argv)
            session = os.getsid(int(path.parent.name)) if is_keeper else 0
            parent = int(path.parent.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if is_keeper and session == int(path.parent.name) and not _is_daemon(parent):
            found.append(session)
    return found


def _is_daemon(pid: int) -> bool:
    try:
        return b"runtime.cli.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def sandboxes(engine: docker.DockerClient) -> list[Any]:
    """The sandboxes of the lab, in any state."""
    labels = ["io.orchbox.instance=test", "io.orchbox.role=sandbox"]
    return list(engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True))


def test_twenty_runs_outlive_their_daemon(lab: Lab, engine: docker.DockerClient, client: Client):
    """kill -9 with runs in each state, twice: every result is right, every line is there once, nothing is left."""
    wait_for(lambda: client.ready()["ready"])
    runs = {start(lab, client, n, TICKS[STATES[n % 3]]): n for n in range(20)}
    for run in runs:
        until_it_speaks(client, run)
    before = [event for event, _ in zip(client.events(list(runs)[2]), range(4), strict=False)]

    for _ in range(2):
        lab.kill_daemon()
        again = lab.orch("up", "--detach")
        assert again.code == 0, again.out + again.err
        wait_for(lambda: client.ready()["ready"])
    wait_for(lambda: set(states(client, list(runs))) <= FINAL)

    log = [
        line
        for line in (lab.folder / "home/daemon.log").read_text().splitlines()
        if "run-adopted" not in line
    ]
    assert {run: client.get_run(run)["error"] for run in runs} == dict.fromkeys(runs), "\n".join(log[-60:])
    for run, number in runs.items():
        record, ticks = client.get_run(run), TICKS[STATES[number % 3]]
        assert record["result"] == {"n": number, "key": "***"}
        assert record["stderr"].splitlines() == [f"tick {number} {n} ***" for n in range(ticks)]
        assert MARKER not in str(record)
    long = next(run for run, number in runs.items() if number % 3 == 2)
    log = "".join(event.data["text"] for event in client.events(long) if event.kind == "log")
    assert log == client.get_run(long)["stderr"]
    told = [(event.seq, event.kind, event.data) for event in client.events(long)]
    assert told[: len(before)] == [(event.seq, event.kind, event.data) for event in before]
    wait_for(lambda: not keepers(lab))
    assert sandboxes(engine) == []
    assert list((lab.folder / "home").glob("*.keepers/*")) == []
    assert lab.run("print(1)").code == 0


def test_a_run_keeps_its_way_out_and_its_policy_meanwhile(
    lab: Lab, engine: docker.DockerClient, client: Client
):
    """While there is no daemon its process at the proxy allows and refuses as before; the audit has all of it."""
    wait_for(lambda: client.ready()["ready"])
    run = start(lab, client, 1, 600)
    until_it_speaks(client, run)
    [sandbox] = sandboxes(engine)
    curl = ["curl", "-sS", "-o", "/dev/null", "-m", "20", "-w", "%{http_code}"]
    lab.kill_daemon()
    try:
        allowed = sandbox.exec_run([*curl, "http://ok.test/meanwhile"], user="1000")
        refused = sandbox.exec_run([*curl, "http://no.test/meanwhile"], user="1000")
    finally:
        assert lab.orch("up", "--detach").code == 0
    lab.orch("cancel", run)

    assert allowed.exit_code == 0, allowed.output
    assert refused.exit_code != 0, refused.output
    decided = {(line["host"], line["path"], line["verdict"]) for line in lab.decisions(run)}
    assert ("ok.test", "/meanwhile", "allow") in decided
    assert {verdict for host, _, verdict in decided if host == "no.test"} == {"deny"}
    assert client.get_run(run)["state"] == "cancelled"


def test_a_daemon_that_does_not_come_back_ends_its_runs(
    lab: Lab, engine: docker.DockerClient, client: Client
):
    """After the grace no sandbox and no keeper is left, and the next daemon knows how it ended."""
    assert lab.orch("down").code == 0
    assert lab.orch("up", "--detach", env={"ORCHBOX_ADOPT_SECONDS": "1"}).code == 0
    try:
        run = start(lab, client, 1, 600)
        until_it_speaks(client, run)
        lab.kill_daemon()
        wait_for(lambda: not sandboxes(engine))
        wait_for(lambda: not keepers(lab))
    finally:
        assert lab.orch("up", "--detach").code == 0
    record = client.get_run(run)

    assert record["state"] == "failed"
    assert "did not come back" in record["error"]["message"]
    assert "tick 1 0 ***" in record["stderr"]


def test_a_keeper_that_is_killed_ends_its_own_run_only(lab: Lab, engine: docker.DockerClient, client: Client):
    """The run says so, its sandbox is removed, its way out ended with its keeper; its neighbour goes on."""
    wait_for(lambda: client.ready()["ready"])
    victim, neighbour = start(lab, client, 1, 600), start(lab, client, 2, 60)
    for run in (victim, neighbour):
        until_it_speaks(client, run)
    [mine] = [pid for pid in keepers(lab) if _keeps(pid, victim)]
    os.kill(mine, signal.SIGKILL)
    wait_for(lambda: states(client, [victim]) == ["failed"])

    assert "kept the run" in client.get_run(victim)["error"]["message"]
    wait_for(lambda: states(client, [neighbour]) == ["completed"])
    assert sandboxes(engine) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the memory of the proxy's processes is root's to see")
def test_a_run_that_waits_takes_little_memory(lab: Lab, engine: docker.DockerClient, client: Client):
    """What its keeper and its worker at the proxy share with no other process, once the agent works.

    Two runs at a time: the pages of a program's files are private to the only process that has touched them.
    """
    wait_for(lambda: client.ready()["ready"])
    wait_for(lambda: workers(engine) == [])
    runs = [start(lab, client, number, 600) for number in (1, 2)]
    for run in runs:
        until_it_speaks(client, run)
    mine = [pid for pid in keepers(lab) if any(_keeps(pid, run) for run in runs)]
    private = {
        name: [vitals_of(pid).private_bytes for pid in pids]
        for name, pids in (("keeper", mine), ("worker", workers(engine)))
    }
    for run in runs:
        lab.orch("cancel", run)

    measured = {
        name: [f"{size / (1 << 20):.1f} MiB" for size in sorted(sizes)] for name, sizes in private.items()
    }
    print(measured)
    assert [len(sizes) for sizes in private.values()] == [2, 2]
    assert sum(max(sizes) for sizes in private.values()) <= MAX_PRIVATE_BYTES, measured


def workers(engine: docker.DockerClient) -> list[int]:
    """The proxy's processes for sandboxes: the children of the one child of the container's init."""
    init = engine.containers.get("orchbox-test-proxy").attrs["State"]["Pid"]
    [parent] = children_of(init)
    return children_of(parent)


def _keeps(pid: int, run: str) -> bool:
    """Whether the process has this run's journal open."""
    names = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return any(run in name for name in names)


def test_the_command_follows_its_run_to_the_next_daemon(lab: Lab, client: Client):
    """`orch run` waits, and prints every line once and the result, as if nothing had happened."""
    wait_for(lambda: client.ready()["ready"])
    code = (
        "import sys,time\n"
        "for n in range(150): print('tick', n, file=sys.stderr, flush=True); time.sleep(0.1)\n"
        "print('{\"done\": true}')"
    )
    command = [sys.executable, "-m", "runtime.cli.main", "run", str(lab.agent("ticking", code))]
    running = subprocess.Popen(
        [*command, "--policy", "lab"],
        env=lab.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=lab.folder,
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "tick 0\n"
    lab.kill_daemon()
    again = lab.orch("up", "--detach")
    out, err = running.communicate(timeout=120)

    assert again.code == 0
    assert running.returncode == 0, err
    assert json.loads(out)["result"] == {"done": True}
    assert [line for line in err.splitlines() if line.startswith("tick")] == [
        f"tick {n}" for n in range(1, 150)
    ]
    assert err.count("the run goes on") == 1
