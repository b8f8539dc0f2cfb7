"""`orch run --local`: what a real agent finds on this machine, and what is left behind: nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runtime.cli import main as cli

ROOT = Path(__file__).resolve().parents[5]
MARKER = "marker-5e2-value"
WATCHED = """
import sys
opened = []
def watch(event, arguments):
    if event.startswith("socket."):
        opened.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if isinstance(arguments[0], str) and not arguments[0].startswith(("/dev/", "/proc/")):
            opened.append(f"write {arguments[0]}")
sys.addaudithook(watch)
from runtime.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("opened:", opened, file=sys.stderr)
"""
"""`orch`, telling every socket and every file it opens for writing."""


def agent(folder: Path, code: str, *, entry: str = "main.py", **manifest: Any) -> Path:
    """An agent's directory."""
    (folder / "agent").mkdir(exist_ok=True)
    (folder / "agent" / entry).write_text(code)
    document = {"name": "lab-agent", "type": "tool", **manifest}
    (folder / "agent/orchagent.json").write_text(json.dumps(document))
    return folder / "agent"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A caller's environment without keys, whose temporary folder is the test's."""
    (folder / "tmp").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    own = {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **own, **more}


class Finished(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Orch = Callable[..., Finished]


@pytest.fixture
def orch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Orch:
    """`orch` in this process, with the caller's environment and folder."""

    def command(*arguments: str, **env: str) -> Finished:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.endswith("_API_KEY")]:
                patch.delenv(name)
            for name, value in environment(tmp_path, **env).items():
                patch.setenv(name, value)
            patch.setattr(tempfile, "tempdir", None)
            patch.chdir(tmp_path)
            with pytest.raises(SystemExit) as ended:
                cli.main(list(arguments))
        said = capsys.readouterr()
        return Finished(int(ended.value.code or 0), said.out, said.err)

    return command


def test_result_log_and_shape(orch: Orch, tmp_path: Path):
    """The result in the shape of a server run, without the id of a record; the log on stderr; no leftovers."""
    made = agent(
        tmp_path,
        "import json,sys; print('log', file=sys.stderr); print(json.dumps({'got': json.load(sys.stdin)}))",
    )

    done = orch("run", str(made), "--local", "--data", '{"a": [1]}')

    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "log\n")
    assert shown["result"] == {"got": {"a": [1]}}
    assert list(shown) == [
        "id", "agent_ref", "policy_name", "isolation", "state", "created_at", "finished_at", "result"
    ]  # fmt: skip
    assert (shown["id"], shown["state"], shown["agent_ref"]) == (None, "completed", "lab-agent")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_result_is_masked_as_it_was_parsed(orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A value in JSON's escapes is found, and a word that is a value by chance breaks no JSON."""
    code = r"""print('{"a": "x k-1\/of\u0026it-01", "ok": true}')"""
    made = agent(tmp_path, code, required_secrets=["A_KEY", "DRY_RUN"])
    monkeypatch.setenv("A_KEY", "k-1/of&it-01")
    monkeypatch.setenv("DRY_RUN", "true")
    done = orch("run", str(made), "--local", "--data", "{}")
    assert json.loads(done.stdout)["result"] == {"a": "x ***", "ok": True}


def test_nothing_is_stored_and_nothing_is_sent(tmp_path: Path):
    """No socket is opened and no file written by us but the upload, which is gone afterwards."""
    made = agent(
        tmp_path, "import os; print(len(os.environ['OPENAI_API_KEY']))", supported_providers=["openai"]
    )
    (tmp_path / "note.txt").write_text("hello")
    before = set(tmp_path.rglob("*")) | {tmp_path / "tmp"}

    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "run", str(made), "note.txt", "--local"],
        env=environment(tmp_path, OPENAI_API_KEY=MARKER, HOME=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    opened = done.stderr.partition("opened: ")[2]
    assert json.loads(done.stdout)["result"] == len(MARKER)
    assert opened.count("write ") == opened.count("/uploads/note.txt") == 1, opened
    assert "socket." not in opened
    assert set(tmp_path.rglob("*")) == before
    assert MARKER not in done.stdout + done.stderr


def test_keys_models_and_the_whole_environment(orch: Orch, tmp_path: Path):
    """The caller's environment, all of .env behind it, the flag before both, and what is chosen."""
    names = ["OPENAI_API_KEY", "EXTRA", "MINE", "LLM_PROVIDER", "LLM_MODEL", "LOCAL_MODE"]
    made = agent(
        tmp_path,
        f"import os,json; print(json.dumps({{n: os.environ.get(n) for n in {names}}}))",
        supported_providers=["any"],
        default_models={"openai": "gpt-x"},
    )
    (made / ".env").write_text("OPENAI_API_KEY=from-file\nEXTRA=extra\nMINE=from-file\n")

    plain = orch("run", str(made), "--local", MINE="mine")
    flagged = orch("run", str(made), "--local", "--provider", "openai", "--key", "flag", "--model", "m")

    assert json.loads(plain.stdout)["result"] == {
        "OPENAI_API_KEY": "***", "EXTRA": "extra", "MINE": "mine",
        "LLM_PROVIDER": "openai", "LLM_MODEL": "gpt-x", "LOCAL_MODE": "1",
    }  # fmt: skip
    assert json.loads(flagged.stdout)["result"]["LLM_MODEL"] == "m"


def test_upload_is_a_real_path(orch: Orch, tmp_path: Path):
    """The document names a file of this machine."""
    made = agent(
        tmp_path,
        "import json,sys; d=json.load(sys.stdin); f=d['files'][0];"
        "print(json.dumps([f['original_name'], open(f['path']).read(), d['metadata']]))",
    )
    (tmp_path / "note.txt").write_text("hello")

    done = orch("run", str(made), "note.txt", "--local", "--data", '{"k": 1}')

    assert json.loads(done.stdout)["result"] == ["note.txt", "hello", {"k": 1}]


def test_llm_credentials_are_the_key_and_not_the_input(orch: Orch, tmp_path: Path):
    """On this side of the API too."""
    made = agent(
        tmp_path,
        "import json,os,sys; print(json.dumps([json.load(sys.stdin), len(os.environ['GEMINI_API_KEY'])]))",
        supported_providers=["gemini"],
    )
    data = {"q": 1, "llm_credentials": {"api_key": MARKER, "provider": "gemini"}}

    done = orch("run", str(made), "--local", "--data", json.dumps(data))

    assert json.loads(done.stdout)["result"] == [{"q": 1}, len(MARKER)]


def test_javascript_runs_with_node(orch: Orch, tmp_path: Path):
    """By the entry's ending."""
    made = agent(
        tmp_path,
        "console.log(JSON.stringify({n: JSON.parse(require('fs').readFileSync(0)).n + 1}))",
        entry="main.js",
    )

    assert json.loads(orch("run", str(made), "--local", "--data", '{"n": 1}').stdout)["result"] == {"n": 2}


def test_a_command_runs_in_the_agents_folder(orch: Orch, tmp_path: Path):
    """runtime.command through the shell."""
    made = agent(tmp_path, "", runtime={"command": "ls main.py"})

    assert json.loads(orch("run", str(made), "--local").stdout)["result"] == "main.py\n"


FAILURES = {
    "JSON with an error": ('print(\'{"error": "no luck"}\'); exit(1)', 1, "SANDBOX_ERROR", "Agent error: no luck"),
    "other JSON": ("print('[1]'); exit(4)", 1, "SANDBOX_ERROR", "the agent exited with status 4"),
    "a traceback": ("raise KeyError('oops')", 1, "SANDBOX_ERROR", "oops"),
    "the time limit": ("import time; time.sleep(60)", 7, "SANDBOX_TIMEOUT", "after its 1 s"),
    "too long a result": ("print('y' * (11 << 20))", 1, "SANDBOX_ERROR", "longer than"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_failure_is_told_as_of_a_server_run(orch: Orch, tmp_path: Path, case: str):
    """Code, sentence and exit status; no hint at a record that there is not."""
    code, status, error, words = FAILURES[case]

    limit = "1" if case == "the time limit" else "60"
    done = orch("run", str(agent(tmp_path, code)), "--local", "--timeout", limit)

    shown = json.loads(done.stdout)
    assert (done.returncode, shown["code"]) == (status, error)
    assert words in shown["message"]
    assert "hint" not in shown
    assert list((tmp_path / "tmp").iterdir()) == []


def test_output_that_is_no_json_is_printed_raw(orch: Orch, tmp_path: Path):
    """For a person as it is; in JSON as a text."""
    made = agent(tmp_path, "print('plain words')")

    assert orch("run", str(made), "--local", ORCHAGENT_OUTPUT="text").stdout == "plain words\n\n"
    assert json.loads(orch("run", str(made), "--local").stdout)["result"] == "plain words\n"


REFUSED = {
    "no key": ({"supported_providers": ["openai"]}, [], 1, "LLM_KEY_REQUIRED", "export OPENAI_API_KEY"),
    "no secret": ({"required_secrets": ["A_KEY"]}, [], 1, "MISSING_SECRETS", "export A_KEY"),
    "a policy without a sandbox": ({}, ["--policy", "llm-only"], 5, "INVALID_INPUT", "--sandbox"),
    "an isolation without a sandbox": ({}, ["--isolation", "runsc"], 5, "INVALID_INPUT", "--sandbox"),
    "a prompt": ({"type": "prompt"}, [], 5, "INVALID_INPUT", "tool"),
    "a key without its provider": ({}, ["--key", MARKER], 5, "INVALID_INPUT", "--provider"),
    "ollama in a sandbox": (
        {"supported_providers": ["ollama"]}, ["--sandbox"], 5, "INVALID_INPUT", "--local"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_the_start(orch: Orch, tmp_path: Path, case: str):
    """The platform's code, and the command that helps."""
    manifest, arguments, status, code, hint = REFUSED[case]
    made = agent(tmp_path, "open('ran', 'w')", **manifest)

    done = orch("run", str(made), "--local", *arguments)

    shown = json.loads(done.stdout)
    assert (done.returncode, shown["code"]) == (status, code)
    assert hint in shown["hint"]
    assert not (made / "ran").exists()
    assert MARKER not in done.stdout + done.stderr


def test_sandbox_without_local_is_refused(orch: Orch, tmp_path: Path):
    """Every other run has one anyway."""
    done = orch("run", str(agent(tmp_path, "")), "--sandbox")

    assert (done.returncode, json.loads(done.stdout)["code"]) == (5, "INVALID_INPUT")


def test_ollama_needs_no_key(orch: Orch, tmp_path: Path):
    """With `any` it is the last resort of a local run."""
    made = agent(
        tmp_path,
        "import os; print(os.environ['LLM_PROVIDER'], os.environ['LLM_MODEL'], os.environ['OLLAMA_HOST'])",
        supported_providers=["any"],
    )

    done = orch("run", str(made), "--local", OLLAMA_HOST="")

    assert json.loads(done.stdout)["result"] == "ollama llama3.2 http://localhost:11434/v1\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_agent(tmp_path: Path, number: signal.Signals):
    """Exit status 130, the agent gone, nothing left."""
    made = agent(
        tmp_path, "import os,sys,time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    )
    (tmp_path / "note.txt").write_text("x")
    running = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli.main", "run", str(made), "note.txt", "--local"],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    pid = int(running.stderr.readline())

    running.send_signal(number)
    out, _ = running.communicate(timeout=30)

    assert (running.returncode, json.loads(out)["code"]) == (130, "CANCELLED")
    assert not Path(f"/proc/{pid}").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_requirements_go_into_an_environment_of_the_runs(orch: Orch, tmp_path: Path):
    """The agent's python3 is not the caller's, and is gone afterwards."""
    made = agent(tmp_path, "import sys; print(sys.prefix)")
    (made / "requirements.txt").write_text("# nothing\n")

    done = orch("run", str(made), "--local")

    assert str(tmp_path / "tmp") in json.loads(done.stdout)["result"], done.stdout + done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_set_up_that_fails_is_told_apart(orch: Orch, tmp_path: Path):
    """Before any of the agent's code."""
    made = agent(tmp_path, "open('ran', 'w')")
    (made / "requirements.txt").write_text("nowhere\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text("#!/bin/sh\necho no such package >&2; exit 1\n")
    (tmp_path / "bin/python3").chmod(0o755)

    done = orch("run", str(made), "--local", PATH=f"{tmp_path}/bin:{os.defpath}")

    assert done.returncode == 1
    assert json.loads(done.stdout)["message"] == "the agent's set-up failed: no such package"
    assert not (made / "ran").exists()
