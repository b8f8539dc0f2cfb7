"""`orch doctor`: everything a run needs, each with its remedy.

Before `orch up` there is no daemon that could speak for proxy and guard: that is the next step, not a fault.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import platform
import socket
import time
from contextlib import closing
from pathlib import Path

import click

from runtime.cli.console.context import read_settings
from runtime.cli.console.output import emit, json_option, printable
from runtime.cli.diagnosis import disk
from runtime.cli.diagnosis.clock import clock_check
from runtime.cli.diagnosis.disk import disk_check
from runtime.cli.diagnosis.finding import Finding, check, upcoming
from runtime.cli.diagnosis.listener import listener_checks
from runtime.cli.diagnosis.stores import store_checks
from runtime.client.connection import Client
from runtime.containers.isolation import gvisor_fault, how_to_register
from runtime.daemon import installation, pidfile
from runtime.daemon.settings import Settings
from runtime.engine.protocol import Engine, EngineInfo
from runtime.errors import EngineUnavailableError, OrchError
from runtime.model.limits import Isolation
from runtime.version import VERSION

IMAGES = ("agent-python", "agent-node", "proxy", "daemon")
START_ENGINE = "start Docker (dockerd)"


@click.command()
@json_option
def doctor() -> int:
    """Look at all that a run needs; before orch up, at what is there by then.

    Exit status 8 when something is missing.
    """
    settings = read_settings()
    of_daemon, is_running = _ask_daemon(settings)
    checks = [
        check("version", f"orchbox {VERSION}, Python {platform.python_version()}"),
        *asyncio.run(_ask_engine(settings)),
        *disk_checks(settings),
        *store_checks(settings, is_running=is_running),
        *listener_checks(settings, is_running=is_running, now=dt.datetime.now(dt.UTC)),
        *of_daemon,
    ]
    is_ok = all(each["ok"] for each in checks)

    def show() -> None:
        for each in checks:
            is_next = each["ok"] and each["remedy"]
            mark = "next" if is_next else "ok  " if each["ok"] else "FAIL"
            click.echo(printable(f"{mark}  {each['name']}: {each['detail']}"))
            if each["remedy"]:
                click.echo(printable(f"      {'then' if is_next else 'try'}: {each['remedy']}"))

    emit({"ok": is_ok, "running": is_running, "checks": checks}, show)
    return 0 if is_ok else EngineUnavailableError.exit_code


def disk_checks(settings: Settings) -> list[Finding]:
    """Room where the daemon writes."""
    return [
        disk_check(
            "disk of ORCHBOX_HOME",
            settings.home,
            least_bytes=disk.HOME_BYTES,
            remedy="free some (orch prune), lower ORCHBOX_KEEP_MIB, or set ORCHBOX_HOME",
        ),
        disk_check(
            "disk of ORCHBOX_RUN_DIR",
            settings.run_dir,
            least_bytes=disk.RUN_DIR_BYTES,
            remedy="free some, or set ORCHBOX_RUN_DIR",
        ),
    ]


async def _ask_engine(settings: Settings) -> list[Finding]:
    from runtime.engine.docker import DockerEngine  # noqa: PLC0415 - the SDK costs what others need not pay

    try:
        engine = DockerEngine(marks=_marks(settings))
    except OrchError as exc:
        return [check("engine", exc.message, remedy=START_ENGINE)]
    try:
        return await engine_checks(engine, settings)
    finally:
        await engine.close()


def _marks(settings: Settings) -> dict[str, str]:
    """Those of this installation's daemon, which then removes what a doctor left that was killed."""
    try:
        found = installation.known(settings)
    except OrchError:
        return {}
    return installation.marks(settings, found) if found else {}


async def engine_checks(engine: Engine, settings: Settings) -> list[Finding]:
    """The engine's version and runtimes, and our images."""
    try:
        before = time.time()
        info = await engine.info()
        after = time.time()
        detail = f"Docker {info.version}, runtimes {', '.join(sorted(info.runtimes))}"
        checks = [check("engine", detail)]
        for name in IMAGES:
            reference = settings.image(name)
            identity = await engine.image_id(reference)
            if identity is None:
                checks.append(check(f"image {name}", f"{reference} is not here", remedy="make images"))
            else:
                checks.append(
                    check(f"image {name}", f"{reference} ({identity.removeprefix('sha256:')[:12]})")
                )
        checks.append(await _gvisor_check(engine, info, settings))
        if info.clock is not None:
            checks.append(clock_check("the engine's host", info.clock, before=before, after=after))
        checks += engine_disk(info)
    except OrchError as exc:
        return [check("engine", exc.message, remedy=START_ENGINE)]
    return checks


def engine_disk(info: EngineInfo) -> list[Finding]:
    """Room for images and sandboxes, where the engine's host is this one."""
    if not info.data_root or info.host != socket.gethostname():
        return []
    name, root = "disk of the engine", Path(info.data_root)
    remedy = "docker system df shows what takes it, docker image prune removes unused images"
    return [disk_check(name, root, least_bytes=disk.ENGINE_BYTES, remedy=remedy)]


async def _gvisor_check(engine: Engine, info: EngineInfo, settings: Settings) -> Finding:
    """Whether `--isolation runsc` works, by running it. An engine without it is in order."""
    name = f"isolation {Isolation.RUNSC.value}"
    if Isolation.RUNSC.value not in info.runtimes:
        return check(name, f"not there, runc only; to have it: install gVisor, add {how_to_register()}")
    image = settings.image(IMAGES[0])
    if await engine.image_id(image) is None:
        return check(name, "listed by the engine; not tried without an image")
    fault = await gvisor_fault(engine, image, instance=settings.instance)
    if fault:
        return check(name, fault, remedy=f"install gVisor, check {how_to_register()}")
    return check(name, "a container runs under gVisor")


def _ask_daemon(settings: Settings) -> tuple[list[Finding], bool]:
    """Proxy and guard, as the daemon sees them, and whether there is a daemon at all."""
    with closing(Client(settings.api_socket)) as client:
        try:
            said = client.ready()
        except OrchError as exc:
            remedy = (exc.hint or "orch up --detach").removeprefix("start one: ")
            if _runs_none(settings):
                detail = f"not running yet in {settings.run_dir}; it checks proxy and guard once it does"
                return [upcoming("daemon", detail, remedy=remedy)], False
            return [check("daemon", exc.message, remedy=remedy)], False
    daemon = check("daemon", f"answers on {settings.api_socket}")
    return [daemon, *(each for each in said["checks"] if each["name"] != "engine")], True


def _runs_none(settings: Settings) -> bool:
    """Whether certainly no daemon holds the run directory: one that hangs, or that we may not see, might."""
    seen = (settings.run_dir, settings.api_socket, settings.pid_file)
    is_hidden = any(os.path.exists(path) and not os.access(path, os.R_OK) for path in seen)  # noqa: PTH110 - Path's raises
    return not is_hidden and pidfile.holder(settings.pid_file) is None
