"""Trixie's sources out of a machine's own apt configuration."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).resolve().parents[3] / "scripts/trixie.py"
_SPEC = importlib.util.spec_from_file_location("orchbox_trixie", _SCRIPT)
assert _SPEC
assert _SPEC.loader
trixie = importlib.util.module_from_spec(_SPEC)
sys.modules["orchbox_trixie"] = trixie
_SPEC.loader.exec_module(trixie)

DEB822 = """\
Types: deb
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main # trailing
deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] http://vendor.example/apt bookworm main
deb [arch=amd64] http://engine.example/linux/debian bookworm stable
deb http://other.example/apt vendor-bookworm main
deb cdrom:[Debian]/ bookworm main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """An /etc/apt with both formats."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(ONE_LINE)
    return tmp_path


def test_only_the_archives_of_debian_are_taken(apt: Path) -> None:
    """Debian's own suites keep their mirror; vendors, sources, disabled and commented entries are left out."""
    lines = trixie.trixie_sources(trixie.host_sources(apt))

    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    expected = [
        f"deb {signed} http://mirror.example/debian-security trixie-security main",
        f"deb {signed} http://mirror.example/debian trixie main",
        f"deb {signed} http://mirror.example/debian trixie-updates main",
    ]
    assert expected == lines


def test_no_mirror_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Debian mirror the message names the way out."""
    monkeypatch.setattr(trixie, "host_sources", list)
    with pytest.raises(SystemExit, match="BASE_IMAGE"):
        trixie.sources()
