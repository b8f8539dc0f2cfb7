"""An agent's packages on the caller's machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.agents.launch import launch_of
from runtime.agents.manifest import Manifest
from runtime.errors import InvalidInputError
from runtime.local.setup import pip_commands, with_venv

TOOL = Manifest(name="agent", type="tool")


def commands(folder: Path, *names: str, package: object = None) -> list[list[str]]:
    """The set-up of a directory with these files."""
    for name in names:
        (folder / name).touch()
    if package is not None:
        (folder / "package.json").write_text(json.dumps(package))
    return pip_commands(folder, Path("/place"), launch_of(folder, TOOL))


def test_requirements_go_into_an_environment_of_the_runs(tmp_path: Path):
    """Made first, and installed with its own pip."""
    made, installed = commands(tmp_path, "main.py", "requirements.txt")

    assert made == ["python3", "-m", "venv", "/place/venv"]
    assert installed[0] == "/place/venv/bin/python3"
    assert installed[-2:] == ["-r", "requirements.txt"]
    assert with_venv({"PATH": "/bin", "A": "1"}, Path("/place")) == {
        "PATH": "/place/venv/bin:/bin", "A": "1", "VIRTUAL_ENV": "/place/venv"
    }  # fmt: skip


def test_without_requirements_nothing_is_set_up(tmp_path: Path):
    """The caller's own interpreter runs it."""
    assert commands(tmp_path, "main.py") == []


@pytest.mark.parametrize("package", [{}, {"type": "module"}, {"dependencies": {}}])
def test_node_without_packages_needs_none(tmp_path: Path, package: object):
    """A package.json alone asks for nothing."""
    assert commands(tmp_path, "main.js", package=package) == []


def test_node_packages_are_the_callers_to_install(tmp_path: Path):
    """They would go into the directory: refused with the command, taken where they are there."""
    package = {"dependencies": {"left-pad": "1"}}

    with pytest.raises(InvalidInputError, match="not installed") as told:
        commands(tmp_path, "main.js", package=package)
    (tmp_path / "node_modules").mkdir()

    assert told.value.hint == f"npm install --prefix {tmp_path}"
    assert commands(tmp_path, "main.js", package=package) == []
