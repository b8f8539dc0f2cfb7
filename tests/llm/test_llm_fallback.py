"""The fallback table: for each kind of failure and each position in the chain, what was tried, in order."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import openai
import pytest

from runtime.canary.upstreams import anthropic_api, openai_api
from tests.llm.conftest import CHAIN, HASTY, PATIENT, Rig, chat

PROVIDERS = ["openai", "anthropic", "gemini"]


class Kind(NamedTuple):
    """How a provider fails, and what follows."""

    how: dict[str, Any]
    reason: str
    goes_on: bool
    status: int
    """What the client is told where no entry is left."""


KINDS = {
    "429": Kind({"status": 429}, "rate_limited", True, 429),
    "500": Kind({"status": 500}, "server_error", True, 500),
    "502": Kind({"status": 502}, "server_error", True, 502),
    "503": Kind({"status": 503}, "server_error", True, 503),
    "529 (overloaded)": Kind({"status": 529}, "server_error", True, 529),
    "a hang before the first byte": Kind({"delay_s": 60.0}, "timeout", True, 504),
    "the connection is closed before an answer": Kind({"is_dropped": True}, "connection_error", True, 502),
    "closed behind the head": Kind({"cut_after_chunks": 0}, "connection_error", True, 502),
    "400": Kind({"status": 400}, "bad_request", False, 400),
    "401": Kind({"status": 401}, "unauthorized", False, 401),
    "403": Kind({"status": 403}, "forbidden", False, 403),
    "404": Kind({"status": 404}, "not_found", False, 404),
    "302": Kind({"status": 302}, "other", False, 502),
    "418": Kind({"status": 418}, "other", False, 502),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_fallback_table(rig: Rig, kind: Kind, position: int, stream: bool) -> None:
    """All entries before `position` are overloaded, the one there fails in this way, the rest is well."""
    rig.session(*CHAIN, timeouts=HASTY if kind.reason == "timeout" else PATIENT)
    for provider in PROVIDERS[:position]:
        rig.fail(provider, status=503)
    rig.fail(PROVIDERS[position], **kind.how)
    is_answered = kind.goes_on and position < 2
    tried = PROVIDERS[: position + 1 + is_answered]
    before = [(PROVIDERS[n], PROVIDERS[n + 1], "server_error") for n in range(position)]
    last = [(PROVIDERS[position], PROVIDERS[position + 1], kind.reason)] if is_answered else []

    if is_answered:
        assert "lighthouse" in await chat(rig, stream=stream)
    else:
        with pytest.raises(openai.APIStatusError) as caught:
            await chat(rig, stream=stream)
        error = caught.value
        assert (kind.status, kind.reason) == (error.status_code, error.code)
        listed = [(entry["model"], entry["reason"].split(" ")[0]) for entry in error.body["attempts"]]
        assert listed == list(
            zip(CHAIN[: position + 1], ["server_error"] * position + [kind.reason], strict=True)
        )

    assert tried == rig.asked()
    assert before + last == rig.transitions()
    failed = [(call["provider"], call["reason"]) for call in rig.told("llm_call_failed")]
    assert failed == [(p, "server_error") for p in PROVIDERS[:position]] + [
        (PROVIDERS[position], kind.reason)
    ]
    answered = [call["provider"] for call in rig.told("llm_call_succeeded")]
    assert answered == ([PROVIDERS[position + 1]] if is_answered else [])


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
async def test_a_break_after_the_first_byte_is_never_tried_again(rig: Rig, position: int) -> None:
    """The stream ends with an error event in OpenAI's shape, which the SDK raises; nobody else is asked."""
    rig.session(*CHAIN)
    for provider in PROVIDERS[:position]:
        rig.fail(provider, status=429)
    rig.fail(PROVIDERS[position], cut_after_chunks=3)

    with pytest.raises(openai.APIError, match="broke off") as caught:
        await chat(rig, stream=True)

    assert caught.value.code == "stream_broken"
    assert PROVIDERS[: position + 1] == rig.asked()
    last = rig.told("llm_call_failed")[-1]
    assert (last["provider"], last["reason"]) == (PROVIDERS[position], "stream_broken: connection_error")
    assert last["tokens_in"] > 0
    assert last["estimated"]


async def test_an_error_in_place_of_the_first_event_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anthropic says `overloaded_error` within a stream whose status was 200."""
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    monkeypatch.setattr(anthropic_api, "_events", lambda *_: iter([("error", overloaded)]))
    rig.session(CHAIN[1], CHAIN[2])

    assert "lighthouse" in await chat(rig, stream=True)

    assert rig.transitions() == [("anthropic", "gemini", "server_error")]


async def test_a_stream_that_ends_before_it_begins_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 200 without an event is no answer."""
    monkeypatch.setattr(openai_api, "_chat_events", lambda *_: iter([]))
    rig.session(CHAIN[0], CHAIN[1])

    assert "lighthouse" in await chat(rig, stream=True)

    assert rig.transitions() == [("openai", "anthropic", "connection_error")]


async def test_a_silence_within_a_stream_ends_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded between two pieces, not in all."""
    rig.session(*CHAIN, timeouts=HASTY)
    rig.world.token_delay_s = 60.0

    with pytest.raises(openai.APIError, match=r"broke off: timeout"):
        await chat(rig, stream=True)

    assert rig.asked() == ["openai"]


async def test_responses_break_with_an_error_event_too(rig: Rig) -> None:
    """In that shape's form, and in the form that the SDK raises on."""
    rig.session(*CHAIN)
    rig.fail("openai", cut_after_chunks=6)
    body = {"model": "default", "input": "The lighthouse. It was white.", "stream": True}

    answer = await rig.http().post("/responses", json=body)

    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: error\ndata: ")
    event = json.loads(last.split("data: ")[1])
    assert (event["type"], event["code"], event["sequence_number"]) == ("error", "stream_broken", 6)
    assert event["error"]["code"] == "stream_broken"
    assert rig.asked() == ["openai"]
