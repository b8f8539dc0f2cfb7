"""What processes hold: memory and descriptors, as /proc tells it (proc(5))."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Vitals(NamedTuple):
    """Of one process at one time."""

    private_bytes: int
    """What it shares with nobody."""
    resident_bytes: int
    peak_bytes: int
    descriptors: int


def vitals_of(pid: int) -> Vitals:
    """Raises OSError where the process is gone."""
    folder = Path(f"/proc/{pid}")
    rollup = _sizes(folder / "smaps_rollup")
    status = _sizes(folder / "status")
    private = rollup["Private_Clean"] + rollup["Private_Dirty"]
    descriptors = sum(1 for _ in (folder / "fd").iterdir())
    return Vitals(private, status["VmRSS"], status["VmHWM"], descriptors)


def children_of(pid: int) -> list[int]:
    """The processes that it has made and not yet buried. Raises OSError where it is gone."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """What it has used of a core since its start. Raises OSError where it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # USER_HZ


def _sizes(path: Path) -> dict[str, int]:
    """The lines of the form `Name:   12 kB`, in bytes."""
    found = {}
    for line in path.read_text().splitlines():
        match line.split():
            case [name, number, "kB"]:
                found[name.removesuffix(":")] = int(number) << 10
    return found
