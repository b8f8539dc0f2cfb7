"""Where addresses come from, and what it means where none come."""

from __future__ import annotations

import asyncio
import socket

import pytest

from runtime.explain import addresses
from runtime.explain.addresses import HostLookup, Source, UnknownAddressError, no_lookup


async def test_nobody_is_asked_without_a_lookup() -> None:
    """And that is told apart from a name that is not there."""
    with pytest.raises(UnknownAddressError) as unknown:
        await no_lookup("a.test")
    assert unknown.value.source is Source.NOT_ASKED


@pytest.mark.parametrize(
    ("error", "source"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), Source.NO_SUCH_NAME),
        (socket.gaierror(socket.EAI_AGAIN, ""), Source.CANNOT_RESOLVE),
        (OSError("no such name"), Source.CANNOT_RESOLVE),
        (UnicodeError("x"), Source.CANNOT_RESOLVE),
        (TimeoutError(), Source.CANNOT_RESOLVE),
    ],
)
async def test_what_the_systems_resolver_does_not_find_is_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, source: Source
) -> None:
    """The proxy asks other resolvers."""

    async def failing(host: str) -> list[str]:
        raise error

    monkeypatch.setattr(addresses, "lookup_ipv4", failing)
    with pytest.raises(UnknownAddressError) as unknown:
        await HostLookup()("a.test")
    assert unknown.value.source is source


async def test_a_resolver_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the proxy's own bound, so that the two are told apart."""

    async def silent(host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(addresses, "lookup_ipv4", silent)
    monkeypatch.setattr(addresses, "LOOKUP_TIMEOUT_S", 0.01)
    with pytest.raises(UnknownAddressError):
        await HostLookup()("a.test")


@pytest.mark.parametrize(("text", "kind"), [("no such name", OSError), ("no answer", UnknownAddressError)])
async def test_what_the_proxys_own_resolvers_do_not_find_is_not_there(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception]
) -> None:
    """But only where one of them says so."""

    class Stub:
        def __init__(self, servers: object, *_: object) -> None:
            assert servers == [("192.0.2.53", 53)]

        async def __call__(self, host: str) -> list[str]:
            raise OSError(text)

    monkeypatch.setattr(addresses, "Resolver", Stub)
    with pytest.raises(kind):
        await HostLookup(["192.0.2.53"])("a.test")
