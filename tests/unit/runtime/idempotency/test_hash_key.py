"""The key under which bodies are hashed."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from runtime.errors import NotReadyError
from runtime.idempotency.hash_key import HashKey, make_or_read

PARTS = [b"a", b"", b"bc"]


def test_a_hash_is_of_the_parts_and_the_key():
    """Nobody without the key can try a guess, and no two bodies are hashed alike."""
    key = HashKey(b"k" * 32)

    assert key.hash(PARTS) == HashKey(b"k" * 32).hash(PARTS)
    others = [[b"a", b"bc", b""], [b"abc"], [b"a", b"", b"b", b"c"], [*PARTS, b""], []]
    assert key.hash(PARTS) not in {key.hash(parts) for parts in others}
    assert key.hash(PARTS) != HashKey(b"l" * 32).hash(PARTS)
    assert key.hash([b"a"]) != hashlib.sha256(b"a").digest()


def test_a_key_is_shown_by_its_id_alone():
    """Which is of no use to anybody."""
    key = HashKey(bytes(range(32)))

    assert key.id in repr(key)
    assert bytes(range(32)).hex() not in repr(key) + key.id
    assert key.id != HashKey(b"k" * 32).id


def test_the_file_is_made_once_and_is_its_owners(tmp_path: Path):
    """The next daemon has the same key."""
    path = tmp_path / "home" / "idempotency.key"

    assert make_or_read(path).id == make_or_read(path).id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"00", b"zz" * 32, b"\xff" * 64, b"00" * 33])
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes):
    """It is not replaced: whoever broke it is told."""
    path = tmp_path / "idempotency.key"
    path.write_bytes(content)

    with pytest.raises(NotReadyError, match="holds no key") as told:
        make_or_read(path)

    assert str(path) in told.value.message
    assert path.read_bytes() == content
