"""`orch audit`: is it as it was written, and what does it say? Reads the files; needs no daemon."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runtime.audit.chain import Broken, Head, Line, follow, read_line
from runtime.audit.checkpoint import read_public, read_text
from runtime.audit.files import AuditFolder
from runtime.audit.ocsf import to_ocsf
from runtime.audit.verify import Verdict, begin, verify
from runtime.cli.console.context import read_settings
from runtime.cli.console.output import emit, json_option, printable
from runtime.daemon import installation
from runtime.errors import InvalidInputError, NotFoundError, NotReadyError
from runtime.version import VERSION

FORMATS = ("jsonl", "ocsf")
ATTEMPTS = 5
"""To read all files, while a daemon removes old ones."""
BROKEN = 1
"""The exit status where the audit is not as it was written."""


@dataclass(frozen=True)
class Place:
    """Which audit is meant."""

    folder: AuditFolder
    installation: str
    key: Ed25519PublicKey


def _place_options[F: Any](command: F) -> F:
    """For an audit that was copied elsewhere."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--public-key", type=path, help="The key that checks.  [default: the folder's own]"),
        click.option(
            "--installation",
            "owner",
            metavar="ID",
            help="Whose it is (orch audit checkpoint --json).  [default: this home's]",
        ),
        click.option("--folder", type=path, help="Where the audit is.  [default: below ORCHBOX_HOME]"),
    ):
        command = option(command)
    return command


@click.group()
def audit() -> None:
    """The audit: who did what, in files that show every later change to them."""


@audit.command("verify")
@click.option(
    "--checkpoint",
    multiple=True,
    metavar="TEXT",
    help="One of orch audit checkpoint, kept elsewhere, or its JSON; repeat.",
)
@_place_options
@json_option
@click.pass_context
def verify_(
    context: click.Context,
    *,
    checkpoint: tuple[str, ...],
    folder: Path | None,
    owner: str | None,
    public_key: Path | None,
) -> None:
    """Look for any line that was changed, cut, moved or added since it was written.

    Exits with 1 where there is one, and names it.
    """
    place = _place(folder, owner, public_key)
    kept = {_checkpoint(text, place, "--checkpoint") for text in checkpoint}
    verdict = _judged(place, kept)
    data = {
        "is_whole": verdict.is_whole,
        "lines": verdict.lines,
        "checkpoints": verdict.checkpoints,
        "last": None if verdict.head is None else verdict.head.seq,
        "broken": [broken._asdict() for broken in verdict.broken],
        "more": verdict.more,
    }
    emit(data, lambda: _print_verdict(verdict))
    if not verdict.is_whole:
        context.exit(BROKEN)


@audit.command()
@_place_options
@json_option
def checkpoint(*, folder: Path | None, owner: str | None, public_key: Path | None) -> None:
    """Print how far the audit has come, signed: keep it where this host cannot write.

    `orch audit verify --checkpoint TEXT` then tells also of an older copy in the place of all the files.
    """
    place = _place(folder, owner, public_key)
    try:
        text = place.folder.read_head()
    except OSError as exc:
        raise NotFoundError(f"{place.folder.head}: {exc.strerror}", hint="orch audit verify") from None
    head = _checkpoint(text, place, str(place.folder.head))
    data = {"installation": place.installation, "seq": head.seq, "checkpoint": text}
    emit(data, lambda: click.echo(text))


@audit.command()
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option("--kind", multiple=True, help="Only lines of this kind, as in api.call or decision; repeat.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only lines behind this number.")
@_place_options
@click.pass_context
def export(
    context: click.Context,
    *,
    form: str,
    kind: tuple[str, ...],
    after: int,
    folder: Path | None,
    owner: str | None,
    public_key: Path | None,
) -> None:
    """Print the lines on stdout, one JSON object each: as they are, or as OCSF events for a SIEM.

    A line that is broken is not printed. Exits with 1 where one is, or where the chain has another fault:
    orch audit verify tells more of it.
    """
    place = _place(folder, owner, public_key)
    has_fault, last = False, after
    try:
        for line, data in _lines(place):
            if line is None:
                has_fault = True
            elif line.head.seq > after and (not kind or line.entry.get("kind") in kind):
                last = line.head.seq
                if form == "ocsf":
                    event = to_ocsf(line, installation=place.installation, product_version=VERSION)
                    click.echo(json.dumps(event))
                else:
                    click.echo(data, nl=False)
    except FileNotFoundError:
        raise _pruned(place, f"go on with --after {last}") from None
    if has_fault:
        context.exit(BROKEN)


def _lines(place: Place) -> Iterator[tuple[Line | None, bytes]]:
    """Every line with its bytes; none for a fault, which is told on stderr."""
    present = ("", b"")

    def seen(lines: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        nonlocal present
        for present in lines:  # noqa: UP028 - it is looked at while the chain is followed
            yield present

    _, head, lines = begin(place.folder.lines(), place.installation)
    for found in follow(seen(lines), head):
        where, data = present
        if isinstance(found, Line):
            yield found, data
            continue
        is_left_out = isinstance(read_line(data, where), Broken)
        click.echo(f"{where}: {found.what}{'; it is left out' if is_left_out else ''}", err=True)
        yield None, b""


def _place(folder: Path | None, owner: str | None, public_key: Path | None) -> Place:
    """Raises NotFoundError where there is no audit, InvalidInputError for what is no key."""
    settings = read_settings()
    found = AuditFolder(folder) if folder is not None else AuditFolder.of(settings.home, settings.instance)
    owner = owner or installation.known(settings)
    if owner is None and folder is not None:
        raise InvalidInputError(
            "whose audit it is has to be named with --installation: no daemon has been started here",
            hint="orch audit checkpoint --json prints it where the daemon is",
        )
    if owner is None or not found.path.is_dir():
        raise NotFoundError(
            f"{found.path}: no daemon has written an audit there", hint="orch up, or --folder"
        )
    key = public_key or found.public
    try:
        return Place(found, owner, read_public(key))
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not an Ed25519 public key"
        raise InvalidInputError(
            f"{key}: {reason}", hint="name the audit's key with --public-key: a copy of its public.pem"
        ) from None


def _judged(place: Place, kept: set[Head]) -> Verdict:
    """Raises NotReadyError where files are removed while they are read, again and again."""
    for _ in range(ATTEMPTS):
        faults, known = [], set(kept)
        try:
            known.add(read_text(place.folder.read_head(), place.installation, place.key))
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            faults.append(Broken(place.folder.head.name, f"how far the audit has come is not told: {reason}"))
        try:
            verdict = verify(place.folder.lines(), place.installation, place.key, kept=known)
        except FileNotFoundError:
            continue
        verdict.broken += faults
        return verdict
    raise _pruned(place, "try again")


def _pruned(place: Place, hint: str) -> NotReadyError:
    return NotReadyError(f"{place.folder.path}: old files are removed while they are read", hint=hint)


def _checkpoint(text: str, place: Place, where: str) -> Head:
    """Of the text, or of what `orch audit checkpoint --json` says."""
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(text)
        if isinstance(said, dict):
            text = str(said.get("checkpoint"))
    try:
        return read_text(text, place.installation, place.key)
    except ValueError as exc:
        raise InvalidInputError(
            f"{where}: {exc}",
            hint="it has to be of this installation and this key (--installation, --public-key)",
        ) from None


def _print_verdict(verdict: Verdict) -> None:
    last = "no line" if verdict.head is None else f"line {verdict.head.seq}"
    if verdict.is_whole:
        click.echo(f"whole: {verdict.lines} lines up to {last}, {verdict.checkpoints} checkpoints")
        return
    for broken in verdict.broken:
        click.echo(f"{printable(broken.place)}: {printable(broken.what)}")
    count = len(verdict.broken) + verdict.more
    click.echo(f"NOT as it was written: {count} faults in {verdict.lines} lines up to {last}")
