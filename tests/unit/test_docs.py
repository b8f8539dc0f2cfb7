"""What the documentation says is there: each path, test and link that a page names exists."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.agents.launch import PYTHON_ENTRIES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")],
)
HISTORY = {"CHANGELOG.md"}
"""Pages that tell of what was: their links are checked, the paths that they name are not."""
TOP = {
    "bench",
    "contrib",
    "docs",
    "examples",
    "images",
    "policies",
    "proxy",
    "requirements",
    "runtime",
    "scripts",
    "tests",
}
TIERS = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?(?:::\w+)?")
AGENT_FILES = set(PYTHON_ENTRIES)
"""Files of an agent's own directory, which pages name without a folder."""


def pages(*, history: bool) -> list[Path]:
    """The pages, with or without those that tell of what was."""
    return [page for page in PAGES if history or page.name not in HISTORY]


def outside_fences(text: str) -> str:
    """A page's prose and tables, without its blocks of commands and output."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def quoted(page: Path) -> Iterator[str]:
    """What stands in backticks in a page's prose, placeholders such as `<group>` as a star."""
    for token in re.findall(r"`([^`\n]+)`", outside_fences(page.read_text())):
        yield re.sub(r"<\w+>", "*", token)


def in_fences(page: Path) -> Iterator[str]:
    """The words of a page's blocks that begin with a folder of the repository."""
    for block in re.findall(r"(?ms)^```.*?^```$", page.read_text()):
        yield from re.findall(rf"(?m)(?:^|(?<=\s))((?:{'|'.join(sorted(TOP))})/[\w./-]+)", block)


def is_ours(token: str) -> bool:
    """Whether a word in backticks can only mean a file or folder of this repository."""
    if not PATH.fullmatch(token):
        return False
    name, first = token.partition("::")[0], token.split("/", maxsplit=1)[0]
    if "/" not in name:
        return name.endswith(".py") and name not in AGENT_FILES
    return first in TOP | TIERS or name.endswith(".py")


def found(name: str) -> list[Path]:
    """The files and folders that a page's path means: from the root, or below `tests/`."""
    bare = name.rstrip("/")
    return [*ROOT.glob(bare), *(ROOT / "tests").glob(bare)]


@functools.cache
def functions(path: Path) -> set[str]:
    """The names of the functions that a file defines."""
    return set(re.findall(r"(?m)^\s*(?:async )?def (\w+)", path.read_text()))


def slug(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """The anchors of a page."""
    return {slug(heading) for heading in re.findall(r"(?m)^#+ (.+)$", outside_fences(page.read_text()))}


@pytest.mark.parametrize("page", pages(history=False), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_path_that_a_page_names_exists(page: Path) -> None:
    """Each path of this repository in a page exists, and a test named with its file is in that file."""
    missing = []
    for token in [*filter(is_ours, quoted(page)), *in_fences(page)]:
        name, _, test = token.partition("::")
        files = found(name)
        if not files or (test and not any(test in functions(file) for file in files)):
            missing.append(token)

    assert missing == []


@pytest.mark.parametrize("page", pages(history=False), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_test_that_a_page_names_exists(page: Path) -> None:
    """Each `test_...` that a page names without its file is the whole name of a test, not a part of one."""
    known = {name for file in (ROOT / "tests").rglob("test_*.py") for name in functions(file)}
    named = {token for token in quoted(page) if re.fullmatch(r"test_\w*\.*|\.\.\w+", token)}

    assert sorted(named - known) == []


@pytest.mark.parametrize("page", pages(history=True), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page: Path) -> None:
    """Each relative link leads to a file that exists, and to a heading of it where it names one."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_fences(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)

    assert dead == []


@pytest.mark.parametrize("package", ["proxy", "runtime"])
def test_the_architecture_names_every_room(package: str) -> None:
    """`docs/architecture.md` says of each package what it owns."""
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = sorted(path.parent.name for path in (ROOT / package).glob("*/__init__.py"))

    assert [room for room in rooms if f"| `{package}/{room}/` |" not in text] == []


@pytest.mark.parametrize(
    ("token", "ours"),
    [
        ("runtime/containers/seccomp.json", True),
        ("wire/test_limits.py::test_a_flood", True),
        ("guard_proof.py", True),
        ("inside/places.py", True),
        ("main.py", False),
        ("/run/orchbox/ca.pem", False),
        ("provider/model", False),
        ("GET /v1/models", False),
    ],
)
def test_a_path_of_ours_is_told_from_other_words(token: str, ours: bool) -> None:
    """The checks above look at paths of this repository, bare modules too, and at nothing else."""
    assert is_ours(token) == ours
