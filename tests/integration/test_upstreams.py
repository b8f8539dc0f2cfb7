"""The simulator process on loopback: real sockets, TLS and clients, without Docker."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from runtime.canary.upstreams.application import GIT, OPENAI, PLAIN
from tests.harness.simulator import LoopbackSimulator


@pytest.fixture
def simulator(loopback_simulator: LoopbackSimulator) -> LoopbackSimulator:
    """The simulator with an empty record."""
    loopback_simulator.control.reset()
    loopback_simulator.control.set_failures()
    loopback_simulator.control.set_token_delay(0)
    return loopback_simulator


def _context(simulator: LoopbackSimulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(simulator.ca_path))


def _tls(simulator: LoopbackSimulator, name: str) -> None:
    with (
        socket.create_connection(("127.0.0.1", simulator.https_port), timeout=30) as plain,
        _context(simulator).wrap_socket(plain, server_hostname=name) as secure,
    ):
        assert secure.version() is not None


def test_an_accept_is_counted_before_any_byte(simulator: LoopbackSimulator) -> None:
    """A connection that says nothing is in the record."""
    socket.create_connection(("127.0.0.1", simulator.https_port), timeout=30).close()
    until = time.monotonic() + 30
    while not simulator.control.record().accepts and time.monotonic() < until:
        time.sleep(0.02)
    assert len(simulator.control.record().accepts_to("127.0.0.1", simulator.https_port)) == 1


def test_every_name_gets_its_certificate(simulator: LoopbackSimulator) -> None:
    """A client that trusts the CA verifies any name, and the name asked for is recorded."""
    _tls(simulator, "ok.test")
    _tls(simulator, "a.wild.test")
    assert [hello.sni for hello in simulator.control.record().hellos] == ["ok.test", "a.wild.test"]


@pytest.mark.parametrize("name", ["expired.ok.test", "wrong-name.ok.test", "self-signed.ok.test"])
def test_a_bad_certificate_is_refused(simulator: LoopbackSimulator, name: str) -> None:
    """The names for bad certificates fail in any client that verifies."""
    with pytest.raises(ssl.SSLCertVerificationError):
        _tls(simulator, name)


def test_tokens_are_streamed_one_by_one(simulator: LoopbackSimulator) -> None:
    """The first token is with the client well before the last one is sent."""
    simulator.control.set_token_delay(0.2)
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "One two three four five."}],
        "stream": True,
    }
    headers = {"host": OPENAI, "authorization": "Bearer k"}
    url = f"https://127.0.0.1:{simulator.https_port}/v1/chat/completions"
    times = []
    with httpx.Client(verify=_context(simulator), trust_env=False) as client:
        asked = {"json": body, "headers": headers, "extensions": {"sni_hostname": OPENAI}}
        with client.stream("POST", url, **asked) as reply:
            times += [time.time() for line in reply.iter_lines() if line]
    seen = simulator.control.record().requests_to(OPENAI)[0]
    assert times[0] < (seen.last_byte_at or 0) - 0.05
    assert (seen.sni, seen.status, len(times)) == (OPENAI, 200, 8)


def test_an_answer_can_be_cut(simulator: LoopbackSimulator) -> None:
    """A failure mode drops the connection in the middle of a body."""
    simulator.control.set_failures({"path": "/bytes/*", "cut_after_chunks": 1})
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(f"http://127.0.0.1:{simulator.http_port}/bytes/500000")


def test_a_websocket_echoes(simulator: LoopbackSimulator) -> None:
    """Text and bytes come back over wss, and the handshake is in the record."""
    url = f"wss://ok.test:{simulator.https_port}/ws"
    plain = socket.create_connection(("127.0.0.1", simulator.https_port), timeout=30)
    with connect(url, sock=plain, ssl=_context(simulator), proxy=None) as websocket:
        websocket.send("hello")
        websocket.send(b"\1\2")
        assert [websocket.recv(), websocket.recv()] == ["hello", b"\1\2"]
    assert [r.method for r in simulator.control.record().requests_to(PLAIN)] == ["WEBSOCKET"]


def test_git_clones(simulator: LoopbackSimulator, tmp_path: Path) -> None:
    """The real git clones the repository over https."""
    pin = f"http.curloptResolve={GIT}:{simulator.https_port}:127.0.0.1"
    settings = ["-c", pin, "-c", "http.proxy="]
    environment = {**os.environ, "GIT_SSL_CAINFO": str(simulator.ca_path), "GIT_TERMINAL_PROMPT": "0"}
    url = f"https://{GIT}:{simulator.https_port}/orchdemo.git"
    command = ["git", *settings, "clone", "-q", url, str(tmp_path / "demo")]
    subprocess.run(command, check=True, timeout=60, env=environment)
    assert (tmp_path / "demo" / "README.md").read_text() == "A repository served by the simulator.\n"
