"""A TLS session that its client breaks ends as a connection does, and is no failure of a layer."""

from __future__ import annotations

import asyncio
import logging

import pytest
import structlog.testing

from tests.harness.fuzz.client import Line
from tests.wire.conftest import Rig

BROKEN = {
    "a record that cannot be decrypted": b"\x17\x03\x03\x00\x20" + bytes(32),
    "a record of no known type": b"\x63\x03\x03\x00\x01\x00",
    "a fatal alert in the clear": b"\x15\x03\x03\x00\x02\x02\x28",
}


@pytest.mark.parametrize("case", BROKEN)
async def test_an_answer_to_a_broken_session_ends_it(rig: Rig, caplog: pytest.LogCaptureFixture, case: str):
    """mitmproxy 12.2 goes on after such a record, and raises when the answer is to be sent (found by the fuzz)."""
    caplog.set_level(logging.WARNING)
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def respond(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await may_answer.wait()
        writer.write(rig.upstream.response)

    rig.upstream.respond = respond
    authority = f"ok.test:{rig.upstream.tls_port}"
    reader, writer = await rig.open(rig.settings.explicit_port)
    line = Line(reader, writer)
    with structlog.testing.capture_logs() as told:
        async with asyncio.timeout(5):
            assert await line.tunnel(authority)
            await line.secure("ok.test", "http/1.1")
            await line.say(f"GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode(), is_raw=False)
            await asked.wait()
            await line.say(BROKEN[case], is_raw=True)
            while "TLS Error" not in caplog.text:  # it has been read
                await asyncio.sleep(0.01)
            may_answer.set()
            while await reader.read(1 << 16):
                pass
            while rig.server.hooks.clients.sessions:
                await asyncio.sleep(0.01)

    assert [line for line in told if line["log_level"] == "error"] == []
