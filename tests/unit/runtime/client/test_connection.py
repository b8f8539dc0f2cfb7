"""runtime.client.connection: the API from the caller's side, over a real unix socket."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.client.connection import ApiError, Client
from runtime.errors import (
    DaemonUnreachableError,
    LlmKeyRequiredError,
    MissingSecretsError,
    NotReadyError,
    OrchError,
)
from runtime.runs.readiness import Check
from tests.unit.runtime.fake_service import RUN_ID, FakeRetries, FakeService, serving

REQUEST = {"agent_ref": "a", "image": "i", "argv": ["true"], "input": "{}"}


@pytest.fixture
def service() -> FakeService:
    """A service in memory."""
    return FakeService()


@pytest.fixture
def client(service: FakeService, tmp_path: Path) -> Iterator[Client]:
    """A client of it."""
    with serving(service, tmp_path / "api.sock"), closing(Client(tmp_path / "api.sock")) as made:
        yield made


def test_a_run_from_start_to_end(client: Client, service: FakeService):
    """Create, follow, read, list."""
    run = client.create_run(REQUEST, b"tar", {"a.txt": b"x"})

    kinds = [event.kind for event in client.events(run["id"])]

    assert kinds == ["state", "log", "decision", "end"]
    assert client.get_run(RUN_ID)["result"] == {"ok": True}
    assert [shown["id"] for shown in client.list_runs(5)["items"]] == [RUN_ID]
    assert len(client.decisions(RUN_ID)) == 1
    assert service.requests[0].uploads == {"a.txt": b"x"}


def test_a_run_whose_answer_was_lost_is_started_once(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The connection breaks behind the request: the same one, sent again, gets the first one's answer."""
    monkeypatch.setattr("runtime.client.retry.WAITS_S", (0.0, 0.0))
    retries = FakeRetries()
    with (
        serving(service, tmp_path / "api.sock", retries=retries),
        closing(Client(tmp_path / "api.sock")) as client,
    ):
        send = client._http.request
        lost: list[httpx.Response] = []

        def broken_once(*told: Any, **more: Any) -> httpx.Response:
            answer = send(*told, **more)
            if not lost:
                lost.append(answer)
                raise httpx.ReadError("the line is cut")
            return answer

        monkeypatch.setattr(client._http, "request", broken_once)
        run = client.create_run(REQUEST, b"tar", {"a.txt": b"x"})

    assert run == lost[0].json()
    assert len(service.requests) == 1
    assert len(retries.places) == 2
    assert len(set(retries.places)) == 1


def test_no_authority_is_read_for_a_unix_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No TLS is spoken on it, and reading the machine's CAs is a good part of a short command's work."""
    read: list[object] = []
    for name in ("load_verify_locations", "load_default_certs"):
        monkeypatch.setattr(ssl.SSLContext, name, lambda *told, **more: read.append(told))

    Client(tmp_path / "api.sock").close()

    assert read == []


def test_what_the_daemon_refuses_is_raised_with_its_code(client: Client, service: FakeService):
    """Message, hint and the exit status that the platform's CLI has for it."""
    service.error = NotReadyError("guard: not proved", hint="orch doctor")

    with pytest.raises(ApiError, match="not proved") as caught:
        client.create_run(REQUEST, b"", {})

    assert caught.value.hint == "orch doctor"
    assert caught.value.exit_status == 8


@pytest.mark.parametrize("error", [MissingSecretsError, LlmKeyRequiredError])
def test_a_missing_key_exits_1(client: Client, service: FakeService, error: type[OrchError]):
    """As the platform's CLI has it, though it is a 400."""
    service.error = error("not found")

    with pytest.raises(ApiError) as caught:
        client.create_run(REQUEST, b"", {})

    assert (caught.value.exit_status, caught.value.reported_code) == (1, error.code)


def test_an_unknown_run_exits_4(client: Client):
    """As NOT_FOUND does."""
    with pytest.raises(ApiError) as caught:
        client.get_run("../../healthz")

    assert (caught.value.http_status, caught.value.exit_status) == (404, 4)


def test_events_of_an_unknown_run_are_an_error_too(client: Client):
    """A stream that never begins is not an empty one."""
    with pytest.raises(ApiError):
        list(client.events("nope"))


def test_not_ready_is_an_answer(client: Client, service: FakeService):
    """`/readyz` is read whatever its status."""
    service.checks_now = [Check("engine", is_ok=False, detail="gone")]

    assert client.ready()["ready"] is False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_daemon_names_the_command_that_starts_one(tmp_path: Path):
    """The error of a newcomer's first `orch run`."""
    with closing(Client(tmp_path / "none.sock")) as client, pytest.raises(DaemonUnreachableError) as caught:
        client.ready()

    assert "orch up" in str(caught.value.hint)
    del caught
    gc.collect()  # httpx 0.28 leaks the socket of a connection that failed
