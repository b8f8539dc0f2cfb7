"""Tokens: made, listed, rotated, revoked, and the callers that show one.

A token's text is told once, to whoever makes or rotates it. Every check reads its row anew, so that a token
which another daemon on the same database has revoked is refused from then on.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from runtime.access import rows, tokens
from runtime.access.attempts import Attempts
from runtime.access.scopes import Caller, Role
from runtime.access.source import source_of
from runtime.database.connection import Database
from runtime.errors import (
    AuthRequiredError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
)
from runtime.model.secret import Secret

MAX_NAME_CHARS = 100
MAX_REMEMBERED = 1024
"""Secrets whose hash was right, so that not every request pays for it."""
HOW = "send `Authorization: Bearer TOKEN` with a token of `orch token create`"


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """What is shown of a token. Times are epoch seconds."""

    id: str
    name: str
    role: Role
    workspace: str | None
    created_by: str
    created_at: float
    expires_at: float | None
    used_at: float | None
    """The last use, to within a minute."""
    rotated_at: float | None
    old_until: float | None
    """Until when the secret before the last rotation is taken, too."""
    revoked_at: float | None


class Tokens:
    """The tokens of one database."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives epoch seconds; `steady` is one that nobody sets."""
        self._database = database
        self._clock = clock
        self._steady = steady
        self._attempts = Attempts()
        self._pepper = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._hashing = asyncio.Lock()

    async def create(
        self,
        name: str,
        role: Role,
        *,
        workspace: str | None,
        expires_in_s: float | None,
        who: str,
        also: Callable[[sa.Connection, TokenEntry], None] | None = None,
    ) -> tuple[TokenEntry, Secret]:
        """A new token and its text, recorded together with what `also` writes.

        Raises InvalidInputError, NotFoundError (no such workspace).
        """
        if not name.isprintable() or not 1 <= len(name) <= MAX_NAME_CHARS:
            raise InvalidInputError(f"name: expected 1 to {MAX_NAME_CHARS} printable characters")
        if expires_in_s is not None and not expires_in_s > 0:
            raise InvalidInputError("expires_in_s: expected seconds from now")
        presented, text = tokens.mint()
        now = self._clock()
        values = {
            "id": presented.id,
            "name": name,
            "role": role.value,
            "workspace": workspace,
            "created_by": who,
            "created_at": now,
            "expires_at": None if expires_in_s is None else now + expires_in_s,
            "hash": await asyncio.to_thread(tokens.hash_of, presented.secret),
        }

        def insert(connection: sa.Connection) -> None:
            rows.insert(connection, values)
            if also is not None:
                also(connection, _entry({**dict.fromkeys(TokenEntry.__dataclass_fields__), **values}))

        try:
            await self._database.write(insert)
        except sa.exc.IntegrityError:
            raise NotFoundError(f"no workspace {workspace}", hint="orch workspaces list") from None
        return _entry(await self._row(presented.id)), text

    async def entries(self) -> list[TokenEntry]:
        """All tokens, the oldest first, those that are revoked or have expired among them."""
        return [_entry(row) for row in await self._database.read(rows.shown)]

    async def revoke(self, token_id: str) -> TokenEntry:
        """From now on nobody is let in by it. Raises NotFoundError, also for one that is revoked."""
        return await self._change(token_id, {"revoked_at": self._clock()})

    async def rotate(self, token_id: str, *, grace_s: float) -> tuple[TokenEntry, Secret]:
        """Another secret for a token; the present one is taken for so long.

        Raises NotFoundError, also for one that has expired, and ConflictError where that would end a secret
        before its time, or where somebody else rotated it just now.
        """
        if not grace_s >= 0:
            raise InvalidInputError("grace_s: expected seconds, or 0 for an end at once")
        now = self._clock()
        presented, text = tokens.mint(token_id)
        row = await self._row(token_id)
        if not _hashes(row, now):
            raise NotFoundError("no such token, or it is revoked or has expired", hint="orch token list")
        if grace_s and len(_hashes(row, now)) > 1:
            raise ConflictError(
                "the secret before the last rotation is still taken", hint="wait, or rotate with --grace 0s"
            )
        values = {
            "hash": await asyncio.to_thread(tokens.hash_of, presented.secret),
            "old_hash": row["hash"],
            "old_until": now + grace_s,
            "rotated_at": now,
        }
        if not await self._database.write(lambda c: rows.change(c, token_id, values, of=row["hash"])):
            raise ConflictError("the token was changed just now", hint="orch token list")
        return _entry(await self._row(token_id)), text

    async def caller(self, text: str, *, peer: str) -> Caller:
        """Who shows this token, from this address.

        Raises AuthRequiredError for every token that lets nobody in, in the same words, and
        RateLimitedError for who tries too often.
        """
        presented, now = tokens.parse(text), self._clock()
        row = None if presented is None else await self._find(presented.id)
        kept = [] if row is None else _hashes(row, now)
        secret = "" if presented is None else presented.secret
        if not await self._is_right(secret, kept) or presented is None or row is None:
            self._refuse_too_many(source_of(peer))
            raise AuthRequiredError("the token is not valid", hint=HOW)
        await self._database.write(lambda connection: rows.note_use(connection, presented.id, now))
        return Caller(f"token:{presented.id}", Role(row["role"]), row["workspace"])

    def _refuse_too_many(self, source: str) -> None:
        """Only wrong tokens are counted, and only they wait: a right one is let in from anywhere."""
        now = self._steady()
        if wait_s := self._attempts.wait_s(source, now):
            raise RateLimitedError("too many wrong tokens", retry_after_s=wait_s)
        self._attempts.failed(source, now)

    async def _is_right(self, secret: str, kept: Sequence[str]) -> bool:
        likely = [each for each in kept if tokens.may_match(secret, each)]
        for each in likely:
            if await self._matches(secret, each):
                return True
        return False

    async def _matches(self, secret: str, kept: str) -> bool:
        """Hashes are computed one at a time; who has no right secret does not come as far as that."""
        mark = self._mark(secret, kept)
        if self._is_remembered(mark):
            return True
        async with self._hashing:
            if self._is_remembered(mark) or await asyncio.to_thread(tokens.matches, secret, kept):
                self._remember(mark)
                return True
            return False

    def _mark(self, secret: str, kept: str) -> bytes:
        return hashlib.blake2b(f"{secret}\0{kept}".encode(), key=self._pepper).digest()

    def _is_remembered(self, mark: bytes) -> bool:
        return mark in self._right

    def _remember(self, mark: bytes) -> None:
        self._right[mark] = None
        self._right.move_to_end(mark)
        while len(self._right) > MAX_REMEMBERED:
            self._right.popitem(last=False)

    async def _find(self, token_id: str) -> Mapping[str, Any] | None:
        return await self._database.read(lambda connection: rows.find(connection, token_id))

    async def _row(self, token_id: str) -> Mapping[str, Any]:
        row = await self._find(token_id)
        if row is None:
            raise NotFoundError("no such token", hint="orch token list")
        return row

    async def _change(self, token_id: str, values: Mapping[str, Any]) -> TokenEntry:
        if not await self._database.write(lambda connection: rows.change(connection, token_id, values)):
            raise NotFoundError("no such token, or it is revoked", hint="orch token list")
        return _entry(await self._row(token_id))


def _entry(row: Mapping[str, Any]) -> TokenEntry:
    shown = {name: row[name] for name in TokenEntry.__dataclass_fields__}
    return TokenEntry(**{**shown, "role": Role(row["role"])})


def _hashes(row: Mapping[str, Any], now: float) -> list[str]:
    """What the secret may match now: nothing where the token is revoked or has expired."""
    if row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= now):
        return []
    is_old_taken = row["old_hash"] is not None and row["old_until"] > now
    return [row["hash"], *([row["old_hash"]] if is_old_taken else [])]
