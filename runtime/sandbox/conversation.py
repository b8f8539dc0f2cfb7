"""What is said with a started sandbox: one message to its init, then its output until it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping

from runtime.containers.isolation import start_isolated
from runtime.engine.protocol import Attached, Engine, ExitStatus
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.sandbox.output import Output
from runtime.sandbox.parcel import Parcel
from runtime.sandbox.sandbox import Sandbox


def init_message(
    request: RunRequest,
    parcel: Parcel,
    given: Mapping[str, Secret],
    environment: dict[str, str],
    ca_pem: str,
) -> Iterator[bytes]:
    """The one message that the sandbox's init reads (see `sandbox_init`), in pieces; `given` are its secrets.

    It is never whole in memory, and what has been sent is let go of.
    """
    head = {
        "v": 1,
        "argv": list(request.argv),
        "setup_argv": list(request.setup_argv) if request.setup_argv else None,
        "env": {**request.env, **environment},
        "secrets": {name: secret.reveal() for name, secret in given.items()},
        "ca_pem": ca_pem,
        "bundle": parcel.bundle_size,
        "uploads": [{"name": name, "size": size} for name, size in parcel.upload_sizes.items()],
        "input": parcel.input_size,
    }
    yield json.dumps(head).encode() + b"\n"
    yield from parcel.unpack()


async def converse(
    engine: Engine,
    sandbox: Sandbox,
    message: Iterator[bytes],
    output: Output,
    on_log: Callable[[str], Awaitable[None]],
) -> ExitStatus:
    """Start, hand over the message, read to the end. Bound it with a timeout.

    Raises NotReadyError, before anything is handed over, where the isolation is not the one asked for.
    """
    await start_isolated(engine, sandbox.container, sandbox.isolation)
    feeding = asyncio.create_task(_feed(sandbox.attached, message))
    try:
        async for stream, data in sandbox.attached.output():
            for line in output.feed(stream, data):
                await on_log(line)
        for line in output.finish():
            await on_log(line)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return await engine.wait(sandbox.container)


async def _feed(attached: Attached, message: Iterator[bytes]) -> None:
    try:
        for piece in message:
            await attached.write(piece)
        await attached.close_stdin()
    except ConnectionError:
        return  # the container ended without reading it all; its exit status tells why
