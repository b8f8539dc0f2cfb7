"""runtime.cli.commands.probe: what can be said before anything is attacked."""

from __future__ import annotations

import json

import pytest

from runtime.cli import main as cli


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
