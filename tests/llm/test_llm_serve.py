"""The socket that the proxy finds."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx2
import pytest

from runtime.errors import NotReadyError
from runtime.llm.app import SANDBOX_HEADER
from runtime.llm.serve import LlmServer
from tests.llm.conftest import CHAIN, Rig


async def test_the_socket_is_its_owners_and_goes_with_the_server(rig: Rig, tmp_path: Path) -> None:
    """It answers as soon as `start` returns; a left-over of a killed daemon is replaced."""
    path = tmp_path / "other.sock"
    path.touch()
    rig.session(*CHAIN)
    server = LlmServer(path, rig.sessions)
    await server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    async with httpx2.AsyncClient(transport=transport, base_url="http://llm.internal") as client:
        answer = await client.get("/v1/models", headers={SANDBOX_HEADER: "run-1"})
    await server.close()

    assert answer.json()["data"][0]["id"] == "default"
    assert not path.exists()
    assert rig.sessions.get("run-1") is None


async def test_a_path_that_cannot_be_bound_is_said(rig: Rig, tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(NotReadyError, match="No such file"):
        await LlmServer(tmp_path / "none" / "llm.sock", rig.sessions).start()
