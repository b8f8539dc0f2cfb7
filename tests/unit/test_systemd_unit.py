"""contrib/systemd/orchbox.service: systemd takes it, keepers outlive their daemon, and no option breaks either."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from runtime.cli.main import cli
from runtime.daemon import serve
from runtime.daemon.settings import DEFAULT_ADOPT_S, Settings

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "contrib/systemd/orchbox.service"
PAGE = ROOT / "docs/operations.md"


def options(text: str) -> dict[str, list[str]]:
    """Every option, with its values in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


@pytest.fixture(scope="module")
def unit() -> dict[str, str]:
    """The options; each is there once."""
    found = options(UNIT.read_text())
    assert {name for name, values in found.items() if len(values) > 1} == set()
    return {name: values[0] for name, values in found.items()}


def complaints(text: str, folder: Path) -> str:
    """What systemd says of a unit whose program is there."""
    path = folder / "orchbox.service"
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "orchbox.service" in line]
    return "\n".join(said) or ("failed" if done.returncode else "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
@pytest.mark.parametrize(
    ("change", "is_right"),
    [(("", ""), True), (("KillMode", "KillMod"), False), (("KillMode=process", "KillMode=nobody"), False)],
    ids=["as it is", "a name that is none", "a value that is none"],
)
def test_systemd_takes_it(tmp_path: Path, change: tuple[str, str], is_right: bool):
    """Every name and value of it; what it does not know it would leave out without a failure."""
    assert (complaints(UNIT.read_text().replace(*change), tmp_path) == "") is is_right


def test_keepers_outlive_a_daemon_that_fails(unit: dict[str, str]):
    """`mixed` kills what is left in the unit as soon as its main process is gone (systemd 252, service.c)."""
    assert unit["KillMode"] == "process"
    assert unit["OOMPolicy"] == "continue"
    assert unit["Restart"] == "on-failure"
    assert int(unit["RestartSec"]) < DEFAULT_ADOPT_S / 10
    assert unit["StartLimitIntervalSec"] == "0"


def test_a_stop_ends_the_runs_and_a_restart_leaves_them(unit: dict[str, str]):
    """SIGTERM is the daemon's own end; SIGHUP kills it, since nothing handles it."""
    assert (unit["KillSignal"], unit["RestartKillSignal"]) == ("SIGTERM", "SIGHUP")
    assert int(unit["TimeoutStopSec"]) > serve.END_S
    assert unit["RuntimeDirectoryPreserve"] == "yes"
    handled = [path for path in (ROOT / "runtime/daemon").glob("*.py") if "SIGHUP" in path.read_text()]
    assert handled == []


def test_it_starts_what_speaks_to_it(unit: dict[str, str]):
    """A command that there is, which tells the main process's readiness."""
    path, command = unit["ExecStart"].split()
    assert Path(path).is_absolute()
    assert Path(path).name == "orch"
    assert command in cli.list_commands(None)  # type: ignore[arg-type]
    assert (unit["Type"], unit["NotifyAccess"]) == ("notify", "main")


def test_its_folders_are_the_daemons(unit: dict[str, str]):
    """Nothing else of the host can be written, and both are the daemon's alone."""
    env = dict(word.split("=", 1) for word in unit["Environment"].split())
    settings = Settings.from_env(env)
    assert str(settings.home) == f"/var/lib/{unit['StateDirectory']}"
    assert str(settings.run_dir) == f"/run/{unit['RuntimeDirectory']}"
    assert (unit["StateDirectoryMode"], unit["RuntimeDirectoryMode"]) == ("0700", "0700")
    assert unit["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in unit


def test_no_option_takes_what_the_daemon_needs(unit: dict[str, str]):
    """The engine's socket, TCP, interfaces of the host; /proc of others, and what users have of pip and npm."""
    families = set(unit["RestrictAddressFamilies"].split())
    assert families == {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}
    assert unit["CapabilityBoundingSet"].split() == ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]
    assert unit["ProtectHome"] == "read-only"
    assert unit["TasksMax"] == "infinity"
    assert {
        "PrivateNetwork",
        "ProtectProc",
        "ProcSubset",
        "MemoryDenyWriteExecute",
        "PrivateUsers",
    }.isdisjoint(unit)
    assert {"User", "DynamicUser", "IPAddressDeny", "MemoryMax"}.isdisjoint(unit)


def test_the_rest_is_closed(unit: dict[str, str]):
    """What no part of the daemon uses."""
    closed = {
        *("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectControlGroups"),
        *("ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"),
        *("LockPersonality", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"),
    }
    assert {name for name in closed if unit.get(name) != "yes"} == set()
    assert (unit["SystemCallArchitectures"], unit["SystemCallFilter"]) == ("native", "@system-service")
    assert (unit["UMask"], unit["LimitCORE"]) == ("0077", "0")


def test_the_page_installs_it(unit: dict[str, str]):
    """By its path, with the file of settings that it reads."""
    text = PAGE.read_text()
    assert "contrib/systemd/orchbox.service" in text
    assert unit["EnvironmentFile"].removeprefix("-") in text
