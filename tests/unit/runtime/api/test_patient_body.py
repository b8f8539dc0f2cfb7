"""runtime.api.patient_body: a body that is held back, and who may still send it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from runtime.access.scopes import Role
from runtime.api import patient_body as module
from runtime.api.patient_body import PatientBody
from runtime.errors import AuthRequiredError
from tests.unit.runtime.api.test_gate import World, world  # noqa: F401 - a fixture

NEW = b'{"name": "back-door", "role": "operator"}'


def part(data: bytes, *, is_last: bool = False) -> Message:
    """As uvicorn passes it on."""
    return {"type": "http.request", "body": data, "more_body": not is_last}


async def read(*parts: Message, check: object = None) -> bytes:
    """By a route, of a caller that sends these and then nothing more."""
    coming = iter(parts)

    async def receive() -> Message:
        for each in coming:
            return each
        await asyncio.Event().wait()
        raise AssertionError

    async def passes() -> None:
        pass

    body = PatientBody(receive, check or passes)  # type: ignore[arg-type]
    return await Request({"type": "http", "headers": []}, body).body()


@pytest.mark.parametrize("limit", ["STALL_S", "BODY_S"])
async def test_a_body_that_does_not_come_is_not_awaited(monkeypatch: pytest.MonkeyPatch, limit: str):
    """Neither its next part nor its end: the caller is taken for gone."""
    monkeypatch.setattr(module, limit, 0.01)
    async with asyncio.timeout(60):
        with pytest.raises(ClientDisconnect):
            await read(part(b"{"))


async def test_the_check_comes_when_the_body_is_whole():
    """Once, before the route has the last part."""
    checks = []

    async def check() -> None:
        checks.append("checked")

    assert await read(part(b"a"), part(b"b", is_last=True), check=check) == b"ab"
    assert checks == ["checked"]


async def test_a_route_has_no_body_of_who_may_not_call_any_more():
    """What the check raises is what the route is told."""

    async def check() -> None:
        raise AuthRequiredError("the token is not valid")

    with pytest.raises(AuthRequiredError):
        await read(part(b"a"), part(b"b", is_last=True), check=check)


async def test_after_the_body_nothing_is_limited(monkeypatch: pytest.MonkeyPatch):
    """A route that waits for its caller to leave waits as long as it takes."""
    monkeypatch.setattr(module, "STALL_S", 0.0)
    is_left = asyncio.Event()
    parts = iter([part(b"", is_last=True)])

    async def receive() -> Message:
        for each in parts:
            return each
        await is_left.wait()
        return {"type": "http.disconnect"}

    async def check() -> None:
        pass

    body = PatientBody(receive, check)
    await body()
    asyncio.get_running_loop().call_later(0.02, is_left.set)
    assert (await body())["type"] == "http.disconnect"
    assert is_left.is_set()


async def test_a_token_that_is_revoked_meanwhile_makes_nothing(world: World):  # noqa: F811 - the fixture
    """The head was let in, its body is held back: 401, and no token was made."""
    text = await world.token(Role.OPERATOR)

    async def held_back() -> AsyncIterator[bytes]:
        yield NEW[:5]
        await world.tokens.revoke(text[5:21])
        yield NEW[5:]

    async with world.client(Authorization=f"Bearer {text}") as client:
        answer = await client.post("/v1/tokens", content=held_back())

    assert answer.status_code == 401
    assert [entry.name for entry in await world.tokens.entries()] == ["t"]
