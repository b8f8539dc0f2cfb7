"""Budgets over the wire: counted from what providers say, refused when they are spent."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import openai
import pytest

from runtime.llm import router
from runtime.llm.shapes.openai import Shape, read_request
from tests.llm.conftest import CHAIN, HASTY, MESSAGES, Rig, chat, until


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("entry", CHAIN)
async def test_tokens_and_cost_are_counted(rig: Rig, entry: str, stream: bool) -> None:
    """From the provider's own usage, streamed or not."""
    session = rig.session(*CHAIN)

    await chat(rig, model=entry, stream=stream)

    [call] = rig.told("llm_call_succeeded")
    assert not call["estimated"]
    assert session.spending.tokens == call["tokens_in"] + call["tokens_out"] > 0
    assert session.spending.usd == Decimal(str(call["cost_usd"])) > 0
    assert f"{call['provider']}/{call['model']}" == entry


async def test_a_spent_token_budget_is_429_with_its_own_code(rig: Rig) -> None:
    """The call that crosses the limit is finished; the next one is refused, told as final, and an event."""
    rig.session(*CHAIN, llm_tokens=1)
    await chat(rig)

    with pytest.raises(openai.RateLimitError) as caught:
        await chat(rig)

    error = caught.value
    assert (error.status_code, error.code) == (429, "budget_tokens")
    assert error.response.headers["x-should-retry"] == "false"
    assert [{"reason_code": "budget_tokens", "model": CHAIN[0]}] == rig.told("policy_violation")
    assert rig.asked() == ["openai"]


async def test_a_spent_dollar_budget_is_429_with_its_own_code(rig: Rig) -> None:
    """One cent's millionth is less than a call costs."""
    rig.session(*CHAIN, llm_usd=Decimal("0.000001"))
    await chat(rig)

    with pytest.raises(openai.RateLimitError) as caught:
        await chat(rig)

    assert caught.value.code == "budget_cost"


@pytest.mark.parametrize(("name", "code"), [("llm_tokens", "budget_tokens"), ("llm_usd", "budget_cost")])
async def test_a_budget_of_0_allows_none(rig: Rig, name: str, code: str) -> None:
    """Nothing goes out."""
    rig.session(*CHAIN, **{name: Decimal(0) if name == "llm_usd" else 0})

    with pytest.raises(openai.RateLimitError) as caught:
        await chat(rig)

    assert (caught.value.code, rig.asked()) == (code, [])


async def test_calls_at_one_time_do_not_each_spend_the_rest(rig: Rig) -> None:
    """What is under way holds its share: of ten at once one is served."""
    rig.session(*CHAIN, llm_tokens=3000)
    rig.world.token_delay_s = 0.5
    asking = [asyncio.create_task(chat(rig, stream=True)) for _ in range(10)]
    await until(lambda: sum(task.done() for task in asking) >= 9)
    rig.world.token_delay_s = 0.0

    done = await asyncio.gather(*asking, return_exceptions=True)

    assert sum(isinstance(answer, str) for answer in done) == 1
    assert {answer.code for answer in done if not isinstance(answer, str)} == {"budget_tokens"}


async def test_without_a_price_the_cost_is_null_and_said(rig: Rig) -> None:
    """An unknown model works where no dollars are counted."""
    session = rig.session("openai/gpt-unheard-of")

    await chat(rig)

    [call] = rig.told("llm_call_succeeded")
    assert (call["cost_usd"], session.spending.unpriced_calls, session.spending.usd) == (None, 1, 0)


async def test_without_a_price_a_dollar_budget_refuses(rig: Rig) -> None:
    """What cannot be counted is not spent; the chain goes past it."""
    rig.session("openai/gpt-unheard-of", CHAIN[1], llm_usd=Decimal(1))

    await chat(rig)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await chat(rig, model="openai/gpt-unheard-of")

    assert caught.value.code == "no_price"
    assert rig.asked() == ["anthropic"]
    assert rig.transitions() == [("openai", "anthropic", "no_price"), ("openai", None, "no_price")]


async def test_a_failure_that_cost_nothing_counts_nothing(rig: Rig) -> None:
    """429 and the like; a hang counts its input, which the provider may have read."""
    session = rig.session(*CHAIN, timeouts=HASTY)
    rig.fail("openai", status=429)
    rig.fail("anthropic", delay_s=60)

    await chat(rig)

    refused, hung = rig.told("llm_call_failed")
    assert (refused["tokens_in"], refused["estimated"], refused["cost_usd"]) == (0, False, 0.0)
    assert hung["tokens_in"] > 0
    assert (hung["estimated"], hung["tokens_out"]) == (True, 0)
    served = rig.told("llm_call_succeeded")[0]
    assert session.spending.tokens == served["tokens_in"] + served["tokens_out"] + hung["tokens_in"]


async def test_a_stream_without_usage_is_estimated_high(rig: Rig) -> None:
    """A broken one has none: bytes stand in, and the event says so."""
    session = rig.session(*CHAIN)
    rig.fail("openai", cut_after_chunks=6)
    with pytest.raises(openai.APIError):
        async for _ in await rig.openai().chat.completions.create(
            model=CHAIN[0], messages=MESSAGES, stream=True
        ):
            pass

    [call] = rig.told("llm_call_failed")
    assert call["estimated"]
    assert call["tokens_out"] >= 5
    assert session.spending.tokens == call["tokens_in"] + call["tokens_out"]


async def test_a_stream_that_nobody_reads_is_settled(rig: Rig) -> None:
    """What it held is free again, its connection closed."""
    session = rig.session(*CHAIN, llm_tokens=10**6)
    body = json.dumps({"model": "default", "messages": MESSAGES, "stream": True}).encode()
    _, pieces = await router.answer(session, read_request("chat", body))
    assert len(session.spending.held) == 1

    await pieces.aclose()
    await pieces.aclose()

    assert session.spending.held == []
    assert [call["reason"] for call in rig.told("llm_call_failed")] == ["cancelled"]


async def test_many_answers_at_once_are_held_and_refused(rig: Rig) -> None:
    """`n` multiplies what a call may use; nothing goes out."""
    rig.session(*CHAIN, llm_tokens=20_000)

    with pytest.raises(openai.RateLimitError) as caught:
        await chat(rig, n=100)
    with pytest.raises(openai.RateLimitError):
        await chat(rig, n=3, max_tokens=10_000)
    with pytest.raises(openai.BadRequestError):
        await chat(rig, n="100")

    assert caught.value.code == "budget_tokens"
    assert rig.asked() == []


@pytest.mark.parametrize("shape", ["chat", "responses"])
async def test_a_stream_that_is_left_counts_all_that_it_held(rig: Rig, shape: Shape) -> None:
    """What the model thinks is not in it, and the provider may go on: the first words are not the price."""
    session = rig.session(*CHAIN, llm_tokens=10**6)
    content = {"messages": MESSAGES} if shape == "chat" else {"input": "hello"}
    bound = {"max_completion_tokens": 9000, "n": 2} if shape == "chat" else {"max_output_tokens": 18000}
    body = json.dumps({"model": "default", "stream": True, **content, **bound}).encode()
    request = read_request(shape, body)
    _, pieces = await router.answer(session, request)
    await anext(pieces)

    await pieces.aclose()

    [call] = rig.told("llm_call_failed")
    assert (call["tokens_out"], call["estimated"]) == (18_000, True)
    assert session.spending.tokens == request.wanted_tokens


async def test_a_stream_that_is_read_to_its_count_counts_that(rig: Rig) -> None:
    """Whoever leaves behind the last piece has paid what the provider says."""
    session = rig.session(*CHAIN, llm_tokens=10**6)
    body = json.dumps({"model": "default", "messages": MESSAGES, "stream": True}).encode()
    _, pieces = await router.answer(session, read_request("chat", body))
    async for piece in pieces:
        if piece.get("usage"):
            break

    await pieces.aclose()

    [call] = rig.told("llm_call_failed")
    assert not call["estimated"]
    assert 0 < call["tokens_out"] < 1000


@pytest.mark.parametrize(
    "more",
    [{"service_tier": "priority"}, {"web_search_options": {}}, {"extra_body": {"modalities": ["audio"]}}],
    ids=["tier", "search", "audio"],
)
async def test_an_option_without_a_price_is_refused_where_dollars_are_counted(rig: Rig, more: dict) -> None:
    """It would cost what nobody counts; where only tokens are counted, it goes on."""
    rig.session(*CHAIN, llm_usd=Decimal(1))

    with pytest.raises(
        openai.PermissionDeniedError, match=r"no price is known of .*: leave it out"
    ) as caught:
        await chat(rig, **more)

    assert (caught.value.code, rig.asked()) == ("no_price", [])
    assert [told["reason_code"] for told in rig.told("policy_violation")] == ["no_price"]
