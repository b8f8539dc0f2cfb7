"""The API's socket, where it can be had and where it cannot (serving itself: `integration/test_runs.py`)."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from runtime.daemon.serve import _bind
from runtime.errors import NotReadyError


def test_the_socket_is_its_owners_alone(tmp_path: Path):
    """From the first moment on; what a killed daemon left under its name is replaced."""
    path = tmp_path / "api.sock"
    path.touch()
    with _bind(path):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 120, "AF_UNIX path too long"), ("none/api.sock", "No such file"), ("folder", "Is a directory")],
)
def test_a_socket_that_cannot_be_had_is_told_with_its_path_and_a_remedy(tmp_path: Path, name: str, said: str):
    """Not as an error of ours, and not with a reason that is None."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotReadyError, match=said) as told:
        _bind(tmp_path / name)

    assert str(tmp_path / name) in told.value.message
    assert "ORCHBOX_RUN_DIR" in (told.value.hint or "")


def test_a_socket_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody else bound the name after it was made free."""
    monkeypatch.setattr(Path, "unlink", lambda *_args, **_kw: None)
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        with pytest.raises(NotReadyError, match="Address already in use"):
            _bind(path)
