"""How much memory the proxy's workers take, seen by a helper in the process namespace of their container."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runtime.containers.helper import helper_config, started
from runtime.engine.protocol import STDOUT, Attached, ContainerConfig, Engine

_WATCH = """
import json, os, time
def status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.split(":", 1) for line in file)
while True:
    seen = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            said = status(pid)
            seen[int(pid)] = int(said["PPid"]), int(said.get("VmRSS", "0").split()[0]) << 10
        except (OSError, KeyError, ValueError):
            pass
    first = [pid for pid, (parent, _) in seen.items() if parent == 1]
    parent = max((seen[pid][1] for pid in first), default=0)
    workers = [size for above, size in seen.values() if above in first]
    said = {"at": time.time(), "parent": parent, "worker": max(workers, default=0), "count": len(workers)}
    print(json.dumps(said), flush=True)
    time.sleep(0.2)
"""
"""The first process is the container's init, its child the workers' parent."""


@dataclass(slots=True)
class Memory:
    """What the helper has told so far; bytes that are resident, shared pages included."""

    workers: list[tuple[float, int]] = field(default_factory=list)
    """When (epoch seconds), and the largest worker then."""
    parent: int = 0
    count: int = 0
    """Of workers, when the helper last looked."""

    @property
    def seen_at(self) -> float:
        """When the helper last looked; 0 before it did."""
        return self.workers[-1][0] if self.workers else 0.0

    def largest_worker(self, window: tuple[float, float]) -> int:
        """The largest in a window; 0 where none was seen."""
        start, end = window
        return max((size for at, size in self.workers if start <= at < end), default=0)


@asynccontextmanager
async def watched_memory(
    engine: Engine, proxy: str, *, image: str, labels: Mapping[str, str], name: str
) -> AsyncIterator[Memory]:
    """A helper watches the proxy's container meanwhile. Raises what the engine raises."""
    memory = Memory()
    config = watch_config(image, proxy, labels=labels)
    async with started(engine, config, name=name) as (_container, attached):
        reading = asyncio.create_task(_read(attached, memory))
        try:
            yield memory
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def watch_config(image: str, proxy: str, *, labels: Mapping[str, str]) -> ContainerConfig:
    """A helper without a network that sees another container's processes, and may touch none of them."""
    config = helper_config(image, ["python3", "-c", _WATCH], labels=labels, network="none")
    return {**config, "HostConfig": {**config["HostConfig"], "PidMode": f"container:{proxy}"}}


async def _read(attached: Attached, memory: Memory) -> None:
    rest = b""
    async for stream, data in attached.output():
        if stream != STDOUT:
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            memory.workers.append((said["at"], said["worker"]))
            memory.parent, memory.count = max(memory.parent, said["parent"]), said["count"]
