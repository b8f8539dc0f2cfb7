"""Serves the router on its unix socket, in the daemon's own loop.

server = LlmServer(settings.control_dir / LLM_SOCKET, sessions)
await server.start()
...
await server.close()
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import uvicorn

from runtime.access.sleeping_server import SignallessServer
from runtime.errors import NotReadyError
from runtime.llm.app import make_llm_app
from runtime.llm.session import LlmSessions


class LlmServer:
    """The socket, and what listens on it."""

    def __init__(self, path: Path, sessions: LlmSessions) -> None:
        self._path = path
        self._sessions = sessions
        self._server: SignallessServer | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, unless it does. Raises NotReadyError where the socket cannot be bound."""
        if self._running is not None:
            return
        try:
            listener = _bind(self._path)
        except OSError as exc:
            raise NotReadyError(
                f"{exc.filename or self._path}: {exc.strerror or exc}",
                hint="set ORCHBOX_RUN_DIR to a path that the daemon may write",
            ) from exc
        config = uvicorn.Config(
            make_llm_app(self._sessions),
            http="h11",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = SignallessServer(config)
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def close(self) -> None:
        """End every run's calls, then the server."""
        await self._sessions.aclose()
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            await asyncio.gather(self._running, return_exceptions=True)
        self._path.unlink(missing_ok=True)


def _bind(path: Path) -> socket.socket:
    """Its folder is the proxy's alone, so whoever gets there may connect: the proxy is another user."""
    path.unlink(missing_ok=True)
    if path.parent.stat().st_mode & 0o077:
        raise NotReadyError(f"{path.parent} is open to other users", hint=f"chmod 700 {path.parent}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o111)
    try:
        sock.bind(str(path))
    except OSError as exc:
        sock.close()
        raise NotReadyError(
            f"{path}: {exc.strerror or exc}", hint="set ORCHBOX_RUN_DIR to a shorter, writable path"
        ) from exc
    finally:
        os.umask(previous)
    sock.listen(128)
    return sock
