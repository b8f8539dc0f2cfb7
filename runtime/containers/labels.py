"""Labels on everything the daemon makes, so that a later daemon can find and reap it."""

from __future__ import annotations

INSTANCE = "io.orchbox.instance"
ROLE = "io.orchbox.role"
RUN = "io.orchbox.run"
SLOT = "io.orchbox.slot"
OWNER = "io.orchbox.owner"
"""Process (`runtime.containers.owner`) whose end makes a thing a leftover (`runtime.daemon.embedded`)."""


def labels(instance: str, role: str, **more: str) -> dict[str, str]:
    """The labels of one thing."""
    return {INSTANCE: instance, ROLE: role, **more}
