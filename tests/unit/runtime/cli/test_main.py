"""`orch` as a process: whatever stdout and the locale are like, it ends with a sentence and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.runs.readiness import Check
from tests.unit.runtime.fake_service import FakeService, serving

WORDS = "Z\u00fcrich \U0001f511 \ud800"


def orch(*arguments: str, stdout: object = subprocess.PIPE, folder: Path, **environment: str):
    """Run `orch`; stderr is always captured."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("ORCHBOX_", "LC_", "LANG", "PYTHON"))}
    own = {
        "PYTHONPYCACHEPREFIX": os.environ["PYTHONPYCACHEPREFIX"],
        "ORCHBOX_HOME": str(folder / "home"),
        "ORCHBOX_RUN_DIR": str(folder),
        "PYTHONPATH": str(Path.cwd()),
    }
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli.main", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**plain, **own, **environment},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [("formats",), ("formats", "--json"), ("--help",), ("--version",), ("runs", "--json"), ("nonsense",)],
)
@pytest.mark.parametrize("output", ["json", "text"])
def test_a_full_disk_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], output: str):
    """On stderr, with an exit status of an error, also where it is an error that cannot be told."""
    with Path("/dev/full").open("w") as full:
        done = orch(*arguments, stdout=full, folder=tmp_path, ORCHAGENT_OUTPUT=output)

    said = done.stderr.decode()
    assert done.returncode not in (0, 120)
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert said.startswith("error: ")
    assert "orch itself failed" not in said


def test_a_closed_stdout_is_no_bug(tmp_path: Path):
    """`>&-` ends as another error would."""
    command = ["sh", "-c", 'exec "$0" -m runtime.cli.main formats >&-', sys.executable]
    environment = {**os.environ, "ORCHBOX_RUN_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)

    assert b"Traceback" not in done.stderr
    assert b"orch itself failed" not in done.stderr


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {},
    ],
    ids=["ascii", "C", "latin-1", "utf-8"],
)
def test_no_text_ends_a_command(tmp_path: Path, locale: dict[str, str]):
    """What the locale cannot write is spelled out, in a list and in an error."""
    service = FakeService()
    service.checks_now = [Check("guard", is_ok=False, detail=WORDS.replace("\ud800", ""), remedy="caf\u00e9")]
    with serving(service, tmp_path / "api.sock"):
        done = orch("doctor", folder=tmp_path, ORCHAGENT_OUTPUT="text", DOCKER_HOST="unix:///none", **locale)
        wrong = orch("run", "caf\u00e9", folder=tmp_path, ORCHAGENT_OUTPUT="text", **locale)

    assert "guard: Z" in done.stdout.decode("latin-1")
    for said in (done.stderr, wrong.stderr):
        assert b"Traceback" not in said
        assert b"orch itself failed" not in said
    assert wrong.stderr.startswith(b"error: ")


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}])
def test_data_arrives_as_it_was_typed(tmp_path: Path, locale: dict[str, str]):
    """In a locale that is not UTF-8 too."""
    (tmp_path / "agent").mkdir()
    manifest = {"name": "lab-agent", "type": "tool", "description": "d"}
    (tmp_path / "agent/orchagent.json").write_text(json.dumps(manifest))
    (tmp_path / "agent/main.py").write_text("import sys; print(ascii(sys.stdin.buffer.read()))")
    arguments = ("run", str(tmp_path / "agent"), "--local", "--json", "--data", '{"q": "Z\u00fcrich"}')

    done = orch(*arguments, folder=tmp_path, **locale)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"].strip() == ascii('{"q": "Z\u00fcrich"}'.encode())


def test_data_that_is_no_text_is_refused(tmp_path: Path):
    """One sentence, no bug."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/orchagent.json").write_text(
        '{"name": "lab-agent", "type": "tool", "description": "d"}'
    )
    (tmp_path / "agent/main.py").write_text("")
    data = b'"\xff"'.decode(errors="surrogateescape")

    done = orch("run", str(tmp_path / "agent"), "--local", "--json", "--data", data, folder=tmp_path)

    assert json.loads(done.stdout)["code"] == "INVALID_INPUT"
