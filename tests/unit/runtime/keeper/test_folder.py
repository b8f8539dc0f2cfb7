"""A run's folder: its owner's alone, found again, and no path that a name could lead out of."""

from __future__ import annotations

import asyncio
import os
import stat
import uuid
from pathlib import Path

import pytest

from runtime.keeper.folder import AppendOnly, folder_of, folders

RUN = str(uuid.uuid4())


def mode(path: Path) -> str:
    """Its permissions in octal."""
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc", "a", RUN + "/..", RUN.upper(), RUN + "\n"])
def test_only_a_runs_id_names_a_folder(tmp_path: Path, name: str):
    """Nothing else is ever made or removed."""
    with pytest.raises(ValueError, match="not the id"):
        folder_of(tmp_path, name)


async def test_a_socket_is_reached_however_long_its_path_is(tmp_path: Path):
    """A unix socket's path has 107 bytes at most; the folder's own may have more."""
    home = tmp_path / ("d" * 100) / ("e" * 100)
    folder = folder_of(home, RUN)
    with folder.listen() as listener:
        assert mode(folder.path) == mode(home) == "0o700"
        with folder.socket_path() as path:
            _, writer = await asyncio.open_unix_connection(path)
            connection, _ = await asyncio.get_running_loop().run_in_executor(None, listener.accept)
    connection.close()
    writer.close()


def test_a_run_has_one_keeper(tmp_path: Path):
    """A second one for the same run is refused."""
    folder = folder_of(tmp_path, RUN)
    with folder.listen(), pytest.raises(FileExistsError):
        folder.listen()


def test_folders_are_found_again_and_nothing_else_is(tmp_path: Path):
    """What is not a run's is left alone; no folder at all is no run."""
    assert folders(tmp_path / "none") == []
    with folder_of(tmp_path, RUN).listen():
        (tmp_path / "something else").mkdir()
        assert [found.run_id for found in folders(tmp_path)] == [RUN]
        folders(tmp_path)[0].remove()
    assert folders(tmp_path) == []
    folder_of(tmp_path, RUN).remove()


def test_a_file_is_ours_alone_and_only_added_to(tmp_path: Path):
    """Nobody else can read it, whatever the umask; an existing one, or a link, is not opened."""
    old = os.umask(0)
    try:
        file = AppendOnly(tmp_path / "journal")
    finally:
        os.umask(old)
    file.add(b"one\n")
    file.add(b"two\n")
    assert file.read() == b"one\ntwo\n"
    assert mode(tmp_path / "journal") == "0o600"
    file.close()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("journal", "link"):
        with pytest.raises(FileExistsError):
            AppendOnly(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()
