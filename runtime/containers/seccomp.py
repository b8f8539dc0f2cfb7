"""The system calls that our containers may make: `seccomp.json`, checked, as the engine's API takes it.

The file is an allow-list in the engine's own profile format; each rule's comment says what it is for, and
docs/docker.md what is left out. The API takes the content, not a path. An engine treats a profile without
rules as no profile at all (20.10: `{}` switches seccomp off), so whatever is not the profile we know is
refused here, and nothing starts.

    security_opt = f"seccomp={profile()}"

gVisor applies it inside (`--oci-seccomp`) but knows one error number only, EPERM, at which libc does not
fall back: there the calls that are to answer ENOSYS are traced, and without a tracer, which no sandbox can
be, they answer just that (gVisor 20240729; Linux does the same).
"""

from __future__ import annotations

import errno
import json
from functools import cache
from pathlib import Path
from typing import Any

from runtime.errors import NotReadyError

PATH = Path(__file__).with_name("seccomp.json")
ALLOW, REFUSE, TRACE = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"
NEEDED = frozenset({"clone", "execve", "exit_group", "read", "socket", "write"})
"""Nothing starts without these: a profile that lacks one has been cut off."""
NEVER_ALLOWED = frozenset(
    {
        *("add_key", "keyctl", "request_key"),
        *("bpf", "io_uring_enter", "io_uring_register", "io_uring_setup", "perf_event_open", "userfaultfd"),
        *("chroot", "clone3", "fsconfig", "fsmount", "fsopen", "mount", "mount_setattr", "move_mount"),
        *("open_by_handle_at", "open_tree", "pivot_root", "setns", "umount2", "unshare"),
        *("delete_module", "finit_module", "init_module", "iopl", "ioperm", "kexec_file_load", "kexec_load"),
        *("kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace", "socketcall", "syslog"),
    }
)
CONDITIONAL = frozenset({"clone", "mknod", "mknodat", "personality", "socket", "socketpair"})
"""Allowed for some arguments only."""


@cache
def profile(*, is_gvisor: bool = False) -> str:
    """The shipped profile, read once. Raises NotReadyError where it cannot be relied on."""
    return read_profile(PATH, is_gvisor=is_gvisor)


def read_profile(path: Path, *, is_gvisor: bool = False) -> str:
    """A profile as compact JSON without comments. Raises NotReadyError where it cannot be relied on."""
    try:
        document = json.loads(path.read_text())
    except OSError as exc:
        raise _broken(path, f"cannot be read ({exc.strerror})") from None
    except ValueError:
        raise _broken(path, "is no JSON") from None
    fault = _fault(document)
    if fault:
        raise _broken(path, fault)
    for rule in document["syscalls"]:
        rule.pop("comment", None)
        if is_gvisor and rule.pop("errnoRet", None) == errno.ENOSYS:
            rule["action"] = TRACE
    return json.dumps(document, separators=(",", ":"))


def _broken(path: Path, fault: str) -> NotReadyError:
    return NotReadyError(
        f"the seccomp profile {path.name} {fault}: no container is started", hint="install Orchbox again"
    )


def _fault(document: Any) -> str | None:
    """Why this is not the allow-list that it has to be, or None."""
    try:
        if document["defaultAction"] != REFUSE:
            return f"does not refuse by default ({document['defaultAction']})"
        if any(entry["subArchitectures"] for entry in document["archMap"]) or not document["archMap"]:
            return "lets a second architecture's system calls in"
        allowed = [rule for rule in document["syscalls"] if rule["action"] != REFUSE]
        unknown = {rule["action"] for rule in allowed} - {ALLOW}
        names = {name for rule in allowed for name in rule["names"]}
        bare = {name for rule in allowed if not rule.get("args") for name in rule["names"]}
    except (KeyError, TypeError, AttributeError):
        return "is no profile of the engine's"
    if unknown:
        return f"has an action that is neither allow nor refuse ({sorted(unknown)[0]})"
    if missing := NEEDED - names:
        return f"is cut off: {sorted(missing)[0]} is missing"
    if found := (names & NEVER_ALLOWED) | (bare & CONDITIONAL):
        return f"allows {sorted(found)[0]}"
    return None
