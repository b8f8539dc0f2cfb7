"""Whose key goes where, what is refused, and that no answer, event or repr holds a key."""

from __future__ import annotations

import dataclasses
import json
import os

import openai
import pytest

from proxy.contract.messages import SANDBOX_HEADER
from proxy.policy.hosts import HostPattern
from proxy.policy.model import DenyRule
from tests.llm.conftest import CHAIN, KEYS, MESSAGES, Rig, chat

HEADERS = {"openai": "authorization", "anthropic": "x-api-key", "gemini": "authorization"}


@pytest.mark.parametrize("entry", CHAIN)
async def test_each_provider_gets_its_own_key_and_no_other(
    rig: Rig, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the daemon's environment rides along."""
    for name in (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
    ):
        monkeypatch.setenv(name, "sk-of-the-daemon")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-daemon")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-evil: of-the-daemon")
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.setenv(name, "https://evil.test")
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    rig.session(*CHAIN)

    await chat(rig, model=entry)

    provider = entry.split("/", maxsplit=1)[0]
    [seen] = rig.requests()
    prefix = "" if provider == "anthropic" else "Bearer "
    assert seen.credentials == {HEADERS[provider]: prefix + KEYS[provider]}
    assert "of-the-daemon" not in json.dumps(seen.headers)
    assert (rig.server_names, seen.query) == ([seen.host], "")


async def test_two_runs_use_their_own_keys(rig: Rig) -> None:
    """The run is the one that the proxy names."""
    rig.session(CHAIN[0], run_id="run-1", keys={"openai": "sk-first-123456"})
    rig.session(CHAIN[0], run_id="run-2", keys={"openai": "sk-second-123456"})
    for run in ("run-2", "run-1"):
        await rig.openai(run).chat.completions.create(model="default", messages=MESSAGES)

    assert [r.header("authorization")[7:] for r in rig.requests()] == ["sk-second-123456", "sk-first-123456"]


@pytest.mark.parametrize("named", [[], ["run-2"], [""], ["run-1", "run-1"], ["run-2", "run-1"]])
async def test_a_run_without_a_session_is_refused(rig: Rig, named: list[str]) -> None:
    """No header, another's, an empty one, or two."""
    rig.session(*CHAIN)
    headers = [(SANDBOX_HEADER, run) for run in named]
    body = json.dumps({"model": "default", "messages": MESSAGES})
    for method, path in (("POST", "/chat/completions"), ("POST", "/responses"), ("GET", "/models")):
        answer = await rig.http(None).request(method, path, headers=headers, content=body)

        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_session")
    assert rig.asked() == []


async def test_a_run_that_is_over_is_refused_and_its_calls_are_cut(rig: Rig) -> None:
    """`drop` ends what is under way, and gives what was spent."""
    rig.session(*CHAIN)
    rig.world.token_delay_s = 0.05
    stream = await rig.openai().chat.completions.create(model="default", messages=MESSAGES, stream=True)
    await anext(aiter(stream))

    spending = await rig.sessions.drop("run-1")

    with pytest.raises((openai.APIError, Exception)):
        async for _ in stream:
            pass
    assert spending.tokens > 0
    assert rig.told("llm_call_failed")[0]["reason"] == "cancelled"
    with pytest.raises(openai.PermissionDeniedError):
        await chat(rig)
    assert await rig.sessions.drop("run-1") is None


def test_one_run_has_one_session(rig: Rig) -> None:
    """Never two keys for one run."""
    rig.session(*CHAIN)
    with pytest.raises(ValueError, match="has a session already"):
        rig.session(*CHAIN)


async def test_an_entry_without_a_key_is_skipped_with_an_event(rig: Rig) -> None:
    """The next that has one is asked."""
    rig.session(*CHAIN, keys={"gemini": KEYS["gemini"]})

    await chat(rig)

    assert rig.asked() == ["gemini"]
    assert rig.transitions() == [("openai", "gemini", "no_key"), ("anthropic", "gemini", "no_key")]


async def test_without_any_key_the_error_says_so(rig: Rig) -> None:
    """400, final, naming the models."""
    rig.session(*CHAIN, keys={})

    with pytest.raises(openai.BadRequestError, match=r"openai/gpt-5-mini: no_key") as caught:
        await chat(rig)

    assert caught.value.code == "llm_key_required"


async def test_an_agent_without_a_chain_has_no_default(rig: Rig) -> None:
    """The message says what to write."""
    rig.session()
    with pytest.raises(openai.NotFoundError, match="primary"):
        await chat(rig)
    with pytest.raises(openai.NotFoundError, match="provider/model"):
        await chat(rig, model="llama3.2")


@pytest.mark.parametrize("what", ["denied", "unlisted", "path", "address"])
async def test_the_runs_own_policy_is_obeyed(rig: Rig, what: str) -> None:
    """A host, path or address that the sandbox could not reach is not reached from here either."""
    policy = rig.policy()
    host = HostPattern.parse("api.openai.com")
    changes = {
        "denied": {"deny": (DenyRule("t.deny[0]", host),)},
        "unlisted": {"allow": policy.allow[1:]},
        "path": {"allow": (dataclasses.replace(policy.allow[0], paths=("/v1/files",)), *policy.allow[1:])},
        "address": {"allow_private": ()},
    }
    rig.session(*CHAIN, policy=rig.policy(**changes[what]))

    with pytest.raises(openai.PermissionDeniedError) as caught:
        await chat(rig)

    assert caught.value.code == "refused_by_policy"
    assert rig.asked() == []


async def test_a_certificate_of_another_ca_is_no_answer(rig: Rig) -> None:
    """TLS is always verified; the chain goes on and ends with a connection error."""
    rig.session(*CHAIN, policy=rig.policy(upstream_ca_pem=None))

    with pytest.raises(openai.APIStatusError) as caught:
        await chat(rig)

    assert (caught.value.status_code, caught.value.code) == (502, "connection_error")
    assert rig.asked() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
async def test_an_upstream_that_echoes_the_key_does_not_reach_the_client(
    rig: Rig, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the answer nor in an event, in whichever form an error quotes it."""
    from runtime.canary.upstreams import recorder

    key = KEYS["openai"]
    plain = recorder.JSONResponse

    def echo(_: object, code: int) -> object:
        message = f"bad key {key} and sk-proj-somebody-elses-key"
        return plain({"error": {"message": message, "type": "t", "param": None, "code": None}}, code)

    monkeypatch.setattr(recorder, "JSONResponse", echo)
    rig.session(CHAIN[0])
    rig.fail("openai", status=status)

    answer = await rig.http().post("/chat/completions", json={"model": "default", "messages": MESSAGES})

    told = answer.text + json.dumps(rig.events)
    assert answer.status_code == status
    assert key not in told
    assert "sk-proj" not in told
    assert ("bad key ***" in told) is (status in {400, 404})


def test_no_repr_holds_a_key(rig: Rig) -> None:
    """Nor the session's, nor the registry's."""
    session = rig.session(*CHAIN)
    shown = repr(session) + repr(rig.sessions) + str(vars(session))

    assert not any(key in shown for key in KEYS.values())


def test_the_environment_is_not_written(rig: Rig) -> None:
    """No library is told a key by way of the process's environment."""
    assert not any(key in os.environ.values() for key in KEYS.values())
