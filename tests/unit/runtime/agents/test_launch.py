"""From files to image and command."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.agents.launch import ENTRIES, launch_of
from runtime.agents.manifest import Manifest, RuntimeSection
from runtime.errors import InvalidInputError

PIP = ("python3", "-m", "pip", "install", "--quiet", "-r", "requirements.txt")


def folder_with(folder: Path, *names: str) -> Path:
    """A directory with these empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def tool(**more) -> Manifest:
    """A manifest."""
    return Manifest(name="agent", type="tool", **more)


def test_detection_follows_the_platforms_order(tmp_path: Path):
    """Of all entry files the first in the platform's order is started."""
    folder_with(tmp_path, *ENTRIES)

    for name in ENTRIES[:8]:
        assert launch_of(tmp_path, tool()).entry == name
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("files", "more", "image", "argv", "setup"),
    [
        (["main.py"], {}, "agent-python", ("python3", "main.py"), None),
        (["main.py", "requirements.txt"], {}, "agent-python", ("python3", "main.py"), PIP),
        (["main.py", "package.json"], {}, "agent-python", ("python3", "main.py"), None),
        (["x/tool.py"], {"entrypoint": "x/tool.py"}, "agent-python", ("python3", "x/tool.py"), None),
        (["index.js"], {}, "agent-node", ("node", "index.js"), None),
        (["a.mjs"], {"entrypoint": "a.mjs"}, "agent-node", ("node", "a.mjs"), None),
        (
            ["main.js", "package.json"],
            {},
            "agent-node",
            ("node", "main.js"),
            ("npm", "install", "--no-progress"),
        ),
        (
            ["main.js", "package.json", "package-lock.json"],
            {},
            "agent-node",
            ("node", "main.js"),
            ("npm", "ci", "--no-progress"),
        ),
    ],
)
def test_entry_chooses_image_and_setup(
    tmp_path: Path, files: list[str], more: dict, image: str, argv: tuple, setup: tuple | None
):
    """The entry's ending chooses the image; set-up runs only for a file that is there."""
    found = launch_of(folder_with(tmp_path, *files), tool(**more))

    assert (found.image, found.argv, found.setup_argv) == (image, argv, setup)


@pytest.mark.parametrize(
    ("files", "more", "image"),
    [
        ([], {}, "agent-python"),
        (["package.json"], {}, "agent-node"),
        (["package.json", "requirements.txt"], {}, "agent-python"),
        (["package.json", "main.py"], {}, "agent-python"),
        (["main.ts"], {"entrypoint": "main.ts"}, "agent-node"),
    ],
)
def test_command_goes_through_the_shell(tmp_path: Path, files: list[str], more: dict, image: str):
    """runtime.command wins over every entry file, whose ending still chooses the image."""
    section = RuntimeSection(command="echo $HOME")

    found = launch_of(folder_with(tmp_path, *files), tool(runtime=section, **more))

    assert (found.image, found.argv) == (image, ("/bin/sh", "-c", "echo $HOME"))


@pytest.mark.parametrize(
    ("files", "entry", "words"),
    [
        ([], None, "nothing to start"),
        ([], "main.py", "no file of this agent"),
        (["../outside.py"], "../outside.py", "no file of this agent"),
        ([], "/etc/hostname", "no file of this agent"),
        (["-c.py"], "-c.py", "no file of this agent"),
        (["main.sh"], "main.sh", "not run as it is"),
        (["main"], "main", "not run as it is"),
        (["main.ts"], None, "TypeScript"),
    ],
)
def test_what_cannot_be_started_is_refused(tmp_path: Path, files: list[str], entry: str | None, words: str):
    """No entry, one outside, or one of an unknown language is one clear error with a remedy."""
    folder = tmp_path / "agent"
    folder.mkdir()

    with pytest.raises(InvalidInputError, match=words) as told:
        launch_of(folder_with(folder, *files), tool(entrypoint=entry))

    assert told.value.hint


def test_entry_through_a_link_to_outside_is_refused(tmp_path: Path):
    """A link is followed before the entry is judged."""
    folder = tmp_path / "agent"
    folder.mkdir()
    folder_with(tmp_path, "outside.py")
    (folder / "main.py").symlink_to(tmp_path / "outside.py")

    with pytest.raises(InvalidInputError, match="no file of this agent"):
        launch_of(folder, tool(entrypoint="main.py"))
