"""How many files the daemon may have open: each connection of its port is one, and so is much else."""

from __future__ import annotations

import resource

WANTED = 16_384
SHARE = 2
"""The port's connections may take one part in so many."""


def raise_file_limit() -> int:
    """Raise this process' soft limit as far as it may and as is needed; the limit that there is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return WANTED if soft == resource.RLIM_INFINITY else soft
