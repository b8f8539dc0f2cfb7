"""scripts.runsc: what it adds to an engine's configuration, and whose engine it leaves alone."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture
def runsc(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, imported as the script imports it."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("runsc")


@pytest.mark.parametrize("text", ["", "{}", '{"debug": true}', '{"runtimes": {"kata": {"path": "/k"}}}'])
def test_runtime_is_added_beside_what_is_there(runsc: ModuleType, text: str):
    """Every key of the operator's stays; only the runtime is new, and it alone is taken out again."""
    before = json.loads(text or "{}")
    added = runsc.with_runtime(text, "runsc", "/usr/bin/runsc")
    after = json.loads(added)
    entry = after["runtimes"].pop("runsc")
    assert entry == {"path": "/usr/bin/runsc", "runtimeArgs": list(runsc.ARGUMENTS)}
    assert after == {"runtimes": {}, **before}
    assert json.loads(runsc.without_runtime(added, "runsc")) == {"runtimes": {}, **before}


def test_a_runtime_of_that_name_is_left_alone(runsc: ModuleType):
    """An entry that an operator made is never changed, and neither is the file."""
    text = '{"runtimes": {"runsc": {"path": "/opt/own"}}}'
    assert runsc.with_runtime(text, "runsc", "/usr/bin/runsc") == text
    assert runsc.without_runtime('{"debug": true}', "runsc") == '{"debug": true}'


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"runtimes": []}'])
def test_a_file_that_is_none_is_left_alone(runsc: ModuleType, text: str):
    """What cannot be read as the engine's configuration is an error, never overwritten."""
    with pytest.raises(ValueError, match=r"."):
        runsc.with_runtime(text, "runsc", "/usr/bin/runsc")


def engine(folder: Path, *, comm: str, output: str) -> tuple[Path, Path]:
    """A process directory and a pid file as a running engine has them."""
    (folder / "77/fd").mkdir(parents=True)
    (folder / "77/comm").write_text(comm + "\n")
    (folder / "77/fd/1").symlink_to(output)
    (folder / "pid").write_text("77")
    return folder, folder / "pid"


@pytest.mark.parametrize(
    ("comm", "output", "expected"),
    [
        ("dockerd", "/work/orchbox/build/dockerd.log", 77),
        ("dockerd", "/gone/build/dockerd.log (deleted)", 77),
        ("dockerd", "/var/log/docker.log", None),
        ("dockerd", "socket:[123]", None),
        ("python3", "/work/orchbox/build/dockerd.log", None),
    ],
)
def test_whose_engine(runsc: ModuleType, tmp_path: Path, comm: str, output: str, expected: int | None):
    """Ours is a dockerd that writes to set-up's log, of whichever clone; any other is an operator's."""
    assert runsc.our_engine(*engine(tmp_path, comm=comm, output=output)) == expected


def test_no_engine(runsc: ModuleType, tmp_path: Path):
    """Without a pid file, or with one of a process that has ended, there is none of ours."""
    assert runsc.our_engine(tmp_path, tmp_path / "pid") is None
    (tmp_path / "pid").write_text("78")
    assert runsc.our_engine(tmp_path, tmp_path / "pid") is None


def test_another_engine_is_not_touched(runsc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is written or signalled where the engine is not ours."""
    monkeypatch.setattr(runsc, "our_engine", lambda: None)
    monkeypatch.setattr(runsc, "CONFIG", tmp_path / "daemon.json")
    monkeypatch.setattr(runsc.os, "kill", lambda *_: pytest.fail("signalled"))
    with pytest.raises(SystemExit, match="nothing was changed"):
        runsc.main(["register", "/usr/bin/runsc"])
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_is_not_taken_up_is_put_back(
    runsc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An engine that does not read the file leaves the file as it was, and set-up says so."""
    (config := tmp_path / "daemon.json").write_text('{"debug": true}')
    monkeypatch.setattr(runsc, "CONFIG", config)
    monkeypatch.setattr(runsc, "our_engine", lambda: 1)
    monkeypatch.setattr(runsc, "known_runtimes", lambda: {"runc"})
    monkeypatch.setattr(runsc, "WAIT_S", 0)
    signalled: list[int] = []
    monkeypatch.setattr(runsc.os, "kill", lambda pid, _: signalled.append(pid))
    with pytest.raises(SystemExit, match="did not take"):
        runsc.main(["register", "/usr/bin/runsc"])
    assert config.read_text() == '{"debug": true}'
    assert signalled == [1, 1]
