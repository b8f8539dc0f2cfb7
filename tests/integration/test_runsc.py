"""`--isolation runsc`: the same agents, policy and refusals under gVisor; and never a silent runc."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import docker
import pytest

from runtime.canary.net.session import CanaryNet
from runtime.containers import labels
from runtime.containers.helper import helper_config, under
from runtime.containers.isolation import gvisor_fault, start_isolated
from runtime.engine.docker import DockerEngine
from runtime.errors import InvalidInputError, NotReadyError
from runtime.model.limits import Isolation
from tests.integration.conftest import Lab, inventory
from tests.integration.sandboxes import IMAGE, open_engine
from tests.integration.test_clients import KEYS, NODE_FETCH, NPM, OPENAI, PROVIDERS, TOOLS, shell

pytestmark = pytest.mark.docker

RUNSC = ("--isolation", "runsc")
INSTANCE = "test"


def script() -> ModuleType:
    """scripts/runsc.py, by which set-up registers the runtime."""
    path = Path(__file__).resolve().parents[2] / "scripts/runsc.py"
    spec = importlib.util.spec_from_file_location("orchbox_runsc", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
async def runsc_is_there() -> None:
    """Without runsc on the engine the test is skipped, and fails in CI."""
    engine = await open_engine(isolation=Isolation.RUNSC)
    await engine.close()


# -- the same agents -------------------------------------------------------------------------------


def test_sdk_streams_and_is_refused_elsewhere(lab: Lab, canary_net: CanaryNet):
    """The SDK talks to its simulated vendor token by token; elsewhere its own error holds our 403 body."""
    canary_net.control.set_token_delay(0.3)
    done = lab.run(OPENAI, *RUNSC, env=KEYS, **PROVIDERS)

    assert done.code == 0, done.out + done.err
    assert done.json["isolation"] == "runsc"
    result = done.json["result"]
    assert result["text"]
    assert result["spread"] >= 0.05, "the first token came with the last: nothing was streamed"
    assert result["refused"]["reason_code"] == "not_allowed_host"
    assert canary_net.record().requests_to("evil.test") == []


@pytest.mark.parametrize("tool", ["curl", "pip", "git over https", "curl without any proxy setting"])
def test_tool_reaches_allowed_host_only(lab: Lab, canary_net: CanaryNet, tool: str):
    """A tool as the image has it works on an allowed host, and shows why it is refused elsewhere."""
    allowed, expected, refused, reason = TOOLS[tool]
    works = lab.run(shell(allowed), *RUNSC)
    fails = lab.run(shell(refused), *RUNSC)

    assert works.code == 0, works.out + works.err
    assert expected in works.json["result"]["out"], works.json["result"]
    shown = fails.json["result"]
    assert reason in shown["out"] + shown["err"], shown
    record = canary_net.record()
    assert record.requests_to("evil.test") == []
    assert record.queries_for("evil.test") == []


def test_node_and_npm(lab: Lab):
    """Node's fetch and npm: the allowed host answers, the other is refused with a reason."""
    fetched = lab.run(NODE_FETCH, *RUNSC, entry="main.js")
    assert fetched.code == 0, fetched.out + fetched.err
    assert (fetched.json["result"]["ok"], fetched.json["result"]["refused"]) == (200, 403)

    installed = lab.run(NPM, *RUNSC, entry="main.js")
    assert installed.code == 0, installed.out + installed.err
    assert "orchdemo" in installed.json["result"]["ok"], installed.json["result"]
    assert "403" in installed.json["result"]["refused"], installed.json["result"]


NETWORK = """
import json, socket
def resolve(name):
    try: return socket.gethostbyname(name)
    except OSError as e: return type(e).__name__
def connect(address, port):
    try:
        with socket.create_connection((address, port), 2): return "connected"
    except OSError as e: return type(e).__name__
def datagram(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        try: s.sendto(b"x", (address, port)); return s.recv(64).hex()
        except OSError as e: return type(e).__name__
own = socket.gethostbyname("ok.test")
gateway = own.rpartition(".")[0] + "." + str(int(own.rpartition(".")[2]) - 1)
print(json.dumps({
    "allowed": own, "refused": resolve("evil.test"), "host": [connect(gateway, p) for p in (22, 80, 443, 8080)],
    "version": open("/proc/version").read(),
    "out": [connect("PUBLIC", 443), connect("PUBLIC", 80), datagram("PUBLIC", 53)],
}))
"""


def test_names_and_addresses(lab: Lab, canary_net: CanaryNet):
    """The sink answers for an allowed name only; nothing else routes; no canary saw a packet of it."""
    done = lab.run(NETWORK.replace("PUBLIC", canary_net.ground.public), *RUNSC)

    assert done.code == 0, done.out + done.err
    result = done.json["result"]
    assert result["version"].startswith("Linux version 4.4.0 ")
    assert result["allowed"].startswith("10.233.")
    assert result["refused"] == "gaierror"
    assert "connected" not in result["host"] + result["out"]
    record = canary_net.record()
    assert (record.accepts, record.dns) == ([], []), record


def test_agent_that_exceeds_its_time_is_stopped(lab: Lab, engine: docker.DockerClient):
    """Signals and removal are the same: exit status 7, and nothing is left."""
    before = inventory(engine)
    done = lab.run("import time; time.sleep(60)", *RUNSC, "--timeout", "3")
    assert done.code == 7, done.out
    assert inventory(engine) == before


# -- never a silent runc ---------------------------------------------------------------------------


@contextmanager
def runtime_named(name: str, path: str | None) -> Iterator[None]:
    """The engine with this runtime at another path, or without it; as it was on the way out."""
    runsc = script()
    if runsc.our_engine() is None:
        pytest.skip("this engine was not started by set-up: its configuration is its operator's")
    before = runsc.CONFIG.read_text() if runsc.CONFIG.exists() else "{}"
    try:
        without = runsc.without_runtime(before, name)
        runsc.apply(without, expect=name, present=False)
        if path is not None:
            runsc.apply(runsc.with_runtime(without, name, path, ()), expect=name, present=True)
        yield
    finally:
        runsc.apply(without, expect=name, present=False)
        runsc.apply(before, expect="runsc", present=True)


def test_engine_without_the_runtime(lab: Lab, engine: docker.DockerClient):
    """Refused before anything is made, by name, with where to look."""
    before = inventory(engine)
    with runtime_named("runsc", None):
        done = lab.run("print(1)", *RUNSC)
    assert (done.code, done.json["code"]) == (5, "INVALID_INPUT"), done.out
    assert "runsc" in done.json["message"]
    assert "orch doctor" in done.json["hint"]
    assert inventory(engine) == before


@pytest.mark.parametrize("path", ["/nonexistent/runsc", "/bin/false"])
def test_runtime_that_is_listed_and_broken(lab: Lab, engine: docker.DockerClient, path: str):
    """A program that is missing or fails: the run fails with exit status 8, the runtime's name and a remedy."""
    before = inventory(engine)
    with runtime_named("runsc", path):
        done = lab.run("print('ran all the same')", *RUNSC)
        doctor = lab.orch("doctor")
    assert done.code == 8, done.out
    assert "isolation runsc did not start" in done.json["message"]
    assert "orch doctor" in done.json["message"]
    assert "ran all the same" not in done.out + done.err
    assert doctor.code == 8
    (line,) = [check for check in doctor.json["checks"] if check["name"] == "isolation runsc"]
    assert not line["ok"]
    assert "daemon.json" in line["remedy"]
    assert inventory(engine) == before


async def test_runc_under_the_name_of_runsc_is_found_out():
    """The trial asks the kernel, not the engine's list."""
    with runtime_named("runsc", "runc"):
        engine = await open_engine(isolation=Isolation.RUNSC)
        fault = await gvisor_fault(engine, IMAGE, instance=INSTANCE)
        await engine.close()
    assert "is no gVisor" in str(fault)


async def test_runtime_that_nobody_registered():
    """The engine refuses a runtime it does not know when the container is made."""
    engine = DockerEngine()
    marks = labels.labels(INSTANCE, "probe")
    config = helper_config(IMAGE, ["true"], labels=marks, network="none")
    config["HostConfig"]["Runtime"] = "orchbox-none"
    with pytest.raises(InvalidInputError, match="orchbox-none"):
        await engine.create("orchbox-test-unknown-runtime", config)
    await engine.close()


async def test_container_of_another_runtime_is_refused():
    """A container that the engine made with runc does not pass for one of runsc."""
    engine = await open_engine(isolation=Isolation.RUNSC)
    marks = labels.labels(INSTANCE, "probe")
    config = under(Isolation.RUNC, helper_config(IMAGE, ["true"], labels=marks, network="none"))
    container = await engine.create("orchbox-test-swapped-runtime", config)
    try:
        with pytest.raises(NotReadyError, match="runsc was asked for and the engine started runc"):
            await start_isolated(engine, container, Isolation.RUNSC)
    finally:
        await engine.remove(container)
        await engine.close()
