"""runtime.access.caller: the kernel says who is at the other end of the unix socket."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from runtime.database.connection import open_database
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService, serving


def test_the_callers_uid_is_in_the_audit(tmp_path: Path):
    """Whatever headers say."""
    database = open_database(None, default=tmp_path / "db")
    vault = Vault(database, (FileKey(tmp_path / "vault.key"),))
    with serving(FakeService(), tmp_path / "api.sock", vault):
        transport = httpx.HTTPTransport(uds=str(tmp_path / "api.sock"))
        with httpx.Client(transport=transport, base_url="http://orchbox", trust_env=False) as client:
            claims = {"X-Forwarded-For": "uid:4711", "Forwarded": "for=uid:4711"}
            body = {"name": "A_KEY", "value": "x"}
            assert client.put("/v1/workspaces/default/secrets", json=body, headers=claims).status_code == 200
            lines = client.get("/v1/workspaces/default/secrets/audit").json()["audit"]
    database.shut()

    assert [line["who"] for line in lines] == [f"uid:{os.getuid()}"]
