"""What an agent's own code needs before it runs on the caller's machine: nothing goes into the caller's own.

`requirements.txt` is installed into an environment of the run's, which goes with it. A Node agent's packages
would have to go into its directory, so that is left to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from runtime.agents.launch import Launch
from runtime.errors import InvalidInputError

VENV = "venv"


def pip_commands(folder: Path, place: Path, launch: Launch) -> list[list[str]]:
    """The commands that make an environment in `place`; none without requirements.

    Raises InvalidInputError for a Node agent whose packages are not there.
    """
    if launch.setup_argv is None:
        return []
    if launch.image == "agent-node":
        _require_node_modules(folder)
        return []
    python = str(place / VENV / "bin/python3")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [["python3", "-m", "venv", str(place / VENV)], [*install, "-r", "requirements.txt"]]


def with_venv(environment: Mapping[str, str], place: Path) -> dict[str, str]:
    """The environment in which `python3` is the run's own."""
    path = f"{place / VENV / 'bin'}:{environment.get('PATH', '')}"
    return {**environment, "PATH": path, "VIRTUAL_ENV": str(place / VENV)}


def _require_node_modules(folder: Path) -> None:
    if (folder / "node_modules").is_dir():
        return
    try:
        package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        package = None
    if isinstance(package, dict) and not package.get("dependencies"):
        return
    raise InvalidInputError(
        f"{folder}: package.json names packages that are not installed, and a local run installs none",
        hint=f"npm install --prefix {folder}",
    )
