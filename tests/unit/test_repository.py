"""Rules that hold for the repository as a whole: what is tracked, what is pinned, how it is laid out."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = ("agent-polyglot", "agent-python", "daemon", "dev", "proxy")
NEEDS = {"daemon": PYPROJECT["project"]["dependencies"], **PYPROJECT["dependency-groups"]}
LOCKED = {"daemon": ("daemon",), "proxy": ("proxy",), "dev": ("daemon", "proxy", "dev")}
"""Requirements file -> whose needs it pins."""

LONGEST_SLEEP_S = 1.0
"""A test waits for what is to happen; one that sleeps is slow where that was quick, and fails where it was not."""
MAY_SLEEP = {
    "never": "an answer that does not come while the test looks; nobody waits for its end",
    "stop_here": "a step of the engine's that hangs until it is cancelled",
}
"""Function in a test -> why it may sleep for so long."""

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


@pytest.mark.parametrize("name", LOCKED)
def test_requirements_are_in_step_with_the_project(name: str) -> None:
    """Each dependency in pyproject.toml is pinned to a version that it allows: else run scripts/lock.sh."""
    wanted = [Requirement(r) for part in LOCKED[name] for r in NEEDS[part]]
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

    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]
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


def sleeps(tree: ast.AST, within: str = "") -> Iterator[tuple[int, str]]:
    """Line and function of each call of a `sleep` that lasts a second, or does not say how long as a number."""
    for node in ast.iter_child_nodes(tree):
        name = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else within
        match node:
            case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep"), args=[length, *_]):
                is_short = (
                    isinstance(length, ast.Constant)
                    and isinstance(length.value, (int, float))
                    and length.value < LONGEST_SLEEP_S
                )
                if not is_short:
                    yield node.lineno, name
        yield from sleeps(node, name)


def test_no_test_sleeps() -> None:
    """Nothing below tests/ sleeps for a second or more: it waits for the event, and polls where there is none."""
    slept = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] == "tests"
        for line, function in sleeps(ast.parse(path.read_text()))
        if function not in MAY_SLEEP
    ]
    assert slept == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("time.sleep(1)", [(1, "")]),
        ("def wait():\n    sleep(2.5)", [(2, "wait")]),
        ("async def wait():\n    await asyncio.sleep(delay)", [(2, "wait")]),
        ("while not done():\n    time.sleep(0.05)", []),
        ("program = 'time.sleep(60)'", []),
    ],
)
def test_a_sleep_is_seen(code: str, found: list[tuple[int, str]]) -> None:
    """Long sleeps and those of an unknown length are found; polls and the programs of sandboxes are not."""
    assert list(sleeps(ast.parse(code))) == found


def test_ci_runs_the_command_of_the_readme() -> None:
    """`.ci/run` calls `make test` and no other target: what the tests need, a newcomer's command makes too."""
    called = re.findall(r"(?m)^\s*make\s+(.*?)\s*(?:2>|\||$)", (ROOT / ".ci/run").read_text())

    assert called == ["test"]
    assert "make test" in (ROOT / "README.md").read_text()


def test_make_test_builds_every_image() -> None:
    """`make test` has images that are built on demand for prerequisites, and those that are always built."""
    makefile = (ROOT / "Makefile").read_text()
    [prerequisites] = re.findall(r"(?m)^test:(.*)$", makefile)
    on_demand = {
        node.args[0].value
        for node in ast.walk(ast.parse((ROOT / "images/build.py").read_text()))
        if isinstance(node, ast.Call) and any(keyword.arg == "is_on_demand" for keyword in node.keywords)
    }
    makers = {
        name: target
        for target, name in re.findall(r"(?m)^([\w-]+):.*\n\t@\$\(PY\) images/build\.py (\S+)$", makefile)
    }

    assert on_demand == makers.keys()
    assert {"images", *makers.values()} <= set(prerequisites.split())


def test_scripts_do_not_need_the_tests() -> None:
    """What scripts share with tests is a part of the product: the demo runs without the tests' folder."""
    named = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "scripts").glob("*.py")
        for name in imported_modules(path)
        if name.partition(".")[0] == "tests"
    ]
    assert named == []


def imported_modules(path: Path) -> Iterator[str]:
    """The absolute names of every module that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


SEEN_BY_THE_RUNTIME = (
    *("proxy.contract", "proxy.destination.resolve", "proxy.policy"),
    *(
        "proxy.secrets.cover",
        "proxy.secrets.forms",
        "proxy.secrets.search",
    ),  # the spellings, and where they stand
)
SEEN_BY_THE_EXPLAINING = (
    *("proxy.destination.headers", "proxy.destination.heads", "proxy.destination.judge"),
    *("proxy.destination.overrides", "proxy.destination.query", "proxy.destination.sink"),
    *("proxy.destination.stub",),
    *("proxy.secrets.broker", "proxy.secrets.outgoing"),
)
"""The judging parts, which are pure: no verdict is implemented a second time."""
OF_THE_POLICY_CORE = {
    *("__future__", "collections", "dataclasses", "decimal", "enum", "functools", "ipaddress", "json", "re"),
    *("string", "types", "typing", "unicodedata", "urllib"),
}
"""What the policy core may import: values and texts, nothing that opens, runs, waits or draws lots."""


def imported_by(folder: str) -> set[tuple[str, str]]:
    """(module, what it imports) for every file below a folder."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        where = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {(where, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {(where, f"{node.module}.{alias.name}") for alias in node.names}
    return found


def test_the_runtime_imports_four_parts_of_the_proxy_and_no_other() -> None:
    """A new module of the proxy is closed to the runtime until it is listed here and in pyproject.toml."""
    strange = {
        (where, name)
        for where, name in imported_by("runtime")
        if name.split(".")[0] == "proxy"
        and not f"{name}.".startswith(tuple(f"{n}." for n in SEEN_BY_THE_RUNTIME))
        and not (
            where.startswith("runtime/explain/")
            and f"{name}.".startswith(tuple(f"{n}." for n in SEEN_BY_THE_EXPLAINING))
        )
    }
    assert strange == set()


def test_the_policy_core_imports_values_and_texts_only() -> None:
    """Standard library, and of it only what reads no clock, opens no socket or file, and runs nothing."""
    strange = {
        (where, name)
        for where, name in imported_by("proxy/policy")
        if name.split(".")[0] not in OF_THE_POLICY_CORE
        and not name.startswith("proxy.policy.")
        and name != "urllib.parse"
    }
    assert strange == set()
    assert {name for _, name in imported_by("proxy/policy") if name.startswith("urllib.")} <= {
        f"urllib.parse.{what}" for what in ("quote", "unquote", "unquote_to_bytes", "urlsplit")
    }
