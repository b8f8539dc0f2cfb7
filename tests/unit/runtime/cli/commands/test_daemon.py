"""`orch down` touches what is its own installation's, and names whose the rest is."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.cli.commands.daemon import sweep_all
from runtime.cli.main import main
from runtime.containers import labels
from runtime.containers.owner import this_process
from runtime.daemon import installation
from runtime.daemon.settings import Settings
from runtime.engine.fake import FakeEngine
from runtime.errors import ConflictError

DEAD = "7:1:another-boot/1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of an installation that has run before."""
    made = Settings.from_env({"ORCHBOX_HOME": str(tmp_path), "ORCHBOX_RUN_DIR": str(tmp_path / "run")})
    installation.identify(made)
    return made


async def sandbox(engine: FakeEngine, name: str, owner: str, process: str) -> None:
    """One that a daemon has made."""
    more = {labels.INSTALLATION: owner, labels.DAEMON: process, labels.RUN_DIR: "/run/theirs"}
    marks = labels.labels("default", "sandbox", **more)
    await engine.create(name, {"Image": "box", "Entrypoint": ["true"], "Labels": marks})


async def test_what_our_dead_daemon_left_goes(settings: Settings):
    """And what another installation has stays, unsaid, since there was something to do."""
    engine = FakeEngine({"box": None})
    await sandbox(engine, "mine", installation.known(settings) or "", DEAD)
    await sandbox(engine, "theirs", "f" * 32, this_process())

    assert await sweep_all(engine, settings, is_foreign_too=False, is_all=True) == 1
    assert set(engine.by_name) == {"theirs"}


@pytest.mark.parametrize("has_id", [True, False])
async def test_a_stray_down_is_refused_with_the_others_name(settings: Settings, *, has_id: bool):
    """An `orch down` with another home or run directory removes nothing of a daemon that runs."""
    engine = FakeEngine({"box": None})
    await sandbox(engine, "theirs", "f" * 32, this_process())
    if not has_id:
        (settings.home / "default.installation").unlink()

    with pytest.raises(ConflictError, match="/run/theirs"):
        await sweep_all(engine, settings, is_foreign_too=False, is_all=True)
    with pytest.raises(ConflictError, match="/run/theirs"):
        await sweep_all(engine, settings, is_foreign_too=True, is_all=True)
    assert set(engine.by_name) == {"theirs"}


async def test_what_a_dead_one_left_goes_on_demand(settings: Settings):
    """`--foreign` removes it, together with our own."""
    engine = FakeEngine({"box": None})
    await sandbox(engine, "mine", installation.known(settings) or "", DEAD)
    await sandbox(engine, "theirs", "f" * 32, DEAD)

    assert await sweep_all(engine, settings, is_foreign_too=True, is_all=True) == 2
    assert engine.by_name == {}


def test_down_from_another_run_directory_names_the_daemon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The daemon of the same home and instance lives elsewhere: nothing is swept away under it."""
    monkeypatch.setenv("ORCHBOX_HOME", str(settings.home))
    monkeypatch.setenv("ORCHBOX_RUN_DIR", str(settings.home / "elsewhere"))
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    with installation.held(settings), pytest.raises(SystemExit) as ended:
        main(["down"])

    assert ended.value.code == ConflictError.exit_code
    assert str(settings.run_dir) in capsys.readouterr().err
