"""Filters and cursors of a list of runs."""

from __future__ import annotations

import base64
import dataclasses
import struct

import pytest

from runtime.errors import InvalidInputError
from runtime.model.limits import Isolation
from runtime.model.run import RunState, RunSummary
from runtime.model.run_query import Position, RunFilter, RunQuery, is_id_prefix

RUN_ID = "0b0e0000-0000-4000-8000-000000000001"
RUN = RunSummary(
    RUN_ID, "a", "p", Isolation.RUNC, RunState.FAILED, 5.5, workspace="w", labels={"k": "v", "l": ""}
)
FILTERS = {
    "workspace": ("w", "x"),
    "state": (RunState.FAILED, RunState.RUNNING),
    "agent": ("a", "b"),
    "policy": ("p", "q"),
    "labels": ({"k": "v", "l": ""}, {"k": "v", "l": "w"}),
    "created_after": (5.4, 5.5),
    "id_prefix": ("0b0e000", "0b0e001"),
}


def packed(mark: bytes, created_at: float, run_id: bytes) -> str:
    """A cursor made by hand."""
    return base64.urlsafe_b64encode(struct.pack(">8sd", mark, created_at) + run_id).decode().rstrip("=")


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_takes_what_it_says(name: str):
    """Each alone, and nothing else."""
    fits, fits_not = FILTERS[name]

    assert RunFilter(**{name: fits}).takes(RUN)
    assert not RunFilter(**{name: fits_not}).takes(RUN)


def test_every_filter_is_looked_at():
    """A new one comes with its case above."""
    assert {field.name for field in dataclasses.fields(RunFilter)} == FILTERS.keys()


def test_a_cursor_leads_behind_the_run_it_was_made_of():
    """And says so to the list that it was made for, whatever the size of its pages."""
    which = RunFilter(workspace="w", labels={"k": "v", "l": ""})
    cursor = RunQuery(1, which).cursor(RUN)

    same = RunFilter(workspace="w", labels={"l": "", "k": "v"})
    assert RunQuery.read(7, same, cursor) == RunQuery(7, same, Position(5.5, RUN_ID))
    assert RunQuery.read(7, same, None).after is None


@pytest.mark.parametrize("name", FILTERS)
def test_a_cursor_of_another_list_is_refused(name: str):
    """Whatever filter differs, the workspace of the caller among them."""
    cursor = RunQuery(1, RunFilter(**{name: FILTERS[name][0]})).cursor(RUN)

    for other in (RunFilter(), RunFilter(**{name: FILTERS[name][1]})):
        with pytest.raises(InvalidInputError, match="other filters") as told:
            RunQuery.read(1, other, cursor)
        assert told.value.param == "cursor"


MARK = RunFilter().mark()
WRONG = {
    "nothing": "",
    "no base64": "!!!!",
    "another alphabet": "++//" * 8,
    "cut": packed(MARK, 1.0, b"")[:12],
    "no run": packed(MARK, 1.0, b""),
    "NaN": packed(MARK, float("nan"), RUN_ID.encode()),
    "infinity": packed(MARK, float("-inf"), RUN_ID.encode()),
    "a NUL": packed(MARK, 1.0, b"a\0"),
    "no ASCII": packed(MARK, 1.0, b"\xff"),
    "a long id": packed(MARK, 1.0, b"a" * 65),
    "no text": "\u00fc" * 8,
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_cursor_is_refused(case: str):
    """Before it gets anywhere near a database."""
    with pytest.raises(InvalidInputError, match="no cursor"):
        RunQuery.read(1, RunFilter(), WRONG[case])


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("0b0e000", True),
        (RUN_ID, True),
        ("0", False),
        ("0B0E000", False),
        ("-b0e000", False),
        ("0b0e00%", False),
    ],
)
def test_seven_digits_name_a_run(text: str, is_one: bool):
    """Fewer do not, and nothing that no id begins with."""
    assert is_id_prefix(text, at_least=7) == is_one
