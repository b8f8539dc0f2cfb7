"""runtime.containers.resolv_conf: the files that name a sandbox's resolver are ours, whole, and as many as used."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.containers.resolv_conf import ResolvConfs, text_for
from runtime.errors import NotReadyError

ADDRESS, OTHER = "10.231.0.2", "10.231.0.10"


def test_a_file_names_one_server_and_searches_nothing(tmp_path: Path):
    """What the sandbox's libc reads: the proxy, two seconds, one attempt, and every name is whole."""
    name = ResolvConfs(tmp_path / "resolv").write(ADDRESS)

    text = (tmp_path / "resolv" / name).read_text()
    assert text == "nameserver 10.231.0.2\noptions ndots:0 timeout:2 attempts:1\n"


def test_everybody_may_read_it_and_nobody_else_write(tmp_path: Path):
    """Whatever the umask: an agent is another user, and so is the folder's neighbour."""
    before = os.umask(0o077)
    try:
        name = ResolvConfs(tmp_path / "run" / "resolv").write(ADDRESS)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "run/resolv" / name).stat().st_mode) == 0o644
    assert not (tmp_path / "run/resolv").stat().st_mode & 0o022


def test_a_file_that_is_right_stays(tmp_path: Path):
    """It is compared, not written again."""
    files = ResolvConfs(tmp_path)
    inode = (tmp_path / files.write(ADDRESS)).stat().st_ino

    assert (tmp_path / files.write(ADDRESS)).stat().st_ino == inode


def _link(path: Path) -> None:
    path.symlink_to("elsewhere")


def _hard_link(path: Path) -> None:
    other = path.with_name("elsewhere")
    other.write_text(text_for(ADDRESS))
    other.chmod(0o644)
    path.hardlink_to(other)


def _writable(path: Path) -> None:
    path.write_text(text_for(ADDRESS))
    path.chmod(0o666)


SPOILED: dict[str, Callable[[Path], object]] = {
    "other bytes": lambda path: path.write_text("nameserver 192.0.2.1\n"),
    "bytes behind it": lambda path: path.write_text(text_for(ADDRESS) + "nameserver 192.0.2.1\n"),
    "cut short": lambda path: path.write_text(text_for(ADDRESS)[:-1]),
    "a link": _link,
    "a second name of another file": _hard_link,
    "writable for others": _writable,
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("case", SPOILED)
def test_whatever_stands_in_its_place_is_replaced(tmp_path: Path, case: str):
    """At each use it is a plain file of ours with exactly its text; what a link led to is not touched."""
    files, elsewhere = ResolvConfs(tmp_path), tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    path = tmp_path / f"{ADDRESS}.conf"
    if case == "a second name of another file":
        elsewhere.unlink()
    SPOILED[case](path)

    assert files.write(ADDRESS) == path.name

    found = path.stat(follow_symlinks=False)
    assert (stat.S_ISREG(found.st_mode), stat.S_IMODE(found.st_mode), found.st_nlink) == (True, 0o644, 1)
    assert path.read_text() == text_for(ADDRESS)
    assert elsewhere.read_text() in ("theirs", text_for(ADDRESS))
    assert {item.name for item in tmp_path.iterdir()} == {path.name, "elsewhere"}


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path):
    """Whoever may write to the folder would choose the resolver of every sandbox."""
    folder = tmp_path / "resolv"
    folder.mkdir()
    folder.chmod(0o777)

    with pytest.raises(NotReadyError, match="another user may write"):
        ResolvConfs(folder).write(ADDRESS)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its owner could put another file there between our look and the engine's."""
    ResolvConfs(tmp_path / "resolv").write(ADDRESS)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(NotReadyError, match="another user may write"):
        ResolvConfs(tmp_path / "resolv").write(ADDRESS)


def test_a_link_in_the_folder_s_place_is_refused(tmp_path: Path):
    """No link is followed, wherever it leads."""
    (tmp_path / "real").mkdir()
    (tmp_path / "resolv").symlink_to("real")

    with pytest.raises(NotReadyError):
        ResolvConfs(tmp_path / "resolv").write(ADDRESS)
    assert list((tmp_path / "real").iterdir()) == []


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path):
    """The operator reads which path, why, and what to set."""
    (tmp_path / "file").write_text("")

    with pytest.raises(NotReadyError, match=r"Not a directory") as refused:
        ResolvConfs(tmp_path / "file" / "resolv").write(ADDRESS)
    assert "ORCHBOX_RUN_DIR" in (refused.value.hint or "")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither half a file nor a file of another name."""

    def full(_file: int, _mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(NotReadyError, match="No space left"):
        ResolvConfs(tmp_path).write(ADDRESS)
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_needs_is_removed(tmp_path: Path):
    """The file of a network that is gone, at once or at the next start; twice is no error."""
    files = ResolvConfs(tmp_path)
    kept, gone = files.write(ADDRESS), files.write(OTHER)
    (tmp_path / f".{gone}-half").write_text("")

    files.remove_all_but({ADDRESS})
    assert [path.name for path in tmp_path.iterdir()] == [kept]

    files.remove(ADDRESS)
    files.remove(ADDRESS)
    assert list(tmp_path.iterdir()) == []
