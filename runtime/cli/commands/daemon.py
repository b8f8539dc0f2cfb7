"""`orch up` and `orch down`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import click

from runtime.cli.console.context import read_settings
from runtime.cli.console.output import emit, json_option
from runtime.client.connection import Client
from runtime.containers.foreign import find_foreign, remove_foreign
from runtime.containers.sweep import sweep
from runtime.daemon import installation, last_words, pidfile
from runtime.daemon.settings import Settings
from runtime.engine.protocol import Engine
from runtime.errors import (
    ConflictError,
    DaemonUnreachableError,
    NotReadyError,
    OrchError,
    PermissionDeniedError,
)

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.05
_PACKAGES = Path(__file__).resolve().parents[3]


@click.command()
@click.option("--detach", is_flag=True, help="Go to the background once the daemon is ready.")
@click.option("--tcp", metavar="HOST:PORT", help="Serve the API there, too, with TLS and tokens.")
@json_option
def up(*, detach: bool, tcp: str | None) -> None:
    """Start the daemon, its proxy and the host guard."""
    if tcp is not None:
        os.environ["ORCHBOX_LISTEN"] = tcp  # a detached daemon inherits it
    settings = read_settings()
    if not detach:
        from runtime.daemon.serve import serve  # noqa: PLC0415 - its imports cost what other commands need not pay

        serve(settings)
        return
    pid = _start_detached(settings)
    shown = {"ready": True, "pid": pid, "socket": str(settings.api_socket), "log": str(settings.log_file)}
    emit(shown, lambda: click.echo(f"ready (pid {pid}, log {settings.log_file})"))


def _start_detached(settings: Settings) -> int:
    """Start `orch up` in a session of its own and wait until it is ready; its pid.

    One that does not become ready is stopped. Raises ConflictError, NotReadyError,
    and what the daemon ended with.
    """
    if running := pidfile.holder(settings.pid_file):
        installation.require_own(settings, running)
        raise ConflictError(f"a daemon is already running (pid {running.pid})", hint="orch down")
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = os.open(settings.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise NotReadyError(
            f"{settings.log_file}: {exc.strerror}", hint="set ORCHBOX_HOME to a writable path"
        ) from None
    try:
        start = os.fstat(log).st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.cli.main", "up"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=_daemon_environment(settings),
        )
    finally:
        os.close(log)
    try:
        _wait_ready(settings, process, start)
    except BaseException:
        _stop(process)
        raise
    return process.pid


def _daemon_environment(settings: Settings) -> dict[str, str]:
    """Ours, with the paths made absolute, since the daemon works in `/`."""
    own = {"PYTHONPATH": str(_PACKAGES), "ORCHAGENT_OUTPUT": "text"}
    if os.environ.get("ORCHBOX_POLICY_DIR"):
        own["ORCHBOX_POLICY_DIR"] = str(settings.policy_dirs[0].resolve())
    if settings.site_policy is not None:
        own["ORCHBOX_SITE_POLICY"] = str(settings.site_policy.resolve())
    return {**os.environ, **own}


def _wait_ready(settings: Settings, process: subprocess.Popen[bytes], log_start: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    wrong = "it does not answer"
    with closing(Client(settings.api_socket)) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise _end_of(settings.log_file, log_start)
            try:
                said = client.ready()
            except DaemonUnreachableError:
                time.sleep(POLL_S)
                continue
            if said["ready"]:
                return
            failing = [f"{c['name']}: {c['detail']}" for c in said["checks"] if not c["ok"]]
            wrong = "; ".join(failing)
            time.sleep(POLL_S)
    raise NotReadyError(
        f"the daemon was not ready after {START_TIMEOUT_S:g} s and was stopped: {wrong}",
        hint=f"correct that; the log is {settings.log_file}",
    )


def _end_of(log: Path, start: int) -> OrchError:
    """The error that the daemon ended with, or one with the last line of what it wrote."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it wrote nothing"
    return last_words.heard(lines) or NotReadyError(
        f"the daemon ended: {last}", hint=f"correct that; the log is {log}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@click.command()
@click.option("--foreign", is_flag=True, help="Remove what another installation's dead daemon left.")
@json_option
def down(*, foreign: bool) -> None:
    """Stop the daemon: ends its runs and removes its containers and networks.

    Without a daemon it removes what an earlier one left; that there is nothing to do is no failure.
    """
    settings = read_settings()
    running = pidfile.holder(settings.pid_file)
    other = installation.keeper(settings)
    if other is not None and (running is None or other.pid != running.pid):
        raise installation.in_use(settings, other)
    if running is not None:
        _end(settings, running)
    removed = asyncio.run(_sweep(settings, is_foreign_too=foreign, is_all=running is None))
    pid = running.pid if running else None
    left = f"removed {removed} of what was left" if removed else "there was nothing to stop"
    what = f"stopped (pid {pid})" if running else f"no daemon runs in {settings.run_dir}; {left}"
    emit({"stopped": running is not None, "pid": pid, "removed": removed}, lambda: click.echo(what))


def _end(settings: Settings, running: pidfile.Holder) -> None:
    if not running.is_here:
        raise NotReadyError(
            f"the daemon of {settings.run_dir} runs in a container", hint="docker compose down"
        )
    installation.require_own(settings, running)
    try:
        os.kill(running.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise PermissionDeniedError(
            f"the daemon (pid {running.pid}) is another user's", hint="run orch down as that user"
        ) from None
    deadline = time.monotonic() + settings.stop_s + STOP_TIMEOUT_S
    while _is_alive(running.pid):
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"the daemon (pid {running.pid}) does not stop",
                hint=f"kill -9 {running.pid}, then orch down",
            )
        time.sleep(POLL_S)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def _sweep(settings: Settings, *, is_foreign_too: bool, is_all: bool) -> int:
    """Remove what this installation left, and another's where that is asked for.

    With `is_all` nothing else was done: what another installation has is then told, as a ConflictError.
    """
    # The SDKs cost what others need not pay.
    from runtime.engine.docker import DockerEngine  # noqa: PLC0415
    from runtime.keeper.ends import DAEMON_STOPPED  # noqa: PLC0415
    from runtime.keeper.link import end_left  # noqa: PLC0415

    if is_all:  # a daemon that stops ends its runs itself
        await end_left(settings.keepers_dir, DAEMON_STOPPED)
    engine = DockerEngine()
    try:
        return await sweep_all(engine, settings, is_foreign_too=is_foreign_too, is_all=is_all)
    finally:
        await engine.close()


async def sweep_all(engine: Engine, settings: Settings, *, is_foreign_too: bool, is_all: bool) -> int:
    """`_sweep`, on an engine."""
    ours = installation.known(settings) or ""
    removed = 0
    if ours:
        with_proxy = settings.proxy_mode == "managed"
        removed = await sweep(engine, settings.instance, installation=ours, with_proxy=with_proxy)
    if is_foreign_too:
        return removed + await remove_foreign(engine, settings.instance, ours)
    if is_all and not removed:
        for foreign in await find_foreign(engine, settings.instance, ours):
            raise foreign.refusal("nothing was removed")
    return removed
