"""What one sandbox may use, and the container runtime that it runs under. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Isolation(enum.StrEnum):
    """The container runtime a sandbox runs under."""

    RUNC = "runc"
    RUNSC = "runsc"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may use; the kernel's own cgroup enforces all but the time."""

    memory_bytes: int = 1 << 30
    cpus: float = 1.0
    pids: int = 256
    nofile: int = 4096
    tmpfs_bytes: int = 256 << 20
    timeout_s: float = 300.0
    grace_s: float = 5.0
    """From SIGTERM to SIGKILL."""
    output_bytes: int = 10 << 20
    """Of stdout; a longer result fails the run."""
    log_bytes: int = 10 << 10
    """Of stderr and of stdout kept in the run's record (orchagent keeps 10 KB)."""
