"""What daemon and keeper say to each other: every message survives its line, and nothing else is one."""

from __future__ import annotations

import json

import pytest

from runtime.keeper.messages import (
    Adopt,
    Adopted,
    Begin,
    End,
    Ended,
    Entry,
    Go,
    KeeperProtocolError,
    Made,
    Op,
    Parcel,
    Recorded,
    Renewed,
    ReplaceSecret,
    Said,
    Tell,
    encode,
    read_op,
    read_said,
)

ENTRY = Entry(kind="log", data={"text": "half a pair: \ud83d"}, at=1.5)
OPS: list[Op] = [
    Begin(plan={"a": 1}, held={"b": [2]}, earlier=[ENTRY]),
    Parcel(),
    Adopt(),
    Go(),
    Tell(kind="waiting", data={"ahead": 3}),
    ReplaceSecret(number=7, name="KEY", value="marker-value"),
    ReplaceSecret(number=8, name="KEY", value=None),
    End(error={"code": "CANCELLED", "message": "half a pair: \ud83d"}),
    Recorded(),
]
SAID: list[Said] = [
    ENTRY,
    Made(),
    Renewed(number=7),
    Renewed(number=8, error="no"),
    Adopted(plan={}, held={}, replaced={"A": "b", "C": None}, pid=9),
    Ended(
        state="failed", error={"message": "\ud83d"}, stdout="o", stderr="e", omitted={"log": 1},
        has_result=True, at=2.0,
    ),
]  # fmt: skip


@pytest.mark.parametrize("message", OPS, ids=lambda each: each.op)
def test_what_the_daemon_says(message: Op):
    """One line, and the same message out of it; what only a keeper says is none."""
    line = encode(message)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert read_op(line) == message
    with pytest.raises(KeeperProtocolError):
        read_said(line)


@pytest.mark.parametrize("message", SAID, ids=lambda each: each.event)
def test_what_the_keeper_says(message: Said):
    """One line, and the same message out of it; what only a daemon says is none."""
    line = encode(message)
    assert line.isascii()
    assert read_said(line) == message
    with pytest.raises(KeeperProtocolError):
        read_op(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]\n",
        b'{"op": "go"',
        b'{"op": "news"}\n',
        b'{"op": "go", "more": 1}\n',
        b'{"op": "tell", "kind": "log"}\n',
        b'{"op": "secret", "number": "marker-value", "name": "K", "value": "marker-value"}\n',
        b"[" * 100_000,
        b"\xff\n",
    ],
)
def test_nothing_else_is_a_message(line: bytes):
    """An unknown word, a field too many or too few, what is no JSON: refused, and not repeated."""
    with pytest.raises(KeeperProtocolError) as caught:
        read_op(line)
    assert "marker" not in str(caught.value)


def test_no_text_form_shows_what_may_be_secret():
    """A message that is logged by mistake gives nothing away."""
    hidden: list[Op | Said] = [
        Begin(plan={"k": "marker-value"}, held={"k": "marker-value"}),
        ReplaceSecret(number=1, name="KEY", value="marker-value"),
        Adopted(plan={"k": "marker-value"}, held={}, replaced={"A": "marker-value"}, pid=1),
    ]
    for message in hidden:
        assert "marker" in json.dumps(message.model_dump())
        assert "marker" not in repr(message)
        assert "marker" not in str(message)
