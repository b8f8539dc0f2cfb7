"""The values that cross the runtime's seams: runs, their requests, events and limits. Pure.

Secrets live only in `Secret`, whose text forms are masked; nothing here reads the clock or the
environment.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields

from runtime.model.json_text import JsonText
from runtime.model.limits import Isolation, Limits
from runtime.model.needs import Needs
from runtime.model.secret import Secret

DEFAULT_WORKSPACE = "default"
"""The one that is there from the beginning."""


class RunState(enum.StrEnum):
    """Where a run stands; the last four are final."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run can no longer change."""
        return self in {RunState.COMPLETED, RunState.FAILED, RunState.TIMEOUT, RunState.CANCELLED}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run as the API hands it to the service: nothing is trusted. `create` finishes the secrets."""

    agent_ref: str
    """`org/name@vN`, or the manifest's name for a directory."""
    image: str
    argv: tuple[str, ...]
    bundle: bytes
    """A tar of the agent's files, unpacked into `/home/user`."""
    input: bytes
    """The agent's whole stdin (a JSON document)."""
    policy_name: str
    isolation: Isolation = Isolation.RUNC
    limits: Limits = field(default_factory=Limits)
    env: dict[str, str] = field(default_factory=dict)
    """Plain variables (LLM_PROVIDER and the like); never a secret."""
    secrets: dict[str, Secret] = field(default_factory=dict)
    """What the caller gave; the workspace's vault adds to it what `needs` names."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    """File name -> content, placed in `/tmp/uploads`."""
    setup_argv: tuple[str, ...] | None = None
    """Run before `argv` in the sandbox (pip install, npm ci); a failure is a `setup_error`."""
    needs: Needs = field(default_factory=Needs)
    workspace: str = DEFAULT_WORKSPACE
    """Whose vault is asked, and who sees the run."""
    labels: dict[str, str] = field(default_factory=dict)
    """What the caller finds the run by (`runtime.model.run_labels`)."""


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run did not complete: a code of the platform's, a sentence and the exit status."""

    code: str
    """`SANDBOX_ERROR`, `SANDBOX_TIMEOUT`, `CANCELLED`, `PROXY_LOST`, `GUARD_LOST`, `NETWORK_CHANGED`,
    `INTERNAL_ERROR`."""
    message: str
    error_class: str | None = None
    """`code_error` or `setup_error` for `SANDBOX_ERROR`."""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a list: all but what the agent wrote. Times are epoch seconds."""

    id: str
    agent_ref: str
    policy_name: str
    isolation: Isolation
    state: RunState
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    error: RunError | None = None
    omitted_decisions: int = 0
    """Decisions on the run beyond those that are kept."""
    workspace: str = DEFAULT_WORKSPACE
    """The name of the one that it belongs to."""
    labels: dict[str, str] = field(default_factory=dict)
    """What the caller finds it by."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run's record; times are epoch seconds."""

    id: str
    agent_ref: str
    policy_name: str
    isolation: Isolation
    state: RunState
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    result: JsonText | None = None
    """The agent's stdout where it is JSON, else a text with it; None where there is none, or it is null."""
    error: RunError | None = None
    stdout: str = ""
    stderr: str = ""
    omitted_decisions: int = 0
    """Decisions on the run beyond those that are kept."""
    workspace: str = DEFAULT_WORKSPACE
    """The name of the one that it belongs to."""
    labels: dict[str, str] = field(default_factory=dict)
    """What the caller finds it by."""

    def summary(self) -> RunSummary:
        """The run without what the agent wrote."""
        return RunSummary(**{field.name: getattr(self, field.name) for field in fields(RunSummary)})


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's story, numbered from 1 in order.

    `kind` is `state` {state}, `log` {text}, `decision` {a decision line}, `result` {result},
    `error` {code, message, error_class, exit_code}, `waiting` {ahead: how many
    wait before it}, one of the LLM router's, `omitted` {kind: how many
    events of it were too many to be kept so far; told with the first
    decision and in front of the end}, or `end` {state}, which comes
    once, behind all others.
    """

    seq: int
    kind: str
    data: dict[str, object]
    at: float
