"""The program in the sandbox as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime.probe.trust.agent import main as program
from runtime.probe.trust.table import AGENT

PROXY = dict.fromkeys(program.PROXY_VARIABLES, "http://10.0.0.2:8080")
PROXY |= {name.lower(): value for name, value in PROXY.items()}


def attempt(*argv: str, timeout_s: float = 20, with_proxy: bool = True, **files: str) -> dict[str, Any]:
    """What becomes of one command."""
    given = {"id": "a/b", "argv": argv, "files": files, "proxy": with_proxy}
    done = subprocess.run(
        [sys.executable, str(AGENT / "main.py")],
        input=json.dumps({"timeout_s": timeout_s, "attempts": [given]}),
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **PROXY},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.startswith("a/b: ")
    return json.loads(done.stdout)["a/b"]


def test_status_and_both_streams_are_told():
    """What goes to stdout and to stderr, and how it ended."""
    done = attempt("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done["status"], done["output"]) == (3, "out\nerr\n")


def test_files_are_in_a_home_of_its_own_that_is_gone_afterwards():
    """The command finds its files where it stands, and that is its home."""
    done = attempt("sh", "-c", 'cat sub/conf; echo; pwd; echo "$HOME"', **{"sub/conf": "text"})
    text, folder, home = done["output"].split()
    assert (text, folder) == ("text", home)
    assert not Path(home).exists()


def test_the_proxy_environment_is_kept_or_wholly_dropped():
    """Without it, no variable of either spelling names the proxy."""
    assert attempt("env")["output"].count("10.0.0.2") == len(PROXY)
    assert "10.0.0.2" not in attempt("env", with_proxy=False)["output"]


def test_a_command_that_hangs_ends_with_what_it_started():
    """Its whole group is killed, and a time limit is no status."""
    done = attempt("sh", "-c", "echo started; sleep 300 & sleep 300", timeout_s=2)
    assert (done["status"], done["output"]) == (None, "started\n")
    assert done["took_s"] < 30


def test_a_command_that_is_not_there_says_so():
    """A missing client is a failed attempt, not a failed program."""
    done = attempt("no-such-client")
    assert (done["status"], done["output"]) == (127, "no-such-client: No such file or directory\n")


def test_output_is_bounded_and_keeps_both_ends():
    """A client that talks without end fills no result."""
    done = attempt("sh", "-c", "echo first; head -c 1000000 /dev/zero | tr '\\\\0' x; echo; echo last")
    assert len(done["output"]) < program.OUTPUT_BYTES + 10
    assert done["output"].startswith("first\n")
    assert done["output"].endswith("last\n")


def test_it_imports_only_the_standard_library():
    """It runs in images that have nothing else."""
    lines = (AGENT / "main.py").read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names)
