"""What an agent sees of `http://llm.internal/v1`: both shapes, streamed and whole, for every provider."""

from __future__ import annotations

import asyncio
import json
import time

import openai
import pytest

from runtime.llm import app
from tests.llm.conftest import CHAIN, MESSAGES, Rig, chat, until

PROVIDERS = ["openai", "anthropic", "gemini"]
TEXT = MESSAGES[0]["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("entry", CHAIN, ids=PROVIDERS)
async def test_a_named_model_goes_to_its_provider_alone(rig: Rig, entry: str, stream: bool) -> None:
    """Also where it fails: what was asked for by name is not replaced."""
    rig.session(*CHAIN)

    assert "lighthouse" in await chat(rig, model=entry, stream=stream)

    provider = entry.split("/", maxsplit=1)[0]
    assert [provider] == rig.asked()
    rig.fail(provider, status=503)
    with pytest.raises(openai.APIStatusError):
        await chat(rig, model=entry.split("/")[1], stream=stream)
    assert [provider] * 2 == rig.asked()


@pytest.mark.parametrize("entry", CHAIN, ids=PROVIDERS)
async def test_responses_whole(rig: Rig, entry: str) -> None:
    """The other shape, bridged where the provider has none of its own."""
    rig.session(*CHAIN)

    answer = await rig.openai().responses.create(model=entry, input=TEXT, instructions="Be short.")

    assert "lighthouse" in answer.output_text
    assert answer.status == "completed"
    assert answer.usage.input_tokens > 0
    call = rig.told("llm_call_succeeded")[0]
    assert (call["tokens_in"], call["estimated"]) == (answer.usage.input_tokens, False)


@pytest.mark.parametrize("entry", CHAIN, ids=PROVIDERS)
async def test_responses_streamed(rig: Rig, entry: str) -> None:
    """The events have OpenAI's order and numbers."""
    rig.session(*CHAIN)

    stream = await rig.openai().responses.create(model=entry, input=TEXT, stream=True)
    events = [event async for event in stream]

    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert "lighthouse" in text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert not rig.told("llm_call_succeeded")[0]["estimated"]


async def test_responses_walk_the_chain(rig: Rig) -> None:
    """From a provider with the shape to one without."""
    rig.session(*CHAIN)
    rig.fail("openai", status=429)

    answer = await rig.openai().responses.create(model="default", input=TEXT)

    assert "lighthouse" in answer.output_text
    assert rig.asked() == ["openai", "anthropic"]


@pytest.mark.parametrize("shape", ["chat", "responses"])
@pytest.mark.parametrize("entry", CHAIN, ids=PROVIDERS)
async def test_tokens_pass_one_by_one(rig: Rig, entry: str, shape: str) -> None:
    """The first is with the client before the last has left the provider."""
    rig.session(*CHAIN)
    rig.world.token_delay_s = 0.03
    client = rig.openai()
    if shape == "chat":
        stream = await client.chat.completions.create(model=entry, messages=MESSAGES, stream=True)
    else:
        stream = await client.responses.create(model=entry, input=TEXT, stream=True)
    at = [time.time() async for _ in stream]

    [exchange] = rig.requests()
    assert at[0] < exchange.last_byte_at
    assert len(at) > 5


async def test_a_client_that_goes_away_ends_the_upstream_request(rig: Rig) -> None:
    """Streamed: the provider's connection is cut, what came is counted."""
    session = rig.session(*CHAIN)
    rig.world.token_delay_s = 0.05
    stream = await rig.openai().chat.completions.create(model="default", messages=MESSAGES, stream=True)
    await anext(aiter(stream))
    await stream.close()

    await until(lambda: rig.told("llm_call_failed"))

    call = rig.told("llm_call_failed")[0]
    assert (call["reason"], call["estimated"]) == ("cancelled", True)
    assert session.spending.tokens == call["tokens_in"] + call["tokens_out"] > 0
    sent = rig.requests()[0].sent_chunks
    await asyncio.sleep(0.3)
    assert rig.requests()[0].sent_chunks <= sent + 2


async def test_a_client_that_goes_away_before_the_answer(rig: Rig) -> None:
    """Whole: nobody else of the chain is asked for it."""
    rig.session(*CHAIN)
    rig.fail("openai", delay_s=60.0)
    asking = asyncio.create_task(chat(rig))
    await until(rig.requests)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    await until(lambda: rig.told("llm_call_failed"))

    assert rig.told("llm_call_failed")[0]["reason"] == "cancelled"
    assert rig.asked() == ["openai"]


async def test_usage_is_asked_for_but_passed_on_only_to_who_asked(rig: Rig) -> None:
    """Tokens are counted in every stream; a client that did not ask sees no extra chunk."""
    rig.session(*CHAIN)
    client = rig.openai()

    async def chunks(**more: object) -> list:
        stream = await client.chat.completions.create(
            model="openai/gpt-5-mini", messages=MESSAGES, stream=True, **more
        )
        return [chunk async for chunk in stream]

    assert all(chunk.choices for chunk in await chunks())
    asked = await chunks(stream_options={"include_usage": True})
    assert asked[-1].usage.prompt_tokens > 0
    assert [call["estimated"] for call in rig.told("llm_call_succeeded")] == [False, False]


async def test_models_lists_the_chain(rig: Rig) -> None:
    """`default` first."""
    rig.session(*CHAIN)

    listed = [model.id async for model in rig.openai().models.list()]

    assert ["default", *CHAIN] == listed


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages": []}', "model"),
        (b'{"model": "default"}', "messages"),
        (b'{"model": "default", "messages": [1]}', "messages"),
        (b'{"model": "default", "messages": [{}], "stream": 1}', "stream"),
        (b"[" * 100_000, None),
    ],
)
async def test_a_bad_body_is_400_in_openais_shape(rig: Rig, body: bytes, param: str | None) -> None:
    """Nothing goes upstream."""
    rig.session(*CHAIN)

    answer = await rig.http().post("/chat/completions", content=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert rig.asked() == []


async def test_a_body_beyond_the_bound_is_413(rig: Rig) -> None:
    """It is not read to its end."""
    rig.session(*CHAIN)

    answer = await rig.http().post("/chat/completions", content=b" " * ((16 << 20) + 1))

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


async def test_the_bodies_of_a_run_at_one_time_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's memory is not one run's; what is answered counts no more."""
    monkeypatch.setattr(app, "MAX_RUN_BYTES", 1000)
    session = rig.session(*CHAIN)
    rig.world.token_delay_s = 0.05
    long = [{"role": "user", "content": TEXT * 8}]
    held = await rig.openai().chat.completions.create(model="default", messages=long, stream=True)

    with pytest.raises(openai.RateLimitError) as caught:
        await rig.openai().chat.completions.create(model="default", messages=long)
    await held.close()
    await until(lambda: session.body_bytes == 0)

    assert caught.value.code == "too_much_at_once"
    assert await chat(rig, stream=True)


async def test_another_endpoint_is_404_naming_what_there_is(rig: Rig) -> None:
    """In OpenAI's shape."""
    rig.session(*CHAIN)

    answer = await rig.http().post("/embeddings", json={})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "resp_1"},
        {"tools": [{"type": "web_search"}]},
        {"input": [{"type": "item_reference", "id": "x"}]},
    ],
    ids=["an earlier response", "a hosted tool", "a reference"],
)
async def test_what_the_bridge_cannot_carry_is_refused_by_name(rig: Rig, body: dict) -> None:
    """Never dropped: the error says what to use."""
    rig.session(*CHAIN)

    with pytest.raises(openai.BadRequestError, match="use /v1/chat/completions"):
        await rig.openai().responses.create(**{"model": CHAIN[1], "input": TEXT, **body})

    assert rig.asked() == []


async def test_parameters_of_the_newer_names_reach_every_provider(rig: Rig) -> None:
    """max_completion_tokens and OpenAI's own hints do not break a fallback."""
    rig.session(*CHAIN)
    for entry in CHAIN:
        await chat(rig, model=entry, max_completion_tokens=50, user="u", metadata={"a": "b"}, store=False)

    assert rig.asked() == PROVIDERS


async def test_a_sandbox_cannot_set_the_sdks_own_options(rig: Rig) -> None:
    """`extra_headers` and `api_base` are fields of a body like any other, and change nothing here."""
    rig.session(*CHAIN)
    body = {
        "model": CHAIN[0],
        "messages": MESSAGES,
        "extra_headers": {"x-evil": "1"},
        "api_base": "https://evil.test",
    }

    answer = await rig.http().post("/chat/completions", content=json.dumps(body))

    assert answer.status_code == 200
    [seen] = rig.requests()
    assert (seen.host, seen.header("x-evil")) == ("api.openai.com", None)
