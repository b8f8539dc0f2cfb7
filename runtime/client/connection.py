"""The daemon's API from the caller's side: httpx over the unix socket."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from runtime.client.retry import LostAnswerError, make_once
from runtime.client.target import Target
from runtime.errors import DaemonUnreachableError, InvalidInputError, OrchError, exit_code_of_answer

CALL_TIMEOUT_S = 60.0


class ApiError(OrchError):
    """What the daemon refused, with the code that it answered."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("detail")), hint=body.get("hint"), code=body.get("code"))
        self.http_status = status
        self.is_retryable = body.get("retryable") is True
        wait_ms = body.get("retry_after_ms")
        self.retry_after_s = wait_ms / 1000 if isinstance(wait_ms, int | float) else None

    @property
    def exit_status(self) -> int:
        """As the error's code has it, or its HTTP status where this version does not know the code."""
        return exit_code_of_answer(self.reported_code, self.http_status)


class ServerEvent(NamedTuple):
    """One event of a run."""

    seq: int
    kind: str
    data: dict[str, Any]


class Client:
    """One connection to a daemon. Every method raises DaemonUnreachableError and ApiError."""

    def __init__(self, target: Target | Path, *, start_command: str = "orch up --detach") -> None:
        """A path is the unix socket of a daemon on this host."""
        self._start_command = start_command
        self._target = Target(target) if isinstance(target, Path) else target
        self._http = _http_client(self._target)

    def close(self) -> None:
        """Close the connection to the daemon."""
        self._http.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as exc:
            raise self._explain(exc) from None

    def _explain(self, exc: httpx.TransportError) -> DaemonUnreachableError:
        if isinstance(exc, httpx.TimeoutException):
            return LostAnswerError("the daemon did not answer in time", hint="orch doctor")
        if not isinstance(exc, httpx.ConnectError):
            return LostAnswerError("the daemon went away while it answered", hint="orch doctor")
        if self._target.url is not None:
            is_untrusted = "CERTIFICATE_VERIFY_FAILED" in str(exc)
            why = "its certificate is not trusted" if is_untrusted else "no Orchbox daemon answers there"
            hint = "set ORCHBOX_CA to the daemon's ca.pem" if is_untrusted else "check ORCHBOX_URL"
            return DaemonUnreachableError(f"{self._target.url}: {why}", hint=hint)
        path = self._target.socket
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            return DaemonUnreachableError(
                f"{path} belongs to another user", hint="use the daemon's owner, or ORCHBOX_RUN_DIR"
            )
        return DaemonUnreachableError(
            f"no Orchbox daemon answers on {path}", hint=f"start one: {self._start_command}"
        )

    def _json(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        with self._reaching():
            response = self._http.request(method, path, **kwargs)
        body: dict[str, Any] = _object(response)
        if response.is_error and path != "/readyz":
            raise ApiError(response.status_code, body)
        return body

    def call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """One request whose answer is a JSON object."""
        return self._json(method, path, **kwargs)

    def create_run(self, request: dict[str, Any], bundle: bytes, uploads: dict[str, bytes]) -> dict[str, Any]:
        """Start a run from the request, the bundle and the uploads; the run's record."""
        files: list[tuple[str, tuple[str, bytes]]] = [("bundle", ("bundle.tar", bundle))]
        files += [("upload", (name, data)) for name, data in uploads.items()]
        return self.create("/v1/runs", data={"request": json.dumps(request)}, files=files)

    def create(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Make something, once, also where the answer is lost on the way (`runtime.client.retry`)."""
        return make_once(lambda headers: self._json("POST", path, headers=headers, **kwargs))

    def get_run(self, run_id: str) -> dict[str, Any]:
        """Get the record of one run."""
        return self._json("GET", _run_path(run_id))

    def list_runs(self, limit: int, **filters: str | None) -> dict[str, Any]:
        """A page of the list of runs, the newest first: `{"items": [...], "next_cursor": ...}`.

        `filters` are the query parameters of the route; those that are None are left out.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        return self._json("GET", "/v1/runs", params={"limit": limit, **given})

    def cancel_run(self, run_id: str) -> dict[str, Any]:
        """Cancel a run and wait until it is cleaned up; the run's record."""
        return self._json("POST", _run_path(run_id, "cancel"))

    def decisions(self, run_id: str) -> list[dict[str, Any]]:
        """What the proxy decided for a run."""
        return list(self._json("GET", _run_path(run_id, "decisions"))["decisions"])

    def prune(self, *, is_dry: bool) -> dict[str, Any]:
        """Remove what is beyond the daemon's bounds, or only count it."""
        timeout = httpx.Timeout(CALL_TIMEOUT_S, read=None)  # much may have to go
        return self._json("POST", "/v1/prune", params={"dry_run": is_dry}, timeout=timeout)

    def ready(self) -> dict[str, Any]:
        """Ask whether agents may start: `{"ready": bool, "checks": [...]}`."""
        return self._json("GET", "/readyz")

    def events(self, run_id: str, *, after: int = 0) -> Iterator[ServerEvent]:
        """A run's events behind number `after`, until it has ended.

        A log may rest for any time, so nothing limits the wait but the server's pings.
        """
        timeout = httpx.Timeout(CALL_TIMEOUT_S)
        headers = {"Last-Event-ID": str(after)}
        path = _run_path(run_id, "events")
        with (
            self._reaching(),
            self._http.stream("GET", path, headers=headers, timeout=timeout) as response,
        ):
            if response.is_error:
                response.read()
                raise ApiError(response.status_code, _object(response))
            yield from _parse_events(response.iter_lines())


def _http_client(target: Target) -> httpx.Client:
    """No proxy of the environment is between us and the daemon: a token goes to nobody else."""
    if target.url is None:
        # No TLS is spoken on a unix socket; the default would read every CA of the machine for each call.
        transport = httpx.HTTPTransport(
            uds=str(target.socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        return httpx.Client(transport=transport, base_url="http://orchbox", timeout=CALL_TIMEOUT_S)
    headers = {} if target.token is None else {"Authorization": f"Bearer {target.token.reveal()}"}
    trusted: ssl.SSLContext | bool = True
    if target.ca is not None:
        try:
            trusted = ssl.create_default_context(cafile=str(target.ca))
        except (OSError, ssl.SSLError):
            raise InvalidInputError(
                f"environment variable ORCHBOX_CA: {target.ca} holds no certificate",
                hint="copy tls/ca.pem of the daemon's home",
            ) from None
    return httpx.Client(
        base_url=target.url, headers=headers, verify=trusted, timeout=CALL_TIMEOUT_S, trust_env=False
    )


def _run_path(run_id: str, what: str = "") -> str:
    """A run's address; whatever the caller typed stays one segment."""
    return "/".join(["/v1/runs", quote(run_id, safe="") or "-", *([what] if what else [])])


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"detail": f"the daemon answered {response.status_code}"}


def _parse_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Server-Sent Events as our API writes them (one data line each)."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield ServerEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
