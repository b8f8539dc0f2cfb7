"""runtime.vault.key_file: made once, only extended, and read only where nobody else can."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from runtime.errors import VaultKeyError
from runtime.vault import key_file
from runtime.vault.keyset import Keyset, KeysetError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key will be, in a folder that is not there yet."""
    return tmp_path / "home" / "vault.key"


def keys_in(path: Path) -> list[int]:
    """The ids in the file."""
    return [key["keyId"] for key in json.loads(path.read_text())["key"]]


def test_a_key_is_made_private_and_once(path: Path):
    """0600 in a 0700 folder; the next call reads the same."""
    made = key_file.make_or_read(path)
    sealed = made.seal("x", "p")

    assert key_file.make_or_read(path).open(sealed, "p") == "x"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [p.name for p in path.parent.iterdir()] == ["vault.key"]


def test_two_that_make_it_at_once_have_the_same_key(path: Path):
    """The second one takes the first one's."""
    found: list[Keyset] = []
    threads = [threading.Thread(target=lambda: found.append(key_file.make_or_read(path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = found[0].seal("x", "p")

    assert [keys.open(sealed, "p") for keys in found] == ["x"] * 6


def test_two_that_rotate_at_once_lose_no_key(path: Path):
    """Every key that anybody was given is in the file afterwards."""
    sealed = [key_file.make_or_read(path).seal("x", "p")]
    threads = [
        threading.Thread(target=lambda: sealed.append(key_file.add_primary(path).seal("x", "p")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys_in(path)) == 7
    assert [key_file.read(path).open(text, "p") for text in sealed] == ["x"] * 7
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["vault.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o660])
def test_a_file_that_others_may_use_is_refused(path: Path, mode: int):
    """With the command that closes it, and the advice to rotate."""
    key_file.make_or_read(path)
    path.chmod(mode)

    for use in (key_file.read, key_file.make_or_read, key_file.add_primary):
        with pytest.raises(VaultKeyError, match="others may read or change") as told:
            use(path)
        assert f"chmod 600 {path}" in str(told.value.hint)


def test_another_users_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody may have put it there to know our key."""
    key_file.make_or_read(path)
    monkeypatch.setattr("os.geteuid", lambda: 12345)

    with pytest.raises(VaultKeyError, match="belongs to another user"):
        key_file.read(path)


def test_a_missing_file_is_made_for_a_new_vault_only(path: Path):
    """Reading and rotating make nothing."""
    for use in (key_file.read, key_file.add_primary):
        with pytest.raises(VaultKeyError):
            use(path)

    assert not path.exists()


def test_what_stands_in_its_place_is_named(path: Path):
    """A folder, a link, a file that is no key: refused by name, never replaced."""
    path.mkdir(parents=True)
    for use in (key_file.read, key_file.make_or_read):
        with pytest.raises(VaultKeyError, match=str(path)):
            use(path)
    path.rmdir()
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(VaultKeyError, match="link"):
        key_file.make_or_read(path)
    path.unlink()
    path.touch(0o600)
    path.write_text("sk-secret")
    with pytest.raises(VaultKeyError, match="no Tink key set") as told:
        key_file.read(path)

    assert "sk-secret" not in str(told.value)
    assert path.read_text() == "sk-secret"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    """With what to set instead."""
    (tmp_path / "file").touch()

    with pytest.raises(VaultKeyError, match="Failed to write") as told:
        key_file.make_or_read(tmp_path / "file" / "vault.key")

    assert "ORCHBOX_VAULT_KEY" in str(told.value.hint)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three keys are many."""
    monkeypatch.setattr(key_file, "MAX_KEYS", 3)


@pytest.mark.usefixtures("few")
def test_a_file_keeps_its_newest_keys(path: Path):
    """However often it is rotated it stays as large, and what the last keys sealed opens."""
    sealed = [key_file.make_or_read(path).seal("x", "p")]
    sizes = []
    for _ in range(8):
        sealed.append(key_file.add_primary(path).seal("x", "p"))
        sizes.append(path.stat().st_size)

    assert len(keys_in(path)) == 3
    assert max(sizes) - sizes[-1] < 20
    found = key_file.read(path)
    assert [found.open(text, "p") for text in sealed[-3:]] == ["x"] * 3
    with pytest.raises(KeysetError):
        found.open(sealed[0], "p")


@pytest.mark.usefixtures("few")
def test_a_key_that_opens_the_vault_is_never_dropped(path: Path):
    """Rotations that fail behind the file add a key each: the vault still opens after any number of them."""
    vault = Keyset.new().wrapped(key_file.make_or_read(path).aead)
    for _ in range(8):
        key_file.add_primary(path, wrapped=vault)

    assert key_file.read(path).opens(vault)
    other = Keyset.new().wrapped(Keyset.new().aead)  # of another key: nothing to keep for it
    assert len(keys_in(path)) == 9
    key_file.add_primary(path, wrapped=other)
    assert len(keys_in(path)) == 3


def test_a_file_that_could_not_be_read_again_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The rotation is refused with the way to a new file, and the old one is as it was."""
    key_file.make_or_read(path)
    before = path.read_bytes()
    monkeypatch.setattr(key_file, "MAX_BYTES", len(before) + 100)

    with pytest.raises(VaultKeyError, match="would be longer") as told:
        key_file.add_primary(path)
    assert "ORCHBOX_VAULT_KEY_OLD" in str(told.value.hint)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["vault.key"]


@pytest.mark.parametrize("names", [[".vault-key-abc"], [".vault-key-", ".vault-key-x1", ".vault-key-x2"]])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_killed_rotations_draft_goes(path: Path, names: list[str], *, is_there: bool):
    """It holds keys: the next one that writes removes it, and nothing else in the folder."""
    path.parent.mkdir()
    if is_there:
        key_file.make_or_read(path)
    for name in (*names, "other"):
        (path.parent / name).write_text("key")

    (key_file.add_primary if is_there else key_file.make_or_read)(path)

    assert {p.name for p in path.parent.iterdir()} == {"vault.key", "other"}
