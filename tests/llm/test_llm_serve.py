"""The socket that the proxy finds."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx2
import pytest

from proxy.contract.messages import SANDBOX_HEADER
from runtime.errors import NotReadyError
from runtime.llm.serve import LlmServer
from tests.llm.conftest import CHAIN, NO_TLS, Rig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like the one that daemon and proxy share."""
    made = tmp_path / "control"
    made.mkdir(mode=0o700)
    return made


async def test_the_socket_is_for_who_may_enter_its_folder_and_goes_with_the_server(
    rig: Rig, folder: Path
) -> None:
    """It answers as soon as `start` returns; a left-over of a killed daemon is replaced."""
    path = folder / "other.sock"
    path.touch()
    rig.session(*CHAIN)
    server = LlmServer(path, rig.sessions)
    await server.start()
    await server.start()
    mode = stat.S_IMODE(path.stat().st_mode)

    transport = httpx2.AsyncHTTPTransport(uds=str(path), verify=NO_TLS)
    async with httpx2.AsyncClient(transport=transport, base_url="http://llm.internal") as client:
        answer = await client.get("/v1/models", headers={SANDBOX_HEADER: "run-1"})
    await server.close()

    assert mode == 0o666  # the proxy is another user than the daemon; the folder is closed to all others
    assert answer.json()["data"][0]["id"] == "default"
    assert not path.exists()
    assert rig.sessions.get("run-1") is None


async def test_a_folder_that_others_may_enter_is_refused(rig: Rig, folder: Path) -> None:
    """Whoever reaches the socket may say that he is any run."""
    folder.chmod(0o711)  # noqa: ASYNC240
    with pytest.raises(NotReadyError, match="open to other users"):
        await LlmServer(folder / "llm.sock", rig.sessions).start()
    assert list(folder.iterdir()) == []  # noqa: ASYNC240


async def test_a_path_that_cannot_be_bound_is_said(rig: Rig, tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(NotReadyError, match="No such file"):
        await LlmServer(tmp_path / "none" / "llm.sock", rig.sessions).start()
