"""runtime.daemon.daemon: a vault that stays shut keeps nobody from the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runtime.audit.files import AuditFolder
from runtime.daemon.daemon import Daemon
from runtime.daemon.serve import forget_keys
from runtime.daemon.settings import Settings
from runtime.errors import NotReadyError, VaultKeyError
from runtime.model.run_query import RunQuery
from runtime.model.secret import Secret

VALUE = "sk-secret-value-000111222"


def settings(home: Path, **more: str) -> Settings:
    """A daemon's, for which no engine is needed until it starts a run."""
    return Settings.from_env({"ORCHBOX_HOME": str(home), "ORCHBOX_RUN_DIR": str(home / "run"), **more})


async def close(daemon: Daemon) -> None:
    """What these tests opened."""
    await daemon._engine.close()
    await daemon._database.close()


async def test_every_part_writes_to_the_one_audit(tmp_path: Path):
    """It is signed when the daemon ends; one that cannot be written keeps the daemon from starting."""
    daemon = Daemon(settings(tmp_path))
    assert daemon.vault.chain is daemon.audit
    assert daemon.service._audit is daemon.audit
    assert daemon.retention._audit is daemon.audit
    await daemon.audit.add("api.call", who="uid:0", data={})
    await daemon.close()
    folder = AuditFolder(tmp_path / "audit/default")
    kinds = [json.loads(line)["kind"] for _, line in folder.lines()]
    assert kinds == ["api.call", "audit.checkpoint"]
    folder.key.write_text("x")
    with pytest.raises(NotReadyError, match=r"audit/default: the audit cannot be written"):
        Daemon(settings(tmp_path))


async def test_the_first_start_makes_the_key(tmp_path: Path):
    """A key file beside the database, and a vault that works."""
    daemon = Daemon(settings(tmp_path))
    await daemon.open_vault()
    await daemon.vault.put("default", "A_KEY", Secret(VALUE), who="uid:0")
    await close(daemon)

    assert (tmp_path / "vault.key").is_file()
    assert (tmp_path / "orchbox.sqlite3").is_file()


@pytest.mark.parametrize("key", ["gone", "env:NOT_SET", "env:NO_KEY", "hcvault://localhost:1/transit/keys/k"])
async def test_a_shut_vault_is_logged_and_no_more(
    tmp_path: Path, key: str, capfd: pytest.CaptureFixture[str]
):
    """The daemon goes on; the log has the reason and the remedy, but no value; runs that need it are told."""
    first = Daemon(settings(tmp_path))
    await first.open_vault()
    await first.vault.put("default", "OPENAI_API_KEY", Secret(VALUE), who="uid:0")
    await close(first)
    (tmp_path / "vault.key").unlink()
    daemon = Daemon(settings(tmp_path, NO_KEY=VALUE, **({} if key == "gone" else {"ORCHBOX_VAULT_KEY": key})))

    await daemon.open_vault()
    with pytest.raises(VaultKeyError, match=r"^Failed to decrypt LLM key OPENAI_API_KEY: "):
        await daemon.vault.read("default", ["OPENAI_API_KEY"], run_id="r", reader="uid:0")
    assert await daemon.vault.read("default", ["NOT_THERE"], run_id="r", reader="uid:0") == {}
    assert (await daemon._store.page(RunQuery(1))).items == []
    await close(daemon)

    said = "".join(capfd.readouterr())
    assert "vault-shut" in said
    assert "hint" in said
    assert VALUE not in said
    assert not (tmp_path / "vault.key").exists()


def test_programs_that_the_daemon_starts_inherit_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """pip and npm, which policies ask, see neither the key nor the database's password."""
    monkeypatch.setenv("MY_KEY", VALUE)
    monkeypatch.setenv("ORCHBOX_DATABASE_URL", f"postgresql://u:{VALUE}@h/d")
    forget_keys(settings(tmp_path, ORCHBOX_VAULT_KEY="env:MY_KEY"))

    assert VALUE not in str(dict(os.environ))
