"""One real sandbox without a daemon: the configuration of `hardening.py`, the image's own init, no proxy."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.containers import labels
from runtime.containers.resolv_conf import ResolvConfs
from runtime.containers.sandbox import SandboxSpec, sandbox_config
from runtime.engine.docker import DockerEngine
from runtime.engine.protocol import STDOUT, ExitStatus
from runtime.engine.uninterrupted import uninterrupted
from runtime.errors import OrchError
from runtime.model.limits import Isolation, Limits
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.network.slots import NetworkSlots
from runtime.sandbox.head import Head
from runtime.sandbox.parcel import Parcel

IMAGE = os.environ.get("ORCHBOX_TEST_IMAGE", "orchbox/agent-python:local")
POOL = ipaddress.IPv4Network("10.238.8.0/24")
LIMITS = Limits(memory_bytes=256 << 20, cpus=0.5, pids=64, nofile=512, tmpfs_bytes=16 << 20)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came out of a sandbox, and the engine's record of it while it ran."""

    status: ExitStatus
    stdout: str
    stderr: str
    record: dict[str, Any]

    @property
    def report(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.stdout)


async def open_engine(image: str = IMAGE, isolation: Isolation = Isolation.RUNC) -> DockerEngine:
    """The real engine; without it, the image or the runtime, the test is skipped, and fails in CI."""
    engine = DockerEngine()
    try:
        reason = None if await engine.image_id(image) else f"the image {image} is not built: make images"
        if isolation.value not in (await engine.info()).runtimes:
            reason = f"the engine has no runtime {isolation.value}"
    except OrchError as exc:
        reason = exc.message
    if reason is None:
        return engine
    await engine.close()
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


async def see(
    code: str,
    *,
    limits: Limits = LIMITS,
    secrets: dict[str, str] | None = None,
    isolation: Isolation = Isolation.RUNC,
    on_output: Callable[[], None] = lambda: None,
) -> Seen:
    """Run Python code as an agent in a sandbox, and tell when it writes; everything is removed."""
    engine = await open_engine(isolation=isolation)
    instance = f"hardening-{uuid.uuid4().hex[:8]}"
    slots = NetworkSlots(engine, instance=instance, pool=POOL)
    name = f"orchbox-{instance}-sandbox"
    files = ResolvConfs(Path(tempfile.mkdtemp(prefix="orchbox-resolv-")))
    slot = await slots.acquire("sandbox")
    try:
        spec = SandboxSpec(
            image=IMAGE,
            network=slot.network,
            address=slot.sandbox_address,
            dns=slot.proxy_address,
            resolv_conf=str(files.folder / files.write(slot.proxy_address)),
            isolation=isolation,
            limits=limits,
            labels=labels.labels(instance, "sandbox"),
        )
        container = await engine.create(name, sandbox_config(spec))
        attached = await engine.attach(container)
        await engine.start(container)
        record = await engine.inspect(container)
        request = _request(code, limits, secrets or {})
        parcel = Parcel(request)
        await attached.write(Head.of(request, parcel).encode(request.secrets, {}, "PROXY CA\n"))
        for piece in parcel.unpack():
            await attached.write(piece)
        await attached.close_stdin()
        out, err = b"", b""
        async for stream, data in attached.output():
            on_output()
            out, err = (out + data, err) if stream == STDOUT else (out, err + data)
        status = await engine.wait(container)
        await attached.close()
        return Seen(status, out.decode(), err.decode(), record)
    finally:
        await uninterrupted(engine.remove(name))
        await uninterrupted(slots.release(slot))
        shutil.rmtree(files.folder)
        await engine.close()


def _request(code: str, limits: Limits, secrets: dict[str, str]) -> RunRequest:
    request = RunRequest("test", IMAGE, ("python3", "-c", code), b"", b"{}", "none", limits=limits)
    return dataclasses.replace(request, secrets={name: Secret(value) for name, value in secrets.items()})
