"""Where the engine's host has a folder that this process sees: elsewhere, where it is in a container itself.

The engine mounts what lies on its own host. A daemon in a container (Compose) finds itself among the engine's
containers, and what is mounted there from where; anywhere else a path is the host's own.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.engine.protocol import Engine
from runtime.errors import NotFoundError, NotReadyError

_OWN_FILE = re.compile(r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)")
"""Of a container, on its engine's host: bound into the container, it tells the container's id."""
_SHORT_ID = re.compile(r"[0-9a-f]{12}")
_MOUNT_INFO = Path("/proc/self/mountinfo")


async def host_folder(engine: Engine, folder: Path) -> Path:
    """The folder's path on the engine's host.

    Raises NotReadyError where this container has it to itself, and what the engine raises.
    """
    folder, found = _seen_here(folder)
    for own_id in found:
        try:
            record = await engine.inspect(own_id)
        except NotFoundError:
            continue
        if str(record["Id"]).startswith(own_id):  # else a container that is only called so
            return _translated(folder, record["Mounts"])
    return folder


def _seen_here(folder: Path) -> tuple[Path, list[str]]:
    """The folder without links, and what may be our own container's id."""
    return folder.resolve(), own_ids(_MOUNT_INFO.read_text(), socket.gethostname())


def own_ids(mount_info: str, host_name: str) -> list[str]:
    """What may be the id of the container that this process is in, the surest first. Pure.

    `mount_info` is a `/proc/PID/mountinfo` (proc(5)): its fourth field is the path within the file system.
    """
    roots = (line.split(" ")[3] for line in mount_info.splitlines() if line.count(" ") > 4)
    found = [match[1] for match in map(_OWN_FILE.search, roots) if match is not None]
    return list(dict.fromkeys([*found, *([host_name] if _SHORT_ID.fullmatch(host_name) else [])]))


def _translated(folder: Path, mounts: Iterable[Mapping[str, Any]]) -> Path:
    best: tuple[Path, str] | None = None
    for mount in mounts:
        destination = Path(mount["Destination"]).resolve()
        if folder.is_relative_to(destination) and (best is None or destination.is_relative_to(best[0])):
            best = destination, str(mount.get("Source") or "")
    if best is None or not best[1]:
        raise NotReadyError(
            f"{folder} is in the daemon's own container only, so that no sandbox can have a file of it",
            hint="mount ORCHBOX_RUN_DIR from the engine's host, or a volume, as compose.yaml does",
        )
    return Path(best[1]) / folder.relative_to(best[0])
