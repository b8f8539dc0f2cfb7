"""Labels on everything the daemon makes, so that a later daemon can find and reap it."""

from __future__ import annotations

INSTANCE = "io.orchbox.instance"
ROLE = "io.orchbox.role"
RUN = "io.orchbox.run"
SLOT = "io.orchbox.slot"
OWNER = "io.orchbox.owner"
"""Process (`runtime.containers.owner`) whose end makes a thing a leftover (`runtime.daemon.embedded`)."""
INSTALLATION = "io.orchbox.installation"
"""The random id of the daemon that made it (`runtime.daemon.installation`): nobody else may remove it."""
RUN_DIR = "io.orchbox.run-dir"
"""That daemon's run directory, for a person who looks for it."""
DAEMON = "io.orchbox.daemon"
"""That daemon's process (`runtime.containers.owner`)."""


def labels(instance: str, role: str, **more: str) -> dict[str, str]:
    """The labels of one thing."""
    return {INSTANCE: instance, ROLE: role, **more}
