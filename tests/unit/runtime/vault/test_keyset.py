"""runtime.vault.keyset: what is sealed opens in its place with its key, and nowhere else."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import tink
from tink import aead, json_proto_keyset_format, secret_key_access

from runtime.vault.keyset import Keyset, KeysetError

PLACE = ("workspace", "A_KEY", "value")


def other_kind(template: object) -> str:
    """A valid Tink key set of another kind."""
    return json_proto_keyset_format.serialize(tink.new_keyset_handle(template), secret_key_access.TOKEN)


@pytest.mark.parametrize("text", ["x", "é\U0001f511 \n", "a" * 256, "a" * 255, "b" * 65_536])
def test_sealed_text_opens(text: str):
    """As it was, whatever its size; never the same bytes twice."""
    keys = Keyset.new()
    sealed = keys.seal(text, *PLACE)

    assert keys.open(sealed, *PLACE) == text
    assert keys.seal(text, *PLACE) != sealed


@pytest.mark.parametrize(
    "place",
    [("other", "A_KEY", "value"), ("workspace", "B_KEY", "value"), ("workspace", "A_KEY", "description"), ()],
    ids=["workspace", "name", "field", "nothing"],
)
def test_it_opens_in_its_place_only(place: tuple[str, ...]):
    """Moved to another row or column it is an error."""
    keys = Keyset.new()
    sealed = keys.seal("x", *PLACE)

    with pytest.raises(KeysetError):
        keys.open(sealed, *place)


def test_another_key_or_changed_bytes_open_nothing():
    """One flipped bit is enough."""
    keys = Keyset.new()
    sealed = keys.seal("x", *PLACE)

    with pytest.raises(KeysetError):
        Keyset.new().open(sealed, *PLACE)
    for at in (0, 10, len(sealed) - 1):
        with pytest.raises(KeysetError):
            keys.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], *PLACE)


def test_a_new_primary_keeps_the_old_keys():
    """What the old keys sealed opens with the new set; what it seals, they do not open."""
    old = Keyset.new()
    new = old.with_new_primary()

    assert new.open(old.seal("x", *PLACE), *PLACE) == "x"
    with pytest.raises(KeysetError):
        old.open(new.seal("x", *PLACE), *PLACE)
    assert len(json.loads(new.with_new_primary().to_json())["key"]) == 3


def test_a_key_set_survives_its_file_form():
    """JSON and back."""
    keys = Keyset.new().with_new_primary()

    assert Keyset.from_json(keys.to_json()).open(keys.seal("x", *PLACE), *PLACE) == "x"


def test_a_wrapped_key_set_opens_with_its_key_only():
    """And holds nothing of itself in clear."""
    keys, key = Keyset.new(), Keyset.new()
    wrapped = keys.wrapped(key.aead)

    assert Keyset.unwrapped(wrapped, key.aead).open(keys.seal("x", *PLACE), *PLACE) == "x"
    with pytest.raises(KeysetError):
        Keyset.unwrapped(wrapped, Keyset.new().aead)
    with pytest.raises(KeysetError):
        Keyset.unwrapped(b"nonsense", key.aead)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "sk-secret-000",
        other_kind(aead.aead_key_templates.AES128_GCM),
        other_kind(aead.aead_key_templates.XCHACHA20_POLY1305),
    ],
    ids=["empty", "no keys", "a list", "a secret", "128 bits", "another cipher"],
)
def test_only_aes_256_gcm_key_sets_are_read(text: str):
    """Anything else is refused, without repeating it."""
    with pytest.raises(KeysetError) as told:
        Keyset.from_json(text)

    assert "sk-secret" not in repr(told.value)


def test_keys_are_never_printed_or_copied_out():
    """repr is masked, and pickle refuses."""
    keys = Keyset.new()

    assert repr(keys) == str(keys) == f"{keys}" == "Keyset(***)"
    for copier in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            copier(keys)
