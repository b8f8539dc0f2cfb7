"""`orch up`, `orch down`, `orch doctor`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from runtime.cli.output import emit, is_json, json_option
from runtime.client import Client
from runtime.config import Settings
from runtime.docker_engine import DockerEngine
from runtime.errors import DaemonUnreachableError, NotReadyError, OrchError

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
IMAGES = ("agent-python", "agent-node", "proxy", "daemon")


def settings() -> Settings:
    """The settings of this process's environment."""
    return Settings.from_env(os.environ)


@click.command()
@click.option("--detach", is_flag=True, help="Go to the background once the daemon is ready.")
@json_option
def up(*, detach: bool) -> None:
    """Start the daemon, its proxy and the host guard."""
    found = settings()
    if not detach:
        from runtime.daemon import serve  # noqa: PLC0415 - its imports cost what other commands need not pay

        serve(found)
        return
    _start_detached(found)
    client = Client(found.api_socket)
    pid = int(_pid_file(found).read_text())
    emit(
        {"ready": True, "pid": pid, "socket": str(found.api_socket)}, lambda: click.echo(f"ready (pid {pid})")
    )
    client.close()


def _start_detached(found: Settings) -> None:
    found.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = found.home / "daemon.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.cli.main", "up"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
    client = Client(found.api_socket)
    deadline = time.monotonic() + START_TIMEOUT_S
    checks: list[dict[str, object]] = []
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotReadyError(f"the daemon ended at once: {_tail(log)}", hint=f"read {log}")
        try:
            said = client.ready()
        except DaemonUnreachableError:
            said = {"ready": False, "checks": []}
        if said["ready"]:
            client.close()
            return
        checks = said["checks"] or checks
        time.sleep(0.1)
    wrong = "; ".join(f"{c['name']}: {c['detail']}" for c in checks if not c["ok"]) or "it does not answer"
    raise NotReadyError(f"the daemon is not ready after {START_TIMEOUT_S:g} s: {wrong}", hint=f"read {log}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def _pid_file(found: Settings) -> Path:
    return found.run_dir / "daemon.pid"


@click.command()
@json_option
def down() -> None:
    """Stop the daemon: ends its runs and removes what it made."""
    found = settings()
    try:
        pid = int(_pid_file(found).read_text())
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        raise DaemonUnreachableError(f"no daemon runs for {found.run_dir}", hint="orch up") from None
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _is_alive(pid):
        if time.monotonic() > deadline:
            raise NotReadyError(f"the daemon (pid {pid}) does not stop", hint=f"kill -9 {pid}, then orch up")
        time.sleep(0.05)
    emit({"stopped": True, "pid": pid}, lambda: click.echo("stopped"))


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@click.command()
@json_option
def doctor() -> int:
    """Look at everything a run needs, each with its remedy. Exit status 8 when something is missing."""
    found = settings()
    checks = asyncio.run(_engine_checks(found))
    client = Client(found.api_socket)
    try:
        checks += [
            {"name": c["name"], "ok": c["ok"], "detail": c["detail"], "remedy": c["remedy"]}
            for c in client.ready()["checks"]
            if c["name"] != "engine"
        ]
    except DaemonUnreachableError as exc:
        checks.append({"name": "daemon", "ok": False, "detail": exc.message, "remedy": "orch up --detach"})
    finally:
        client.close()
    is_ok = all(check["ok"] for check in checks)
    emit({"ok": is_ok, "checks": checks}, _printer(checks))
    return 0 if is_ok else 8


def _printer(checks: list[dict[str, object]]) -> Callable[[], None]:
    def show() -> None:
        for check in checks:
            mark = "ok  " if check["ok"] else "FAIL"
            click.echo(f"{mark}  {check['name']}: {check['detail']}")
            if not check["ok"] and check["remedy"]:
                click.echo(f"      try: {check['remedy']}")

    return show


async def _engine_checks(found: Settings) -> list[dict[str, object]]:
    try:
        engine = DockerEngine()
        info = await engine.info()
        checks: list[dict[str, object]] = [
            {"name": "engine", "ok": True, "detail": f"Docker {info.version}", "remedy": None}
        ]
        for name in IMAGES:
            reference = found.image(name)
            is_here = await engine.image_id(reference) is not None
            detail = reference if is_here else f"{reference} is not built"
            remedy = None if is_here else "make images"
            checks.append({"name": f"image {name}", "ok": is_here, "detail": detail, "remedy": remedy})
    except OrchError as exc:
        return [{"name": "engine", "ok": False, "detail": exc.message, "remedy": "start Docker (dockerd)"}]
    return checks


__all__ = ["doctor", "down", "is_json", "settings", "up"]
