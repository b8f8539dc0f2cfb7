"""The database and the vault in it, looked at from outside: neither is made or changed by looking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli.diagnosis.clock import clock_check
from runtime.cli.diagnosis.finding import Finding, check, upcoming
from runtime.daemon.settings import Settings
from runtime.errors import OrchError

if TYPE_CHECKING:
    from runtime.database.inspection import Seen

START = "orch up --detach"


def store_checks(settings: Settings, *, is_running: bool) -> list[Finding]:
    """The database, its clock where it is a server, and whether the key opens the vault."""
    default = settings.home / "orchbox.sqlite3"
    if settings.database is None and not default.exists():
        return [
            check("database", f"{default} is not made yet; the daemon's first start does that"),
            *_new_vault(settings),
        ]
    # SQLAlchemy and Tink cost what a look at a new installation need not pay.
    from runtime.database.inspection import inspect  # noqa: PLC0415
    from runtime.vault.rows import read_keyset  # noqa: PLC0415

    try:
        seen = inspect(settings.database, default=default, work=read_keyset)
    except OrchError as exc:
        return [check("database", exc.message, remedy=exc.hint or "orch doctor names what it needs")]
    findings = [_revision(seen, is_running=is_running)]
    if seen.clock is not None:
        theirs, before, after = seen.clock
        findings.append(clock_check("the database's server", theirs, before=before, after=after))
    if seen.found is None:
        return [*findings, *_new_vault(settings)]
    return [*findings, _vault(settings, seen.found.wrapped)]


def _revision[T](seen: Seen[T], *, is_running: bool) -> Finding:
    if seen.revision is not None and not seen.is_known:
        detail = f"{seen.name} was written by a newer Orchbox (revision {seen.revision})"
        return check("database", detail, remedy="install that version or a newer one")
    if seen.revision == seen.newest:
        return check("database", f"{seen.name} can be written, revision {seen.revision}")
    detail = f"{seen.name} is at revision {seen.revision or 'none'}, and this version's is {seen.newest}"
    if is_running:
        return check("database", detail, remedy=f"orch down, then {START}: a daemon migrates as it starts")
    return upcoming("database", f"{detail}: a daemon migrates it as it starts", remedy=START)


def _new_vault(settings: Settings) -> list[Finding]:
    """A vault that has never been used: a key file is made for it, any other key has to be there."""
    from runtime.vault.source import FileKey  # noqa: PLC0415

    source = settings.vault_keys[0]
    if isinstance(source, FileKey) and not source.path.exists():
        return [check("vault", f"new; the daemon's first start makes its key, {source}")]
    from runtime.vault import key  # noqa: PLC0415

    try:
        key.current(source)
    except OrchError as exc:
        return [check("vault", exc.message, remedy=exc.hint or "set ORCHBOX_VAULT_KEY")]
    return [check("vault", f"new; its key can be read: {source}")]


def _vault(settings: Settings, wrapped: bytes) -> Finding:
    from runtime.vault import key  # noqa: PLC0415

    try:
        key.unwrap(wrapped, settings.vault_keys)
    except OrchError as exc:
        return check("vault", exc.message, remedy=exc.hint or "set ORCHBOX_VAULT_KEY")
    return check("vault", f"opens with {' or '.join(str(source) for source in settings.vault_keys)}")
