"""The one rule for a secret's name and value, and that every place that takes a secret has it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.contract.grant import Grant, GrantSecret, grant_from_wire
from proxy.contract.secret_rules import MAX_SECRET_BYTES, ValueProblem, is_secret_name, value_problem
from proxy.policy.model import Policy
from runtime.api.run_body import read_create_run, to_run_request
from runtime.cli.commands.secrets import read_value
from runtime.errors import InvalidInputError
from runtime.keys.dotenv import read_dotenv
from runtime.keys.placeholders import deliver
from runtime.keys.settle import gather, settle
from runtime.model.needs import Needs
from runtime.model.secret import Secret
from runtime.policies.schema import AllowEntry
from runtime.vault.entry import check_name, check_value

LONGEST = "A" * 128
PROBLEMS = {
    "it is empty": "",
    "it holds a NUL": "a\0b",
    "it is not UTF-8 text": "a\udcff",
    "it is longer than 16 KiB": "x" * (MAX_SECRET_BYTES + 1),
}


@pytest.mark.parametrize("name", ["", "a", "1A", "_A", "A-B", "A\n", "É", LONGEST + "A"])
def test_a_name_that_is_none(name: str) -> None:
    """No place takes what another would refuse."""
    assert not is_secret_name(name)
    with pytest.raises(ValueError, match="its name is not"):
        GrantSecret(name, "value")
    with pytest.raises(InvalidInputError):
        check_name(name)
    with pytest.raises(ValidationError):
        AllowEntry.model_validate({"host": "a.test", "credential": name})


def test_the_longest_name_is_one_everywhere() -> None:
    """What a policy names can be stored and granted."""
    assert is_secret_name(LONGEST)
    check_name(LONGEST)
    GrantSecret(LONGEST, "value")
    AllowEntry.model_validate({"host": "a.test", "credential": LONGEST})


@pytest.mark.parametrize(("problem", "value"), PROBLEMS.items(), ids=PROBLEMS.keys())
def test_a_value_that_is_none(problem: str, value: str) -> None:
    """Where it is set, the error has a remedy; where it is given to a run, it names the secret; never the value."""
    found = value_problem(value)
    assert isinstance(found, ValueProblem)
    assert found.what == problem
    with pytest.raises(InvalidInputError) as told:
        check_value(Secret(value))
    assert (told.value.message, told.value.hint) == (f"value: {problem}", found.remedy)
    with pytest.raises(InvalidInputError) as told:
        deliver({"DB_KEY": Secret(value)}, frozenset())
    assert told.value.message == f"secret DB_KEY: its value cannot be used: {problem}"


def test_the_longest_value_is_one_everywhere() -> None:
    """What can be stored can be given to a run."""
    value = "é" * (MAX_SECRET_BYTES // 2)
    assert value_problem(value) is None
    check_value(Secret(value))
    assert deliver({"DB_KEY": Secret(value)}, frozenset())[0].value == value


NEEDS = Needs(required=("DB_KEY",), providers=("openai",), provider="openai")


def _to_a_run(found: dict[str, Secret]) -> None:
    deliver(settle(NEEDS, {"DB_KEY": Secret("x"), **found}, {}, workspace="default").secrets, frozenset())


def _by_body(value: str, folder: Path) -> None:
    del folder
    body = {"agent_ref": "a", "argv": ["true"], "image": "agent-base:local", "input": ""}
    asked = to_run_request(read_create_run(json.dumps({**body, "secrets": {"DB_KEY": value}})), b"", {})
    deliver(dict(asked.secrets), frozenset())


def _by_document(value: str, folder: Path) -> None:
    del folder
    given = {"llm_credentials": {"api_key": value, "provider": "openai"}}
    body = {"agent_ref": "a", "argv": ["true"], "image": "agent-base:local", "input": json.dumps(given)}
    body["needs"] = {"providers": ["openai"], "provider": "openai"}
    _to_a_run(dict(to_run_request(read_create_run(json.dumps(body)), b"", {}).secrets))


def _by_dotenv(value: str, folder: Path) -> None:
    (folder / ".env").write_text(f"OPENAI_API_KEY=k\nDB_KEY={value}\n")
    _to_a_run(gather(NEEDS, key=None, environment={}, dotenv=read_dotenv(folder / ".env")))


def _by_stdin(value: str, folder: Path) -> None:
    del folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(value.encode() + b"\n")))
        read_value(())


def _by_wire(value: str, folder: Path) -> None:
    del folder
    grant = Grant("s", 1, Policy("p"), "10.0.0.2", "10.0.0.3", 9.0, "t" * 32)
    secret = {"name": "DB_KEY", "value": value, "placeholder": None}
    grant_from_wire({**grant.to_wire(), "secrets": [secret]})


WAYS: dict[str, Callable[[str, Path], object]] = {
    "the vault": lambda value, _: check_value(Secret(value)),
    "orch secrets set NAME VALUE": lambda value, _: read_value((value,)),
    "orch secrets set NAME, from stdin": _by_stdin,
    "the environment": lambda value, _: _to_a_run(
        gather(NEEDS, key=None, environment={"DB_KEY": value, "OPENAI_API_KEY": "k"}, dotenv={})
    ),
    ".env": _by_dotenv,
    "--key": lambda value, _: _to_a_run(gather(NEEDS, key=value, environment={}, dotenv={})),
    "the body of a run": _by_body,
    "llm_credentials of the input": _by_document,
    "a run that reads the vault": lambda value, _: deliver({"DB_KEY": Secret(value)}, frozenset({"DB_KEY"})),
    "a grant": lambda value, _: GrantSecret("DB_KEY", value),
    "a grant on the control socket": _by_wire,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sign", ["x", "\u00e9"], ids=["ASCII", "two bytes"])
def test_every_way_in_has_one_limit(way: str, sign: str, tmp_path: Path) -> None:
    """What one place takes, all take: no secret is stored with which every run would then be refused."""
    longest = sign * (MAX_SECRET_BYTES // len(sign.encode()))
    if way != "a run that reads the vault" or sign == "x":  # a brokered one has to fit into a header
        WAYS[way](longest, tmp_path)

    with pytest.raises((InvalidInputError, ValueError)) as told:
        WAYS[way](longest + sign, tmp_path)

    assert "longer than 16 KiB" in getattr(told.value, "message", str(told.value))
    assert longest not in str(told.value)
