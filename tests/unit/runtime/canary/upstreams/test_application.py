"""runtime.canary.upstreams.application: the wire shapes, as the documentation of each API gives them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from runtime.canary.upstreams.application import (
    ANTHROPIC,
    APT,
    CARGO,
    GEMINI,
    GIT,
    NPM,
    OPENAI,
    PIP,
    PLAIN,
    build_app,
)
from runtime.canary.upstreams.git_repo import REPOSITORY
from runtime.canary.upstreams.summary import summarize
from runtime.canary.world import Failure, World

TEXT = "The lamp burned. Keepers slept. The lamp shone on ships. Gulls flew. Ships saw the lamp. Fog came."
KEY = {
    "authorization": "Bearer k",
    "x-api-key": "k",
    "x-goog-api-key": "k",
    "anthropic-version": "2023-06-01",
}


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, without a socket."""
    transport = httpx.ASGITransport(build_app(world))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as made:
        yield made


def _events(reply: httpx.Response) -> list[dict]:
    assert reply.headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


async def test_chat_completion(client: httpx.AsyncClient) -> None:
    """A chat completion answers with the summary of the user's text, and counts its tokens."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    body = {"model": "gpt-5.2", "messages": messages}
    reply = (await client.post(f"https://{OPENAI}/v1/chat/completions", json=body, headers=KEY)).json()
    assert reply["object"] == "chat.completion"
    assert reply["choices"][0]["message"]["content"] == summarize(TEXT)
    assert reply["usage"]["total_tokens"] > 10


async def test_chat_stream(client: httpx.AsyncClient) -> None:
    """The streamed pieces join to the plain answer; the last one says stop, and [DONE] ends it."""
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": TEXT}], "stream": True}
    reply = await client.post(f"https://{OPENAI}/v1/chat/completions", json=body, headers=KEY)
    choices = [event["choices"][0] for event in _events(reply)]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == summarize(TEXT)
    assert choices[-1]["finish_reason"] == "stop"
    assert reply.text.endswith("data: [DONE]\n\n")


async def test_responses_stream(client: httpx.AsyncClient) -> None:
    """The responses API numbers its events, and its deltas join to the final output."""
    body = {"model": "gpt-5.2", "input": TEXT, "stream": True}
    events = _events(await client.post(f"https://{OPENAI}/v1/responses", json=body, headers=KEY))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    final = events[-1]["response"]["output"][0]["content"][0]["text"]
    assert "".join(deltas) == final == summarize(TEXT)


async def test_anthropic_stream(client: httpx.AsyncClient) -> None:
    """Messages start, stream text deltas and stop in the order of the API."""
    messages = [{"role": "user", "content": TEXT}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, "stream": True}
    events = _events(await client.post(f"https://{ANTHROPIC}/v1/messages", json=body, headers=KEY))
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    deltas = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(deltas) == summarize(TEXT)


async def test_gemini_stream(client: httpx.AsyncClient) -> None:
    """Each event is a whole candidate; only the last one has a finish reason."""
    url = f"https://{GEMINI}/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    body = {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}
    candidates = [e["candidates"][0] for e in _events(await client.post(url, json=body, headers=KEY))]
    assert "".join(c["content"]["parts"][0]["text"] for c in candidates) == summarize(TEXT)
    assert ["finishReason" in c for c in candidates] == [False] * (len(candidates) - 1) + [True]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"https://{OPENAI}/v1/chat/completions", 401),
        (f"https://{ANTHROPIC}/v1/messages", 401),
        (f"https://{GEMINI}/v1beta/models/g:generateContent", 403),
    ],
)
async def test_a_call_without_a_key_is_refused(client: httpx.AsyncClient, url: str, status: int) -> None:
    """A key that the proxy failed to put in shows as the vendor's own refusal."""
    reply = await client.post(url, json={})
    assert (reply.status_code, "error" in reply.json()) == (status, True)


@pytest.mark.parametrize("host", [OPENAI, ANTHROPIC])
async def test_a_broken_body_is_refused(client: httpx.AsyncClient, host: str) -> None:
    """A body that is no JSON gets the vendor's 400."""
    path = "/v1/chat/completions" if host == OPENAI else "/v1/messages"
    assert (await client.post(f"https://{host}{path}", content=b"{", headers=KEY)).status_code == 400


async def test_the_record_of_a_request(client: httpx.AsyncClient, world: World) -> None:
    """Host, path, credentials, body size and the answer's timing are written down."""
    await client.post(f"https://{PLAIN}/echo/x?a=1", content=b"hello", headers={"x-api-key": "k"})
    seen = world.seen.requests[0]
    assert (seen.host, seen.method, seen.path, seen.query) == (PLAIN, "POST", "/echo/x", "a=1")
    assert (seen.credentials, seen.body_bytes, seen.status) == ({"x-api-key": "k"}, 5, 200)
    assert seen.first_byte_at is not None
    assert seen.at <= seen.first_byte_at <= (seen.last_byte_at or 0)


async def test_echo_redirect_and_bytes(client: httpx.AsyncClient) -> None:
    """The plain endpoints answer as asked, on every host."""
    echo = (await client.put("https://anything.wild.test/echo", content=b"abc")).json()
    assert (echo["method"], echo["body_bytes"]) == ("PUT", 3)
    redirect = await client.get(f"http://{PLAIN}/redirect?to=http://evil.test/")
    assert (redirect.status_code, redirect.headers["location"]) == (302, "http://evil.test/")
    assert len((await client.get(f"https://{OPENAI}/bytes/200000")).content) == 200000


async def test_a_crate_is_what_its_index_says(client: httpx.AsyncClient) -> None:
    """The index's checksum is the served crate's, at the place its configuration names."""
    line = (await client.get(f"https://{CARGO}/or/ch/orchdemo")).json()
    place = (await client.get(f"https://{CARGO}/config.json")).json()["dl"]
    crate = (await client.get(f"{place}/{line['name']}/{line['vers']}/download")).content
    assert place == f"https://{CARGO}/crates"
    assert line["cksum"] == hashlib.sha256(crate).hexdigest()


async def test_a_package_is_what_its_index_says(client: httpx.AsyncClient) -> None:
    """The release names the index by digest and size, the index the package."""
    index = (await client.get(f"https://{APT}/Packages")).content
    release = (await client.get(f"https://{APT}/Release")).text
    assert f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages" in release
    fields = dict(line.split(": ", 1) for line in index.decode().splitlines())
    package = (await client.get(f"https://{APT}/{fields['Filename']}")).content
    assert fields["SHA256"] == hashlib.sha256(package).hexdigest()
    assert fields["Size"] == str(len(package))


async def test_a_failure_mode_is_used_up(client: httpx.AsyncClient, world: World) -> None:
    """A failure is answered for matching requests only, and as many times as it says."""
    world.failures = [Failure(host=PLAIN, path="/echo", status=503, times=1)]
    urls = [f"https://{PLAIN}/", f"https://{PLAIN}/echo", f"https://{PLAIN}/echo"]
    assert [(await client.get(url)).status_code for url in urls] == [200, 503, 200]


async def test_package_and_git_files(client: httpx.AsyncClient) -> None:
    """The index links a wheel by its digest, the registry a tarball on its own host, git its refs."""
    assert "#sha256=" in (await client.get(f"https://{PIP}/simple/orchdemo/")).text
    listed = (await client.get(f"https://{NPM}/orchdemo")).json()
    tarball = listed["versions"]["1.0.0"]["dist"]["tarball"]
    assert tarball.startswith(f"https://{NPM}/")
    assert (await client.get(tarball)).status_code == 200
    refs = await client.get(f"https://{GIT}{REPOSITORY}/info/refs?service=git-upload-pack")
    assert refs.text.endswith("\trefs/heads/main\n")
