"""Debian trixie's archive, by way of this machine's own apt mirrors (standard library only).

`trixie.py sources` prints one-line apt sources; `trixie.py download DIR PACKAGE...` fetches packages
into DIR with a private apt root, leaving the machine's own apt untouched.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def host_entries(root: Path = Path("/etc/apt")) -> list[tuple[str, str]]:
    """(URI, suite) of every binary source this machine is configured with, in both file formats."""
    entries = []
    for file in [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]:
        if file.exists():
            for line in file.read_text().splitlines():
                if match := re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s", line.strip() + " "):
                    entries.append((match[1], match[2]))
    for file in sorted((root / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            fields = dict(re.findall(r"(?mi)^(types|uris|suites|enabled):\s*(.+)$", stanza))
            fields = {name.lower(): value.split() for name, value in fields.items()}
            if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
                entries += [(uri, suite) for uri in fields["uris"] for suite in fields["suites"]]
    return entries


def trixie_sources(entries: list[tuple[str, str]]) -> list[str]:
    """The Debian entries of a machine, with their release replaced by trixie's."""
    lines = []
    for uri, suite in entries:
        match = re.fullmatch(r"(buster|bullseye|bookworm|trixie|forky|sid|stable|testing)(-security|-updates)?/?", suite)
        if match:
            line = f"deb [signed-by={KEYRING}] {uri} {SUITE}{match[2] or ''} main"
            if line not in lines:
                lines.append(line)
    return lines


def sources() -> list[str]:
    """This machine's trixie sources. Exits with a remedy where it has no Debian mirror."""
    lines = trixie_sources(host_entries())
    if not lines:
        sys.exit("no Debian mirror in /etc/apt: set BASE_IMAGE to a Debian image of your registry")
    return lines


def download(folder: Path, packages: list[str]) -> None:
    """Fetch the packages themselves, without what they depend on."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for part in ("state/lists/partial", "cache/archives/partial", "etc"):
            (root / part).mkdir(parents=True)
        (root / "state/status").touch()
        (root / "sources.list").write_text("\n".join(sources()) + "\n")
        options = [
            f"Dir::State={root}/state",
            f"Dir::State::status={root}/state/status",
            f"Dir::Cache={root}/cache",
            f"Dir::Etc::sourcelist={root}/sources.list",
            "Dir::Etc::sourceparts=-",
            "APT::Sandbox::User=root",
        ]
        apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "download", *packages], check=True, cwd=folder)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sources"]:
            print("\n".join(sources()))
        case ["download", target, *names] if names:
            download(Path(target), names)
        case _:
            sys.exit(__doc__)
