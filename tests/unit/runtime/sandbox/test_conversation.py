"""What a sandbox's init is told, and that it is told nothing under another isolation than the one asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.fake import FakeEngine
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT, NetworkSpec
from runtime.keys.redactor import Redactor
from runtime.model.limits import Isolation
from runtime.model.run import RunState
from runtime.model.secret import Secret
from runtime.sandbox.conversation import _read
from runtime.sandbox.output import Output
from runtime.sandbox.pace import BURST_PIECES, PIECES_PER_S
from tests.unit.runtime.run_world import IMAGE, World, build


async def test_the_init_gets_everything_over_stdin(world: World):
    """Command, environment, secrets, CA, files and input travel on stdin, and only there."""
    seen: dict[str, Any] = {}

    async def look(process: FakeProcess, head: dict[str, Any]) -> int:
        seen.update(head)
        seen["config"] = json.dumps(process.config)
        return 0

    world.agent = look
    await world.run(
        env={"LLM_PROVIDER": "openai"},
        secrets={"API_KEY": Secret("marker-secret")},
        uploads={"a.txt": b"<upload>"},
        setup_argv=("pip", "install"),
    )
    assert (seen["argv"], seen["setup_argv"]) == (["python3", "main.py"], ["pip", "install"])
    assert seen["rest"] == b'<tar><upload>{"q": 1}'
    assert (seen["bundle"], seen["uploads"], seen["input"]) == (5, [{"name": "a.txt", "size": 8}], 8)
    assert seen["secrets"] == {"API_KEY": "marker-secret"}
    assert seen["ca_pem"] == "the CA"
    assert seen["env"]["LLM_PROVIDER"] == "openai"
    assert seen["env"]["HTTPS_PROXY"] == seen["env"]["https_proxy"]
    token = seen["env"]["HTTPS_PROXY"].partition("explain:")[2].partition("@")[0]
    assert len(token) >= 32
    assert token not in seen["config"]
    assert "marker-secret" not in seen["config"]


@pytest.mark.parametrize("defect", ["broken", "swapped"])
async def test_isolation_that_is_not_the_one_asked_for(defect: str, tmp_path: Path):
    """A runtime that is listed and does not start, or is another: the run fails by its name, agent untouched."""
    engine = FakeEngine({"proxy": None}, runtimes=frozenset({"runc", "runsc"}))
    world = build(engine, tmp_path)
    received: list[bytes] = []

    async def init(process: FakeProcess) -> int:
        received.append(await process.stdin.read())
        return 0

    engine.add_image(IMAGE, init)
    await engine.create_network(NetworkSpec("egress", None, None, None, is_internal=False, labels={}))
    await engine.create("the-proxy", {"Image": "proxy", "HostConfig": {"NetworkMode": "egress"}})
    if defect == "broken":
        engine.broken_runtimes = {"runsc"}
    else:
        engine.swapped_runtime = "runc"
    await world.service.start()
    run = await world.run(isolation=Isolation.RUNSC, secrets={"API_KEY": Secret("marker")})
    await world.service.close()

    assert run.state is RunState.FAILED
    assert run.error
    assert run.error.code == "INTERNAL_ERROR"
    assert "isolation runsc" in run.error.message
    assert "orch doctor" in run.error.message
    assert not any(received), "the agent's message was handed over"
    world.assert_nothing_left()
    await engine.close()


class Flood:
    """Streams that bring pieces of a size each, each out of as many frames."""

    def __init__(self, stream: int, pieces: int, frames: int) -> None:
        self._stream = stream
        self._pieces = pieces
        self._frames = frames
        self.small_pieces = 0

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """As an engine that was never waited for."""
        for _ in range(self._pieces):
            self.small_pieces += self._frames
            yield self._stream, b"\n" * self._frames


@pytest.mark.parametrize("stream", [STDOUT, STDERR])
async def test_a_flood_of_lone_newlines_is_read_at_a_pace(stream: int, monkeypatch: pytest.MonkeyPatch):
    """On either stream: each frame of a byte is paid for, so that the engine is left alone meanwhile."""
    waited: list[float] = []
    clock = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal clock
        waited.append(seconds)
        clock += seconds

    monkeypatch.setattr("runtime.sandbox.conversation.asyncio.sleep", sleep)
    monkeypatch.setattr("runtime.sandbox.conversation.time.monotonic", lambda: clock)
    flood = Flood(stream, pieces=40, frames=250)

    await _read(flood, Output(Redactor({}), stdout_bytes=1 << 20, log_bytes=1000), lambda _text: None)  # type: ignore[arg-type]

    assert sum(waited) == pytest.approx((40 * 250 - BURST_PIECES) / PIECES_PER_S)
