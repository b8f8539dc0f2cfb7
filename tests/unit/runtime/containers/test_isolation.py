"""A sandbox starts under the runtime that was asked for, or not at all. Real ones: tests/integration."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from runtime.containers.isolation import GVISOR_ARGUMENTS, gvisor_fault, how_to_register, start_isolated
from runtime.engine import fake_programs
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT
from runtime.errors import NotReadyError
from runtime.model.limits import Isolation

BOTH = frozenset({"runc", "runsc"})
IMAGE = "agent:test"
GVISOR = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n"


async def created(engine: FakeEngine, isolation: Isolation) -> str:
    """A container that has not been started."""
    host = {"Runtime": isolation.value}
    return await engine.create("c", {"Image": IMAGE, "Entrypoint": ["true"], "HostConfig": host})


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_starts_under_the_runtime_asked_for(isolation: Isolation):
    """What the engine's record confirms goes on."""
    engine = FakeEngine({IMAGE: None}, runtimes=BOTH)
    container = await created(engine, isolation)
    await start_isolated(engine, container, isolation)
    assert (await engine.wait(container)).code == 0


async def test_another_runtime_is_never_accepted():
    """An engine that starts runc where runsc was asked for is found out."""
    engine = FakeEngine({IMAGE: None}, runtimes=BOTH)
    engine.swapped_runtime = "runc"
    container = await created(engine, Isolation.RUNSC)
    with pytest.raises(NotReadyError, match="runsc was asked for and the engine started runc"):
        await start_isolated(engine, container, Isolation.RUNSC)


async def test_runtime_that_does_not_start_is_named():
    """A registered runtime whose program is missing: the error names it, with a remedy."""
    engine = FakeEngine({IMAGE: None}, runtimes=BOTH)
    engine.broken_runtimes = {"runsc"}
    container = await created(engine, Isolation.RUNSC)
    with pytest.raises(NotReadyError, match="isolation runsc did not start, see 'orch doctor'"):
        await start_isolated(engine, container, Isolation.RUNSC)


def answering(monkeypatch: pytest.MonkeyPatch, out: str, code: int = 0) -> FakeEngine:
    """An engine whose containers say this of their kernel."""

    async def python(process: FakeProcess) -> int:
        process.write(STDOUT, out.encode())
        process.write(STDERR, b"a word of its own")
        return code

    monkeypatch.setitem(fake_programs.PROGRAMS, "python3", python)
    return FakeEngine({IMAGE: None}, runtimes=BOTH)


async def test_trial_of_gvisor(monkeypatch: pytest.MonkeyPatch):
    """A container that talks to gVisor's kernel is the proof, and it leaves nothing."""
    engine = answering(monkeypatch, GVISOR)
    assert await gvisor_fault(engine, IMAGE, instance="t") is None
    assert engine.by_name == {}


async def test_trial_finds_out_what_is_no_gvisor(monkeypatch: pytest.MonkeyPatch):
    """runc under the name runsc, or a program that fails, is a fault with its words."""
    assert "is no gVisor" in str(
        await gvisor_fault(answering(monkeypatch, "Linux version 6.1.0"), IMAGE, instance="t")
    )
    fault = await gvisor_fault(answering(monkeypatch, "", code=2), IMAGE, instance="t")
    assert fault == "a container ended with status 2: a word of its own"


async def test_trial_of_a_runtime_that_is_broken(monkeypatch: pytest.MonkeyPatch):
    """What the engine says is the fault."""
    engine = answering(monkeypatch, GVISOR)
    engine.broken_runtimes = {"runsc"}
    assert "failed to create shim" in str(await gvisor_fault(engine, IMAGE, instance="t"))
    assert engine.by_name == {}


def test_operators_are_told_what_set_up_does():
    """The line for an operator's own engine has the arguments that set-up uses."""
    script = Path(__file__).resolve().parents[4] / "scripts/runsc.py"
    spec = importlib.util.spec_from_file_location("orchbox_runsc", script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ARGUMENTS == GVISOR_ARGUMENTS
    assert all(argument in how_to_register() for argument in GVISOR_ARGUMENTS)
