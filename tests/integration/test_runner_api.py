"""The runner API of a real daemon, as an orchestrator uses it: found again, waited for, resumed, started once."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from runtime.agents.bundle import bundle_of
from runtime.client.connection import Client
from tests.integration.conftest import Lab
from tests.integration.test_keepers import wait_for

pytestmark = pytest.mark.docker

AGENT = """
import json, sys, time
asked = json.load(sys.stdin)
print("begun", file=sys.stderr, flush=True)
time.sleep(asked["seconds"])
print(json.dumps({"slept": asked["seconds"]}))
"""


@pytest.fixture
def client(lab: Lab) -> Iterator[Client]:
    """The API, as the command speaks with it."""
    with closing(Client(lab.folder / "run/api.sock")) as made:
        yield made


@pytest.fixture
def http(client: Client) -> httpx.Client:
    """The same, plainly."""
    return client._http


@pytest.fixture
def bundle(lab: Lab) -> bytes:
    """The agent's files: packed again, they would have other times, and be another body."""
    return bundle_of(lab.agent("sleeper", AGENT))


def post(bundle: bytes, http: httpx.Client, key: str, seconds: float, **labels: str) -> httpx.Response:
    """Ask for a run."""
    asked = {
        "agent_ref": "lab-agent",
        "image": "orchbox/agent-python:local",
        "argv": ["python3", "main.py"],
        "input": json.dumps({"seconds": seconds}),
        "policy": "lab",
        "labels": labels,
    }
    files = [("bundle", ("bundle.tar", bundle))]
    headers = {"Idempotency-Key": key}
    return http.post("/v1/runs", data={"request": json.dumps(asked)}, files=files, headers=headers)


def ask_to_wait(lab: Lab, run: str) -> socket.socket:
    """Ask for its end, on a connection of its own; what is asked later is answered later."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(120)
    line.connect(str(lab.folder / "run/api.sock"))
    path = f"/v1/runs/{run}?wait=300&until=final"
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return line


def answer_of(line: socket.socket) -> tuple[bytes, dict[str, Any]]:
    """The first line, and the run."""
    with line, line.makefile("rb") as file:
        head, _, body = file.read().partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], json.loads(body)


def test_a_run_is_started_once_found_and_waited_for(lab: Lab, http: httpx.Client, bundle: bytes):
    """Sent twice, and again to the next daemon: one run, by its label and by seven digits."""
    key, label = str(uuid.uuid4()), uuid.uuid4().hex
    wait_for(lambda: http.get("/readyz").json()["ready"])
    first = post(bundle, http, key, 0.2, batch=label)
    again = post(bundle, http, key, 0.2, batch=label)
    assert (first.status_code, again.status_code) == (201, 201), first.text + again.text
    assert (first.content, again.headers["idempotency-replayed"]) == (again.content, "true")
    run = first.json()["id"]

    said, done = answer_of(ask_to_wait(lab, run[:7]))
    assert said == b"HTTP/1.1 200 OK"
    assert (done["id"], done["state"], done["result"]) == (run, "completed", {"slept": 0.2})
    (listed,) = json.loads(lab.orch("runs", "--label", f"batch={label}", "--json").out)["runs"]
    assert (listed["id"], listed["labels"]) == (run, {"batch": label})
    assert "begun" in lab.orch("logs", run[:7]).out

    lab.kill_daemon()
    assert lab.orch("up", "--detach").code == 0
    later = post(bundle, http, key, 0.2, batch=label)
    assert (later.content, later.headers["idempotency-replayed"]) == (first.content, "true")
    assert post(bundle, http, key, 0.3, batch=label).status_code == 422
    assert len(json.loads(lab.orch("runs", "--label", f"batch={label}", "--json").out)["runs"]) == 1


def test_events_go_on_behind_a_killed_daemon(lab: Lab, client: Client, http: httpx.Client, bundle: bytes):
    """Under the same numbers, to one end."""
    wait_for(lambda: client.ready()["ready"])
    run = post(bundle, http, str(uuid.uuid4()), 8).json()["id"]
    before = []
    for event in client.events(run):
        before.append((event.seq, event.kind))
        if event.kind == "log":
            break
    lab.kill_daemon()
    assert lab.orch("up", "--detach").code == 0
    rest = [(event.seq, event.kind) for event in client.events(run, after=before[-1][0])]

    numbers = [seq for seq, _ in before + rest]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [kind for _, kind in rest].count("end") == 1
    assert rest[-1][1] == "end"
    assert http.get(f"/v1/runs/{run}/events", params={"after": numbers[-1]}).status_code == 204
    assert http.get(f"/v1/runs/{run}/events", params={"after": numbers[-1] + 1}).status_code == 410


def test_a_daemon_that_stops_answers_whoever_waits(
    lab: Lab, client: Client, http: httpx.Client, bundle: bytes
):
    """With 200 and the end that the run was given; it does not hold the daemon up."""
    wait_for(lambda: client.ready()["ready"])
    run = post(bundle, http, str(uuid.uuid4()), 60).json()["id"]
    assert any(event.kind == "log" for event in client.events(run))
    line = ask_to_wait(lab, run)
    assert client.get_run(run)["state"] == "running"
    try:
        assert lab.orch("down").code == 0
        said, shown = answer_of(line)
        assert (said, shown["state"]) == (b"HTTP/1.1 200 OK", "cancelled")
    finally:
        assert lab.orch("up", "--detach").code == 0
