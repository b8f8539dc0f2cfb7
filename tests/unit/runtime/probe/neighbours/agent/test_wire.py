"""runtime.probe.neighbours.agent.wire: the sandbox's proxy as its environment names it."""

from __future__ import annotations

import base64
import socket
import threading

import pytest

from runtime.probe.neighbours.agent import wire


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A listener that the environment calls the proxy."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30.0)
    monkeypatch.setenv("HTTPS_PROXY", f"http://orchbox:to%2Fken@127.0.0.1:{server.getsockname()[1]}")
    return server


@pytest.mark.parametrize("status", [200, 403])
def test_a_tunnel_is_one_that_was_granted(proxy: socket.socket, status: int):
    """CONNECT carries the token; any other answer than 200 is an error."""
    heads: list[bytes] = []

    def answer() -> None:
        connection, _ = proxy.accept()
        with connection:
            heads.append(connection.recv(4096))
            connection.sendall(f"HTTP/1.1 {status} as asked\r\n\r\n".encode())

    with proxy:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            if status == 200:
                wire.tunnel("ok.test").close()
            else:
                with pytest.raises(ConnectionError, match="403 as asked"):
                    wire.tunnel("ok.test")
        finally:
            thread.join()
    assert base64.b64encode(b"orchbox:to/ken") in heads[0]
