"""Ports of loopback for programs that have to be told theirs."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
from pathlib import Path

_LOWEST = 10_000


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP, and stay so.

    Below the range from which the kernel gives connections theirs: between this answer and the program's
    start a connection of whichever process could otherwise take one of them.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.SystemRandom().sample(range(_LOWEST, max(first_given, _LOWEST + 10_000)), 1000)
    return list(itertools.islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
