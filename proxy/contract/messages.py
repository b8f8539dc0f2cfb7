"""What daemon and proxy say to each other on the control socket, and where they meet. Pure.

JSON, one object a line, at most MAX_LINE_BYTES. The parent says `ready` on each connection. One on which the
daemon says `open` goes over to a worker, a process of its own for one sandbox, which ends with it. Over the
first on which nothing is said the daemon watches for the parent's end; of the others the parent keeps few.

daemon -> parent  {"op": "open", "address"}
daemon -> worker  {"op": "hello", "ca_cert_pem", "ca_key_pem"}
                  {"op": "grant", "grant": {...}}        {"op": "revoke", "sandbox_id"}
parent -> daemon  {"event": "ready"}
worker -> daemon  {"event": "listening"}                 {"event": "failed", "error"}
                  {"event": "applied", "sandbox_id", "revision"}
                  {"event": "refused", "sandbox_id", "revision", "error"}
                  {"event": "revoked", "sandbox_id"}     {"event": "decision", "decision": {...}}

    writer.write(encode(Applied("run-1", 3)))
    match read_event(line): ...                  # ProtocolError for whatever is not exactly such a line
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from proxy.contract.decision_line import DecisionLine, decision_line_from_wire

CONTROL_FOLDER = "/run/orchbox/control"
"""In the proxy's container: what daemon and proxy share. Both sockets are in it."""
CONTROL_SOCKET = "proxy.sock"
"""The proxy listens on it."""
LLM_SOCKET = "llm.sock"
"""The daemon's LLM router listens on it."""
OWN_HEADERS = "x-orchbox-"
"""How the names of our own headers begin: a sandbox can set none of them."""
SANDBOX_HEADER = OWN_HEADERS + "sandbox"
"""Whose request it is: the proxy's word to the LLM router."""
EXPLICIT_PORT = 8080
"""Where the proxy listens for clients that were told of it."""
MAX_LINE_BYTES = 4 << 20


class ProtocolError(ValueError):
    """The other end said what the contract does not know; the text holds nothing of it."""


class MessageTooLongError(ValueError):
    """A message that would not fit into one line; the text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Open:
    """Make a worker that listens on this address and nowhere else; answered by Listening or Failed.

    Nothing else may be said before the answer: the parent reads one line.
    """

    address: str


@dataclass(frozen=True, slots=True)
class Hello:
    """The daemon's first word: the CA to issue the sandboxes' certificates from."""

    ca_cert_pem: str
    ca_key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GiveGrant:
    """Enforce this grant from now on; answered by Applied or Refused."""

    grant: Mapping[str, object] = field(repr=False)
    """What `Grant.to_wire` gives and `grant_from_wire` checks."""

    @property
    def sandbox_id(self) -> str:
        """Whose it is, also where the rest of the grant is no good."""
        return str(self.grant.get("sandbox_id"))

    @property
    def revision(self) -> int | None:
        """Which of the sandbox's grants it is; None where that is no number."""
        revision = self.grant.get("revision")
        return revision if isinstance(revision, int) else None


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take a sandbox's grant back and cut its connections; answered by Revoked."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The parent's first word on a connection."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A worker's first word: all its ports listen, and it holds no grant."""


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no worker: it could not be made, or cannot listen."""

    error: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The named revision of the sandbox's grant is enforced."""

    sandbox_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The named revision cannot be enforced as written, and is not."""

    sandbox_id: str
    revision: int | None
    error: str
    """Why, in words that hold no secret."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """The sandbox has no grant any more."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The proxy has made one decision; the daemon records it."""

    decision: DecisionLine


type Op = Open | Hello | GiveGrant | Revoke
"""What the daemon says."""
type Event = Ready | Listening | Failed | Applied | Refused | Revoked | Decided
"""What the proxy says."""

_OPS: dict[str, type[Any]] = {"open": Open, "hello": Hello, "grant": GiveGrant, "revoke": Revoke}
_EVENTS: dict[str, type[Any]] = {
    "ready": Ready,
    "listening": Listening,
    "failed": Failed,
    "applied": Applied,
    "refused": Refused,
    "revoked": Revoked,
    "decision": Decided,
}
_HEADS = {kind: {"op": name} for name, kind in _OPS.items()} | {
    kind: {"event": name} for name, kind in _EVENTS.items()
}


def encode(message: Op | Event) -> bytes:
    """The message as its line. Raises MessageTooLongError for one that the other end would not read.

    A longer line would end the connection at the other end, and with it every sandbox's grant.
    """
    body = {item.name: getattr(message, item.name) for item in fields(message)}
    line = json.dumps({**_HEADS[type(message)], **body}, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise MessageTooLongError(f"the message is longer than {MAX_LINE_BYTES >> 20} MiB")
    return line


def read_op(line: bytes) -> Op:
    """What the daemon said. Raises ProtocolError."""
    op: Op = _read(line, "op", _OPS)
    return op


def read_event(line: bytes) -> Event:
    """What the proxy said. Raises ProtocolError."""
    event: Event = _read(line, "event", _EVENTS)
    return event


def _read(line: bytes, key: str, kinds: Mapping[str, type[Any]]) -> Any:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("not a line of JSON") from None
    kind = kinds.get(str(data.pop(key, None))) if isinstance(data, dict) else None
    if kind is None:
        raise ProtocolError(f"no known {key}")
    names = [item.name for item in fields(kind)]
    if set(data) != {*names}:
        raise ProtocolError(f"{kind.__name__}: expected exactly the fields {', '.join(names) or 'none'}")
    try:
        return kind(**{name: _FIELDS[name](data[name]) for name in names})
    except ValueError as exc:
        raise ProtocolError(f"{kind.__name__}: {exc}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a field that is no text")
    return value


def _address(value: object) -> str:
    address = ipaddress.IPv4Address(_text(value))
    if address.is_unspecified or address.is_multicast:
        raise ValueError("an address that is no interface's")
    return str(address)


def _number(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError("a field that is no number")
    return value


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("a field that is no object")
    return value


_FIELDS: dict[str, Callable[[object], Any]] = {
    "address": _address,
    "ca_cert_pem": _text,
    "ca_key_pem": _text,
    "grant": _object,
    "sandbox_id": _text,
    "revision": _number,
    "error": _text,
    "decision": decision_line_from_wire,
}
