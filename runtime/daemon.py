"""`orch up`: wires settings to engine, proxy, guard, store, service and API, and serves."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import structlog
import uvicorn
from fastapi import FastAPI

from proxy.loader import PolicyError, PolicyNotFoundError, load_policy
from proxy.policy.model import Policy
from runtime.api import make_api
from runtime.config import Settings
from runtime.docker_engine import DockerEngine
from runtime.errors import ConflictError, InvalidInputError, NotFoundError, NotReadyError, OrchError
from runtime.guard import HostGuard
from runtime.networks import NetworkSlots, slot_count
from runtime.proxy_link import ProxyLink
from runtime.registries import LocalRegistries
from runtime.sandbox import SandboxMaker
from runtime.service import RunService
from runtime.store import Store
from runtime.supervisor import ProxySupervisor

PROXY_START_TIMEOUT_S = 30.0


def configure_logs() -> None:
    """JSON lines on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class PolicySource:
    """Policies by name, read anew for each run, so that an edit takes effect without a restart."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registries = LocalRegistries()

    def __call__(self, name: str) -> Policy:
        """Raises NotFoundError (no such policy) and InvalidInputError (a broken one)."""
        try:
            return load_policy(
                name,
                self._settings.policy_dirs,
                registries=self._registries,
                site=self._settings.site_policy,
            )
        except PolicyNotFoundError as exc:
            raise NotFoundError(str(exc), hint="see policies/, or set ORCHBOX_POLICY_DIR") from exc
        except PolicyError as exc:
            raise InvalidInputError(str(exc), hint=f"orch policy check {name}.yaml") from exc


class Daemon:
    """Everything one daemon holds."""

    def __init__(self, settings: Settings) -> None:
        engine = DockerEngine()
        instance = settings.instance
        self._settings = settings
        self._store = Store(settings.home / "orchbox.sqlite3")
        self._link = ProxyLink(settings.control_dir / "proxy.sock")
        slots = NetworkSlots(engine, instance=instance, pool=settings.pool)
        self._guard = HostGuard(
            engine,
            slots,
            instance=instance,
            image=settings.image("daemon"),
            slot_count=slot_count(settings.pool),
        )
        self.supervisor = ProxySupervisor(
            engine,
            instance=instance,
            image=settings.image("proxy"),
            control_dir=settings.control_dir,
            dns=settings.proxy_dns,
        )
        self._maker = SandboxMaker(
            engine, slots, self._link, instance=instance, proxy_container=self.supervisor.container
        )
        self.service = RunService(
            engine=engine,
            link=self._link,
            store=self._store,
            guard=self._guard,
            maker=self._maker,
            policies=PolicySource(settings),
            instance=instance,
        )
        self._log = structlog.get_logger()

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Serve at once; the proxy and the guard come up behind it, and runs are refused until then."""
        await self.service.start()
        preparing = asyncio.create_task(self._prepare())
        try:
            yield
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
            await self.service.close()
            await self._link.close()
            if self._settings.proxy_mode == "managed":
                await self.supervisor.remove()
            await self._store.close()

    async def _prepare(self) -> None:
        try:
            managed = self._settings.proxy_mode == "managed"
            proxy = await (self.supervisor.ensure() if managed else self.supervisor.find())
            self._maker.proxy_container = proxy
            await self._link.start()
            await self._link.wait_connected(PROXY_START_TIMEOUT_S)
            await self._guard.establish(proxy)
        except OrchError as exc:
            self._guard.fail(exc.message)
            self._log.error("not-ready", detail=exc.message, hint=exc.hint)


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises ConflictError when another daemon of this run directory lives, and what the parts raise.
    """
    configure_logs()
    settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(settings.run_dir / "daemon.pid")
    try:
        daemon = Daemon(settings)
        app = make_api(daemon.service, lifespan=daemon.lifespan)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[_bind(settings.api_socket)])
    finally:
        settings.api_socket.unlink(missing_ok=True)
        (settings.run_dir / "daemon.pid").unlink(missing_ok=True)
        lock.close()


def _lock(path: Path) -> IO[str]:
    """Hold the pid file for as long as the daemon lives; the kernel lets go when it dies."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConflictError(f"a daemon is already running (pid file {path})", hint="orch down") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _bind(path: Path) -> socket.socket:
    """The API's socket: only its owner may connect, from the first moment on."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as exc:
        raise NotReadyError(
            f"{path}: {exc.strerror}", hint="set ORCHBOX_RUN_DIR to a shorter, writable path"
        ) from exc
    finally:
        os.umask(previous)
    return sock
