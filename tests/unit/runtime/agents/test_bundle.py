"""The tar of an agent: what is in it and what never is."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from runtime.agents import bundle
from runtime.agents.bundle import bundle_of
from runtime.agents.manifest import BundleSection
from runtime.errors import InvalidInputError


def files_of(folder: Path, *names: str) -> Path:
    """A directory with these files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names_in(packed: bytes) -> list[str]:
    """The tar's members."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return archive.getnames()


KEPT = ["data/a.csv", "lib/docs/x.md", "lib/tests/y.py", "main.py", "package.json", "requirements.txt"]
LEFT_OUT = [
    *(".env", ".env.local", "lib/.env", ".git/config", ".venv/x", "venv/x", "node_modules/a/b.js"),
    *("__pycache__/x.pyc", "lib/__pycache__/x.pyc", "orchagent.json", "tests/test_x.py", "docs/a.md"),
    *("README.md", "Dockerfile", "pyproject.toml", "old.zip", ".github/workflows/ci.yml"),
]


def test_agent_is_packed_without_what_is_not_its_own(tmp_path: Path):
    """Code and data are packed; keys, environments, history and docs are not."""
    assert names_in(bundle_of(files_of(tmp_path, *KEPT, *LEFT_OUT))) == [
        "main.py",
        *sorted(set(KEPT) - {"main.py"}, key=lambda name: ("/" in name, name)),
    ]


def test_members_are_plain_files_of_the_agents_user(tmp_path: Path):
    """No name or right of the host's is in the tar, but whether a file may be executed."""
    files_of(tmp_path, "main.py", "run.sh")
    (tmp_path / "run.sh").chmod(0o6755)

    with tarfile.open(fileobj=io.BytesIO(bundle_of(tmp_path))) as archive:
        members = {member.name: member for member in archive.getmembers()}

    assert {m.uid for m in members.values()} == {1000}
    assert {m.uname + m.gname for m in members.values()} == {""}
    assert (members["main.py"].mode, members["run.sh"].mode) == (0o644, 0o755)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), ("data",), ["main.py"]),
        ((), ("data/*.csv",), ["data/b.txt", "main.py"]),
        ((), ("*.csv",), ["data/b.txt", "main.py"]),
        (("data/a.csv",), ("data",), ["data/a.csv", "main.py"]),
        (("docs/guide.md",), (), ["data/a.csv", "data/b.txt", "docs/guide.md", "main.py"]),
        (("docs",), (), ["data/a.csv", "data/b.txt", "docs/guide.md", "docs/other.md", "main.py"]),
        ((".env", "orchagent.json", ".git"), (), ["data/a.csv", "data/b.txt", "main.py"]),
        ((), ("main.py",), ["data/a.csv", "data/b.txt", "main.py"]),
    ],
)
def test_rules_of_the_manifest(tmp_path: Path, include: tuple, exclude: tuple, expected: list[str]):
    """Include wins over exclude and over the defaults, never for keys; the entry is always there."""
    names = ("main.py", "data/a.csv", "data/b.txt", "docs/guide.md", "docs/other.md")
    files_of(tmp_path, *names, ".env", "orchagent.json", ".git/HEAD")
    rules = BundleSection(include=include, exclude=exclude)

    assert sorted(names_in(bundle_of(tmp_path, rules=rules, entry="main.py"))) == expected


def test_entry_in_a_folder_that_is_left_out_is_packed(tmp_path: Path):
    """An entry under tests/ is the agent's code all the same."""
    files_of(tmp_path, "tests/main.py", "tests/other.py")

    assert names_in(bundle_of(tmp_path, entry="tests/main.py")) == ["tests/main.py"]


@pytest.mark.parametrize("target", ["/etc/hostname", "main.py", "nowhere", "folder"])
def test_link_is_refused(tmp_path: Path, target: str):
    """A link might lead outside, so none is packed, to a folder neither."""
    files_of(tmp_path, "main.py", "folder/x")
    (tmp_path / "link").symlink_to(target)

    with pytest.raises(InvalidInputError, match="link: a symbolic link is not followed"):
        bundle_of(tmp_path)


def test_excluded_link_is_no_matter(tmp_path: Path):
    """What is not packed is not judged."""
    files_of(tmp_path, "main.py")
    (tmp_path / "link").symlink_to("/etc")

    assert names_in(bundle_of(tmp_path, rules=BundleSection(exclude=("link",)))) == ["main.py"]


def test_pipe_is_refused_without_waiting(tmp_path: Path):
    """A named pipe would be read for ever; it is refused at once."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InvalidInputError, match="pipe: not a regular file"):
        bundle_of(tmp_path)


def test_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A socket cannot be packed."""
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")

        with pytest.raises(InvalidInputError, match="sock"):
            bundle_of(tmp_path)


def test_size_is_bounded_before_it_is_read(tmp_path: Path):
    """A file larger than the bundle may be is refused by its size; a sparse one takes no memory."""
    files_of(tmp_path, "main.py")
    with (tmp_path / "big").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(InvalidInputError, match="more than 50 MB"):
        bundle_of(tmp_path)


def test_sum_and_count_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Many small files are bounded too."""
    files_of(tmp_path, *(f"f{n}" for n in range(6)))
    monkeypatch.setattr(bundle, "MAX_FILES", 5)
    with pytest.raises(InvalidInputError, match="more than 5 files"):
        bundle_of(tmp_path)

    monkeypatch.setattr(bundle, "MAX_FILES", 50)
    monkeypatch.setattr(bundle, "MAX_BYTES", 2000)
    with pytest.raises(InvalidInputError, match="50 MB"):
        bundle_of(tmp_path)
