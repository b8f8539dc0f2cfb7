"""The package registries that this machine's own clients are set up to use: hosts, nothing else.

No registry's name stands in this repository. What `registry: pip|npm|apt` of a policy means is asked of the
client's own configuration (mirrors included) and, where the tool is absent, of the variables and files it
would read. The tools run in `/`, so that no project's configuration has a say. Credentials in a
configured URL are dropped here; values are never logged.
"""

from __future__ import annotations

import configparser
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.policy.hosts import BadHostError, split_authority

KINDS = ("pip", "npm", "apt")
TOOL_TIMEOUT_S = 20.0

Runner = Callable[[list[str]], str | None]
"""Runs a tool; its stdout, or None where it is absent or fails."""

_URL = re.compile(r"(https?)://([^/?#\s]+)", re.IGNORECASE)
_DEFAULT_PORT = {"http": 80, "https": 443}
_PIP_DEFAULT = re.compile(r"--index-url.*?\(default\s+(https?://\S+?)\)", re.DOTALL)
_PIP_FILES_HOST = "from pip._internal.models.index import PyPI as i; print(i.file_storage_domain)"
_PIP_SETTING = re.compile(r"(?:global|install|:env:)\.(index-url|extra-index-url|find-links)=(.*)")
_NPM_KEY = re.compile(r"(@[^:\s]+:)?registry")
_APT_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)")


@dataclass(frozen=True, slots=True)
class Registry:
    """What is known of one kind of registry."""

    hosts: tuple[str, ...] = ()
    """`host`, or `host:port` where the port is not 443."""
    reason: str = ""
    """Why there are none, for a person."""


def run_tool(argv: list[str]) -> str | None:
    """Run a client of this machine, outside any project."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=TOOL_TIMEOUT_S,
            cwd="/",
            check=False,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the clients' configuration is looked for."""

    run: Runner = run_tool
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = Path("/")
    pythons: tuple[str, ...] = (sys.executable, "python3", "python")
    """Whose pip is asked, the first that has one."""

    @property
    def home(self) -> Path:
        """The user's directory, below `root`."""
        return self.root / self.environ.get("HOME", "/root").lstrip("/")


def find_registry(kind: str, machine: Machine | None = None) -> Registry:
    """The hosts of `pip`, `npm` or `apt` here. Never fails for an absent or broken tool."""
    machine = machine or Machine()
    urls = {"pip": _pip_urls, "npm": _npm_urls, "apt": _apt_urls}[kind](machine)
    hosts = tuple(dict.fromkeys(host for url in urls if (host := _authority(url))))
    return Registry(hosts, "" if hosts else f"no {kind} configuration with an http(s) address was found here")


def registry_hosts(kind: str) -> tuple[str, ...]:
    """The hosts of one kind of registry on this machine; empty where nothing names one."""
    return find_registry(kind).hosts


@functools.cache
def all_registry_hosts() -> tuple[str, ...]:
    """The hosts of every kind of registry on this machine, asked once a process: it may take seconds."""
    return tuple(host for hosts in LocalRegistries().values() for host in hosts)


class LocalRegistries(Mapping[str, tuple[str, ...]]):
    """Registries of this machine, for `load_policy`; a tool is asked at first use, once.

    A look-up may run a tool for seconds: not for an event loop's own thread.
    """

    def __init__(self, find: Callable[[str], Registry] = find_registry) -> None:
        self._find = find
        self._found: dict[str, Registry] = {}

    def __getitem__(self, kind: str) -> tuple[str, ...]:
        if kind not in KINDS:
            raise KeyError(kind)
        if kind not in self._found:
            self._found[kind] = self._find(kind)
        return self._found[kind].hosts

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


def _authority(url: str) -> str | None:
    """`host[:port]` of an http(s) URL, its credentials dropped."""
    match = _URL.match(url.strip())
    if not match:
        return None
    default = _DEFAULT_PORT[match[1].lower()]
    try:
        host, port = split_authority(match[2].rpartition("@")[2], default_port=default)
    except BadHostError:
        return None
    name = f"[{host}]" if ":" in host else host
    return name if port == 443 else f"{name}:{port}"


def _pip_urls(machine: Machine) -> Iterator[str]:
    for python in machine.pythons:
        listing = machine.run([python, "-m", "pip", "config", "list"])
        if listing is not None:
            settings = [
                match.groups() for line in listing.splitlines() if (match := _PIP_SETTING.match(line))
            ]
            yield from (word for _, value in settings for word in value.strip("'\"").split())
            if not any(key == "index-url" for key, _ in settings):
                yield from _pip_default_urls(machine, python)
            return
    yield from _pip_urls_without_pip(machine)


def _pip_default_urls(machine: Machine, python: str) -> Iterator[str]:
    """The index that this pip uses unless told otherwise, and the host it knows to keep the files."""
    usage = machine.run([python, "-m", "pip", "install", "--help"]) or ""
    if match := _PIP_DEFAULT.search(usage):
        yield match[1]
        if files_host := machine.run([python, "-c", _PIP_FILES_HOST]):
            yield f"https://{files_host.strip()}/"


def _pip_urls_without_pip(machine: Machine) -> Iterator[str]:
    for key in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        yield from machine.environ.get(key, "").split()
    files = ("etc/pip.conf", "etc/xdg/pip/pip.conf")
    own = (machine.home / ".pip/pip.conf", machine.home / ".config/pip/pip.conf")
    for path in (*(machine.root / name for name in files), *own):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(_text(path))
        except configparser.Error:
            continue
        for section in ("global", "install"):
            for key in ("index-url", "extra-index-url", "find-links"):
                yield from parser.get(section, key, fallback="").split()


def _npm_urls(machine: Machine) -> Iterator[str]:
    listing = machine.run(["npm", "config", "list", "--json"])
    if listing is not None:
        try:
            settings = json.loads(listing)
        except ValueError:
            settings = {}
        if isinstance(settings, dict):
            yield from (str(value) for key, value in settings.items() if _NPM_KEY.fullmatch(key))
        return
    for key, value in machine.environ.items():
        if key.lower() == "npm_config_registry":
            yield value
    for line in _text(machine.home / ".npmrc").splitlines():
        key, _, value = line.partition("=")
        if _NPM_KEY.fullmatch(key.strip()):
            yield value.strip().strip("'\"")


def _apt_urls(machine: Machine) -> Iterator[str]:
    folder = machine.root / "etc/apt"
    for path in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))):
        for line in _text(path).splitlines():
            if match := _APT_LINE.match(line.strip()):
                yield match[1]
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", _text(path)):
            yield from _stanza_urls(stanza)


def _stanza_urls(stanza: str) -> list[str]:
    """The URIs of one deb822 stanza that is in use (sources.list(5))."""
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if not line[:1].isspace():
            key, _, line = line.partition(":")  # noqa: PLW2901 - what is left of the line
            key = key.strip().lower()
        fields[key] = f"{fields.get(key, '')} {line.strip()}"
    if fields.get("enabled", "yes").strip().lower() in {"no", "false", "without", "off", "disable"}:
        return []
    return fields.get("uris", "").split() if "deb" in fields.get("types", "").split() else []


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
