"""runtime.audit.checkpoint: signatures that only the key makes, about one line of one installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.audit.chain import Head
from runtime.audit.checkpoint import Signer, is_signed, read_public, read_text

HEAD = Head(7, "ab" * 32)


def signer(folder: Path, who: str = "one") -> Signer:
    """With the key of this folder."""
    return Signer.open(folder / "key.pem", folder / "public.pem", who)


def test_the_key_is_kept(tmp_path: Path):
    """One for the life of an audit; the public one is made from it again where it is gone or another."""
    text = signer(tmp_path).text(HEAD)
    public = (tmp_path / "public.pem").read_bytes()
    for spoil in (None, b"x"):
        (tmp_path / "public.pem").unlink()
        if spoil is not None:
            (tmp_path / "public.pem").write_bytes(spoil)
        assert signer(tmp_path).text(HEAD) == text
        assert (tmp_path / "public.pem").read_bytes() == public
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_cut_short_is_told(tmp_path: Path):
    """And stays as it is."""
    signer(tmp_path)
    data = (tmp_path / "key.pem").read_bytes()[:40]
    (tmp_path / "key.pem").write_bytes(data)
    with pytest.raises(ValueError, match=r"key\.pem is not an Ed25519 key"):
        signer(tmp_path)
    assert (tmp_path / "key.pem").read_bytes() == data


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_can_reach_is_told(tmp_path: Path, mode: int):
    """Who has read it can make the whole audit anew: that is for its owner to judge."""
    signer(tmp_path)
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(ValueError, match=r"key\.pem is open to others"):
        signer(tmp_path)
    (tmp_path / "key.pem").chmod(0o400)
    signer(tmp_path)


def test_a_checkpoint_is_about_one_line_of_one_installation(tmp_path: Path):
    """Nothing else is signed by it."""
    text = signer(tmp_path).text(HEAD)
    key = read_public(tmp_path / "public.pem")
    assert read_text(text + "\n", "one", key) == HEAD
    others = [text.replace("7:", "8:", 1), text.replace("ab:", "ac:", 1), "", "7:x:y", text + text, "x"]
    for other in others:
        with pytest.raises(ValueError, match="checkpoint"):
            read_text(other, "one", key)
    with pytest.raises(ValueError, match="not signed"):
        read_text(text, "two", key)


def test_a_line_and_a_text_are_not_signed_alike(tmp_path: Path):
    """Neither stands for the other."""
    one = signer(tmp_path)
    key = read_public(tmp_path / "public.pem")
    with pytest.raises(ValueError, match="not signed"):
        read_text(f"7:{HEAD.hash}:{one.entry(HEAD)['signature']}", "one", key)
    text = one.text(HEAD)
    assert not is_signed({"seq": 7, "signature": text.rpartition(":")[2]}, "one", HEAD, key)


@pytest.mark.parametrize(
    "change", [{"seq": 8}, {"signature": "AA=="}, {"signature": None}, {"signature": "ü"}]
)
def test_a_changed_entry_is_not_signed(tmp_path: Path, change: dict[str, object]):
    """Nor one without its fields."""
    entry = signer(tmp_path).entry(HEAD)
    key = read_public(tmp_path / "public.pem")
    assert is_signed(entry, "one", HEAD, key)
    assert not is_signed({**entry, **change}, "one", HEAD, key)
    assert not is_signed({}, "one", HEAD, key)
    assert not is_signed(entry, "one", Head(7, "cd" * 32), key)
