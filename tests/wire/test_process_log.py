"""What the proxy's process logs: no value, and no more than a line and a count of what a client repeats."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl

import pytest

from tests.wire.conftest import Rig
from tests.wire.secrets import DB, TRUE, give_keys


async def fail_handshake(rig: Rig, name: str) -> None:
    """A client that does not trust the CA asks for a name, and says why it goes."""

    def shake_hands() -> None:
        with (
            socket.create_connection(("127.0.0.1", rig.settings.sni_port), timeout=30) as plain,
            pytest.raises(ssl.SSLError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname=name)

    await asyncio.to_thread(shake_hands)  # asyncio's own client sends no alert


NAMES = {
    "as it is": f"{DB}.evil.test",
    "in capitals": f"{DB.upper()}.wild.test",
    "cut into labels": f"{DB[:10]}.{DB[10:]}.evil.test",
    "in hex": f"{DB.encode().hex()}.evil.test",
    "in base64": f"{base64.b64encode(TRUE.encode()).decode().strip('=')}.evil.test",
}


@pytest.mark.parametrize("shape", NAMES)
async def test_a_value_in_a_server_name_is_in_no_warning(rig: Rig, capfd: pytest.CaptureFixture, shape: str):
    """mitmproxy quotes the name whose certificate a client does not trust."""
    await give_keys(rig)
    await fail_handshake(rig, NAMES[shape])
    await rig.settled()
    told = "".join(capfd.readouterr())

    assert "TLS handshake failed" in told
    assert "***" in told
    assert NAMES[shape].split(".")[0].lower() not in told.lower()


async def test_what_a_client_repeats_is_one_line_and_a_count(
    rig: Rig, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Thirty handshakes that fail, each for another name."""
    await give_keys(rig)
    for number in range(30):
        await fail_handshake(rig, f"n{number}.wild.test")
    async with asyncio.timeout(30):
        while rig.server.hooks.clients.sessions:
            await asyncio.sleep(0.01)
    await rig.settled()
    assert "".join(capfd.readouterr()).count("handshake failed") == 1

    monkeypatch.setattr(rig.server.log, "_clock", lambda: 1e12)
    rig.server.sweep()
    assert '"event": "repeated", "count": 29' in "".join(capfd.readouterr())


async def test_a_value_is_masked_while_the_ends_of_its_sandbox_are_logged(
    rig: Rig, capfd: pytest.CaptureFixture
):
    """The grant has gone, and a connection that it let in fails afterwards."""
    await give_keys(rig)
    rig.server.sweep()
    rig.server.grants.drop("run-1")
    assert DB not in rig.server.log._mask(f"late: {DB}")
