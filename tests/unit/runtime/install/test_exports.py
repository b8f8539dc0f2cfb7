"""What may be written over, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import InvalidInputError
from runtime.install.exports import Export, State, digest, export_of, state_of, write
from runtime.install.formats import FORMATS
from runtime.install.prompt import PromptAgent


def made(
    folder: Path, format_id: str = "claude-code", *, name: str = "reviewer", prompt: str = "Review."
) -> Export:
    """An export below this folder."""
    agent = PromptAgent(name, "d", prompt, None, None, {})
    return export_of(agent, FORMATS[format_id], "project", home=folder / "home", cwd=folder)


def test_scopes(tmp_path: Path):
    """Home or project; a format without the scope takes its own."""
    agent = PromptAgent("reviewer", "d", "p", None, None, {})

    def place(name: str, scope) -> str:
        found = export_of(agent, FORMATS[name], scope, home=tmp_path / "home", cwd=tmp_path)
        return f"{found.scope} {found.path.relative_to(tmp_path)}"

    assert place("claude-code", "user") == "user home/.claude/agents/reviewer.md"
    assert place("claude-code", "project") == "project .claude/agents/reviewer.md"
    assert place("cursor", "user") == "project .cursor/rules/reviewer.mdc"
    assert place("agents-md", "user") == "project AGENTS.md"


@pytest.mark.parametrize("format_id", FORMATS)
def test_states(tmp_path: Path, format_id: str):
    """Absent, then current; outdated by us, edited by hand, or somebody else's."""
    old, new = made(tmp_path, format_id, prompt="Old."), made(tmp_path, format_id, prompt="New.")

    assert state_of(old, None) is State.ABSENT
    write(old)
    assert state_of(old, None) is State.CURRENT
    assert state_of(new, old.digest) is State.OUTDATED
    assert state_of(new, None) is State.FOREIGN
    old.path.write_text(old.path.read_text().replace("Old.", "Mine."))
    assert state_of(new, old.digest) is State.EDITED
    assert state_of(old, old.digest) is State.EDITED


def test_a_block_leaves_the_rest_of_the_file_alone(tmp_path: Path):
    """Added at the end, replaced in place; other blocks and words stay."""
    path = tmp_path / "AGENTS.md"
    path.write_text("# Mine\nwords")
    first, other = made(tmp_path, "agents-md"), made(tmp_path, "agents-md", name="other")

    write(first)
    write(other)
    path.write_text(path.read_text() + "after\n")
    write(made(tmp_path, "agents-md", prompt="Changed."))

    text = path.read_text()
    assert text.startswith("# Mine\nwords\n\n<!-- orchagent:local/reviewer -->\n")
    assert text.endswith(f"{other.text}after\n")
    assert (text.count("Changed."), text.count("Review.")) == (1, 1)


def test_editing_outside_the_block_is_no_edit_of_it(tmp_path: Path):
    """The digest is the block's."""
    block = made(tmp_path, "agents-md")
    write(block)
    block.path.write_text(f"before\n{block.path.read_text()}")

    assert state_of(block, block.digest) is State.CURRENT
    assert digest(block.text) == block.digest


@pytest.mark.parametrize(
    "text", ["{first}\n", "{last}\n", "{last}\n{first}\n", "{first}\n{last}\n{first}\n{last}\n"]
)
def test_broken_markers_are_refused(tmp_path: Path, text: str):
    """What is no block is not guessed at."""
    first, last = "<!-- orchagent:local/reviewer -->", "<!-- /orchagent:local/reviewer -->"
    (tmp_path / "AGENTS.md").write_text(text.format(first=first, last=last))

    with pytest.raises(InvalidInputError, match="markers"):
        state_of(made(tmp_path, "agents-md"), None)


def test_nothing_is_written_through_a_link(tmp_path: Path):
    """A hostile project cannot lead us to another file of the caller's."""
    (tmp_path / "other").write_text("mine")
    (tmp_path / "AGENTS.md").symlink_to(tmp_path / "other")

    for step in (lambda e: state_of(e, None), write):
        with pytest.raises(InvalidInputError, match="symbolic link"):
            step(made(tmp_path, "agents-md"))
    assert (tmp_path / "other").read_text() == "mine"


@pytest.mark.parametrize("linked", [".claude", ".claude/agents"])
@pytest.mark.parametrize("inside", [True, False])
def test_nothing_is_written_through_a_linked_folder(tmp_path: Path, linked: str, *, inside: bool):
    """A hostile project cannot lead us to another folder of the caller's, within it or not."""
    project = tmp_path / "project"
    other = (project if inside else tmp_path) / "other"
    (other / "agents").mkdir(parents=True)
    (project / linked).parent.mkdir(parents=True, exist_ok=True)
    (project / linked).symlink_to(other)

    for step in (lambda e: state_of(e, None), write):
        with pytest.raises(InvalidInputError, match="is a link"):
            step(made(project))
    assert [path.name for path in other.rglob("*")] == ["agents"]


@pytest.mark.parametrize(("target", "is_refused"), [("home/dotfiles", False), ("elsewhere", True)])
def test_a_home_may_be_spread_by_links_of_its_own(tmp_path: Path, target: str, *, is_refused: bool):
    """`~/.claude` in a folder of dotfiles is the caller's own doing; what leads out of the home is refused."""
    (tmp_path / target).mkdir(parents=True)
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home/.claude").symlink_to(tmp_path / target)
    agent = PromptAgent("reviewer", "d", "p", None, None, {})
    export = export_of(agent, FORMATS["claude-code"], "user", home=tmp_path / "home", cwd=tmp_path)
    if is_refused:
        with pytest.raises(InvalidInputError, match="is a link"):
            write(export)
    else:
        write(export)
    assert (tmp_path / target / "agents/reviewer.md").exists() is not is_refused


def test_permissions_stay_and_no_part_is_left(tmp_path: Path):
    """A file is replaced whole."""
    export = made(tmp_path)
    write(export)
    export.path.chmod(0o600)

    write(made(tmp_path, prompt="New."))

    assert export.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in export.path.parent.iterdir()] == ["reviewer.md"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    """One clear error."""
    (tmp_path / ".claude").write_text("a file")

    with pytest.raises(InvalidInputError, match=r"\.claude"):
        write(made(tmp_path))
