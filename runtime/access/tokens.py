"""A token as text, and what is kept of it. Pure, but for the random numbers.

    orch_<id: 16 hex><secret: 40 hex><check: 8 hex>

The id names the token in lists and audits and is no secret. The check (CRC-32 of what stands before it) tells
a mistyped token, or text that only looks like one, from a wrong one before anything is computed or looked up.
Kept is the secret's scrypt hash (RFC 7914), as `scrypt$n$r$p$salt$hash$sieve` in base64. The sieve is 64 bits
of a SHA-256: a wrong secret does not pass it, so that nobody but who has a right one causes a hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field

from runtime.model.secret import Secret

PREFIX = "orch_"
_ID_BYTES, _SECRET_BYTES, _SALT_BYTES, _HASH_BYTES, _SIEVE_BYTES = 8, 20, 16, 32, 8
_N, _R, _P = 1 << 14, 8, 1
"""16 MiB and some 40 ms for each hash: the cost that scrypt's author names for interactive logins."""
_MAX_MEMORY = 64 << 20
_FORM = re.compile(r"orch_([0-9a-f]{16})([0-9a-f]{40})([0-9a-f]{8})", re.ASCII)
_HASH = re.compile(
    r"scrypt\$([0-9]{1,8})\$([0-9]{1,3})\$([0-9]{1,3})"
    r"\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)"
)


@dataclass(frozen=True, slots=True)
class Presented:
    """What a caller showed; who it is has to be checked."""

    id: str
    secret: str = field(repr=False)


def mint(token_id: str | None = None) -> tuple[Presented, Secret]:
    """A new token, or a new secret for one that there is; its parts, and its text for the owner."""
    token_id = token_id or secrets.token_hex(_ID_BYTES)
    secret = secrets.token_hex(_SECRET_BYTES)
    text = f"{PREFIX}{token_id}{secret}"
    return Presented(token_id, secret), Secret(text + _check(text))


def parse(text: str) -> Presented | None:
    """The parts of a token, or None for text that is none."""
    found = _FORM.fullmatch(text)
    if found is None or not hmac.compare_digest(_check(text[:-8]), found[3]):
        return None
    return Presented(found[1], found[2])


def hash_of(secret: str) -> str:
    """What is kept of a token's secret. Takes some 40 ms."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(secret, salt, _N, _R, _P, _HASH_BYTES)
    return "$".join(["scrypt", *map(str, (_N, _R, _P)), *map(_text, (salt, digest, _sieve(secret, salt)))])


def may_match(secret: str, kept: str) -> bool:
    """Whether `matches` is worth its time: it is for the right secret, and for one wrong one in 2^64."""
    found = _HASH.fullmatch(kept)
    if found is None:
        return False
    try:
        salt, sieve = base64.b64decode(found[4]), base64.b64decode(found[6])
    except ValueError:
        return False
    return hmac.compare_digest(_sieve(secret, salt), sieve)


def matches(secret: str, kept: str) -> bool:
    """Whether the secret is the one that was hashed, compared in constant time. Takes some 40 ms.

    What is no hash of ours matches nothing.
    """
    found = _HASH.fullmatch(kept)
    if found is None:
        return False
    try:
        salt, digest = base64.b64decode(found[4]), base64.b64decode(found[5])
        computed = _scrypt(secret, salt, int(found[1]), int(found[2]), int(found[3]), len(digest))
    except ValueError:
        return False
    return len(digest) == _HASH_BYTES and hmac.compare_digest(computed, digest)


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=length)


def _sieve(secret: str, salt: bytes) -> bytes:
    return hashlib.sha256(b"orchbox token sieve\0" + salt + secret.encode()).digest()[:_SIEVE_BYTES]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _check(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
