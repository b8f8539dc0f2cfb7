"""`orch prune`."""

from __future__ import annotations

import click

from runtime.cli.console.context import daemon_client
from runtime.cli.console.output import emit, json_option


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@json_option
def prune(*, dry_run: bool) -> None:
    """Remove finished runs and audit lines that are older or larger than is kept.

    The daemon does so by itself every hour; ORCHBOX_KEEP_DAYS and its like set the bounds.
    """
    with daemon_client() as client:
        done = client.prune(is_dry=dry_run)
    verb = "would remove" if dry_run else "removed"
    said = f"{verb} {done['runs']} runs ({done['bytes'] / 1e6:.1f} MB) and {done['audit_lines']} audit lines"
    emit(done, lambda: click.echo(said))
