"""The providers, by way of any-llm: one attempt is one upstream request.

The only importer of any-llm and the SDKs below it, and only at a run's first call: together they cost about
2 s and 50 MiB. Gemini is asked in OpenAI's shape, which Google serves beside its own (docs/adr/0010).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from proxy.destination.resolve import Lookup, lookup_ipv4
from proxy.policy.model import Policy
from runtime.llm.shapes import bridge, bridge_stream
from runtime.llm.shapes.failure import UnsupportedRequestError
from runtime.llm.shapes.openai import (
    CHAT_PARAMETERS,
    NEUTRAL,
    RESPONSES_PARAMETERS,
    Json,
    LlmRequest,
)
from runtime.llm.upstream.timeouts import Timeouts
from runtime.model.llm_provider import Dialect, Endpoint
from runtime.model.llm_providers import HOSTED
from runtime.model.secret import Secret

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({name: row.endpoint for name, row in HOSTED.items()})


class _Speech(NamedTuple):
    """How a dialect is spoken."""

    sdk: str | None
    """any-llm's name for what speaks it; None for its client of OpenAI-compatible endpoints."""
    key_header: str
    key_prefix: str
    own_headers: frozenset[str] = frozenset()
    """Headers of its own that go out, in lower case."""
    is_httpx2: bool = True
    """Whether its SDK is built on httpx2, not on httpx."""
    is_openai: bool = False
    """Whether it takes OpenAI's responses, hints, and parameters that any-llm has no name for."""


_SPEECH = {
    Dialect.OPENAI: _Speech("openai", "authorization", "Bearer ", is_openai=True),
    Dialect.OPENAI_COMPATIBLE: _Speech(None, "authorization", "Bearer "),
    Dialect.ANTHROPIC: _Speech(
        "anthropic",
        "x-api-key",
        "",
        own_headers=frozenset(("anthropic-beta", "anthropic-version")),
        is_httpx2=False,
    ),
}
_NO_KEY = "set-by-the-dial"
"""What the SDKs hold in place of the key: `dial` sets the true one as a request goes out."""


class Outside(NamedTuple):
    """How the world is reached; tests lead it to simulators."""

    endpoints: Mapping[str, Endpoint] = ENDPOINTS
    timeouts: Timeouts = Timeouts()
    lookup: Lookup = lookup_ipv4


class Provider(Protocol):
    """One provider on behalf of one run."""

    async def send(self, request: LlmRequest, model: str) -> Json | AsyncIterator[Json]:
        """Ask; the answer or its stream. Raises what the SDK raises: see `failure.classify`."""

    async def aclose(self) -> None:
        """Close the connections to the provider."""


async def open_provider(name: str, key: Secret, policy: Policy, outside: Outside) -> Provider:
    """A provider of `llm_providers.HOSTED`; importing its SDK and reading the roots is done in a thread."""
    return await asyncio.to_thread(_open, name, key, policy, outside)


def _open(name: str, key: Secret, policy: Policy, outside: Outside) -> Provider:
    from any_llm import AnyLLM  # noqa: PLC0415 - see the module's docstring

    from runtime.llm.upstream import dial  # noqa: PLC0415

    logging.getLogger("any_llm").setLevel(logging.CRITICAL)  # it warns with what was sent
    endpoint = outside.endpoints[name]
    speech = _SPEECH[HOSTED[name].dialect]
    way = dial.Dial(
        policy=policy,
        host=endpoint.host,
        port=endpoint.port,
        credential=dial.Credential(speech.key_header, speech.key_prefix, key),
        context=dial.trust(policy),
        timeouts=outside.timeouts,
        own_headers=speech.own_headers,
        lookup=outside.lookup,
    )
    client = dial.httpx2_client(way) if speech.is_httpx2 else dial.httpx_client(way)
    options: dict[str, Any] = {
        "api_key": _NO_KEY,
        "api_base": endpoint.url,
        "unified_exceptions": True,
        "max_retries": 0,
        "timeout": outside.timeouts.answer_s,
        "http_client": client,
    }
    if speech.sdk is None:
        llm = AnyLLM.create_openai_compatible(name, **options)
    else:
        llm = AnyLLM.create(speech.sdk, **options)
    return _AnyLlmProvider(name, llm, client, is_openai=speech.is_openai)


class _AnyLlmProvider:
    """Implements `Provider`."""

    def __init__(self, name: str, llm: Any, client: Any, *, is_openai: bool) -> None:
        self._name = name
        self._is_openai = is_openai
        self._llm = llm
        self._client = client

    async def aclose(self) -> None:
        await self._client.aclose()

    async def send(self, request: LlmRequest, model: str) -> Json | AsyncIterator[Json]:
        if request.shape == "chat":
            return await self._chat(request.body, model, is_stream=request.is_stream)
        if self._is_openai:
            return await self._responses(request, model)
        chat = bridge.to_chat(request.body)
        answer = await self._chat(chat, model, is_stream=request.is_stream)
        if isinstance(answer, dict):
            return bridge.to_response(request.body, answer, model)
        return bridge_stream.to_events(request.body, answer, model)

    async def _chat(self, body: Json, model: str, *, is_stream: bool) -> Json | AsyncIterator[Json]:
        given = {name: value for name, value in body.items() if value is not None and name != "messages"}
        named, other = _split(given, CHAT_PARAMETERS)
        if self._is_openai:
            extra = {"extra_body": other} if other else {}
        else:
            extra = {name: value for name, value in other.items() if name not in NEUTRAL}
            named = _for_others(named)
        if is_stream:
            asked = named.get("stream_options")
            named["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
        if unknown := sorted(set(extra) - {"extra_body"}):
            raise UnsupportedRequestError(f"{unknown[0]} is not carried to {self._name}: leave it out")
        answer = await self._llm.acompletion(
            model=model, messages=body["messages"], stream=is_stream or None, **named, **extra
        )
        return _chunks(answer) if is_stream else _chat_json(answer)

    async def _responses(self, request: LlmRequest, model: str) -> Json | AsyncIterator[Json]:
        given = {name: value for name, value in request.body.items() if value is not None and name != "input"}
        named, other = _split(given, RESPONSES_PARAMETERS)
        answer = await self._llm.aresponses(
            model=model,
            input_data=request.body["input"],
            stream=request.is_stream or None,
            **named,
            **({"extra_body": other} if other else {}),
        )
        if request.is_stream:
            return _events(answer)
        whole: Json = answer.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        return whole


def _split(given: Json, names: frozenset[str]) -> tuple[Json, Json]:
    named = {name: value for name, value in given.items() if name in names}
    return named, {name: value for name, value in given.items() if name not in names}


def _for_others(named: Json) -> Json:
    """OpenAI's newer name for the output's bound under the older one, its own hints left out."""
    named = {name: value for name, value in named.items() if name not in NEUTRAL}
    if (most := named.pop("max_completion_tokens", None)) is not None:
        named["max_tokens"] = most
    return named


def _chat_json(answer: Any) -> Json:
    whole: Json = answer.model_dump(mode="json", exclude_none=True, warnings=False)
    for choice in whole.get("choices") or []:
        choice.setdefault("message", {}).setdefault("content", None)
    return whole


async def _chunks(stream: Any) -> AsyncIterator[Json]:
    async with aclosing(stream):
        async for chunk in stream:
            piece: Json = chunk.model_dump(mode="json", exclude_none=True, warnings=False)
            for choice in piece.setdefault("choices", []):
                choice.setdefault("finish_reason", None)
            yield piece


async def _events(stream: Any) -> AsyncIterator[Json]:
    async with aclosing(stream):
        async for event in stream:
            yield event.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
