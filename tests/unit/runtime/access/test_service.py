"""runtime.access.service: tokens in a database, and whom they let in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.access import service as module
from runtime.access import tokens as text_of
from runtime.access.attempts import ATTEMPTS
from runtime.access.scopes import Caller, Role
from runtime.access.service import Tokens
from runtime.database.connection import Database, open_database
from runtime.errors import (
    AuthRequiredError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
)

PEER = "192.0.2.1"


class Clock:
    """Epoch seconds that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A new one."""
    opened = open_database(None, default=tmp_path / "db")
    yield opened
    await opened.close()


@pytest.fixture
def tokens(database: Database, clock: Clock) -> Tokens:
    """None yet."""
    return Tokens(database, clock=clock, steady=clock)


async def made(tokens: Tokens, *, expires_in_s: float | None = None, workspace: str | None = None) -> str:
    """The text of a new token of a viewer."""
    _, text = await tokens.create(
        "a", Role.VIEWER, workspace=workspace, expires_in_s=expires_in_s, who="uid:0"
    )
    return text.reveal()


async def test_a_token_lets_its_caller_in(tokens: Tokens, clock: Clock):
    """With the role and the workspace that it was made for; its use is noted."""
    entry, text = await tokens.create(
        "ci of the platform", Role.ORCHESTRATOR, workspace="default", expires_in_s=None, who="uid:0"
    )

    caller = await tokens.caller(text.reveal(), peer=PEER)

    assert caller == Caller(f"token:{entry.id}", Role.ORCHESTRATOR, "default")
    (listed,) = await tokens.entries()
    assert (listed.name, listed.created_by, listed.created_at) == ("ci of the platform", "uid:0", clock.now)
    assert listed.used_at == clock.now


async def test_nothing_kept_is_a_token(tokens: Tokens, tmp_path: Path):
    """Neither the database nor a list has the text or the secret in it."""
    text = await made(tokens)
    presented = text_of.parse(text)
    assert presented is not None
    await tokens.caller(text, peer=PEER)

    stored = "\n".join(str(row) for row in sqlite3.connect(tmp_path / "db").execute("SELECT * FROM tokens"))
    assert presented.id in stored
    for shown in (stored, repr(await tokens.entries())):
        assert text not in shown
        assert presented.secret not in shown


async def test_every_wrong_token_is_refused_in_the_same_words(tokens: Tokens, clock: Clock):
    """Unknown, mistyped, expired, revoked, or another secret of a token that there is."""
    right, expired, revoked = await made(tokens), await made(tokens, expires_in_s=10), await made(tokens)
    await tokens.revoke(text_of.parse(revoked).id)
    forged = text_of.mint(text_of.parse(right).id)[1].reveal()
    clock.now += 10
    said = set()
    for wrong in ("", "x", right[:-1], forged, expired, revoked, text_of.mint()[1].reveal()):
        with pytest.raises(AuthRequiredError) as refused:
            await tokens.caller(wrong, peer=PEER)
        said.add((refused.value.message, refused.value.hint))
        assert wrong == "" or wrong not in str(refused.value)
    assert len(said) == 1


async def test_a_token_that_expires_is_valid_until_then(tokens: Tokens, clock: Clock):
    """To the second, also where its secret is remembered as right."""
    text = await made(tokens, expires_in_s=10)
    clock.now += 9
    await tokens.caller(text, peer=PEER)
    clock.now += 1
    with pytest.raises(AuthRequiredError):
        await tokens.caller(text, peer=PEER)


async def test_a_revoked_token_is_refused_by_every_daemon(tokens: Tokens, database: Database, clock: Clock):
    """Also by one that has let it in before, and that another daemon's revocation reaches by the database."""
    text = await made(tokens)
    await tokens.caller(text, peer=PEER)

    await Tokens(database, clock=clock).revoke(text_of.parse(text).id)

    with pytest.raises(AuthRequiredError):
        await tokens.caller(text, peer=PEER)


async def test_rotation_with_a_grace(tokens: Tokens, clock: Clock):
    """Both secrets are taken until the grace is over, then the new one only."""
    old = await made(tokens)
    await tokens.caller(old, peer=PEER)
    entry, new = await tokens.rotate(text_of.parse(old).id, grace_s=60)

    assert (entry.rotated_at, entry.old_until) == (clock.now, clock.now + 60)
    clock.now += 59
    assert (await tokens.caller(old, peer=PEER)) == (await tokens.caller(new.reveal(), peer=PEER))
    clock.now += 1
    await tokens.caller(new.reveal(), peer=PEER)
    with pytest.raises(AuthRequiredError):
        await tokens.caller(old, peer=PEER)


async def test_rotation_without_a_grace_ends_the_old_secret_at_once(tokens: Tokens):
    """And rotating twice within a grace leaves the newest two."""
    first = await made(tokens)
    token_id = text_of.parse(first).id
    _, second = await tokens.rotate(token_id, grace_s=0)
    with pytest.raises(AuthRequiredError):
        await tokens.caller(first, peer=PEER)
    _, third = await tokens.rotate(token_id, grace_s=60)
    await tokens.caller(second.reveal(), peer=PEER)
    await tokens.caller(third.reveal(), peer=PEER)


async def test_a_grace_that_was_promised_is_kept(tokens: Tokens, clock: Clock):
    """A second rotation within it is refused, unless it is to end everything at once."""
    first = await made(tokens)
    token_id = text_of.parse(first).id
    _, second = await tokens.rotate(token_id, grace_s=60)
    with pytest.raises(ConflictError, match="still taken"):
        await tokens.rotate(token_id, grace_s=60)
    for text in (first, second.reveal()):
        await tokens.caller(text, peer=PEER)
    _, third = await tokens.rotate(token_id, grace_s=0)
    await tokens.caller(third.reveal(), peer=PEER)
    for text in (first, second.reveal()):
        with pytest.raises(AuthRequiredError):
            await tokens.caller(text, peer=PEER)


async def test_of_rotations_at_once_one_is_done(tokens: Tokens):
    """The others are told so: every text that is given out works."""
    first = await made(tokens)
    done = await asyncio.gather(
        *(tokens.rotate(text_of.parse(first).id, grace_s=60) for _ in range(3)), return_exceptions=True
    )
    (given,) = (each[1].reveal() for each in done if isinstance(each, tuple))
    assert sum(isinstance(each, ConflictError) for each in done) == 2
    for text in (first, given):
        await tokens.caller(text, peer=PEER)


async def test_an_expired_token_is_not_rotated(tokens: Tokens, clock: Clock):
    """Its new secret would let nobody in."""
    token_id = text_of.parse(await made(tokens, expires_in_s=10)).id
    clock.now += 10
    with pytest.raises(NotFoundError, match="expired"):
        await tokens.rotate(token_id, grace_s=0)


async def test_what_cannot_be_done_is_told(tokens: Tokens):
    """No such token, one that is revoked, no such workspace, a name that is none, times that are none."""
    token_id = text_of.parse(await made(tokens)).id
    await tokens.revoke(token_id)
    for wrong in (token_id, "0" * 16):
        with pytest.raises(NotFoundError):
            await tokens.revoke(wrong)
        with pytest.raises(NotFoundError):
            await tokens.rotate(wrong, grace_s=0)
    with pytest.raises(NotFoundError, match="no workspace other"):
        await made(tokens, workspace="other")
    for name in ("", "a\nb", "x" * 101):
        with pytest.raises(InvalidInputError, match="name"):
            await tokens.create(name, Role.VIEWER, workspace=None, expires_in_s=None, who="uid:0")
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="expires_in_s"):
            await made(tokens, expires_in_s=seconds)
    for seconds in (-1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="grace_s"):
            await tokens.rotate(token_id, grace_s=seconds)


async def test_who_fails_too_often_waits(tokens: Tokens, clock: Clock):
    """With wrong tokens: a right one is let in at the same address, also one that was never shown before."""
    never_shown = await made(tokens)
    for _ in range(ATTEMPTS):
        with pytest.raises(AuthRequiredError):
            await tokens.caller("x", peer=PEER)
    with pytest.raises(RateLimitedError) as refused:
        await tokens.caller("x", peer=PEER)
    assert refused.value.retry_after_s > 0
    await tokens.caller(never_shown, peer=PEER)
    with pytest.raises(AuthRequiredError):
        await tokens.caller("x", peer="192.0.2.2")
    clock.now += 3600
    with pytest.raises(AuthRequiredError):
        await tokens.caller("x", peer=PEER)


async def test_a_network_of_ipv6_is_one_who_tries(tokens: Tokens):
    """It has more addresses than are ever counted."""
    for number in range(ATTEMPTS):
        with pytest.raises(AuthRequiredError):
            await tokens.caller("x", peer=f"2001:db8::{number}")
    with pytest.raises(RateLimitedError):
        await tokens.caller("x", peer="2001:db8::ffff")


async def test_a_clock_that_is_set_makes_nobody_wait(database: Database, clock: Clock):
    """Waits are measured by one that only goes on."""
    tokens = Tokens(database, clock=clock, steady=lambda: 100.0)
    with pytest.raises(AuthRequiredError):
        await tokens.caller("x", peer=PEER)
    clock.now -= 3600
    with pytest.raises(AuthRequiredError):
        await tokens.caller("x", peer=PEER)


async def test_a_wrong_secret_costs_no_hash(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    """Whoever guesses at an id that is known keeps nobody waiting."""
    token_id = text_of.parse(await made(tokens)).id
    monkeypatch.setattr(text_of, "matches", lambda *_args: pytest.fail("a hash was computed"))
    with pytest.raises(AuthRequiredError):
        await tokens.caller(text_of.mint(token_id)[1].reveal(), peer=PEER)


async def test_hashes_are_computed_one_at_a_time(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    """However many come at once, there is one for each right token, and all of them are let in."""
    texts = [await made(tokens) for _ in range(3)]
    computed, computing = [], set()
    to_thread = asyncio.to_thread

    async def noted(function, *args):
        assert not computing
        computing.add(args)
        try:
            return await to_thread(function, *args)
        finally:
            computing.clear()
            computed.append(args)

    monkeypatch.setattr(module.asyncio, "to_thread", noted)
    callers = await asyncio.gather(*(tokens.caller(text, peer=PEER) for text in texts * 7))

    assert len(set(callers)) == len(texts)
    assert len(computed) == len(texts)


async def test_what_is_remembered_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    """The oldest is forgotten; its caller pays for one more hash."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    shown = [await made(tokens) for _ in range(4)]
    for text in shown:
        await tokens.caller(text, peer=PEER)
    assert len(tokens._right) == 2
    await tokens.caller(shown[0], peer=PEER)
