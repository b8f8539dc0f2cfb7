"""From a sandbox's specification to the container that the engine creates. Pure, but for the shipped profile.

Every restriction stands here once; the system calls are in `seccomp.json`. Source of the field names:
Docker Engine API 1.41, `POST /containers/create`.
"""

from __future__ import annotations

from runtime.containers.seccomp import profile
from runtime.model.limits import Isolation

GVISOR_TASKS, GVISOR_TASKS_PER_PROCESS = 64, 3
NO_LOG = {"Type": "none", "Config": {}}
"""The engine writes nothing of an agent's output to the host's disk."""


def security_options(isolation: Isolation = Isolation.RUNC, *, has_apparmor: bool = False) -> list[str]:
    """What every container of ours starts with. Raises NotReadyError where the seccomp profile is unusable.

    The engine applies `docker-default` by itself where AppArmor is there; named, it is never silently off.
    """
    filtered = f"seccomp={profile(is_gvisor=isolation is Isolation.RUNSC)}"
    return ["no-new-privileges:true", filtered, *(["apparmor=docker-default"] if has_apparmor else [])]


def host_tasks(isolation: Isolation, pids: int) -> int:
    """The cgroup's limit of tasks for a sandbox that may have `pids` processes and threads.

    gVisor needs tasks of the host's for itself (33 at start, 2.1 for each process inside; 20240729), and one
    that gets none ends with all that is in it: its limit is a stop behind the one that it enforces itself.
    """
    return pids if isolation is Isolation.RUNC else GVISOR_TASKS + GVISOR_TASKS_PER_PROCESS * pids
