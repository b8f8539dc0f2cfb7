"""`orch probe --trust`: which clients reach an inspected host as they are, and say so where they are refused.

Each client of `trust_clients` is called four times in one sandbox: an allowed and a refused place, with the
sandbox's proxy environment and without it (names then lead to the proxy, which goes by server name). This
module makes the attempts and judges what the clients printed; it starts nothing and opens nothing.

    rows = check_trust(run_agent, places, image="orchbox/agent-polyglot:local")
    assert all(row.is_ok for row in rows)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runtime.probe.trust.clients import CLIENTS, Client, PlaceKind

if TYPE_CHECKING:
    from rich.table import Table

AGENT = Path(__file__).parent / "agent"
IMAGE = "agent-polyglot"
"""The image that has every client: `make trust-image`."""
ATTEMPT_TIMEOUT_S = 60.0
ENVIRONMENTS = {"proxy": True, "direct": False}


class Shown(StrEnum):
    """What a refused client's own output says, from worst to best."""

    REACHED = "reached"
    """The client got what it was to be refused."""
    NOTHING = "nothing"
    """No word of a refusal: it looks like another fault."""
    NAME = "name"
    """The name does not resolve."""
    STATUS = "status"
    """A 403."""
    REASON = "reason"
    """The refusal's reason code."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients of one kind go."""

    allowed: str
    refused: str
    marker: str
    """What a client prints only when it has what `allowed` serves."""


@dataclass(frozen=True, slots=True)
class Row:
    """One client in one environment."""

    client: Client
    environment: str
    """`proxy`, or `direct`: without any variable that names the proxy."""
    is_reached: bool
    shown: Shown
    allowed_output: str
    refused_output: str

    @property
    def is_ok(self) -> bool:
        """Whether it works where it may, and says that it is refused where it may not, if it ever can."""
        is_told = self.shown is not Shown.NOTHING or bool(self.client.silent)
        return self.is_reached and self.shown is not Shown.REACHED and is_told


class RunAgent(Protocol):
    """Runs the folder's `main.py` (Python) in a sandbox with this document on stdin; its stdout's JSON."""

    def __call__(self, folder: Path, document: dict[str, Any], *, image: str) -> dict[str, Any]:
        """The sandbox must live for `time_limit_s(document)`. Errors of the run are the runner's own."""


def check_trust(
    run_agent: RunAgent,
    places: Mapping[PlaceKind, Place],
    *,
    image: str,
    clients: Sequence[Client] = CLIENTS,
) -> list[Row]:
    """Try every client. Raises what `run_agent` raises, and KeyError where its answer is not whole."""
    document = attempts_document(places, clients)
    results = run_agent(AGENT, document, image=image)
    return [
        judge(client, environment, places[client.place], results)
        for client in clients
        for environment in ENVIRONMENTS
    ]


def attempts_document(places: Mapping[PlaceKind, Place], clients: Sequence[Client]) -> dict[str, Any]:
    """What the program in the sandbox is told: every attempt, with nothing left to decide."""
    attempts = [
        {
            "id": f"{client.id}/{environment}/{target}",
            "argv": [argument.replace("{url}", url) for argument in client.argv],
            "files": {name: text.replace("{url}", url) for name, text in client.files.items()},
            "proxy": with_proxy,
        }
        for client in clients
        for environment, with_proxy in ENVIRONMENTS.items()
        for target, url in (
            ("allowed", places[client.place].allowed),
            ("refused", places[client.place].refused),
        )
    ]
    return {"timeout_s": ATTEMPT_TIMEOUT_S, "attempts": attempts}


def time_limit_s(document: Mapping[str, Any]) -> float:
    """How long the sandbox may live: what the attempts may take that are not hopeless."""
    return 60.0 + 5.0 * len(document["attempts"])


def judge(client: Client, environment: str, place: Place, results: Mapping[str, Any]) -> Row:
    """One row from what the client printed. Raises KeyError where an attempt is missing."""
    allowed = results[f"{client.id}/{environment}/allowed"]
    refused = results[f"{client.id}/{environment}/refused"]
    return Row(
        client,
        environment,
        is_reached=allowed["status"] == 0 and place.marker in allowed["output"],
        shown=shown_refusal(refused["output"], place),
        allowed_output=allowed["output"],
        refused_output=refused["output"],
    )


_REASON = re.compile(r"\bnot_allowed_host\b")
_STATUS = re.compile(r"(?<![\d.:/])403(?![\d.])|Refused by the egress policy|\bForbidden\b")
_NAME = re.compile(
    r"could not resolve|couldn't resolve|unable to resolve|unable to resolve host|failed to lookup address"
    r"|name or service not known|no such host|ENOTFOUND|getaddrinfo|UnknownHostException"
    r"|UnresolvedAddressException|no address associated|name resolution|failure resolving",
    re.IGNORECASE,
)


def shown_refusal(output: str, place: Place) -> Shown:
    """The best that a refused client's output says."""
    if place.marker in output:
        return Shown.REACHED
    said = output.replace(place.refused, "")  # an address that has 403 in it is no status
    for pattern, shown in ((_REASON, Shown.REASON), (_STATUS, Shown.STATUS), (_NAME, Shown.NAME)):
        if pattern.search(said):
            return shown
    return Shown.NOTHING


def rows_to_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows; the output of a client only where its row failed."""
    return [
        {
            "client": row.client.id,
            "title": row.client.title,
            "environment": row.environment,
            "ok": row.is_ok,
            "reached": row.is_reached,
            "refusal_shown_as": row.shown.value,
            **({"why_silent": row.client.silent} if row.shown is Shown.NOTHING and row.client.silent else {}),
            **(
                {}
                if row.is_ok
                else {"allowed_output": row.allowed_output, "refused_output": row.refused_output}
            ),
        }
        for row in rows
    ]


_WORDS = {
    Shown.REASON: "reason code",
    Shown.STATUS: "403",
    Shown.NAME: "does not resolve",
    Shown.NOTHING: "no reason",
    Shown.REACHED: "REACHED",
}


def render_table(rows: Sequence[Row]) -> Table:
    """One line a client, for a person."""
    from rich.table import Table  # noqa: PLC0415 - only for a person

    table = Table("client", "with the proxy environment", "without it", title="orch probe --trust")
    for client in dict.fromkeys(row.client.id for row in rows):
        own = {row.environment: row for row in rows if row.client.id == client}
        cells = [_cell(own[environment]) for environment in ENVIRONMENTS]
        table.add_row(own["proxy"].client.title, *cells)
    return table


def _cell(row: Row) -> str:
    reached = "works" if row.is_reached else "DOES NOT WORK"
    colour = "green" if row.is_ok else "red"
    return f"[{colour}]{reached}; refused: {_WORDS[row.shown]}[/]"
