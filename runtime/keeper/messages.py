"""What a daemon and the keeper of a run say to each other, one JSON object a line. Pure.

A keeper listens on a socket of its own and serves one daemon at a time. `begin` hands it a run, `adopt` takes
over one that an earlier daemon began; a connection that says `parcel` goes on with the bytes of the run's
files and input. What the keeper tells of the run are entries, which are also the lines of its journal:

daemon -> keeper  begin parcel adopt go tell secret end recorded
keeper -> daemon  entry made renewed adopted ended

Both are one program of one user on a socket that nobody else can open. The keys of agents are in `begin` and
`adopted`, and in no other line.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_LINE_BYTES = 32 << 20
"""A plan has a grant and the init's head in it, an entry at most a few 100 KiB."""


class KeeperProtocolError(ValueError):
    """The other end said what it should not have; the text holds nothing of it."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Entry(_Message):
    """One event of the run's journal, as it is kept; times are epoch seconds."""

    event: Literal["entry"] = "entry"
    kind: str
    data: dict[str, Any]
    at: float


class Begin(_Message):
    """Keep this run. `earlier` are its events so far, `held` is what a later daemon needs to adopt it."""

    op: Literal["begin"] = "begin"
    plan: dict[str, Any] = Field(repr=False)
    """What `SandboxPlan.to_wire` gives."""
    held: dict[str, Any] = Field(repr=False)
    earlier: list[Entry] = []


class Parcel(_Message):
    """The run's bundle, uploads and input follow on this connection as they are, in this order."""

    op: Literal["parcel"] = "parcel"


class Adopt(_Message):
    """An earlier daemon's run is this one's from now on; answered by Adopted, then by every entry so far."""

    op: Literal["adopt"] = "adopt"


class Go(_Message):
    """The sandbox has been made; the agent may start."""

    op: Literal["go"] = "go"


class Tell(_Message):
    """Keep an event of the daemon's own; it comes back as an entry."""

    op: Literal["tell"] = "tell"
    kind: str
    data: dict[str, Any]


class ReplaceSecret(_Message):
    """Another value of a secret, or none; answered by Renewed with the same number."""

    op: Literal["secret"] = "secret"
    number: int
    name: str
    value: str | None = Field(repr=False)


class End(_Message):
    """End the run for this reason (the fields of a RunError)."""

    op: Literal["end"] = "end"
    error: dict[str, Any]


class Recorded(_Message):
    """The run's end has been recorded: nothing of it is needed any more. One that still works is ended."""

    op: Literal["recorded"] = "recorded"


class Made(_Message):
    """The sandbox waits for Go."""

    event: Literal["made"] = "made"


class Renewed(_Message):
    """A secret's change is enforced, or could not be, in words that hold no secret."""

    event: Literal["renewed"] = "renewed"
    number: int
    error: str | None = None


class Adopted(_Message):
    """What was begun, with the secrets as they are by now."""

    event: Literal["adopted"] = "adopted"
    plan: dict[str, Any] = Field(repr=False)
    held: dict[str, Any] = Field(repr=False)
    replaced: dict[str, str | None] = Field(repr=False)
    """What has changed of the secrets, also of those whose first values the sandbox goes on holding."""
    pid: int
    """The keeper's process."""
    llm_tokens: int = 0
    """What the run's LLM calls have taken so far; a keeper of an older version does not count."""
    llm_usd: float = 0.0


class Ended(_Message):
    """The run is over and its container is gone; the journal's last line."""

    event: Literal["ended"] = "ended"
    state: str
    error: dict[str, Any] | None
    stdout: str
    stderr: str
    omitted: dict[str, int]
    """How many events of each kind are missing."""
    has_result: bool
    """The agent's result is in a file beside the journal."""
    result_bytes: int | None = None
    """How long that file is: one that was cut is no result. A keeper of an older version does not say."""
    at: float


type Op = Begin | Parcel | Adopt | Go | Tell | ReplaceSecret | End | Recorded
type Said = Entry | Made | Renewed | Adopted | Ended

_OPS: TypeAdapter[Op] = TypeAdapter(
    Annotated[Begin | Parcel | Adopt | Go | Tell | ReplaceSecret | End | Recorded, Field(discriminator="op")]
)
_SAID: TypeAdapter[Said] = TypeAdapter(
    Annotated[Entry | Made | Renewed | Adopted | Ended, Field(discriminator="event")]
)


def encode(message: Op | Said) -> bytes:
    """The message as its line, in ASCII: an agent's text may hold half of a surrogate pair."""
    return json.dumps(message.model_dump(), separators=(",", ":"), default=str).encode() + b"\n"


def read_op(line: bytes) -> Op:
    """What the daemon said. Raises KeeperProtocolError."""
    return _read(_OPS, line)


def read_said(line: bytes) -> Said:
    """What the keeper said. Raises KeeperProtocolError."""
    return _read(_SAID, line)


def _read[T](adapter: TypeAdapter[T], line: bytes) -> T:
    try:
        return adapter.validate_python(json.loads(line))
    except ValidationError as exc:
        raise KeeperProtocolError(f"no message: {exc.errors()[0]['type']}") from None
    except (ValueError, RecursionError):
        raise KeeperProtocolError("not a line of JSON") from None
