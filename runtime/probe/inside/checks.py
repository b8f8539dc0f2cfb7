"""What a sandbox may find or do without the network; `blocked` is good, `possible` is not."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from .trail import Trail

Seen = dict[str, Any]
SEARCHED = ("/home", "/tmp", "/run", "/etc", "/opt", "/var", "/root", "/srv", "/mnt", "/media", "/dev")  # noqa: S108
MAX_FILES, MAX_BYTES = 20_000, 1 << 20
PORTS_AT_ONCE = 64
CONNECT_TIMEOUT_S = 1.5


def check(args: dict[str, Any], _trail: Trail) -> Seen:
    """Run one of the named checks of what the sandbox may do."""
    return CHECKS[args["name"]](args)


def _blocked(detail: str) -> Seen:
    return {"outcome": "blocked", "detail": detail}


def _possible(detail: str) -> Seen:
    return {"outcome": "possible", "detail": detail}


def absent_paths(args: dict[str, Any]) -> Seen:
    """None of `paths` exists or can be opened."""
    for path in args["paths"]:
        try:
            found = os.path.exists(path)  # noqa: PTH110 - Path.exists raises where stat is refused
        except OSError:
            continue
        if found:
            return _possible(f"{path} exists")
    return _blocked(f"none of {len(args['paths'])} paths exists")


def unopenable(args: dict[str, Any]) -> Seen:
    """None of `paths` can be opened; gVisor shows some devices of its own that nobody may use."""
    for path in args["paths"]:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            continue
        return _possible(f"{path} can be opened")
    return _blocked(f"none of {len(args['paths'])} can be opened")


def unwritable(args: dict[str, Any]) -> Seen:
    """Nothing can be written at `paths`."""
    for path in args["paths"]:
        target = Path(path)
        try:
            if target.is_dir():
                target = target / f"probe-{os.getpid()}"
                target.write_text("x")
                target.unlink()
            else:
                with target.open("ab"):
                    pass
        except OSError:
            continue
        return _possible(f"{path} can be written")
    return _blocked("all refused")


def read_only(args: dict[str, Any]) -> Seen:
    """Each of `paths` lies on a file system that is mounted read-only."""
    for path in args["paths"]:
        if not os.statvfs(path).f_flag & os.ST_RDONLY:
            return _possible(f"{path} is mounted writable")
    return _blocked("mounted read-only")


def no_private_key(_args: dict[str, Any]) -> Seen:
    """No readable file holds a private key: the interception CA's above all."""
    found = _search(re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"))
    return _possible(f"a private key in {found}") if found else _blocked("no file holds a private key")


def only_own_secrets(args: dict[str, Any]) -> Seen:
    """`value` stands in no file but the env file, and in no process's environment but the agent's own."""
    value = args["value"].encode()
    found = [p for p in _all_with(re.compile(re.escape(value))) if p != "/run/secrets/env"]
    first = Path("/proc/1/environ")
    if os.access(first, os.R_OK) and value in first.read_bytes():
        found.append(str(first))
    found += [str(p) for p in Path("/proc").glob("[0-9]*/cmdline") if value in _read(p)]
    return _possible(f"found in {found[0]}") if found else _blocked("only in this agent's own environment")


def env_file_is_private(_args: dict[str, Any]) -> Seen:
    """The env file is on a tmpfs, and nobody else may read it."""
    mode = os.stat("/run/secrets/env").st_mode & 0o777  # noqa: PTH116
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    is_tmpfs = any(line.split()[1:3] == ["/run", "tmpfs"] for line in mounts)
    if mode & 0o077 or not is_tmpfs:
        return _possible(f"mode {mode:o}, on a tmpfs: {is_tmpfs}")
    return _blocked(f"mode {mode:o} on a tmpfs")


def no_other_processes(_args: dict[str, Any]) -> Seen:
    """Every visible process is this sandbox's: the first one is its own init."""
    foreign = [p for p in Path("/proc").glob("[0-9]*") if b"dockerd" in _read(p / "cmdline")]
    count = len(list(Path("/proc").glob("[0-9]*")))
    return _possible(f"{foreign} is the host's") if foreign or count > 50 else _blocked(f"{count} processes")


def no_host_names(args: dict[str, Any]) -> Seen:
    """`/etc/hosts` and `/etc/resolv.conf` name nothing of the host's, and no name server but the proxy."""
    text = Path("/etc/resolv.conf").read_text() + Path("/etc/hosts").read_text()
    servers = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
    searched = [line for line in text.splitlines() if line.startswith("search") and line.split()[1:] != ["."]]
    if servers != [args["proxy"]] or "host.docker.internal" in text or searched:
        return _possible(f"nameservers {servers}, search {searched}")
    return _blocked("one nameserver, the proxy")


def one_interface(_args: dict[str, Any]) -> Seen:
    """The sandbox has one network and loopback, and no IPv6 address but loopback's."""
    names = sorted(name for _, name in socket.if_nameindex())
    six = Path("/proc/net/if_inet6")
    found = (
        [line for line in six.read_text().splitlines() if not line.endswith(" lo")] if six.exists() else []
    )
    extra = [
        name
        for name in names
        if name not in {"lo", "eth0"} and not name.startswith(("tunl", "sit", "ip6tnl"))
    ]
    return _possible(f"interfaces {names}, IPv6 {found}") if extra or found else _blocked(f"{names}")


def closed_ports(args: dict[str, Any]) -> Seen:
    """Of `address`, only `allowed` answer among `first`..`last` and `more`."""
    wanted = [*range(int(args["first"]), int(args["last"]) + 1), *args.get("more", ())]
    ports = [port for port in wanted if port not in args["allowed"]]
    found = [
        port
        for at in range(0, len(ports), PORTS_AT_ONCE)
        for port in _answering(args["address"], ports[at : at + PORTS_AT_ONCE])
    ]
    return _possible(f"{sorted(found)} answer") if found else _blocked(f"{len(ports)} ports refused")


def _answering(address: str, ports: list[int]) -> list[int]:
    """Those that accept; without threads, of which a sandbox has few and other cases need some too."""
    found: list[int] = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as pending:
        for port in ports:
            connection = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
            error = connection.connect_ex((address, port))
            if error == 0:
                found.append(port)
            elif error == errno.EINPROGRESS:
                pending.register(connection, selectors.EVENT_WRITE, port)
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while pending.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in pending.select(left):
                pending.unregister(key.fileobj)
                connection = cast("socket.socket", key.fileobj)
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    found.append(key.data)
    return found


def _search(pattern: re.Pattern[bytes]) -> str | None:
    return next(iter(_all_with(pattern)), None)


def _all_with(pattern: re.Pattern[bytes]) -> list[str]:
    found: list[str] = []
    count = 0
    for top in SEARCHED:
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder) / name
                count += 1
                if count > MAX_FILES:
                    return found
                if path.is_file() and not path.is_symlink() and pattern.search(_read(path)):
                    found.append(str(path))
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError:
        return b""


CHECKS: dict[str, Callable[[dict[str, Any]], Seen]] = {
    function.__name__: function
    for function in (
        *(
            absent_paths,
            unopenable,
            unwritable,
            read_only,
            no_private_key,
            only_own_secrets,
            env_file_is_private,
        ),
        *(no_other_processes, no_host_names, one_interface, closed_ports),
    )
}
