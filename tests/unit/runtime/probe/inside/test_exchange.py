"""runtime.probe.inside.exchange: steps on a connection, and how answers are read."""

from __future__ import annotations

import socket
import threading

import pytest

from runtime.probe.inside.exchange import exchange, reason_of
from runtime.probe.inside.trail import Trail

PROBLEM = b'{"reason_code":"port"}'
REFUSAL = b"HTTP/1.1 403 x\r\ncontent-type: application/problem+json\r\ncontent-length: 22\r\n\r\n" + PROBLEM


def serve(*answers: bytes) -> tuple[int, list[bytes]]:
    """A server that answers each piece it reads with the next answer, then closes; what it read."""
    listener = socket.create_server(("127.0.0.1", 0))
    read: list[bytes] = []

    def run() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            for answer in answers:
                read.append(connection.recv(65536))
                connection.sendall(answer)

    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1], read


def ask(port: int, *steps: list, responses: int = 1) -> dict:
    """One exchange."""
    args = {"to": ["127.0.0.1", port], "steps": list(steps), "responses": responses, "wait_s": 3}
    return exchange(args, Trail())


def test_a_refusal_is_read_with_its_reason():
    """Status and reason code, each answer by itself."""
    port, read = serve(REFUSAL)

    seen = ask(port, ["send", "GET / HTTP/1.1\r\n\r\n"])

    assert (seen["outcome"], seen["statuses"], seen["reasons"]) == ("answered", [403], ["port"])
    assert read == [b"GET / HTTP/1.1\r\n\r\n"]


def test_two_answers_in_one_piece_are_two():
    """Pipelined answers are told apart."""
    port, _ = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi" + REFUSAL)

    seen = ask(port, ["send", "x"], responses=2)

    assert (seen["statuses"], seen["reasons"]) == ([200, 403], [None, "port"])


def test_an_interim_answer_is_not_the_answer():
    """100 Continue is passed over."""
    port, _ = serve(b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n" + REFUSAL)

    assert ask(port, ["send", "x"])["statuses"] == [403]


def test_a_refused_connect_ends_the_steps():
    """What would be said in the tunnel is not said to a proxy that opened none."""
    port, read = serve(REFUSAL, b"")

    seen = ask(port, ["connect", "evil.test:443", "eDp5"], ["send", "secret"])

    assert seen["reasons"] == ["port"]
    assert b"secret" not in b"".join(read)


def test_an_open_tunnel_is_no_answer():
    """The 200 of a CONNECT is not counted as one of the upstream's."""
    port, _ = serve(b"HTTP/1.1 200 Connection established\r\n\r\n", REFUSAL)

    assert ask(port, ["connect", "ok.test:443", "eDp5"], ["send", "x"])["statuses"] == [403]


def test_a_closed_connection_is_said():
    """Without an answer the end itself is the observation."""
    port, _ = serve(b"")

    assert ask(port, ["send", "x"])["outcome"] == "closed"


def test_no_connection_is_silence():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert ask(port, ["send", "x"])["outcome"] == "silent"


def test_an_unknown_step_is_an_error():
    """A typo in the corpus does not pass for a refusal."""
    port, _ = serve(b"")

    with pytest.raises(ValueError, match="no such step"):
        ask(port, ["sned", "x"])


def test_only_the_proxys_own_problem_has_a_reason():
    """A JSON body of an upstream is not taken for a refusal."""
    assert reason_of(b"HTTP/1.1 403 x\r\ncontent-type: application/json", PROBLEM) is None
    assert reason_of(b"HTTP/1.1 403 x\r\ncontent-type: application/problem+json", b"{") is None
