"""What the providers' SDKs send passes the default policy as it is; what nobody listed does not.

The SDKs are those that the LLM router brings; google-genai is run in a sandbox by
`tests/integration/test_clients.py`, and here are the requests that its release 3.6.1 was seen to send.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from proxy.contract.grant import GrantSecret
from proxy.policy.bindings import binding_of
from proxy.policy.decide import decide
from proxy.policy.model import Decision, Policy, Request, Verdict
from proxy.secrets.broker import Brokered, Head, broker
from runtime.model.llm_providers import HOSTED
from runtime.policies.loader import load_policy

POLICY = load_policy("llm-only", [Path(__file__).parents[2] / "policies"], registries={})
STAND_IN = "placeholder-0123456789abcdef0123456789"
SECRETS = tuple(GrantSecret(row.key_name, f"true-{row.name}-0123456789", STAND_IN) for row in HOSTED.values())


def judged(policy: Policy, sent: httpx.Request) -> Brokered | Decision:
    """What the proxy makes of one request."""
    target = sent.url.raw_path.decode()
    request = Request(sent.url.host, 443, "https", sent.method, target)
    decision = decide(policy, request)
    if decision.verdict is not Verdict.ALLOW:
        return decision
    headers = tuple((name.decode(), value.decode()) for name, value in sent.headers.raw)
    binding = binding_of(policy, request)
    return broker(Head(target, headers), binding, SECRETS, forms=(), host=request.host, rule_id=None)


def recorded(call: Callable[[httpx.Client], object]) -> list[httpx.Request]:
    """The requests of one call of an SDK, which gets an error for an answer."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(418, json={"error": {"message": "no"}})

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            call(http)
    return sent


def _openai(http: httpx.Client) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=STAND_IN, organization="org-0123456789", project="proj_0123456789", http_client=http
    )


def _anthropic(http: httpx.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=STAND_IN, http_client=http)


def _gemini(http: httpx.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key=STAND_IN, base_url=HOSTED["gemini"].endpoint.url, http_client=http)


HELLO = [{"role": "user", "content": "hello"}]
CALLS: dict[str, Callable[[httpx.Client], object]] = {
    "openai, chat": lambda h: _openai(h).chat.completions.create(model="gpt-5.2", messages=HELLO),
    "openai, chat, raw": lambda h: _openai(h).chat.completions.with_raw_response.create(
        model="gpt-5.2", messages=HELLO, timeout=123.5
    ),
    "openai, a stream": lambda h: _openai(h).responses.create(model="gpt-5.2", input="hello", stream=True),
    "openai, an answer again": lambda h: _openai(h).responses.retrieve(
        "resp_0123456789", include=["message.input_image.image_url"], starting_after=123456789
    ),
    "openai, a file": lambda h: _openai(h).files.create(file=b"x" * 99, purpose="assistants"),
    "openai, pages": lambda h: _openai(h).files.list(after="file-0123456789", limit=99, order="desc", purpose="batch-output"),
    "openai, stored chats": lambda h: _openai(h).chat.completions.list(metadata={"project-name": "a-long-one"}),
    "openai, vector stores": lambda h: _openai(h).vector_stores.list(after="vs_0123456789", before="vs_9876543210"),
    "openai, a poll": lambda h: _openai(h).vector_stores.files.poll("file-0123456789", vector_store_id="vs_0123456789"),
    "anthropic, a message": lambda h: _anthropic(h).messages.create(model="claude-x", max_tokens=9, messages=HELLO),
    "anthropic, a beta": lambda h: _anthropic(h).beta.messages.create(
        model="claude-x", max_tokens=9, messages=HELLO, betas=["files-api-2025-04-14"]
    ),
    "anthropic, pages": lambda h: _anthropic(h).beta.files.list(after_id="file_0123456789", limit=99),
    "gemini in OpenAI's shape": lambda h: _gemini(h).chat.completions.create(model="gemini-2.5-pro", messages=HELLO),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_what_an_sdk_sends_passes(case: str):
    """With its own headers and parameters, unmodified; the key is swapped in."""
    sent = recorded(CALLS[case])

    assert sent
    for request in sent:
        answer = judged(POLICY, request)
        assert isinstance(answer, Brokered), answer
        assert len(answer.used) == 1


GENAI = "https://generativelanguage.googleapis.com"
GENAI_HEADERS = {
    "x-goog-api-key": STAND_IN,
    "user-agent": "google-genai-sdk/3.6.1 gl-python/3.12.0",
    "x-goog-api-client": "google-genai-sdk/3.6.1 gl-python/3.12.0",
    "x-server-timeout": "120",
    "content-type": "application/json",
}
GENAI_REQUESTS = {
    "an answer": ("POST", "/v1beta/models/gemini-2.5-pro:generateContent", {}),
    "a stream": ("POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", {}),
    "pages": ("GET", "/v1beta/files?pageSize=10&pageToken=abcdef0123456789", {}),
    "an upload": (
        "POST",
        "/upload/v1beta/files?uploadType=resumable",
        {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": "123456789",
            "X-Goog-Upload-Header-Content-Type": "application/pdf",
            "X-Goog-Upload-File-Name": "a-long-name.pdf",
        },
    ),
    "a REST client of Google's": ("GET", "/v1beta/models?%24alt=json%3Benum-encoding%3Dint", {}),
}


@pytest.mark.parametrize("case", GENAI_REQUESTS)
def test_what_google_genai_sends_passes(case: str):
    """Of the third SDK, as it was recorded."""
    method, target, headers = GENAI_REQUESTS[case]

    answer = judged(POLICY, httpx.Request(method, GENAI + target, headers={**GENAI_HEADERS, **headers}))

    assert isinstance(answer, Brokered), answer


THIEF = "THIEF-0123456789"
PLACES = {
    "a header": ("", {"x-anything": THIEF}),
    "a header of the SDK's with a word for a key": ("", {"x-stainless-token": THIEF}),
    "another of the provider's": ("", {"openai-session": THIEF, "anthropic-session": THIEF, "x-goog-session": THIEF}),
    "headers of an upload": ("", {"x-goog-upload-header-x-goog-session": THIEF}),
    "a parameter": (f"?anything={THIEF}", {}),
    "a parameter without a value": (f"?{THIEF}", {}),
    "a subprotocol": ("", {"sec-websocket-protocol": THIEF}),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("provider", HOSTED)
def test_what_nobody_listed_does_not_pass(provider: str, place: str):
    """Beside the sandbox's own key, whatever the name: the list says what may pass, and no more."""
    query, headers = PLACES[place]
    url = f"https://{HOSTED[provider].endpoint.host}/v1/models{query}"

    answer = judged(
        POLICY, httpx.Request("GET", url, headers={"authorization": f"Bearer {STAND_IN}", **headers})
    )

    assert isinstance(answer, Decision)
    assert answer.reason_code == "foreign_credential"
    assert "THIEF" not in answer.detail
