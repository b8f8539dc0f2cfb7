"""`orch` imports what a command needs and nothing else, and its list of commands tells what they say themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import click
import pytest

from runtime.cli.console.lazy import LazyGroup, Place
from runtime.cli.main import cli

ROOT = Path(__file__).resolve().parents[5]
HEAVY = {
    *(
        "alembic",
        "anthropic",
        "any_llm",
        "cryptography",
        "docker",
        "fastapi",
        "genai_prices",
        "httpx",
        "hvac",
    ),
    *(
        "mitmproxy",
        "openai",
        "opentelemetry.sdk",
        "prometheus_client",
        "psycopg",
        "pydantic",
        "requests",
        "rich",
        "runtime.api.run_body",
        "sqlalchemy",
    ),
    *("starlette", "structlog", "tink", "uvicorn", "websockets", "yaml"),
}
"""Modules that take long to import; a command that comes to need another one says so below."""
CLIENT = {"httpx", "rich"}
MANIFEST = {"pydantic"}
MAY_IMPORT: dict[str, set[str]] = {
    "--version": set(),
    "--help": set(),
    "nonsense": set(),
    "runs": CLIENT,
    "logs x": CLIENT,
    "egress x": CLIENT,
    "cancel x": CLIENT,
    "prune": CLIENT,
    "secrets list": CLIENT,
    "secrets set A_KEY a-value-of-the-test": CLIENT,
    "secrets audit": CLIENT,
    "secrets rotate": CLIENT,
    "secrets new-key": CLIENT | {"tink"},
    "workspaces list": CLIENT,
    "run AGENT": CLIENT | MANIFEST,
    "run AGENT --local": CLIENT | MANIFEST,
    "policy check policies/llm-only.yaml": CLIENT | {"pydantic", "yaml"},
    "formats": MANIFEST | {"yaml"},
    "install AGENT": MANIFEST | {"yaml"},
    "update": MANIFEST | {"yaml"},
    "doctor": CLIENT | {"docker", "requests"},
    "down": CLIENT | {"docker", "pydantic", "requests", "structlog"},
}
IMPORTED = """
import json, sys
from runtime.cli.main import main
try:
    main(sys.argv[2:])
except SystemExit as ended:
    print(json.dumps([ended.code, [name for name in json.loads(sys.argv[1]) if name in sys.modules]]))
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """An agent whose run gets as far as it can without a daemon."""
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "orchagent.json").write_text('{"name": "lazy", "type": "tool"}')
    (folder / "main.py").write_text("print(1)")
    return folder


@pytest.mark.parametrize("words", MAY_IMPORT)
def test_a_command_imports_what_it_needs(tmp_path: Path, agent: Path, words: str):
    """In a process of its own, up to its end: there is no daemon and no engine."""
    arguments = [str(agent) if word == "AGENT" else word for word in words.split()]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ORCHBOX_")}
    own = {
        "HOME": str(tmp_path),
        "ORCHBOX_HOME": str(tmp_path / "home"),
        "ORCHBOX_RUN_DIR": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, json.dumps(sorted(HEAVY)), *arguments],
        env={**environment, **own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    status, imported = json.loads(done.stdout.splitlines()[-1])

    assert "orch itself failed" not in done.stdout + done.stderr
    assert status is not None
    assert set(imported) == MAY_IMPORT[words]


@pytest.mark.parametrize("limit", [20, 45, 80, 200])
def test_the_list_tells_what_each_command_says_itself(limit: int):
    """Nothing is told twice in two ways, however wide the terminal is."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command, place = cli.get_command(context, name), cli.places[name]
        assert command is not None
        told = click.Command(name, help=place.help).get_short_help_str(limit)
        assert (command.name, command.hidden, command.deprecated) == (name, False, False)
        assert command.get_short_help_str(limit) == told


def test_every_command_is_found_and_no_other():
    """A name that is none is click's own usage error."""
    context = click.Context(cli)

    assert cli.list_commands(context) == sorted(cli.places)
    assert cli.get_command(context, "nonsense") is None
    with pytest.raises(click.UsageError, match="No such command 'nonsense'"):
        cli.main(["nonsense"], standalone_mode=False)


def test_a_place_that_is_none_is_a_bug_and_no_command():
    """A table that names a module or a command which is not there fails where it is called."""

    class Group(LazyGroup):
        places: ClassVar = {
            "a": Place("runtime.cli.commands.none", "a", "No module."),
            "b": Place("runtime.cli.commands.runs", "none", "No command."),
        }

    group = Group("orch")
    with pytest.raises(ModuleNotFoundError):
        group.get_command(click.Context(group), "a")
    with pytest.raises(AttributeError):
        group.get_command(click.Context(group), "b")
