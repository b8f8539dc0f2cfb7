"""What is said with a started sandbox: one message to its init, then its output until it ends."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Mapping

from runtime.containers.isolation import start_isolated
from runtime.engine.protocol import Attached, Engine, ExitStatus
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.sandbox.output import Output
from runtime.sandbox.sandbox import Sandbox


def init_message(
    request: RunRequest, given: Mapping[str, Secret], environment: dict[str, str], ca_pem: str
) -> bytes:
    """The one message that the sandbox's init reads (see `sandbox_init`); `given` are its secrets."""
    head = {
        "v": 1,
        "argv": list(request.argv),
        "setup_argv": list(request.setup_argv) if request.setup_argv else None,
        "env": {**request.env, **environment},
        "secrets": {name: secret.reveal() for name, secret in given.items()},
        "ca_pem": ca_pem,
        "bundle": len(request.bundle),
        "uploads": [{"name": name, "size": len(data)} for name, data in request.uploads.items()],
        "input": len(request.input),
    }
    message = io.BytesIO()
    message.write(json.dumps(head).encode() + b"\n")
    message.write(request.bundle)
    for data in request.uploads.values():
        message.write(data)
    message.write(request.input)
    return message.getvalue()


async def converse(
    engine: Engine,
    sandbox: Sandbox,
    message: bytes,
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


async def _feed(attached: Attached, message: bytes) -> None:
    try:
        await attached.write(message)
        await attached.close_stdin()
    except ConnectionError:
        return  # the container ended without reading it all; its exit status tells why
