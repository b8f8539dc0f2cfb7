"""From a manifest and its directory to what is started: image, command and set-up. Pure but for `is_file`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from runtime.agents.manifest import MANIFEST, Manifest
from runtime.errors import InvalidInputError

Image = Literal["agent-python", "agent-node"]

PYTHON_ENTRIES = ("main.py", "app.py", "agent.py", "run.py", "__main__.py")
NODE_ENTRIES = ("main.js", "index.js", "agent.js", "main.ts", "index.ts", "agent.ts")
"""In the platform's order of detection."""
ENTRIES = (*PYTHON_ENTRIES, *NODE_ENTRIES)
NODE_SUFFIXES = {".js", ".mjs", ".cjs"}
TYPESCRIPT_SUFFIXES = {".ts", ".mts", ".cts"}


class Launch(NamedTuple):
    """What to start in which image."""

    image: Image
    argv: tuple[str, ...]
    setup_argv: tuple[str, ...] | None
    entry: str | None
    """The entry file, packed whatever else is left out."""


def launch_of(folder: Path, manifest: Manifest) -> Launch:
    """The image and commands of a directory. Raises InvalidInputError where there is nothing to start."""
    entry = manifest.entrypoint or _detect(folder)
    if manifest.runtime is not None:
        image = _image_for_command(folder, entry)
        return Launch(image, ("/bin/sh", "-c", manifest.runtime.command), _setup(folder, image), entry)
    if entry is None:
        raise InvalidInputError(
            f"{folder}: nothing to start: none of {', '.join(ENTRIES)}",
            hint=f"add one, or set entrypoint or runtime.command in {MANIFEST}",
        )
    _check_entry(folder, entry)
    suffix = Path(entry).suffix
    if suffix == ".py":
        return Launch("agent-python", ("python3", entry), _setup(folder, "agent-python"), entry)
    if suffix in NODE_SUFFIXES:
        return Launch("agent-node", ("node", entry), _setup(folder, "agent-node"), entry)
    what = f"{suffix} files are" if suffix else "a file without ending is"
    hint = "use a .py, .js, .mjs or .cjs file, or runtime.command"
    if suffix in TYPESCRIPT_SUFFIXES:  # the distribution's Node LTS (20) cannot strip types
        what, hint = "TypeScript is", "compile it to JavaScript, or start it with runtime.command"
    raise InvalidInputError(f"{folder / MANIFEST}: entrypoint: {entry}: {what} not run as it is", hint=hint)


def _detect(folder: Path) -> str | None:
    return next((name for name in ENTRIES if (folder / name).is_file()), None)


def _check_entry(folder: Path, entry: str) -> None:
    path = (folder / entry).resolve()
    is_inside = path.is_relative_to(folder.resolve()) and not entry.startswith(("/", "-"))
    if not is_inside or not path.is_file():
        raise InvalidInputError(
            f"{folder / MANIFEST}: entrypoint: {entry} is no file of this agent", hint="name an existing file"
        )


def _image_for_command(folder: Path, entry: str | None) -> Image:
    """By the entry's ending, else by which set-up file there is."""
    if entry is not None:
        is_node = Path(entry).suffix in NODE_SUFFIXES | TYPESCRIPT_SUFFIXES
    else:
        is_node = not (folder / "requirements.txt").is_file() and (folder / "package.json").is_file()
    return "agent-node" if is_node else "agent-python"


def _setup(folder: Path, image: Image) -> tuple[str, ...] | None:
    """The platform's set-up: pip for requirements.txt, npm for package.json; the policy must allow it."""
    if image == "agent-python" and (folder / "requirements.txt").is_file():
        return ("python3", "-m", "pip", "install", "--quiet", "-r", "requirements.txt")
    if image == "agent-node" and (folder / "package.json").is_file():
        return ("npm", "ci" if (folder / "package-lock.json").is_file() else "install", "--no-progress")
    return None
