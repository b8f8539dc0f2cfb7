"""A run service in memory, and the real API in front of it: by ASGI, or on a real unix socket in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from runtime.access.caller import PeerProtocol
from runtime.access.service import Tokens
from runtime.api.app import make_api
from runtime.errors import ConflictError, NotFoundError
from runtime.idempotency.service import Answer, Place
from runtime.model.json_text import JsonText
from runtime.model.run import Event, Run, RunError, RunRequest, RunState, RunSummary
from runtime.model.run_query import RunPage, RunQuery
from runtime.runs.ports import Also
from runtime.runs.readiness import Check
from runtime.runs.retention import RetentionPort
from runtime.vault.service import Vault

RUN_ID = "0b0e0000-0000-4000-8000-000000000001"
READY = [Check(name, is_ok=True, detail="fine") for name in ("engine", "proxy", "guard")]
ALLOWED = {
    "verdict": "allow",
    "reason_code": None,
    "rule_id": "llm-only.allow[0]",
    "entry": "explicit",
    "method": "POST",
    "host": "api.example",
    "port": 443,
    "path": "/v1/[/]",
    "detail": "",
}


class FakeService:
    """A `ports.RunServicePort` that answers what a test has set."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []
        self.queries: list[RunQuery] = []
        self.error: Exception | None = None
        """Raised by `create`."""
        self.checks_now: list[Check] = READY
        self.final: dict[str, Any] = {"state": RunState.COMPLETED, "result": JsonText.of({"ok": True})}
        """How every run ends."""
        self.log: list[str] = ["working\n"]
        self.stays: bool = False
        """Whether runs go on until they are cancelled."""
        self.lines: list[dict[str, Any]] = [ALLOWED]
        self.is_following = threading.Event()
        self.runs: dict[str, Run] = {}
        self._cancelled: dict[str, asyncio.Event] = {}

    async def create(self, request: RunRequest, also: Also | None = None) -> Run:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        run = Run(
            id=RUN_ID,
            agent_ref=request.agent_ref,
            policy_name=request.policy_name,
            workspace=request.workspace,
            labels=request.labels,
            isolation=request.isolation,
            state=RunState.RUNNING,
            created_at=1000.0,
        )
        self._cancelled[run.id] = asyncio.Event()
        if also is not None:
            also(None, run)
        return self.put(run)

    def put(self, run: Run) -> Run:
        """Record a run."""
        self.runs[run.id] = run
        return run

    async def get(self, run_id: str) -> Run:
        try:
            return self.runs[run_id]
        except KeyError:
            raise NotFoundError(f"no run {run_id}", hint="orch runs") from None

    async def find(self, ref: str, workspace: str | None = None) -> RunSummary:
        return (await self.get(ref)).summary()

    async def page(self, query: RunQuery) -> RunPage:
        self.queries.append(query)
        found = [run.summary() for run in reversed(self.runs.values())]
        items = [run for run in found if query.filter.takes(run)]
        more = query.cursor(items[query.limit - 1]) if len(items) > query.limit else None
        return RunPage(items[: query.limit], more)

    async def cancel(self, run_id: str) -> Run:
        run = await self.get(run_id)
        if run.state.is_final:
            raise ConflictError(f"run {run_id} has ended")
        error = RunError("CANCELLED", "the run was cancelled")
        self._cancelled[run_id].set()
        return self.put(dataclasses.replace(run, state=RunState.CANCELLED, error=error, finished_at=1002.0))

    async def events(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        story = [("state", {"state": "running"}), *(("log", {"text": text}) for text in self.log)]
        story += [("decision", line) for line in self.lines]
        seq = 0
        for seq, (kind, data) in enumerate(story, 1):
            if seq > after:
                yield Event(seq, kind, data, 1000.0 + seq)
        self.is_following.set()
        if self.stays:
            await self._cancelled[run_id].wait()
        elif not self.runs[run_id].state.is_final:
            self.put(dataclasses.replace(self.runs[run_id], finished_at=1001.5, **self.final))
        yield Event(seq + 1, "end", {"state": self.runs[run_id].state.value}, 1001.5)

    async def ended(self, run_id: str) -> None:
        await self._cancelled[run_id].wait()

    async def goes_on(self, run_id: str, after: int) -> bool:
        return True

    async def decisions(self, run_id: str) -> list[dict[str, Any]]:
        await self.get(run_id)
        return self.lines

    async def checks(self) -> list[Check]:
        return self.checks_now


class FakeRetries:
    """Retries in memory, which know no body but its bytes."""

    def __init__(self) -> None:
        self.answers: dict[Place, tuple[list[bytes], Answer]] = {}
        self.places: list[Place] = []
        self.error: Exception | None = None
        """Raised by the next `begin`."""

    async def begin(self, place: Place, body: Iterable[bytes]) -> Answer | FakeAttempt:
        self.places.append(place)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        sent = list(body)
        known = self.answers.get(place)
        if known is not None:
            assert known[0] == sent
            return known[1]
        return FakeAttempt(self, place, sent)


@dataclasses.dataclass
class FakeAttempt:
    """An attempt at one of them."""

    retries: FakeRetries
    place: Place
    sent: list[bytes]

    def record(self, _connection: object, answer: Answer) -> None:
        self.retries.answers[self.place] = (self.sent, answer)

    def leave(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(
    service: FakeService,
    path: Path,
    vault: Vault | None = None,
    retention: RetentionPort | None = None,
    tokens: Tokens | None = None,
    retries: FakeRetries | None = None,
) -> Iterator[None]:
    """The real API on a real unix socket, in a thread of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()  # a client that comes before the server waits in the backlog
        known: Any = retries or FakeRetries()
        app = make_api(service, vault=vault, retention=retention, tokens=tokens, retries=known)
        config = uvicorn.Config(app, http=PeerProtocol, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(10)
            path.unlink()
