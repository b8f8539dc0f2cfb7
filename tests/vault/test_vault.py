"""The vault's promises: what goes in comes out for a run alone, on record, and bound to its place."""

from __future__ import annotations

import base64
import time

import pytest
import sqlalchemy as sa

from runtime.errors import ConflictError, InvalidInputError, NotFoundError, NotReadyError, VaultKeyError
from runtime.model.secret import Secret
from runtime.vault.keyset import Keyset
from runtime.vault.service import Vault
from runtime.vault.source import EnvKey, FileKey
from runtime.vault.tables import keyset, secrets
from tests.unit.runtime.fake_audit import FakeAudit
from tests.vault.places import ME, VALUE, Place


async def put(vault: Vault, name: str, value: str = VALUE, **more):
    """Set a secret of the default workspace."""
    return await vault.put("default", name, Secret(value), who=ME, **more)


async def read(
    vault: Vault, *names: str, workspace: str = "default", run_id: str = "run-1"
) -> dict[str, str]:
    """What a run gets."""
    found = await vault.read(workspace, names, run_id=run_id, reader=ME)
    return {name: secret.reveal() for name, secret in found.items()}


async def test_a_run_reads_what_was_set(vault: Vault):
    """Those names that there are, with every character; others are left out."""
    odd = "a\n\t é \U0001f511 '\"\\ \x01" + "x" * 16_000
    await put(vault, "A_KEY", odd)
    await put(vault, "OPENAI_API_KEY")

    assert await read(vault, "A_KEY", "OPENAI_API_KEY", "NOT_THERE") == {
        "A_KEY": odd,
        "OPENAI_API_KEY": VALUE,
    }
    assert await read(vault) == {}
    assert vault.reads == {"given": 2, "absent": 1}


async def test_the_next_daemon_reads_it_too(place: Place, vault: Vault):
    """Another process with the same key file."""
    await put(vault, "A_KEY")

    assert await read(place.vault(), "A_KEY") == {"A_KEY": VALUE}


async def test_a_value_is_read_only_once_the_audit_has_it(vault: Vault):
    """Names, the run and who read; a disk that is full keeps the value inside."""
    vault.chain = audit = FakeAudit()
    await put(vault, "A_KEY")
    assert await read(vault, "A_KEY", run_id="run-7") == {"A_KEY": VALUE}
    assert audit.lines == [
        ("secret.read", "run:run-7", {"workspace": "default", "secrets": ["A_KEY"], "reader": ME})
    ]
    audit.is_full = True
    with pytest.raises(NotReadyError):
        await read(vault, "A_KEY")
    assert await read(vault, "NOT_THERE") == {}


async def test_every_read_is_on_record(vault: Vault):
    """Who, which name, for which run; only of what there was, and the newest first."""
    await put(vault, "A_KEY")
    await put(vault, "B_KEY")
    await read(vault, "A_KEY", "B_KEY", "NOT_THERE", run_id="run-7")
    await vault.delete("default", "B_KEY", who="uid:7")
    lines = [(line.who, line.action, line.name, line.run_id) for line in await vault.audit("default", 100)]

    assert lines[0] == ("uid:7", "delete", "B_KEY", None)
    assert set(lines[1:3]) == {(ME, "read", "A_KEY", "run-7"), (ME, "read", "B_KEY", "run-7")}
    assert [line[1:3] for line in lines[3:]] == [("set", "B_KEY"), ("set", "A_KEY")]
    assert len(await vault.audit("default", 2)) == 2


async def test_entries_have_no_value(vault: Vault):
    """Name, type, provider, description and times."""
    made = await put(vault, "ANTHROPIC_API_KEY", description="team's key")
    await put(vault, "A_KEY")
    llm, mine = await vault.entries("default")

    assert llm == made
    assert (llm.secret_type, llm.provider, llm.description) == ("llm_key", "anthropic", "team's key")
    assert (mine.secret_type, mine.provider, mine.description) == ("custom", None, None)
    assert VALUE not in repr([mine, llm])


async def test_putting_again_replaces_value_and_keeps_the_rest(vault: Vault):
    """The same secret with another value; a description goes by an empty one only."""
    first = await put(vault, "A_KEY", description="one")
    second = await put(vault, "A_KEY", "another")

    assert (second.id, second.description, second.created_at) == (first.id, "one", first.created_at)
    assert second.updated_at > first.updated_at
    assert await read(vault, "A_KEY") == {"A_KEY": "another"}
    assert (await put(vault, "A_KEY", description="")).description is None


async def test_a_new_one_never_replaces(vault: Vault):
    """Creating a name that is taken is a conflict, and changes nothing."""
    await put(vault, "A_KEY")

    with pytest.raises(ConflictError, match="A_KEY"):
        await put(vault, "A_KEY", "another", must_be_new=True)

    assert await read(vault, "A_KEY") == {"A_KEY": VALUE}


async def test_patching_by_id_or_name(vault: Vault):
    """What is not given stays."""
    made = await put(vault, "A_KEY", description="one")
    by_id = await vault.patch("default", made.id, who=ME, value=None, description="two")
    by_name = await vault.patch("default", "A_KEY", who=ME, value=Secret("new"), description=None)

    assert (by_id.description, by_name.description) == ("two", "two")
    assert await read(vault, "A_KEY") == {"A_KEY": "new"}


async def test_what_is_deleted_is_gone(vault: Vault):
    """By id or name; a second time there is nothing to delete."""
    made = await put(vault, "A_KEY")
    await put(vault, "B_KEY")

    assert await vault.delete("default", made.id, who=ME) == "A_KEY"
    assert await vault.delete("default", "B_KEY", who=ME) == "B_KEY"
    assert await read(vault, "A_KEY", "B_KEY") == {}
    with pytest.raises(NotFoundError):
        await vault.delete("default", "A_KEY", who=ME)


async def test_workspaces_do_not_see_one_another(vault: Vault):
    """The same name in two workspaces is two secrets, and each has an audit of its own."""
    team = await vault.add_workspace("my-team")
    await put(vault, "A_KEY")
    await vault.put("my-team", "A_KEY", Secret("theirs"), who=ME)

    assert await read(vault, "A_KEY", workspace=team.id) == {"A_KEY": "theirs"}
    assert await read(vault, "A_KEY", workspace="my-team") == {"A_KEY": "theirs"}
    assert await read(vault, "A_KEY") == {"A_KEY": VALUE}
    assert [w.name for w in await vault.workspaces()] == ["default", "my-team"]
    assert [line.action for line in await vault.audit("default", 10)] == ["read", "set"]
    with pytest.raises(ConflictError):
        await vault.add_workspace("my-team")


async def test_no_such_workspace(vault: Vault):
    """Every way in says so."""
    for call in (
        vault.read("nope", ["A_KEY"], run_id="r", reader=ME),
        vault.entries("nope"),
        vault.audit("nope", 1),
        vault.put("nope", "A_KEY", Secret("x"), who=ME),
        vault.delete("nope", "A_KEY", who=ME),
    ):
        with pytest.raises(NotFoundError, match="no such workspace"):
            await call


@pytest.mark.parametrize("ref", ["\0", "A_KEY\0", "\ud800", "' or 1=1 --", "%", ""], ids=ascii)
async def test_a_name_that_nothing_can_have_is_not_there(vault: Vault, ref: str):
    """Not an error of the database's, whichever it is."""
    await put(vault, "A_KEY")

    assert await read(vault, ref) == {}
    for call in (vault.entries(ref), vault.delete("default", ref, who=ME)):
        with pytest.raises(NotFoundError):
            await call


@pytest.mark.parametrize("value", ["", "a\0b", "x" * 16_385, "\ud800"], ids=["empty", "NUL", "long", "half"])
async def test_a_wrong_value_is_refused_unseen(vault: Vault, value: str):
    """Empty, over 16 KiB, NUL, no UTF-8: nothing is written, and the error does not hold it."""
    with pytest.raises(InvalidInputError, match=r"^value: ") as told:
        await put(vault, "A_KEY", value)

    assert await vault.entries("default") == []
    assert not value or value not in told.value.message


async def test_a_copied_database_reveals_names_only(place: Place, vault: Vault):
    """Neither values nor descriptions are in it, in any spelling; sizes tell little; another key opens nothing."""
    await put(vault, "A_KEY", description="for the secret project")
    await read(vault, "A_KEY")
    await vault.rotate(who=ME)
    stolen = place.copy()
    texts = [text.encode() for text in (VALUE, "secret project", place.key.read_text())]

    assert b"A_KEY" in stolen
    for text in texts:
        for spelling in (text, base64.b64encode(text)[:-4], text.hex().encode(), text[::-1]):
            assert spelling not in stolen
    thief = place.vault(EnvKey("K", Secret(Keyset.new().to_json())))
    with pytest.raises(VaultKeyError):
        await read(thief, "A_KEY")
    assert [(e.name, e.description) for e in await thief.entries("default")] == [("A_KEY", None)]


async def test_short_values_look_alike(place: Place, vault: Vault):
    """A row's size does not tell a PIN from a key."""
    await put(vault, "A_KEY", "1")
    await put(vault, "B_KEY", "x" * 200)
    sizes = await place.open().read(
        lambda c: {len(v) for v in c.execute(sa.select(secrets.c.value)).scalars()}
    )

    assert len(sizes) == 1


async def test_a_row_opens_in_its_place_only(place: Place, vault: Vault):
    """A row that somebody gave another name or workspace is an error, not a value."""
    team = await vault.add_workspace("team")
    await put(vault, "A_KEY")
    await put(vault, "OPENAI_API_KEY", "other")
    database = place.open()
    value = sa.select(secrets.c.value).where(secrets.c.name == "A_KEY").scalar_subquery()
    await database.write(
        lambda c: c.execute(secrets.update().where(secrets.c.name == "OPENAI_API_KEY").values(value=value))
    )

    with pytest.raises(
        VaultKeyError, match=r"^Failed to decrypt LLM key OPENAI_API_KEY: its row was changed"
    ):
        await read(vault, "OPENAI_API_KEY")
    with pytest.raises(VaultKeyError, match="OPENAI_API_KEY"):
        await vault.rotate(who=ME)
    await database.write(
        lambda c: c.execute(secrets.update().where(secrets.c.name == "A_KEY").values(workspace_id=team.id))
    )
    with pytest.raises(VaultKeyError, match=r"^Failed to decrypt secret A_KEY"):
        await read(vault, "A_KEY", workspace="team")


async def everything(place: Place) -> list[object]:
    """All rows of the vault."""
    tables = (secrets, keyset)
    return await place.open().read(lambda c: [list(c.execute(sa.select(t))) for t in tables])


WRONG_KEYS = {
    "lost": lambda place: place.key.unlink(),
    "another": lambda place: place.key.write_text(Keyset.new().to_json()),
    "broken": lambda place: place.key.write_text("{}"),
    "readable by others": lambda place: place.key.chmod(0o640),
    "a link": lambda place: place.key.rename(place.folder / "k") and place.key.symlink_to(place.folder / "k"),
}


@pytest.mark.parametrize("case", WRONG_KEYS)
async def test_a_wrong_key_touches_nothing(place: Place, vault: Vault, case: str):
    """Reading, writing and rotating are one clear error with a remedy; no row and no key file changes."""
    await put(vault, "OPENAI_API_KEY")
    WRONG_KEYS[case](place)
    rows, files = await everything(place), {p: p.lstat().st_mtime_ns for p in place.folder.glob("*key*")}
    shut = place.vault()

    for call in (put(shut, "B_KEY"), read(shut, "OPENAI_API_KEY"), shut.rotate(who=ME), shut.prepare()):
        with pytest.raises(VaultKeyError) as told:
            await call
        assert told.value.reported_code == "VAULT_KEY_ERROR"
        assert told.value.hint
        assert VALUE not in str(told.value)
    with pytest.raises(VaultKeyError, match=r"^Failed to decrypt LLM key OPENAI_API_KEY: Failed to"):
        await read(shut, "OPENAI_API_KEY")
    assert await everything(place) == rows
    assert {p: p.lstat().st_mtime_ns for p in place.folder.glob("*key*")} == files


async def test_without_the_key_names_are_listed_and_deleted(place: Place, vault: Vault):
    """Whoever lost the key sees what to set again, and can throw away what is lost."""
    await put(vault, "A_KEY", description="d")
    place.key.unlink()
    shut = place.vault()

    assert [entry.name for entry in await shut.entries("default")] == ["A_KEY"]
    assert await shut.delete("default", "A_KEY", who=ME) == "A_KEY"


async def test_after_a_loss_an_empty_vault_begins_anew(place: Place, vault: Vault):
    """Rotating makes a new key once the lost secrets were deleted, and not a moment earlier."""
    await put(vault, "A_KEY")
    place.key.unlink()
    shut = place.vault()
    with pytest.raises(VaultKeyError):
        await shut.rotate(who=ME)
    assert not place.key.exists()

    await shut.delete("default", "A_KEY", who=ME)
    with pytest.raises(VaultKeyError):
        await put(shut, "A_KEY")
    assert await shut.rotate(who=ME) == 0
    await put(shut, "A_KEY", "new")
    assert await read(place.vault(), "A_KEY") == {"A_KEY": "new"}


async def test_the_right_key_opens_it_again(place: Place, vault: Vault):
    """A vault that was shut opens without a restart once the key is back."""
    await put(vault, "A_KEY")
    kept = place.key.read_text()
    place.key.unlink()
    shut = place.vault()
    with pytest.raises(VaultKeyError):
        await read(shut, "A_KEY")
    place.key.touch(0o600)
    place.key.write_text(kept)

    assert await read(shut, "A_KEY") == {"A_KEY": VALUE}
    assert shut.reads == {"failed": 1, "given": 1, "absent": 0}


async def test_a_key_file_is_made_for_a_new_vault_only(place: Place, vault: Vault):
    """0600, and never again once the database has a key set."""
    assert place.key.stat().st_mode & 0o777 == 0o600
    place.key.unlink()

    with pytest.raises(VaultKeyError):
        await place.vault().prepare()

    assert not place.key.exists()


async def test_moving_to_another_key(place: Place, vault: Vault):
    """The old source opens the vault until a rotation; then the new one does alone, and the old one no more."""
    await put(vault, "A_KEY")
    new = EnvKey("NEW", Secret(Keyset.new().to_json()))
    moving = place.vault(new, FileKey(place.key))

    assert await read(moving, "A_KEY") == {"A_KEY": VALUE}
    assert await moving.rotate(who=ME) == 1
    assert await read(place.vault(new), "A_KEY") == {"A_KEY": VALUE}
    with pytest.raises(VaultKeyError):
        await read(place.vault(), "A_KEY")


async def test_the_audit_is_pruned_by_age(vault: Vault):
    """Old lines of every workspace go, which is itself on record; a dry run only counts."""
    for name in ("A_KEY", "B_KEY"):
        await vault.put("default", name, Secret(VALUE), who=ME)
    later = time.time() + 1

    assert await vault.prune_audit(0.0, is_dry=False) == 0
    assert await vault.prune_audit(later, is_dry=True) == 2
    assert [line.action for line in await vault.audit("default", 9)] == ["set", "set"]
    assert await vault.prune_audit(later, is_dry=False) == 2
    assert [(line.who, line.action) for line in await vault.audit("default", 9)] == [("retention", "prune")]
    assert len(await vault.entries("default")) == 2
