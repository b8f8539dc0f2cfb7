"""Thousands of requests that no client sends, to the API on its port: no failure of ours, no insides, no secret."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import httpx
import pytest

from runtime.access.listen import Listen
from runtime.access.scopes import Role
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.daemon.doorkeeper import Doorkeeper
from runtime.daemon.settings import Settings
from runtime.daemon.tcp import TcpApi
from runtime.database.connection import open_database
from runtime.model.secret import Secret
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.harness.hostile.requests import RAW, hostile
from tests.harness.hostile.send import Report, send_all
from tests.unit.runtime.daemon.test_tcp import free_port
from tests.unit.runtime.fake_service import FakeService

COUNT = int(os.environ.get("HOSTILE_COUNT", "1000"))
"""HOSTILE_COUNT=10000 takes some three minutes."""
SEED = int(os.environ.get("HOSTILE_SEED", "11"))
VALUE = "sk-proj-HostileSecret000111222"


@pytest.mark.parametrize("role", ["operator", None])
async def test_nothing_that_is_sent_is_a_failure_of_ours(tmp_path: Path, role: str | None):
    """By a caller who may do everything, and by one who may do nothing; the API answers afterwards as before."""
    database = open_database(None, default=tmp_path / "db")
    tokens, vault = Tokens(database), Vault(database, (FileKey(tmp_path / "vault.key"),))
    await vault.prepare()
    await vault.put("default", "A_KEY", Secret(VALUE), who="uid:0")
    _, text = await tokens.create("t", Role.OPERATOR, workspace=None, expires_in_s=None, who="uid:0")
    settings = Settings.from_env({"HOME": str(tmp_path), "ORCHBOX_HOME": str(tmp_path / "home")})
    listen = Listen("127.0.0.1", free_port(), is_tls=False)
    app = make_api(FakeService(), vault=vault, tokens=tokens)
    api = TcpApi(app, settings, listen, Doorkeeper(lambda _address: False))
    await api.start()
    headers = {} if role is None else {"Authorization": f"Bearer {text.reveal()}"}
    # The token of the attack may be revoked and its workspace's secret deleted by it: all is allowed.
    requests = hostile(app.openapi(), SEED, COUNT if role else len(RAW) + 100, headers)

    def attack() -> Report:
        return send_all(
            requests,
            lambda: socket.create_connection((listen.host, listen.port), 20),
            secrets=[VALUE, text.reveal()[21:61]],
        )

    try:
        report = await asyncio.to_thread(attack)
        assert report.problems == []
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{listen.url}/healthz")).status_code == 200
    finally:
        await api.close()
        await database.close()
    if role:
        assert {200, 400, 404} <= report.statuses.keys(), report.statuses
    else:
        assert report.statuses.keys() <= {None, 200, 400, 401, 404, 405, 413, 429, 431}, report.statuses
