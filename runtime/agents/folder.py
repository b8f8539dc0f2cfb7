"""An agent's directory, as it is named on the command line."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import NotFoundError


def agent_folder(agent: str) -> Path:
    """The agent's directory. Raises NotFoundError."""
    path = Path(agent).expanduser()
    if path.is_dir():
        return path
    raise NotFoundError(
        f"{agent} is no directory, and there is no agent registry yet: it comes with a later version",
        hint="give the directory that holds orchagent.json",
    )
