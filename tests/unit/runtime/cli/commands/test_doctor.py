"""`orch doctor` on gVisor: not there is in order, there and broken is not."""

from __future__ import annotations

import pytest

from runtime.cli.commands.doctor import engine_checks
from runtime.daemon.settings import Settings
from runtime.engine import fake_programs
from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDOUT

SETTINGS = Settings.from_env({"HOME": "/root"})
IMAGE = SETTINGS.image("agent-python")
BOTH = frozenset({"runc", "runsc"})


async def gvisor(engine: FakeEngine) -> dict:
    """The check's line."""
    (line,) = [c for c in await engine_checks(engine, SETTINGS) if c["name"] == "isolation runsc"]
    return line


async def test_without_gvisor_all_is_well():
    """Nobody needs it; the line says on one line how to have it."""
    line = await gvisor(FakeEngine({IMAGE: None}))
    assert line["ok"] is True
    assert "runtimeArgs" in line["detail"]
    assert "\n" not in line["detail"]


@pytest.mark.parametrize(("version", "ok"), [("Linux version 4.4.0 #1", True), ("Linux version 6.12", False)])
async def test_gvisor_is_tried(monkeypatch: pytest.MonkeyPatch, version: str, ok: bool):
    """A listed runsc counts when a container under it talks to gVisor; else there is a remedy."""

    async def python(process: FakeProcess) -> int:
        process.write(STDOUT, version.encode())
        return 0

    monkeypatch.setitem(fake_programs.PROGRAMS, "python3", python)
    line = await gvisor(FakeEngine({IMAGE: None}, runtimes=BOTH))
    assert (line["ok"], line["remedy"] is None) == (ok, ok)


async def test_broken_gvisor_is_a_failure():
    """A runtime that is listed and does not start is said to be broken."""
    engine = FakeEngine({IMAGE: None}, runtimes=BOTH)
    engine.broken_runtimes = {"runsc"}
    line = await gvisor(engine)
    assert not line["ok"]
    assert "daemon.json" in line["remedy"]


async def test_gvisor_is_not_tried_without_an_image():
    """The images have a check of their own."""
    assert (await gvisor(FakeEngine({}, runtimes=BOTH)))["ok"] is True
