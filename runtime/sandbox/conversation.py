"""What is said with a started sandbox: one message to its init, then its output until it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping

from runtime.containers.isolation import start_isolated
from runtime.engine.protocol import Attached, Engine, ExitStatus
from runtime.errors import InvalidInputError
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.sandbox.output import Output
from runtime.sandbox.parcel import Parcel
from runtime.sandbox.sandbox import Sandbox
from runtime.sandbox.sandbox_init import MAX_HEAD_BYTES

HEAD_ROOM_BYTES = 256 << 10
"""For what the daemon adds to it: the proxy's address and certificate, and placeholders for short values."""


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
    yield _head(request, parcel, given, environment, ca_pem)
    yield from parcel.unpack()


def check_head(request: RunRequest, parcel: Parcel, upstream_ca_pem: str) -> None:
    """Refuse a command, environment and secrets that the init does not read. Raises InvalidInputError."""
    size = len(_head(request, parcel, request.secrets, {}, upstream_ca_pem))
    if size > MAX_HEAD_BYTES - HEAD_ROOM_BYTES:
        raise InvalidInputError(
            f"the run's command, environment and secrets take {size >> 10} KiB, of at most"
            f" {(MAX_HEAD_BYTES - HEAD_ROOM_BYTES) >> 10} KiB",
            hint="put large values into the input or the agent's files",
        )


def _head(
    request: RunRequest,
    parcel: Parcel,
    given: Mapping[str, Secret],
    environment: dict[str, str],
    ca_pem: str,
) -> bytes:
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
    return json.dumps(head).encode() + b"\n"


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
