"""The engine's connections, against a server that counts them: calls share one, a container's stream shares none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

import pytest
from docker.api import APIClient

from runtime.engine.connections import share_connections


class Server(ThreadingMixIn, UnixStreamServer):
    """Answers as an engine does; each request is noted with the number of its connection."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, Handler)
        self.seen: list[tuple[int, str]] = []
        self.connections = 0
        self.hangs_up, self.hung_up = threading.Event(), threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.client_address = ("", 0)
        self.server.connections += 1
        self.number = self.server.connections
        super().setup()

    def do_GET(self) -> None:
        self.server.seen.append((self.number, self.path))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        self.close_connection = self.server.hangs_up.is_set()

    def do_POST(self) -> None:
        self.server.seen.append((self.number, self.path))
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "tcp")
        self.end_headers()
        self.wfile.write(self.rfile.readline())

    def finish(self) -> None:
        super().finish()
        self.server.shutdown_request(self.request)
        self.server.hung_up.set()

    def log_message(self, *_what: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Listens on a socket of its own."""
    with Server(str(tmp_path / "engine.sock")) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def api(server: Server) -> Iterator[APIClient]:
    """The SDK's client of that server."""
    api = APIClient(base_url=f"unix://{server.server_address}", version="1.41")
    share_connections(api)
    yield api
    api.close()


def test_calls_with_other_urls_share_one_connection(server: Server, api: APIClient):
    """A container's id in the URL makes no difference."""
    for number in range(40):
        api.inspect_container(f"c{number}")

    assert len(server.seen) == 40
    assert server.connections == 1


def test_a_stream_has_a_connection_that_no_call_uses_again(server: Server, api: APIClient):
    """Or the output of one run could be read as the engine's answer about another."""
    api.inspect_container("before")
    stream = api.attach_socket("c1", params={"stdin": 1, "stream": 1})
    api.inspect_container("while")
    stream._sock.sendall(b"to the container\n")
    assert stream._sock.recv(100) == b"to the container\n"
    stream._response.close()
    stream.close()
    api.inspect_container("behind")

    assert [number for number, _ in server.seen] == [1, 2, 1, 1]


def test_a_connection_that_the_engine_has_closed_is_made_again(server: Server, api: APIClient):
    """As behind a restart of the engine, which tells nobody."""
    server.hangs_up.set()
    api.inspect_container("one")
    assert server.hung_up.wait(10)
    api.inspect_container("two")

    assert [number for number, _ in server.seen] == [1, 2]


def test_a_client_over_tcp_is_left_as_it_is():
    """The SDK uses requests' own pools there, which are kept by host."""
    api = APIClient(base_url="tcp://127.0.0.1:1", version="1.41")
    before = dict(api.adapters)

    share_connections(api)

    assert dict(api.adapters) == before
    api.close()
