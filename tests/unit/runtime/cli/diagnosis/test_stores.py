"""runtime.cli.diagnosis.stores: what is wrong with database and vault is told, and nothing is made or changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from runtime.cli.diagnosis.finding import Finding
from runtime.cli.diagnosis.stores import store_checks
from runtime.daemon.settings import Settings
from runtime.database.connection import open_database
from runtime.model.secret import Secret
from runtime.vault.service import Vault


def settings(home: Path, **more: str) -> Settings:
    """An installation's."""
    return Settings.from_env({"ORCHBOX_HOME": str(home), "ORCHBOX_RUN_DIR": str(home / "run"), **more})


def look(of: Settings, *, is_running: bool = False) -> dict[str, Finding]:
    """Every line, by name."""
    return {line["name"]: line for line in store_checks(of, is_running=is_running)}


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    """An installation with a vault that has a secret."""
    of = settings(tmp_path)
    database = open_database(of.database, default=tmp_path / "orchbox.sqlite3")
    vault = Vault(database, of.vault_keys)
    await vault.prepare()
    await vault.put("default", "A_KEY", Secret("a value of this test"), who="uid:0")
    await database.close()
    return tmp_path


def execute(home: Path, statement: str) -> None:
    """Change the database behind everybody's back."""
    engine = sa.create_engine(f"sqlite:///{home}/orchbox.sqlite3")
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def everything(home: Path) -> dict[str, bytes]:
    """Each file and what is in it."""
    return {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}


@pytest.mark.parametrize("url", [None, "default"])
def test_before_the_first_start_nothing_is_missing(tmp_path: Path, url: str | None):
    """And looking makes nothing."""
    more = {} if url is None else {"ORCHBOX_DATABASE_URL": f"sqlite:///{tmp_path}/other.sqlite3"}
    found = look(settings(tmp_path, **more))

    assert all(line["ok"] for line in found.values())
    assert list(found) == ["database", "vault"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_right_is_said(home: Path):
    """A database that can be written, and a key that opens its vault; nothing is changed by looking."""
    before = everything(home)

    found = look(settings(home), is_running=True)

    assert [line["ok"] for line in found.values()] == [True, True]
    assert str(home / "vault.key") in found["vault"]["detail"]
    assert everything(home) == before


@pytest.mark.parametrize("is_running", [True, False])
def test_a_database_that_is_not_migrated_is_told(home: Path, is_running: bool):
    """A fault where a daemon has it; otherwise the next start's work."""
    execute(home, "UPDATE alembic_version SET version_num = '0004'")

    line = look(settings(home), is_running=is_running)["database"]

    assert line["ok"] is not is_running
    assert "revision 0004" in line["detail"]
    assert "orch up" in line["remedy"]


def test_a_newer_versions_database_is_a_fault(home: Path):
    """This version cannot use it."""
    execute(home, "UPDATE alembic_version SET version_num = '9999'")
    line = look(settings(home))["database"]
    assert (line["ok"], "newer Orchbox" in line["detail"]) == (False, True)


def test_a_database_that_refuses_writes_is_a_fault(home: Path):
    """A write is tried, and rolled back."""
    execute(
        home,
        "CREATE TRIGGER no BEFORE UPDATE ON alembic_version BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    line = look(settings(home))["database"]
    assert (line["ok"], "free space" in line["remedy"]) == (False, True)


def test_what_is_no_database_is_a_fault(tmp_path: Path):
    """Named by its path."""
    (tmp_path / "orchbox.sqlite3").write_bytes(b"no database" * 1000)
    found = look(settings(tmp_path))
    assert list(found) == ["database"]
    assert not found["database"]["ok"]
    assert str(tmp_path) in found["database"]["detail"]


def test_a_server_that_is_away_is_a_fault(tmp_path: Path):
    """Without the password of its URL."""
    away = settings(tmp_path, ORCHBOX_DATABASE_URL="postgresql://u:a-password@127.0.0.1:1/d")
    line = look(away)["database"]
    assert not line["ok"]
    assert "a-password" not in str(line)
    assert "127.0.0.1" in line["detail"]


@pytest.mark.parametrize("case", ["gone", "open to others", "another key", "not set"])
def test_a_vault_that_does_not_open_is_a_fault(home: Path, case: str):
    """With what helps."""
    key, more = home / "vault.key", {}
    if case == "gone":
        key.unlink()
    elif case == "open to others":
        key.chmod(0o644)
    elif case == "another key":
        from runtime.vault import key_file

        key.unlink()
        key_file.make_or_read(key)
    else:
        more = {"ORCHBOX_VAULT_KEY": "env:NOT_THERE"}

    found = look(settings(home, **more))

    assert found["database"]["ok"]
    assert not found["vault"]["ok"]
    assert found["vault"]["remedy"]


def test_the_key_of_a_new_vault_has_to_be_there(tmp_path: Path):
    """Where no file is made for it."""
    line = look(settings(tmp_path, ORCHBOX_VAULT_KEY="env:NOT_THERE"))["vault"]
    assert (line["ok"], "new-key" in line["remedy"]) == (False, True)
