"""runtime.access.certificates: a certificate of our own that real clients accept, and when it is made anew."""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.access.certificates import RENEWED, VALID, Files, ensure

NAMES = {"127.0.0.1", "::1", "localhost", "box.example"}
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """None yet."""
    return Files(tmp_path / "tls")


def contents(files: Files) -> tuple[bytes, ...]:
    """All three."""
    return tuple(path.read_bytes() for path in (files.ca, files.certificate, files.key))


def shake_hands(files: Files, name: str, *, ca: Path) -> None:
    """A client that trusts this CA asks for this name. Raises ssl.SSLError."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(files.certificate, files.key)
    trusting = ssl.create_default_context(cafile=str(ca))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # Python 3.13's default
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            served.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        trusting.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join(10)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_client_that_trusts_the_ca_accepts_it(files: Files, name: str):
    """Under each of its names, by the strictest check."""
    assert ensure(files, NAMES)
    shake_hands(files, name, ca=files.ca)


def test_another_name_is_not_accepted(files: Files):
    """The certificate is for the names that it was made for."""
    ensure(files, NAMES)
    with pytest.raises(ssl.SSLCertVerificationError, match="match"):
        shake_hands(files, "other.example", ca=files.ca)


def test_the_key_is_its_owners_and_the_folder_too(files: Files):
    """Whatever the process's mask is."""
    before = os.umask(0)
    try:
        ensure(files, NAMES)
    finally:
        os.umask(before)
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert files.folder.stat().st_mode & 0o777 == 0o700


def test_it_is_kept(files: Files):
    """Also for fewer names, and up to a month before it expires."""
    ensure(files, NAMES, now=NOW)
    made = contents(files)
    assert not ensure(files, NAMES, now=NOW)
    assert not ensure(files, {"localhost"}, now=NOW + VALID - RENEWED - dt.timedelta(days=1))
    assert contents(files) == made


def swapped(files: Files) -> None:
    """The key of another certificate."""
    other = Files(files.folder.parent / "other")
    ensure(other, NAMES)
    files.key.write_bytes(other.key.read_bytes())


SPOILT: dict[str, Callable[[Files], object]] = {
    "no CA": lambda files: files.ca.unlink(),
    "no certificate": lambda files: files.certificate.unlink(),
    "no key": lambda files: files.key.unlink(),
    "half a certificate": lambda files: files.certificate.write_bytes(files.certificate.read_bytes()[:100]),
    "a key that others read": lambda files: files.key.chmod(0o640),
    "another's key": swapped,
    "a CA that did not sign it": lambda files: files.ca.write_bytes(files.certificate.read_bytes()),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_cannot_be_used_is_made_anew(files: Files, case: str):
    """All three of them, so that they fit."""
    ensure(files, NAMES)
    SPOILT[case](files)
    assert ensure(files, NAMES)
    shake_hands(files, "localhost", ca=files.ca)


def test_it_is_made_anew_for_another_name_and_near_its_end(files: Files):
    """A client of the new name would refuse the old one."""
    ensure(files, NAMES, now=NOW)
    assert ensure(files, {*NAMES, "192.0.2.1"}, now=NOW)
    assert ensure(files, NAMES, now=NOW + VALID - RENEWED + dt.timedelta(days=1))


def test_one_that_is_not_valid_yet_is_made_anew(files: Files):
    """It was made by a clock that was ahead, and no client would accept it before then."""
    ensure(files, NAMES, now=NOW + dt.timedelta(days=100))
    assert ensure(files, NAMES, now=NOW)
    assert not ensure(files, NAMES, now=NOW)


def test_a_folder_that_cannot_be_written_is_told(files: Files):
    """As the kernel words it."""
    files.folder.write_text("no folder")
    with pytest.raises(OSError, match=r"exists|directory"):
        ensure(files, NAMES)
