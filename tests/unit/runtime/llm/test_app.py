"""The router's answers that come from no provider's simulator."""

from __future__ import annotations

import httpx
import pytest

from proxy.policy.model import Policy
from runtime.llm import router
from runtime.llm.app import MODEL_HEADER, SANDBOX_HEADER, make_llm_app
from runtime.llm.plan.chain import Route
from runtime.llm.router import Answer
from runtime.llm.session import LlmSession, LlmSessions

ASKED = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("content", "status"),
    [({"id": "1", "n": 0.5}, 200), ({"id": "1", "n": float("nan")}, 502), ({"n": [float("inf")]}, 502)],
)
async def test_an_answer_that_is_no_json_is_the_providers_failure(
    monkeypatch: pytest.MonkeyPatch, content: dict[str, object], status: int
):
    """Python reads NaN where a strict client cannot: it is said, and not passed on."""
    sessions = LlmSessions()
    sessions.add(LlmSession("run", (), {}, Policy("p"), lambda _kind, _data: None))

    async def answer(*_: object) -> Answer:
        return Answer(Route("openai", "gpt-5.2"), content)

    monkeypatch.setattr(router, "answer", answer)
    transport = httpx.ASGITransport(make_llm_app(sessions))
    async with httpx.AsyncClient(transport=transport, base_url="http://llm.internal") as client:
        answered = await client.post("/v1/chat/completions", json=ASKED, headers={SANDBOX_HEADER: "run"})

    assert answered.status_code == status
    if status == 200:
        assert (answered.json(), answered.headers[MODEL_HEADER]) == (content, "openai/gpt-5.2")
    else:
        assert answered.json()["error"]["code"] == "invalid_answer"
