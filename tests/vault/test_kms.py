"""A key in a KMS: asked once to open the vault and once to rotate, and a clear error when it will not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.errors import VaultKeyError
from runtime.model.secret import Secret
from runtime.vault.source import FileKey, KmsKey
from tests.harness.transit import TOKEN, Transit
from tests.vault.places import ME, VALUE, Place


@pytest.fixture
def transit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transit]:
    """A transit engine that this process may use."""
    with Transit() as made:
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        monkeypatch.setattr("hvac.v1.VAULT_CACERT", str(made.ca_path))  # read by hvac at import
        yield made


async def read(place: Place, source: KmsKey) -> str:
    """By another daemon."""
    found = await place.vault(source).read("default", ["A_KEY"], run_id="r", reader=ME)
    return found["A_KEY"].reveal()


async def test_a_kms_key_opens_the_vault(place: Place, transit: Transit):
    """The key never leaves the KMS, no key file is made, and reading does not ask it each time."""
    source = KmsKey(transit.uri())
    vault = place.vault(source)
    await vault.prepare()
    await vault.put("default", "A_KEY", Secret(VALUE), who=ME)
    for _ in range(3):
        assert (await vault.read("default", ["A_KEY"], run_id="r", reader=ME))["A_KEY"].reveal() == VALUE

    assert await read(place, source) == VALUE
    # Tink opens what it has wrapped before it hands it over; then each of the two daemons opens it once.
    assert [call.split("/")[3] for call in transit.calls] == ["encrypt", *["decrypt"] * 3]
    assert not place.key.exists()


async def test_a_rotation_takes_the_newest_version_of_the_key(place: Place, transit: Transit):
    """After it, the old version is needed no more."""
    source = KmsKey(transit.uri())
    vault = place.vault(source)
    await vault.put("default", "A_KEY", Secret(VALUE), who=ME)
    transit.rotate()
    await vault.rotate(who=ME)
    transit.keys["orchbox"][0] = b"\0" * 32

    assert await read(place, source) == VALUE


async def test_from_a_file_to_a_kms(place: Place, transit: Transit):
    """The file opens it until the rotation, the KMS from then on."""
    await place.vault().put("default", "A_KEY", Secret(VALUE), who=ME)
    source = KmsKey(transit.uri())
    await place.vault(source, FileKey(place.key)).rotate(who=ME)
    place.key.unlink()

    assert await read(place, source) == VALUE


WRONG = {
    "another token": (lambda t, m: m.setenv("VAULT_TOKEN", "hvs.another"), "Forbidden"),
    "sealed": (lambda t, m: setattr(t, "is_sealed", True), "VaultDown"),
    "another key of that name": (lambda t, m: t.keys.update(orchbox=[b"k" * 32]), "InvalidRequest"),
    "no such key": (lambda t, m: t.keys.clear(), "InvalidRequest"),
    "a certificate of another CA": (lambda t, m: m.setattr("hvac.v1.VAULT_CACERT", ""), "SSLError"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_kms_that_will_not_is_named(
    place: Place, transit: Transit, monkeypatch: pytest.MonkeyPatch, case: str
):
    """Which key, what kind of failure, and nothing of tokens or answers; a new vault stays unmade."""
    source = KmsKey(transit.uri())
    await place.vault(source).put("default", "A_KEY", Secret(VALUE), who=ME)
    break_it, kind = WRONG[case]
    break_it(transit, monkeypatch)

    with pytest.raises(VaultKeyError, match=rf"{kind}") as told:
        await read(place, source)

    assert source.uri in told.value.message
    assert "hvs." not in told.value.message + str(told.value.hint)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_kms_that_is_away_keeps_a_new_vault_unmade(place: Place, transit: Transit):
    """No key set is written that nobody could open, and it is made once the KMS is back."""
    transit.is_sealed = True
    vault = place.vault(KmsKey(transit.uri()))
    with pytest.raises(VaultKeyError):
        await vault.prepare()
    with pytest.raises(VaultKeyError):
        await vault.put("default", "A_KEY", Secret(VALUE), who=ME)
    transit.is_sealed = False

    await vault.put("default", "A_KEY", Secret(VALUE), who=ME)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("aws-kms://arn:aws:kms:eu-central-1:1:key/x", "tink[awskms]"),
        ("gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "tink[gcpkms]"),
        ("hcvault://vault.example/nonsense", "transit/keys"),
    ],
)
async def test_a_client_that_is_not_installed_is_named(place: Place, uri: str, told: str):
    """What to install, or how the URI is written."""
    with pytest.raises(VaultKeyError) as error:
        await place.vault(KmsKey(uri)).prepare()

    assert told in str(error.value.hint)
