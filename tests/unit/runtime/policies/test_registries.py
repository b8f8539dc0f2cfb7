"""This machine's registries, from made-up machines: hosts only, and never a failure."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runtime.policies.registries import (
    KINDS,
    LocalRegistries,
    Machine,
    Registry,
    find_registry,
    registry_hosts,
    run_tool,
)

PIP_HELP = """
Package Index Options:
  -i, --index-url <url>       Base URL of the Python Package Index
                              (default https://index.example/simple).
  --extra-index-url <url>     Extra URLs of package indexes
"""


class Tools:
    """Tools that print what a test says; the rest are absent."""

    def __init__(self, **outputs: str | None) -> None:
        self.outputs = outputs
        self.asked: list[list[str]] = []

    def __call__(self, argv: list[str]) -> str | None:
        """What the tool prints."""
        self.asked.append(argv)
        if argv[0] == "npm":
            return self.outputs.get("npm")
        if argv[0] != "py2":
            return None
        if "config" in argv:
            return self.outputs.get("pip_config")
        return self.outputs.get("pip_help" if "--help" in argv else "pip_files")


def machine(root: Path, environ: dict[str, str] | None = None, **outputs: str | None) -> Machine:
    """A machine below `root` whose second Python may have a pip."""
    return Machine(run=Tools(**outputs), environ=environ or {}, root=root, pythons=("py1", "py2"))


def put(root: Path, name: str, text: str) -> None:
    """A file of that machine."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


PIP = {
    "its default index and where that keeps files": (
        {"pip_config": "", "pip_help": PIP_HELP, "pip_files": "files.example\n"},
        ("index.example", "files.example"),
    ),
    "a default index alone, where this pip tells no more": (
        {"pip_config": "", "pip_help": PIP_HELP},
        ("index.example",),
    ),
    "a pip whose help names no index": ({"pip_config": "", "pip_help": "usage"}, ()),
    "a mirror in place of the default index": (
        {"pip_config": "global.index-url='https://mirror.example/simple'\n", "pip_help": PIP_HELP},
        ("mirror.example",),
    ),
    "further indexes beside the default one": (
        {
            "pip_config": "global.extra-index-url='file:///x https://more.example:8443/s'\n",
            "pip_help": PIP_HELP,
        },
        ("more.example:8443", "index.example"),
    ),
    "variables, credentials dropped": (
        {"pip_config": ":env:.index-url='https://user:S3CRET@mirror.example/simple'\n"},
        ("mirror.example",),
    ),
    "links to wheels on another host": (
        {
            "pip_config": "install.find-links='http://wheels.example/x'\ninstall.index-url='https://mirror.example/'\n"
        },
        ("wheels.example:80", "mirror.example"),
    ),
    "settings of other commands do not count": (
        {"pip_config": "download.index-url='https://other.example/'\n", "pip_help": PIP_HELP},
        ("index.example",),
    ),
    "an address that is no host": ({"pip_config": "global.index-url='https://bad_host-/'\n"}, ()),
    "IPv6": ({"pip_config": "global.index-url='https://[2001:db8::1]:8443/'\n"}, ("[2001:db8::1]:8443",)),
}


@pytest.mark.parametrize(("outputs", "hosts"), PIP.values(), ids=PIP.keys())
def test_pip_is_asked_for_its_indexes(tmp_path: Path, outputs: dict, hosts: tuple[str, ...]) -> None:
    """The first Python that has a pip tells which hosts it uses."""
    assert hosts == find_registry("pip", machine(tmp_path, **outputs)).hosts


def test_without_a_pip_its_variables_and_files_are_read(tmp_path: Path) -> None:
    """A machine without pip (the daemon's image) is configured as pip would be."""
    put(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://mirror.example/simple\n")
    put(
        tmp_path,
        "home/u/.config/pip/pip.conf",
        "[install]\nextra-index-url =\n  https://a.example\n  https://b.example\n",
    )
    put(tmp_path, "home/u/.pip/pip.conf", "this is no configuration")
    found = find_registry(
        "pip", machine(tmp_path, {"HOME": "/home/u", "PIP_INDEX_URL": "https://env.example/"})
    )
    assert found.hosts == ("env.example", "mirror.example", "a.example", "b.example")


NPM = {
    "its registry and the scoped ones": (
        {
            "registry": "https://registry.example/",
            "@acme:registry": "https://acme.example:4873/",
            "proxy": "http://p.example",
        },
        ("registry.example", "acme.example:4873"),
    ),
    "clear text": ({"registry": "http://registry.example/"}, ("registry.example:80",)),
    "a value that is no text": ({"registry": None}, ()),
}


@pytest.mark.parametrize(("config", "hosts"), NPM.values(), ids=NPM.keys())
def test_npm_is_asked_for_its_registries(tmp_path: Path, config: dict, hosts: tuple[str, ...]) -> None:
    """Scopes may live elsewhere than the rest."""
    assert hosts == find_registry("npm", machine(tmp_path, npm=json.dumps(config))).hosts


@pytest.mark.parametrize("output", ["", "not json", "[]"])
def test_an_npm_that_answers_nonsense_names_no_registry(tmp_path: Path, output: str) -> None:
    """A broken tool is a reason, not a crash."""
    assert find_registry("npm", machine(tmp_path, npm=output)).hosts == ()


def test_without_an_npm_its_variable_and_file_are_read(tmp_path: Path) -> None:
    """npm reads its variables in any case, and .npmrc in the user's home."""
    put(tmp_path, "root/.npmrc", "@acme:registry=https://acme.example/\n//acme.example/:_authToken=S3CRET\n")
    found = find_registry("npm", machine(tmp_path, {"NPM_CONFIG_REGISTRY": "https://env.example/"}))
    assert found.hosts == ("env.example", "acme.example")


def test_apt_sources_are_read_in_both_formats(tmp_path: Path) -> None:
    """One-line lists and deb822 stanzas count; what is disabled, commented out or source-only does not."""
    put(
        tmp_path,
        "etc/apt/sources.list",
        "# deb http://old.example/debian x main\ndeb http://mirror.example/debian x main\ndeb cdrom:[x] y main\n",
    )
    put(
        tmp_path,
        "etc/apt/sources.list.d/a.list",
        "deb [signed-by=/k arch=amd64] https://a.example/x y main\n",
    )
    put(
        tmp_path,
        "etc/apt/sources.list.d/b.sources",
        "Types: deb deb-src\nURIs: http://b.example/debian\n  https://c.example/debian\n# a comment\nSuites: x\n\n"
        "Types: deb\nEnabled: no\nURIs: http://off.example\n\n\nTypes: deb-src\nURIs: http://src.example\n",
    )
    found = find_registry("apt", machine(tmp_path))
    assert found.hosts == ("mirror.example:80", "a.example", "b.example:80", "c.example")


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_without_the_tool_gives_a_reason(tmp_path: Path, kind: str) -> None:
    """Absent tools and files are no failure."""
    reason = f"no {kind} configuration with an http(s) address was found here"
    assert Registry((), reason) == find_registry(kind, machine(tmp_path))


def test_local_registries_ask_once_and_only_for_what_is_used() -> None:
    """A policy without a registry runs no tool; one with it runs it once."""
    asked: list[str] = []

    def find(kind: str) -> Registry:
        asked.append(kind)
        return Registry((f"{kind}.example",))

    registries = LocalRegistries(find)
    assert (list(registries), len(registries), asked) == (["pip", "npm", "apt"], 3, [])
    assert [registries["pip"], registries.get("pip")] == [("pip.example",)] * 2
    assert (registries.get("gems", "none"), asked) == ("none", ["pip"])


def test_a_tool_runs_outside_any_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that a command is given in has no say in what its tools do (S-17)."""
    monkeypatch.chdir(tmp_path)
    assert run_tool([sys.executable, "-c", "import os; print(os.getcwd())"]) == "/\n"


@pytest.mark.parametrize(
    "argv", [["no-such-tool-of-this-test"], [sys.executable, "-c", "raise SystemExit(1)"]]
)
def test_an_absent_or_failing_tool_prints_nothing(argv: list[str]) -> None:
    """None stands for every way in which a tool does not answer."""
    assert run_tool(argv) is None


def test_this_machine_can_be_asked() -> None:
    """Whatever apt is set up to use here comes as hosts that the policy core takes."""
    assert all("/" not in host and "@" not in host for host in registry_hosts("apt"))
