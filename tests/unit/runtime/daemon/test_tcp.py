"""runtime.daemon.tcp: the API on a port, by real clients of it: TLS, tokens, and who is not let in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from runtime.access.certificates import Files
from runtime.access.listen import Listen
from runtime.access.scopes import Role
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.client.connection import ApiError, Client
from runtime.client.target import Target
from runtime.daemon import doorkeeper
from runtime.daemon import tcp as module
from runtime.daemon.doorkeeper import Doorkeeper
from runtime.daemon.settings import Settings
from runtime.daemon.tcp import TcpApi
from runtime.database.connection import open_database
from runtime.errors import DaemonUnreachableError, NotReadyError
from runtime.model.secret import Secret
from runtime.vault.service import Vault
from runtime.vault.source import FileKey
from tests.unit.runtime.fake_service import FakeService

NOWHERE = Path("/none")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@dataclasses.dataclass
class Served:
    """An API that listens."""

    listen: Listen
    token: str
    ca: Path
    doorkeeper: Doorkeeper

    def target(self, **changes: object) -> Target:
        """It, with the token and the CA."""
        whole = Target(NOWHERE, self.listen.url, Secret(self.token), self.ca if self.listen.is_tls else None)
        return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]

    async def whoami(self, **changes: object) -> dict[str, object]:
        """Asked by our own client, in a thread as commands do."""

        def ask() -> dict[str, object]:
            with contextlib.closing(Client(self.target(**changes))) as client:
                return client.call("GET", "/v1/whoami")

        return await asyncio.to_thread(ask)


@contextlib.asynccontextmanager
async def serving(
    folder: Path, *, is_tls: bool = True, is_sandboxed: bool = False, **changes: object
) -> AsyncIterator[Served]:
    """The API over a fake service on a port of loopback."""
    database = open_database(None, default=folder / "db")
    tokens = Tokens(database)
    vault = Vault(database, (FileKey(folder / "vault.key"),))
    _, text = await tokens.create("t", Role.VIEWER, workspace=None, expires_in_s=None, who="uid:0")
    env = {"HOME": str(folder), "ORCHBOX_HOME": str(folder / "home")}
    settings = dataclasses.replace(Settings.from_env(env), **changes)  # type: ignore[arg-type]
    listen = Listen("127.0.0.1", free_port(), is_tls=is_tls)
    door = Doorkeeper(lambda _address: is_sandboxed)
    api = TcpApi(make_api(FakeService(), vault=vault, tokens=tokens), settings, listen, door)
    await api.start()
    try:
        yield Served(listen, text.reveal(), Files(settings.home / "tls").ca, door)
    finally:
        await api.close()
        await database.close()


@pytest.mark.parametrize("is_tls", [True, False], ids=["with TLS", "on loopback without"])
async def test_a_token_opens_it(tmp_path: Path, is_tls: bool):
    """By our own client, which trusts what ORCHBOX_CA names."""
    async with serving(tmp_path, is_tls=is_tls) as served:
        told = await served.whoami()
        assert (told["role"], told["caller"]) == ("viewer", f"token:{served.token[5:21]}")
        with pytest.raises(ApiError) as refused:
            await served.whoami(token=Secret("orch_0"))
        assert refused.value.http_status == 401
    with pytest.raises(DaemonUnreachableError, match="no Orchbox daemon"):
        await served.whoami()


@pytest.mark.parametrize("who", ["uid:0", "[uid:0]", "uid:0:0", "[uid:0], 127.0.0.1", "127.0.0.1"])
async def test_no_header_says_who_calls(tmp_path: Path, who: str):
    """uvicorn believes such headers from loopback (0.54, `proxy_headers`), and would call it the unix peer."""
    headers = {"X-Forwarded-For": who, "Forwarded": f"for={who}", "X-Real-IP": who}
    async with serving(tmp_path) as served:
        context = ssl.create_default_context(cafile=str(served.ca))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            answer = await client.get(f"{served.listen.url}/v1/whoami", headers=headers)
    assert answer.status_code == 401


async def test_attempts_are_counted_by_the_address_that_connects(tmp_path: Path):
    """A header with another one each time buys no attempt more."""
    async with serving(tmp_path) as served:
        context = ssl.create_default_context(cafile=str(served.ca))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            statuses = []
            for number in range(12):
                headers = {"X-Forwarded-For": f"192.0.2.{number}", "Authorization": "Bearer x"}
                answer = await client.get(f"{served.listen.url}/v1/whoami", headers=headers)
                statuses.append(answer.status_code)
    assert statuses[-1] == 429


async def test_a_client_without_the_ca_says_what_is_missing(tmp_path: Path):
    """And sends its token to nobody whom it does not trust."""
    async with serving(tmp_path) as served:
        with pytest.raises(DaemonUnreachableError, match="not trusted") as told:
            await served.whoami(ca=None)
        assert "ORCHBOX_CA" in (told.value.hint or "")


async def test_no_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A token goes to the daemon and to nobody else."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(tmp_path) as served:
        assert (await served.whoami())["role"] == "viewer"


async def test_old_protocols_are_refused(tmp_path: Path):
    """TLS 1.2 and newer."""
    async with serving(tmp_path) as served:
        context = ssl.create_default_context(cafile=str(served.ca))
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", served.listen.port, ssl=context)


async def test_the_operators_own_certificate_is_used(tmp_path: Path):
    """And none is made beside it."""
    files = Files(tmp_path / "own")
    module.ensure(files, {"127.0.0.1"})
    async with serving(tmp_path, tls=(files.certificate, files.key)) as served:
        assert (await served.whoami(ca=files.ca))["role"] == "viewer"
        assert not served.ca.exists()


async def test_a_certificate_that_cannot_be_used_keeps_it_from_starting(tmp_path: Path):
    """Named with its file and a remedy; the port is free again."""
    files = Files(tmp_path / "own")
    module.ensure(files, {"127.0.0.1"})
    files.key.write_text("no key")
    with pytest.raises(NotReadyError, match=str(files.key)) as told:
        async with serving(tmp_path, tls=(files.certificate, files.key)):
            pass
    assert "ORCHBOX_TLS_CERT" in (told.value.hint or "")


async def test_an_encrypted_key_keeps_it_from_starting(tmp_path: Path):
    """Nobody is asked on the terminal for its pass phrase."""
    files = Files(tmp_path / "own")
    module.ensure(files, {"127.0.0.1"})
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    form, how = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"phrase")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, how))
    with pytest.raises(NotReadyError, match="is encrypted"):
        async with serving(tmp_path, tls=(files.certificate, files.key)):
            pass


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o640, True), (0o604, True)])
async def test_a_key_that_others_can_read_is_told(tmp_path: Path, mode: int, is_told: bool):
    """It is used, since it may be another program's, whose group reads it."""
    files = Files(tmp_path / "own")
    module.ensure(files, {"127.0.0.1"})
    files.key.chmod(mode)
    with capture_logs() as lines:
        async with serving(tmp_path, tls=(files.certificate, files.key)):
            pass
    assert ("api-key-is-open" in [line["event"] for line in lines]) == is_told


async def test_a_port_in_use_keeps_it_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Named, with a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(f"{__name__}.free_port", lambda: port)
        with pytest.raises(NotReadyError, match=f"127.0.0.1:{port}: ") as told:
            async with serving(tmp_path):
                pass
    assert "ORCHBOX_LISTEN" in (told.value.hint or "")


async def test_a_sandbox_is_not_let_in(tmp_path: Path):
    """Whatever it shows: the connection is closed before a byte of it is read."""
    async with serving(tmp_path, is_sandboxed=True) as served:
        with pytest.raises(DaemonUnreachableError):
            await served.whoami()


async def test_a_handshake_that_does_not_come_has_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else connections that say nothing use up every file that the daemon may open."""
    monkeypatch.setattr(doorkeeper, "MAX_PER_PEER", 2)
    async with serving(tmp_path) as served:
        silent = [await asyncio.open_connection("127.0.0.1", served.listen.port) for _ in range(3)]
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                assert await silent[-1][0].read() == b""
        assert served.doorkeeper._peers.total() == 2
        for _, writer in silent:
            writer.close()
        async with asyncio.timeout(60):
            while served.doorkeeper._peers:
                await asyncio.sleep(0.01)
        assert (await served.whoami())["role"] == "viewer"
