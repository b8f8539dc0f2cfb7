"""The processes of a fuzz: the proxy with two workers, both upstreams, the witness. Needs root for the ports."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.fuzz.place import Place, grant
from tests.harness.fuzz.report import Sample
from tests.harness.vitals import Vitals, children_of, vitals_of
from tests.unit.runtime.egress.workers import Workers

ROOT = Path(__file__).resolve().parents[3]
START_S = 60.0
END_S = 20.0


@dataclass
class Lab:
    """What runs, and what the witness has told so far."""

    place: Place
    link: Workers
    parent: Process
    log: Path
    workers: dict[str, int] = field(default_factory=dict)
    """Sandbox -> the pid of its worker."""
    samples: list[Sample] = field(default_factory=list)
    refused: int = 0
    """Decisions of the proxy that were refusals."""

    def vitals(self) -> dict[str, Vitals]:
        """Of parent and workers. Raises OSError where one is gone."""
        pids = {"parent": self.parent.pid, "worker": self.workers["one"], "neighbour": self.workers["two"]}
        return {who: vitals_of(pid) for who, pid in pids.items()}

    def missing(self) -> list[str]:
        """The processes of the proxy that are not there any more."""
        if self.parent.returncode is not None:
            return [f"the parent, with status {self.parent.returncode}"]
        there = set(children_of(self.parent.pid))
        return [f"the worker of sandbox {name}" for name, pid in self.workers.items() if pid not in there]


@asynccontextmanager
async def open_lab(seed: str, place: Place) -> AsyncIterator[Lab]:
    """Bring it all up; at the end nothing of it is left."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="orchbox-fuzz-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        hostile = await _started(stack, "hostile")
        ca = (await _say(hostile, {"seed": seed, "place": [*place]}))["ca"]
        await _heard(await _started(stack, "honest", place.honest))
        lab = await _proxy(stack, folder, place)
        for name, address in (("one", place.worker), ("two", place.neighbour)):
            before = set(children_of(lab.parent.pid))
            await lab.link.grant(grant(place, name, address, ca))
            [lab.workers[name]] = set(children_of(lab.parent.pid)) - before
        witness = await _started(stack, "witness")
        asked = {"worker": place.worker, "neighbour": place.neighbour, "honest": place.honest}
        first = asyncio.Event()
        reading = asyncio.create_task(_read_samples(witness, lab, first))
        assert witness.stdin is not None
        witness.stdin.write(json.dumps(asked).encode() + b"\n")
        await asyncio.wait_for(first.wait(), START_S)
        yield lab
        witness.stdin.close()
        await asyncio.wait_for(reading, END_S)


async def _proxy(stack: AsyncExitStack, folder: Path, place: Place) -> Lab:
    control, log, names = folder / "proxy.sock", folder / "log", folder / "resolv.conf"
    names.write_text(f"nameserver {place.names}\n")
    environment = {"ORCHBOX_CONTROL_SOCKET": str(control), "TMPDIR": str(folder)}
    with log.open("wb") as said:
        parent = await _started(
            stack, "proxy_main", str(names), environment=environment, stderr=said.fileno()
        )
    link = Workers(control)
    lab = Lab(place, link, parent, log)

    def count(line) -> None:
        lab.refused += line["verdict"] == "deny"

    link.on_decision = count
    await link.start()
    stack.push_async_callback(link.close)
    await link.wait_connected(START_S)
    return lab


async def _started(
    stack: AsyncExitStack,
    module: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    stderr: int | None = None,
) -> Process:
    """A process of the harness, which ends with the stack."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.harness.fuzz.{module}", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=stderr,
        cwd=ROOT,
        env={**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT)},
    )
    stack.push_async_callback(_end, process)
    return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
    await process.wait()


async def _say(process: Process, words: dict[str, object]) -> dict[str, str]:
    assert process.stdin is not None
    process.stdin.write(json.dumps(words).encode() + b"\n")
    return await _heard(process)


async def _heard(process: Process) -> dict[str, str]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), START_S)
    answer: dict[str, str] = json.loads(line)
    return answer


async def _read_samples(witness: Process, lab: Lab, first: asyncio.Event) -> None:
    assert witness.stdout is not None
    async for line in witness.stdout:
        lab.samples.append(Sample(*json.loads(line)))
        first.set()
