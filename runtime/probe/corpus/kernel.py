"""The kernel's side of the sandbox: one case for each attempt of `inside.syscalls`."""

from __future__ import annotations

from runtime.probe.corpus.case import Blocked, Case
from runtime.probe.inside.syscalls import ATTEMPTS

FIX_KERNEL = "runtime/containers/seccomp.json, runtime/containers/restrictions.py"

CASES: tuple[Case, ...] = tuple(
    Case(
        f"K-{name}",
        "kernel",
        name.replace("_", " "),
        "syscall",
        {"name": name},
        Blocked(),
        FIX_KERNEL,
        is_serial=True,
    )
    for name in ATTEMPTS
)
