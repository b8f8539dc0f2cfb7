"""Rules that hold for the repository as a whole: what is tracked, what is pinned, how it is laid out."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = ("agent-polyglot", "agent-python", "daemon", "dev", "proxy")
EXTRAS = {"daemon": ("daemon",), "proxy": ("proxy",), "dev": ("daemon", "proxy", "dev")}

# The well-known registries, in pieces: this file must not name one either.
REGISTRY_DOMAINS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("npm" + "js", "org"),
        ("npm" + "js", "com"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("node" + "source", "com"),
        ("gcr", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]


def tracked() -> list[Path]:
    """The files of a commit made now; all of them but build output where this is no clone."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def machine_hosts() -> set[str]:
    """The registry hosts that this machine's own apt, pip and npm configuration names."""
    home = Path.home()
    files = [
        *Path("/etc/apt").glob("sources.list*"),
        *Path("/etc/apt").glob("sources.list.d/*"),
        *(Path(name) for name in ("/etc/pip.conf", "/etc/npmrc", "/etc/uv/uv.toml")),
        *(home / name for name in (".pip/pip.conf", ".config/pip/pip.conf", ".npmrc", ".config/uv/uv.toml")),
    ]
    text = "\n".join(f.read_text(errors="replace") for f in files if f.is_file())
    hosts = {
        h.rpartition("@")[2].partition(":")[0].lower() for h in re.findall(r"https?://([^/\s'\"]+)", text)
    }
    return {host for host in hosts if "." in host and not host.endswith(".example") and host != "127.0.0.1"}


def pins(name: str) -> dict[str, Version]:
    """Package -> version of one requirement file."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text)
    return {re.sub(r"[-_.]+", "-", package).lower(): Version(version) for package, version in found}


def test_no_registry_is_named() -> None:
    """No tracked file names a package registry's host: mirrors are each machine's own configuration."""
    forbidden = {*REGISTRY_DOMAINS, *machine_hosts()}
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(domain)}(?![\w-])" for domain in sorted(forbidden)))

    named = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if (match := pattern.search(path.read_text(errors="replace").lower()))
    ]

    assert named == []


def test_no_path_of_a_machine_is_tracked() -> None:
    """No tracked file holds the path of the clone it is in."""
    here = str(ROOT) + "/"
    assert [str(p.relative_to(ROOT)) for p in tracked() if here in p.read_text(errors="replace")] == []


def test_no_lock_file_with_addresses() -> None:
    """No lock file records where packages came from: npm's holds versions and hashes only."""
    names = {"uv.lock", "poetry.lock", "Pipfile.lock", "yarn.lock"}
    assert [str(p.relative_to(ROOT)) for p in tracked() if p.name in names] == []
    for path in (path for path in tracked() if path.name == "package-lock.json"):
        packages = json.loads(path.read_text())["packages"]
        pinned = [entry for name, entry in packages.items() if name]
        assert pinned
        assert [entry for entry in pinned if "resolved" in entry or "integrity" not in entry] == []


@pytest.mark.parametrize("name", PINNED)
def test_requirements_are_hash_pinned(name: str) -> None:
    """Every requirement is an exact version with a hash, and no option says where it comes from."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text))

    assert "://" not in text
    assert not re.search(r"(?m)^-", text)
    assert [e.split()[0] for e in entries if e.strip() and ("==" not in e or "--hash=sha256:" not in e)] == []


@pytest.mark.parametrize("name", EXTRAS)
def test_requirements_are_in_step_with_the_project(name: str) -> None:
    """Each dependency in pyproject.toml is pinned to a version that it allows: else run scripts/lock.sh."""
    wanted = [Requirement(r) for extra in EXTRAS[name] for r in PROJECT["optional-dependencies"][extra]]
    found = pins(name)

    assert [
        str(r)
        for r in wanted
        if not r.specifier.contains(found.get(re.sub(r"[-_.]+", "-", r.name).lower(), Version("0")))
    ] == []


def test_agent_requirements_are_in_step() -> None:
    """Each package that agents are promised is pinned."""
    lines = (ROOT / "requirements/agent-python.in").read_text().splitlines()
    wanted = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    assert set() == wanted - pins("agent-python").keys()


@pytest.mark.parametrize("name", ["daemon", "proxy"])
def test_images_take_the_tested_versions(name: str) -> None:
    """What the images install is what the tests ran with."""
    tested = pins("dev")
    assert {package: str(v) for package, v in pins(name).items() if tested.get(package) != v} == {}


def test_packages_are_ours_alone() -> None:
    """Nothing is published by accident, and only the two packages of the layout are shipped."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert "Private :: Do Not Upload" in PROJECT["classifiers"]
    assert document["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["proxy", "runtime"]


def test_no_vague_module_names() -> None:
    """Modules are nouns of the domain: no utils, helpers or managers (house style, point 5)."""
    vague = re.compile(r"(^|_)(utils?|helpers|managers?|misc|common)\.py$")
    assert [str(p.relative_to(ROOT)) for p in tracked() if vague.search(p.name)] == []


def test_every_package_folder_is_a_package() -> None:
    """Each folder of ours that is imported has an __init__.py, so that the wheel and the images hold it."""
    folders = {
        p.parent
        for p in tracked()
        if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in {"proxy", "runtime"}
    }
    without = {f for f in folders if not (f / "__init__.py").exists() and "migrations" not in f.parts}
    assert set() == without


def test_scripts_stop_at_the_first_error() -> None:
    """Every shell script sets -e, and bash ones -u and pipefail too."""
    weak = []
    for path in tracked():
        text = path.read_text(errors="replace")
        is_bash = text.startswith("#!") and "bash" in text.split("\n", 1)[0]
        if is_bash and "set -euo pipefail" not in text:
            weak.append(path.name)
        if path.suffix == ".sh" and not is_bash and "set -eu" not in text:
            weak.append(path.name)
    assert weak == []
