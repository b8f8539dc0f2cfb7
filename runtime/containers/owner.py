"""Who made something on the engine: a process, told apart from a later one with the same number."""

from __future__ import annotations

import enum
import os
from pathlib import Path


class Life(enum.Enum):
    """What is known of a process that left its name somewhere."""

    UNKNOWN = "not visible from here"
    """It is of another pid namespace (a container), or its name cannot be read: it may live."""
    ALIVE = "running"
    DEAD = "ended"


def this_process() -> str:
    """`pid:start time:boot/pid namespace`, of the calling process."""
    return _name(os.getpid())


def is_alive(owner: str) -> bool:
    """Whether the process that `owner` names still runs, as far as this process can see."""
    return life_of(owner) is Life.ALIVE


def life_of(owner: str) -> Life:
    """Whether the process that `owner` names still runs; unknown unless this process is sure."""
    pid, _, named = owner.partition(":")
    boot, _, namespace = named.partition(":")[2].partition("/")
    if not pid.isdecimal() or not boot:
        return Life.UNKNOWN
    if boot != _boot():  # it ended with that boot, in whichever namespace it was
        return Life.DEAD
    if namespace != _namespace():
        return Life.UNKNOWN
    try:
        return Life.ALIVE if _name(int(pid)) == owner else Life.DEAD
    except OSError:
        return Life.DEAD


def pid_of(owner: str) -> str:
    """The number of the process that `owner` names, as it was in its own namespace."""
    return owner.partition(":")[0]


def _name(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat").read_text()
    started = stat.rpartition(")")[2].split()[19]
    return f"{pid}:{started}:{_boot()}/{_namespace()}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)
