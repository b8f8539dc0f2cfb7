"""runtime.cli.diagnosis.listener: a certificate that ends, a key that others may read, a port without anybody."""

from __future__ import annotations

import datetime as dt
import socket
from pathlib import Path

import pytest

from runtime.access.certificates import VALID, Files, ensure
from runtime.cli.diagnosis.finding import Finding
from runtime.cli.diagnosis.listener import listener_checks
from runtime.daemon.settings import Settings

NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)


def look(home: Path, *, is_running: bool = False, **env: str) -> dict[str, Finding]:
    """Every line, by name."""
    settings = Settings.from_env({"ORCHBOX_HOME": str(home), "ORCHBOX_RUN_DIR": str(home / "run"), **env})
    return {line["name"]: line for line in listener_checks(settings, is_running=is_running, now=NOW)}


def make(home: Path, *, days: float) -> Files:
    """A certificate of our own that is valid for so many days from now on."""
    files = Files(home / "tls")
    assert ensure(files, {"localhost"}, now=NOW - VALID + dt.timedelta(days=days))
    return files


def test_without_a_port_there_is_nothing_to_say(tmp_path: Path):
    """Before one is made, that is said."""
    assert look(tmp_path) == {}
    assert look(tmp_path, ORCHBOX_LISTEN="127.0.0.1:7443")["certificate"]["ok"]
    assert look(tmp_path, ORCHBOX_LISTEN="http://127.0.0.1:7443") == {}


@pytest.mark.parametrize(
    ("days", "ok", "has_remedy", "said"),
    [
        (400, True, False, "in 400 days"),
        (30, True, False, "in 30 days"),
        (29, True, True, "in 29 days"),
        (6.5, False, True, "in 6 days"),
        (-2, False, True, "expired 2 days ago"),
    ],
)
def test_a_certificate_that_ends_soon_is_told(
    tmp_path: Path, days: float, ok: bool, has_remedy: bool, said: str
):
    """First as the next step, in the last week as a fault."""
    make(tmp_path, days=days)

    line = look(tmp_path)["certificate"]

    assert (line["ok"], line["remedy"] is not None) == (ok, has_remedy)
    assert said in line["detail"]


def test_the_operators_own_is_looked_at(tmp_path: Path):
    """And how to renew it is theirs to know."""
    files = make(tmp_path / "other", days=2)
    env = {"ORCHBOX_TLS_CERT": str(files.certificate), "ORCHBOX_TLS_KEY": str(files.key)}
    line = look(tmp_path, **env)["certificate"]
    assert (line["ok"], line["remedy"]) == (False, "renew it, then restart the daemon")


@pytest.mark.parametrize("case", ["no key", "no certificate", "another key", "not yet valid"])
def test_a_certificate_that_cannot_be_used_is_a_fault(tmp_path: Path, case: str):
    """Whatever is wrong with it."""
    files = make(tmp_path, days=VALID.days + 10 if case == "not yet valid" else 400)
    if case == "no key":
        files.key.unlink()
    elif case == "no certificate":
        files.certificate.write_text("none")
    elif case == "another key":
        files.key.write_bytes(make(tmp_path / "other", days=400).key.read_bytes())
    line = look(tmp_path)["certificate"]
    assert (line["ok"], line["remedy"] is not None) == (False, True)


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_a_key_that_others_may_read_is_a_fault(tmp_path: Path, mode: int, ok: bool):
    """Group or everybody."""
    files = make(tmp_path, days=400)
    files.key.chmod(mode)
    line = look(tmp_path)["certificate key"]
    assert line["ok"] is ok
    assert ok or f"chmod 600 {files.key}" in line["remedy"]


def test_a_port_on_which_nobody_listens_is_a_fault(tmp_path: Path):
    """Once a daemon runs; everywhere is asked on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        env = {"ORCHBOX_LISTEN": f"0.0.0.0:{port}"}
        assert look(tmp_path, is_running=True, **env)["tcp"]["ok"]
    assert not look(tmp_path, is_running=True, **env)["tcp"]["ok"]
    assert "tcp" not in look(tmp_path, is_running=False, **env)
