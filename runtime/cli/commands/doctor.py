"""`orch doctor`: everything a run needs, each with its remedy.

Before `orch up` there is no daemon that could speak for proxy and guard: that is the next step, not a fault.
"""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import closing
from typing import Any

import click

from runtime.cli.console.context import read_settings
from runtime.cli.console.output import emit, json_option, printable
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
    checks = [_check("version", f"orchbox {VERSION}, Python {platform.python_version()}")]
    checks += asyncio.run(_ask_engine(settings))
    of_daemon, is_running = _ask_daemon(settings)
    checks += of_daemon
    is_ok = all(check["ok"] for check in checks)

    def show() -> None:
        for check in checks:
            is_next = check["ok"] and check["remedy"]
            mark = "next" if is_next else "ok  " if check["ok"] else "FAIL"
            click.echo(printable(f"{mark}  {check['name']}: {check['detail']}"))
            if check["remedy"]:
                click.echo(printable(f"      {'then' if is_next else 'try'}: {check['remedy']}"))

    emit({"ok": is_ok, "running": is_running, "checks": checks}, show)
    return 0 if is_ok else EngineUnavailableError.exit_code


def _check(name: str, detail: str, *, remedy: str | None = None) -> dict[str, Any]:
    """A check that fails is one with a remedy."""
    return {"name": name, "ok": remedy is None, "detail": detail, "remedy": remedy}


async def _ask_engine(settings: Settings) -> list[dict[str, Any]]:
    from runtime.engine.docker import DockerEngine  # noqa: PLC0415 - the SDK costs what others need not pay

    try:
        engine = DockerEngine(marks=_marks(settings))
    except OrchError as exc:
        return [_check("engine", exc.message, remedy=START_ENGINE)]
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


async def engine_checks(engine: Engine, settings: Settings) -> list[dict[str, Any]]:
    """The engine's version and runtimes, and our images."""
    try:
        info = await engine.info()
        detail = f"Docker {info.version}, runtimes {', '.join(sorted(info.runtimes))}"
        checks = [_check("engine", detail)]
        for name in IMAGES:
            reference = settings.image(name)
            identity = await engine.image_id(reference)
            if identity is None:
                checks.append(_check(f"image {name}", f"{reference} is not here", remedy="make images"))
            else:
                checks.append(
                    _check(f"image {name}", f"{reference} ({identity.removeprefix('sha256:')[:12]})")
                )
        checks.append(await _gvisor_check(engine, info, settings))
    except OrchError as exc:
        return [_check("engine", exc.message, remedy=START_ENGINE)]
    return checks


async def _gvisor_check(engine: Engine, info: EngineInfo, settings: Settings) -> dict[str, Any]:
    """Whether `--isolation runsc` works, by running it. An engine without it is in order."""
    name = f"isolation {Isolation.RUNSC.value}"
    if Isolation.RUNSC.value not in info.runtimes:
        return _check(name, f"not there, runc only; to have it: install gVisor, add {how_to_register()}")
    image = settings.image(IMAGES[0])
    if await engine.image_id(image) is None:
        return _check(name, "listed by the engine; not tried without an image")
    fault = await gvisor_fault(engine, image, instance=settings.instance)
    if fault:
        return _check(name, fault, remedy=f"install gVisor, check {how_to_register()}")
    return _check(name, "a container runs under gVisor")


def _ask_daemon(settings: Settings) -> tuple[list[dict[str, Any]], bool]:
    """Proxy and guard, as the daemon sees them, and whether there is a daemon at all."""
    with closing(Client(settings.api_socket)) as client:
        try:
            said = client.ready()
        except OrchError as exc:
            remedy = (exc.hint or "orch up --detach").removeprefix("start one: ")
            if _runs_none(settings):
                detail = f"not running yet in {settings.run_dir}; it checks proxy and guard once it does"
                return [{**_check("daemon", detail), "remedy": remedy}], False
            return [_check("daemon", exc.message, remedy=remedy)], False
    daemon = _check("daemon", f"answers on {settings.api_socket}")
    return [daemon, *(check for check in said["checks"] if check["name"] != "engine")], True


def _runs_none(settings: Settings) -> bool:
    """Whether certainly no daemon holds the run directory: one that hangs, or that we may not see, might."""
    seen = (settings.run_dir, settings.api_socket, settings.pid_file)
    is_hidden = any(os.path.exists(path) and not os.access(path, os.R_OK) for path in seen)  # noqa: PTH110 - Path's raises
    return not is_hidden and pidfile.holder(settings.pid_file) is None
