"""Settings: defaults, precedence, and an error that names the variable."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from runtime.daemon.settings import SHIPPED_POLICIES, Settings
from runtime.errors import InvalidInputError
from runtime.model.retention import KeepRules
from runtime.vault.source import FileKey


@pytest.mark.parametrize(
    ("uid", "home", "run_dir"),
    [
        (0, "/var/lib/orchbox", "/run/orchbox"),
        (1000, "/home/a/.local/state/orchbox", "/home/a/.local/state/run/orchbox"),
    ],
)
def test_defaults(uid: int, home: str, run_dir: str, monkeypatch: pytest.MonkeyPatch):
    """Root keeps its state in /var/lib, others in their home."""
    monkeypatch.setattr("os.geteuid", lambda: uid)

    found = Settings.from_env({"HOME": "/home/a"})

    assert (str(found.home), str(found.run_dir)) == (home, run_dir)
    assert (found.instance, str(found.pool), found.proxy_mode) == ("default", "10.231.0.0/16", "managed")
    assert found.policy_dirs == (SHIPPED_POLICIES,)
    assert found.site_policy is None
    assert found.image("proxy") == "orchbox/proxy:local"


def test_what_is_kept():
    """Thirty days and 10 GiB of runs, a year of the audit; each by its variable."""
    assert Settings.from_env({"HOME": "/x"}).keep == KeepRules(30, 10 << 30, 365)
    env = {"ORCHBOX_KEEP_DAYS": "7", "ORCHBOX_KEEP_MIB": "1", "ORCHBOX_KEEP_AUDIT_DAYS": "3650"}
    assert Settings.from_env({"HOME": "/x", **env}).keep == KeepRules(7, 1 << 20, 3650)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "1" * 10, "\u0661"])
@pytest.mark.parametrize("name", ["ORCHBOX_KEEP_DAYS", "ORCHBOX_KEEP_MIB", "ORCHBOX_KEEP_AUDIT_DAYS"])
def test_a_bound_that_is_none_is_refused(name: str, value: str):
    """Nothing is removed on a misreading."""
    with pytest.raises(InvalidInputError, match=name):
        Settings.from_env({"HOME": "/x", name: value})


@pytest.mark.parametrize("value", ["0", "1001", "80%", "0.8"])
def test_a_share_of_memory_is_a_percentage(value: str):
    """Over a hundred is allowed, since limits are not use."""
    assert Settings.from_env({"HOME": "/x"}).memory_percent == 80
    assert Settings.from_env({"HOME": "/x", "ORCHBOX_MEMORY_PERCENT": "1000"}).memory_percent == 1000
    with pytest.raises(InvalidInputError, match="ORCHBOX_MEMORY_PERCENT"):
        Settings.from_env({"HOME": "/x", "ORCHBOX_MEMORY_PERCENT": value})


@pytest.mark.parametrize("value", ["-1", "86401", "1.5", "x"])
def test_a_stop_takes_seconds(value: str):
    """None by default: runs are ended at once."""
    assert Settings.from_env({"HOME": "/x"}).stop_s == 0
    for seconds in (0, 300):
        assert Settings.from_env({"HOME": "/x", "ORCHBOX_STOP_SECONDS": str(seconds)}).stop_s == seconds
    with pytest.raises(InvalidInputError, match="ORCHBOX_STOP_SECONDS"):
        Settings.from_env({"HOME": "/x", "ORCHBOX_STOP_SECONDS": value})


def test_every_variable_counts(tmp_path: Path):
    """The environment wins over every default."""
    site = tmp_path / "site.yaml"
    site.touch()
    found = Settings.from_env(
        {
            "ORCHBOX_HOME": "/a",
            "ORCHBOX_RUN_DIR": "/b",
            "ORCHBOX_INSTANCE": "dev",
            "ORCHBOX_POOL": "100.64.8.0/24",
            "ORCHBOX_POLICY_DIR": str(tmp_path),
            "ORCHBOX_SITE_POLICY": str(site),
            "ORCHBOX_PROXY_DNS": "192.0.2.1, 192.0.2.2",
            "ORCHBOX_IMAGE_PREFIX": "mirror.example:5000/orchbox/",
            "ORCHBOX_IMAGE_TAG": "1.2",
            "ORCHBOX_PROXY": "external",
        }
    )

    assert found == Settings(
        home=Path("/a"),
        run_dir=Path("/b"),
        instance="dev",
        pool=ipaddress.IPv4Network("100.64.8.0/24"),
        policy_dirs=(tmp_path, SHIPPED_POLICIES),
        site_policy=site,
        proxy_dns=("192.0.2.1", "192.0.2.2"),
        image_prefix="mirror.example:5000/orchbox/",
        image_tag="1.2",
        proxy_mode="external",
    )
    assert found.api_socket == Path("/b/api.sock")
    assert found.control_dir == Path("/b/control")
    assert found.pid_file == Path("/b/daemon.pid")
    assert found.log_file == Path("/a/daemon.log")


def test_database_and_vault_key():
    """A SQLite file and a key file in the home, unless they are named; neither password nor key is printed."""
    plain = Settings.from_env({"ORCHBOX_HOME": "/a"})
    named = Settings.from_env(
        {
            "ORCHBOX_DATABASE_URL": "postgresql://u:pass-w0rd@db.example/orchbox",
            "ORCHBOX_VAULT_KEY": "env:MY_KEY",
            "ORCHBOX_VAULT_KEY_OLD": "file:/old.key",
            "MY_KEY": "the key itself",
        }
    )

    assert (plain.database, plain.vault_keys) == (None, (FileKey(Path("/a/vault.key")),))
    assert named.database is not None
    assert named.database.reveal().startswith("postgresql://u:pass-w0rd@")
    assert [str(source) for source in named.vault_keys] == ["environment variable MY_KEY", "/old.key"]
    assert "pass-w0rd" not in repr(named) + str(named)
    assert "the key itself" not in repr(named) + str(named)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCHBOX_DATABASE_URL", "mysql://u:pass-w0rd@h/d"),
        ("ORCHBOX_DATABASE_URL", "sqlite:///relative"),
        ("ORCHBOX_VAULT_KEY", "pass-w0rd"),
        ("ORCHBOX_VAULT_KEY_OLD", "file:relative"),
        ("ORCHBOX_HOME", "relative"),
        ("ORCHBOX_RUN_DIR", "./run"),
        ("ORCHBOX_INSTANCE", "Upper"),
        ("ORCHBOX_INSTANCE", "a;b"),
        ("ORCHBOX_POOL", "nonsense"),
        ("ORCHBOX_POOL", "10.0.0.1/8"),
        ("ORCHBOX_POOL", "10.0.0.0/30"),
        ("ORCHBOX_POOL", "8.8.0.0/16"),
        ("ORCHBOX_POOL", "127.0.0.0/8"),
        ("ORCHBOX_POOL", "169.254.0.0/16"),
        ("ORCHBOX_POOL", "0.0.0.0/0"),
        ("ORCHBOX_POLICY_DIR", "/nowhere/at/all"),
        ("ORCHBOX_SITE_POLICY", "/nowhere/at/all.yaml"),
        ("ORCHBOX_PROXY_DNS", "resolver.example"),
        ("ORCHBOX_IMAGE_PREFIX", "-x/"),
        ("ORCHBOX_IMAGE_TAG", "a b"),
        ("ORCHBOX_PROXY", "maybe"),
    ],
)
def test_bad_value_names_its_variable(name: str, value: str):
    """A value that cannot be used stops everything, by the variable's name."""
    with pytest.raises(InvalidInputError, match=name) as told:
        Settings.from_env({name: value})

    assert name in str(told.value.hint)
    assert "pass-w0rd" not in str(told.value) + str(told.value.hint)
