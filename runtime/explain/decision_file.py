"""Decision lines from a file: one JSON object a line, or the document of `orch egress RUN --json`.

A line of the daemon's audit has the decision in its `data`; what is about something else is passed over and
counted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from proxy.contract.decision_line import DecisionLine, decision_line_from_wire
from runtime.errors import InvalidInputError
from runtime.plain_file import open_plain

MAX_FILE_BYTES = 256 << 20
MAX_LINE_BYTES = 1 << 20
_REMEDY = "orch egress RUN --json > FILE"
_FIELDS = frozenset(DecisionLine.__annotations__)


class Recorded(NamedTuple):
    """What a file holds."""

    lines: list[DecisionLine]
    others: int
    """Lines that are no decision."""


def read_decision_file(path: Path) -> Recorded:
    """Read a file. Raises InvalidInputError with the line's number, which repeats nothing of the file."""
    try:
        with open_plain(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint=_REMEDY) from None
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInputError(f"{path}: more than 256 MiB", hint="give it in parts")
    if (whole := _whole(content)) is not None:
        return checked(whole, str(path))
    numbered = [(number, text) for number, text in enumerate(content.splitlines(), 1) if text.strip()]
    return _read(((number, _parse(text, path, number)) for number, text in numbered), str(path))


def checked(items: list[Any], source: str) -> Recorded:
    """Decisions as the API gives them. Raises InvalidInputError."""
    return _read(enumerate(items, 1), source)


def _whole(content: bytes) -> list[Any] | None:
    """The list in a document that has one."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return None
    found = data.get("decisions") if isinstance(data, dict) else None
    return found if isinstance(found, list) else None


def _parse(text: bytes, path: Path, number: int) -> Any:
    try:
        return json.loads(text if len(text) <= MAX_LINE_BYTES else b"")
    except (ValueError, RecursionError):
        raise InvalidInputError(f"{path}:{number}: no line of JSON", hint=_REMEDY) from None


def _read(items: Any, source: str) -> Recorded:
    lines: list[DecisionLine] = []
    others = 0
    for number, item in items:
        held = _decision_in(item)
        if held is None:
            others += 1
            continue
        try:
            lines.append(decision_line_from_wire(held))
        except ValueError as exc:
            raise InvalidInputError(f"{source}:{number}: {exc}", hint=_REMEDY) from None
    if others and not lines:
        raise InvalidInputError(f"{source}: no decision is in it", hint=_REMEDY)
    return Recorded(lines, others)


def _decision_in(item: Any) -> dict[str, Any] | None:
    """A decision that stands alone, or with other fields around it; None for what is about something else."""
    if not isinstance(item, dict):
        return None
    held = next((item[name] for name in ("data", "decision") if isinstance(item.get(name), dict)), item)
    if len(_FIELDS & held.keys()) < len(_FIELDS) // 2:
        return None
    return {name: value for name, value in held.items() if name in _FIELDS}
