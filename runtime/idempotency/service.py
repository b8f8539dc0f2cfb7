"""Keys of requests: what was answered to each, for a day.

A key's row is written in the transaction that makes what was asked for: there is no answer without its row,
and no row without what it answers for. A request that fails leaves no row: its repetition is a new attempt.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from runtime.database.connection import Database
from runtime.errors import ConflictError, InFlightError, KeyReusedError
from runtime.idempotency.hash_key import HashKey
from runtime.idempotency.tables import keys

KEPT_S = 24 * 3600.0


class Place(NamedTuple):
    """Whose key it is, and for what: the same key elsewhere is another one."""

    workspace: str
    caller: str
    route: str
    key: str


class Answer(NamedTuple):
    """What was answered."""

    status: int
    response: str
    """JSON, without any secret."""
    location: str | None = None


class TakenError(Exception):
    """Another daemon on the same database was faster: what this one was about to make is undone."""


class Attempt:
    """The one request of its key that is being worked on here. `leave` it in the end."""

    def __init__(self, retries: Retries, place: Place, body_hash: bytes) -> None:
        self._retries = retries
        self._place = place
        self._body_hash = body_hash

    def record(self, connection: sa.Connection, answer: Answer) -> None:
        """Write the row, in the transaction that makes what the answer tells of. Raises TakenError."""
        self._retries.write(connection, self._place, self._body_hash, answer)

    def leave(self) -> None:
        """It is done, whatever became of it."""
        self._retries.leave(self._place)


class Retries:
    """The keys of one database."""

    def __init__(
        self, database: Database, hash_key: HashKey, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives epoch seconds."""
        self._database = database
        self._hash_key = hash_key
        self._clock = clock
        self._in_flight: set[Place] = set()

    async def begin(self, place: Place, body: Sequence[bytes]) -> Attempt | Answer:
        """An attempt, or the answer that was given before.

        Raises InFlightError where another request has the key now, and KeyReusedError where it had another
        body.
        """
        if place in self._in_flight:
            raise InFlightError("a request with this Idempotency-Key is being worked on")
        self._in_flight.add(place)
        try:
            parts = [*(part.encode() for part in place), *body]
            body_hash = await asyncio.to_thread(self._hash_key.hash, parts)
            answer = await self._answer(place, body_hash)
        except BaseException:
            self.leave(place)
            raise
        if answer is None:
            return Attempt(self, place, body_hash)
        self.leave(place)
        return answer

    async def _answer(self, place: Place, body_hash: bytes) -> Answer | None:
        query = sa.select(keys).where(*_is(place), keys.c.created_at > self._oldest)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        if row.made_by != self._hash_key.id:  # its body cannot be compared: nothing is made twice
            raise ConflictError(
                "this Idempotency-Key was used at a daemon with another home",
                hint="look for what it made; take a new key to make another one",
            )
        if not hmac.compare_digest(bytes(row.body_hash), body_hash):
            raise KeyReusedError(
                "this Idempotency-Key was used with another body", hint="take a new key for a new request"
            )
        return Answer(row.status, row.response, row.location)

    def write(self, connection: sa.Connection, place: Place, body_hash: bytes, answer: Answer) -> None:
        """Write an answer's row; one that has expired gives way. Raises TakenError."""
        expired = keys.delete().where(*_is(place), keys.c.created_at <= self._oldest)
        values = {"made_by": self._hash_key.id, "body_hash": body_hash, "created_at": self._clock()}
        try:
            connection.execute(expired)
            connection.execute(keys.insert().values(**place._asdict(), **answer._asdict(), **values))
        except sa.exc.IntegrityError:
            raise TakenError from None

    def leave(self, place: Place) -> None:
        """Nobody works on it any more."""
        self._in_flight.discard(place)

    async def prune(self) -> int:
        """Remove the rows that have expired; how many."""
        old = keys.delete().where(keys.c.created_at <= self._oldest)
        return await self._database.write(lambda connection: int(connection.execute(old).rowcount))

    @property
    def _oldest(self) -> float:
        return self._clock() - KEPT_S


def _is(place: Place) -> list[sa.ColumnElement[bool]]:
    return [keys.c[name] == value for name, value in place._asdict().items()]
