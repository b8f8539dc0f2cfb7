"""Debian trixie's archive, by way of this machine's own apt mirrors (standard library only).

`trixie.py sources` prints one-line apt sources; `trixie.py download DIR PACKAGE...` fetches packages into
DIR; `trixie.py closure DIR STATUS PACKAGE...` fetches them with what they depend on and a system with
this dpkg status file lacks. A private apt root in build/apt leaves the machine's own apt untouched.
"""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS = Path(__file__).resolve().parent.parent / "build/apt"
LISTS_AGE_S = 3600
_RELEASES = "bullseye|bookworm|trixie|forky|sid|oldstable|stable|testing"
_DEBIAN_SUITE = re.compile(rf"(?:{_RELEASES})(-security|-updates)?/?")


class Source(NamedTuple):
    """One archive and suite that this machine installs from."""

    uri: str
    suite: str
    signed_by: str


def host_sources(root: Path = Path("/etc/apt")) -> list[Source]:
    """Every binary source of the component main, in both file formats."""
    found: list[Source] = []
    for file in [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]:
        if file.exists():
            for line in file.read_text().splitlines():
                found += _one_line(line)
    for file in sorted((root / "sources.list.d").glob("*.sources")):
        text = re.sub(r"(?m)^#.*\n?", "", file.read_text())
        for stanza in re.split(r"\n\s*\n", text):
            found += _stanza(stanza)
    return found


def _one_line(line: str) -> Iterator[Source]:
    match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
    if match and "main" in match[4].partition("#")[0].split():
        signed = re.search(r"signed-by=(\S+)", match[1] or "", re.IGNORECASE)
        yield Source(match[2], match[3], signed[1] if signed else "")


def _stanza(text: str) -> Iterator[Source]:
    pairs = re.findall(r"(?m)^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", text)
    fields = {name.lower(): value.split() for name, value in pairs}
    if "deb" not in fields.get("types", []) or "main" not in fields.get("components", []):
        return
    if fields.get("enabled", ["yes"])[0].lower() in {"no", "false", "0"}:
        return
    for uri in fields.get("uris", []):
        for suite in fields.get("suites", []):
            yield Source(uri, suite, " ".join(fields.get("signed-by", [])))


def trixie_sources(found: list[Source]) -> list[str]:
    """Debian's own archives among them, as one-line sources with the release replaced by trixie."""
    lines: list[str] = []
    for source in found:
        match = _DEBIAN_SUITE.fullmatch(source.suite)
        is_debian = not source.signed_by or "debian-archive" in source.signed_by
        if match and is_debian and not source.uri.startswith("cdrom:"):
            line = f"deb [signed-by={KEYRING}] {source.uri} {SUITE}{match[1] or ''} main"
            if line not in lines:
                lines.append(line)
    return lines


def sources() -> list[str]:
    """What to install trixie from here. Exits with a remedy where it has no Debian mirror."""
    lines = trixie_sources(host_sources())
    if not lines:
        sys.exit("no Debian mirror in /etc/apt: set BASE_IMAGE to a Debian image of your registry")
    return lines


@contextmanager
def private_apt(status: Path, *, is_fresh: bool = False) -> Iterator[list[str]]:
    """An `apt-get` that sees trixie and a system with this dpkg status; its package lists are kept."""
    (LISTS / "lists/partial").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "archives/partial").mkdir(parents=True)
        (root / "sources.list").write_text("\n".join(sources()) + "\n")
        options = (
            f"Dir::State={root}",
            f"Dir::State::lists={LISTS}/lists",
            f"Dir::State::status={status}",
            f"Dir::Cache={root}",
            f"Dir::Etc::sourcelist={root}/sources.list",
            "Dir::Etc::sourceparts=-",
            "APT::Sandbox::User=root",
            "APT::Install-Recommends=false",
            "Acquire::Retries=3",
        )
        apt = ["apt-get", "-q", "-y", *(word for option in options for word in ("-o", option))]
        with (LISTS / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stamp = LISTS / "updated"
            if is_fresh or not stamp.exists() or time.time() - stamp.stat().st_mtime > LISTS_AGE_S:
                subprocess.run([*apt, "update"], check=True)
                stamp.touch()
        yield apt


def download(folder: Path, packages: list[str]) -> None:
    """Fetch the packages themselves, without what they depend on."""
    with tempfile.NamedTemporaryFile() as nothing, private_apt(Path(nothing.name)) as apt:
        subprocess.run([*apt, "download", *packages], check=True, cwd=folder)


def closure(folder: Path, status: Path, packages: list[str]) -> None:
    """Fetch the packages and everything that the system with this status lacks for them."""
    (folder / "partial").mkdir(exist_ok=True)
    for is_fresh in (False, True):  # a system made since the lists were fetched may be newer than they are
        with private_apt(status, is_fresh=is_fresh) as apt:
            where = ("-o", f"Dir::Cache::archives={folder}")
            command = [*apt, *where, "install", "--download-only", *packages]
            if subprocess.run(command, check=is_fresh).returncode == 0:
                return


def main(arguments: list[str]) -> None:
    """The command line."""
    match arguments:
        case ["sources"]:
            print("\n".join(sources()))
        case ["download", target, *names] if names:
            download(Path(target), names)
        case ["closure", target, status, *names] if names:
            closure(Path(target).resolve(), Path(status).resolve(), names)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
