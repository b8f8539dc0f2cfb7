"""http://llm.internal in a real sandbox: the chain, its keys and its budget, over the real proxy and daemon."""

from __future__ import annotations

import json

import pytest

from runtime.canary.net.session import CanaryNet
from tests.integration.conftest import Lab
from tests.integration.test_clients import KEYS

pytestmark = pytest.mark.docker

AGENT = """
import json, os, time, openai
client = openai.OpenAI(base_url="http://llm.internal/v1", api_key="unused", max_retries=0)
messages = [{"role": "user", "content": "One. Two two. Three three three. Four."}]
times, text = [], ""
for chunk in client.chat.completions.create(model="default", stream=True, messages=messages):
    if chunk.choices and chunk.choices[0].delta.content:
        times.append(time.monotonic()); text += chunk.choices[0].delta.content
plain = client.chat.completions.create(model="anthropic/claude-opus-4-5", messages=messages).choices[0].message.content
responses = client.responses.create(model="default", input="One. Two.").output_text
models = [m.id for m in client.models.list()]
try:
    client.chat.completions.create(model="gemini-2.5-pro", messages=messages, user=os.environ["DB_PASSWORD"]); leak = None
except openai.APIStatusError as e:
    leak = [e.status_code, e.code]
print(json.dumps({"text": text, "plain": plain, "responses": responses, "models": models, "leak": leak,
                  "spread": times[-1] - times[0], "held": dict(os.environ)}))
"""
CHAIN = {"primary": "openai/gpt-5.2", "fallbacks": ["claude-opus-4-5"]}


def test_the_chain_answers_with_keys_that_the_sandbox_never_has(lab: Lab, canary_net: CanaryNet):
    """Streaming and not, both shapes; the providers see the true keys; a held secret stays out of prompts."""
    canary_net.control.set_token_delay(0.3)
    env = {**KEYS, "DB_PASSWORD": "database-password-of-the-lab"}

    done = lab.run(AGENT, env=env, llm=CHAIN, required_secrets=["DB_PASSWORD"])

    assert done.code == 0, done.out + done.err
    result = done.json["result"]
    assert "One" in result["text"]
    assert result["spread"] >= 0.05, "the first token came with the last: nothing was streamed"
    assert result["plain"]
    assert result["responses"]
    assert result["models"] == ["default", "openai/gpt-5.2", "anthropic/claude-opus-4-5"]
    assert result["leak"] == [403, "secret_leak"]
    assert not any(key in json.dumps(result) for key in KEYS.values())
    record = canary_net.record()
    keys = {host: {v for r in record.requests_to(host) for v in r.credentials.values()} for host in HOSTS}
    assert keys["api.openai.com"] == {f"Bearer {KEYS['OPENAI_API_KEY']}"}
    assert keys["api.anthropic.com"] == {KEYS["ANTHROPIC_API_KEY"]}
    lines = [line for line in lab.decisions(done.json["id"]) if line["host"] == "llm.internal"]
    assert [line["verdict"] for line in lines] == ["allow"] * 5 + ["deny"]


HOSTS = ("api.openai.com", "api.anthropic.com")
FALLBACK = """
import json, openai
client = openai.OpenAI(base_url="http://llm.internal/v1", api_key="unused", max_retries=0)
answer = client.chat.completions.with_raw_response.create(model="default", messages=[{"role": "user", "content": "One."}])
print(json.dumps({"by": answer.headers.get("x-orchbox-model"), "text": answer.parse().choices[0].message.content}))
"""


def test_a_provider_without_a_key_is_passed_over(lab: Lab, canary_net: CanaryNet):
    """The transition is an event of the run; only the second provider is asked."""
    done = lab.run(FALLBACK, env={"ANTHROPIC_API_KEY": KEYS["ANTHROPIC_API_KEY"]}, llm=CHAIN)

    assert done.code == 0, done.out + done.err
    assert done.json["result"]["by"] == "anthropic/claude-opus-4-5"
    events = [json.loads(line) for line in lab.orch("logs", done.json["id"], "--live").out.splitlines()]
    moved = [(e["from"], e["to"], e["reason"]) for e in events if e["kind"] == "fallback_transition"]
    assert moved == [("openai/gpt-5.2", "anthropic/claude-opus-4-5", "no_key")]
    [call] = [e for e in events if e["kind"] == "llm_call_succeeded"]
    assert call["tokens_out"] > 0
    assert call["cost_usd"]
    assert canary_net.record().requests_to("api.openai.com") == []


CLOSED = """
import json, urllib.request as u, urllib.error
try:
    print(u.urlopen("http://llm.internal/v1/models").status)
except urllib.error.HTTPError as e:
    print(json.dumps(json.load(e)["reason_code"]))
"""


def test_an_agent_without_a_chain_has_no_router(lab: Lab):
    """The name is refused like any other."""
    done = lab.run(CLOSED, env=KEYS, supported_providers=["openai"])

    assert done.code == 0, done.out + done.err
    assert done.json["result"] == "not_allowed_host"
