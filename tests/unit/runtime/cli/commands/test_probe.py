"""runtime.cli.commands.probe: what can be said before anything is attacked."""

from __future__ import annotations

import json

import pytest

from runtime.cli import main as cli
from runtime.engine.fake import FakeEngine
from runtime.probe.neighbours.judge import judge
from runtime.probe.neighbours.table import ROWS
from tests.unit.runtime.probe.neighbours.test_judge import WINDOWS, seen


def orch(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command; its status and stdout."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(ended.value.code or 0), capsys.readouterr().out


def test_list_attacks_nothing_and_names_every_case(capsys: pytest.CaptureFixture[str]):
    """Ids, groups and titles; the policy's own hosts included."""
    status, out = orch(capsys, "probe", "--list", "--policy", "llm-only", "--json")

    assert status == 0
    assert {"control", "policy", "names"} <= {row["group"] for row in json.loads(out)}


def test_a_group_chooses(capsys: pytest.CaptureFixture[str]):
    """Only its cases."""
    _, out = orch(capsys, "probe", "--list", "--group", "dns", "--json")

    assert {row["group"] for row in json.loads(out)} == {"dns"}


@pytest.mark.parametrize(
    "arguments",
    [("--case", "X-99"), ("--policy", "no-such-policy"), ("--isolation", "vm"), ("--group", "x")],
    ids=" ".join,
)
def test_a_wrong_choice_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]):
    """A typo never makes a probe that attacks nothing and passes."""
    status, out = orch(capsys, "probe", *arguments, "--json")

    assert status != 0
    assert json.loads(out)["error"] is True


@pytest.mark.parametrize(("is_held", "expected"), [(True, 0), (False, 1)])
def test_neighbours_status_says_whether_all_of_them_held(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_held: bool, expected: int
):
    """Exit status 1 for one row that did not hold; the report has the row all the same."""
    row = judge(ROWS[0], seen(lost=0 if is_held else 1), WINDOWS)

    async def prove(*_args: object, **_more: object) -> object:
        return [row], []

    monkeypatch.setattr("runtime.probe.neighbours.run.prove_neighbours", prove)

    status, out = orch(capsys, "probe", "--neighbours", "--json")

    report = json.loads(out)
    assert (status, report["ok"], report["rows"][0]["held"]) == (expected, is_held, is_held)


def test_two_probes_at_once_are_refused(capsys: pytest.CaptureFixture[str]):
    """Each of them takes the whole host."""
    status, out = orch(capsys, "probe", "--trust", "--neighbours", "--json")

    assert status != 0
    assert json.loads(out)["error"] is True


def test_trust_without_its_image_names_the_command_that_builds_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """One error that names image and command, before anything is set up."""
    monkeypatch.setattr("runtime.probe.trust.run.DockerEngine", lambda: FakeEngine({}))
    monkeypatch.setattr("runtime.probe.trust.run.probe_lab", None)

    status, out = orch(capsys, "probe", "--trust", "--json")

    assert status == 4
    assert json.loads(out) == {
        "error": True,
        "code": "NOT_FOUND",
        "message": "no such image: orchbox/agent-polyglot:local",
        "hint": "make trust-image",
        "exit_code": 4,
    }
