"""`orch probe`: attack this host from inside a real sandbox and say what held."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from runtime.canary.client import CanaryError
from runtime.cli.console.context import read_settings
from runtime.cli.console.output import emit, is_json, json_option, printable
from runtime.cli.console.quiet import be_quiet
from runtime.errors import InvalidInputError, NotReadyError
from runtime.model.limits import Isolation
from runtime.probe.corpus.case import GROUPS
from runtime.probe.result import Report, Verdict

NOT_CONTAINED = 1
DEFAULT_POLICY = "llm-only"
_COLOURS = {Verdict.ESCAPED: "red", Verdict.FAILED: "yellow", Verdict.HELD: "green"}


@click.command()
@click.option("--policy", default=DEFAULT_POLICY, show_default=True, help="The policy to attack.")
@click.option(
    "--isolation", type=click.Choice([i.value for i in Isolation]), default="runc", show_default=True
)
@click.option("--group", "groups", multiple=True, type=click.Choice(GROUPS), help="Only these groups.")
@click.option("--case", "ids", multiple=True, help="Only these cases, by id.")
@click.option("--junit", type=click.Path(dir_okay=False, writable=True), help="Write JUnit XML to a file.")
@click.option("--sarif", type=click.Path(dir_okay=False, writable=True), help="Write SARIF 2.1.0 to a file.")
@click.option("--trust", "is_trust", is_flag=True, help="Prove instead which clients work as they are.")
@click.option("--neighbours", "is_neighbours", is_flag=True, help="Show instead what neighbours notice.")
@click.option("--list", "is_list", is_flag=True, help="List the cases and attack nothing.")
@json_option
def probe(  # noqa: PLR0913 - one parameter an option
    *,
    policy: str,
    isolation: str,
    groups: tuple[str, ...],
    ids: tuple[str, ...],
    junit: str | None,
    sarif: str | None,
    is_trust: bool,
    is_neighbours: bool,
    is_list: bool,
) -> int:
    """Attack this host from inside a real sandbox. Exit status 1 unless everything held.

    Needs no daemon and no internet; it brings its own canaries and removes them. With --trust it proves
    that common clients reach an inspected host with no flag and no code change (needs `make trust-image`).
    With --neighbours one sandbox attacks what all share, and another one measures what it notices of that.
    """
    if is_trust and is_neighbours:
        raise InvalidInputError("--trust and --neighbours are two probes", hint="one after the other")
    if is_trust:
        return _trust(Isolation(isolation))
    if is_neighbours:
        return _neighbours(Isolation(isolation))
    # The corpus and the daemon cost imports that other commands need not pay.
    from runtime.probe.attack import cases_for  # noqa: PLC0415
    from runtime.probe.attack import probe as attack  # noqa: PLC0415
    from runtime.probe.report import to_json, to_junit, to_sarif  # noqa: PLC0415

    settings = read_settings()
    cases = cases_for(settings, policy, Isolation(isolation))
    if unknown := set(ids) - {case.id for case in cases}:
        raise InvalidInputError(f"no case {', '.join(sorted(unknown))}", hint="orch probe --list")
    chosen = tuple(case for case in cases if case.group in groups or case.id in ids or not (groups or ids))
    if is_list:
        rows = [{"id": case.id, "group": case.group, "title": case.title} for case in chosen]
        lines = [f"{row['id']:<20} {row['group']:<10} {row['title']}" for row in rows]
        emit(rows, lambda: click.echo("\n".join(lines)))
        return 0
    be_quiet()
    progress = _Progress(len(chosen))
    try:
        report = asyncio.run(
            attack(
                settings,
                policy=policy,
                isolation=Isolation(isolation),
                cases=chosen,
                on_progress=progress.on_case,
            )
        )
    except CanaryError as exc:
        raise NotReadyError(str(exc), hint="orch doctor") from exc
    finally:
        progress.end()
    if junit:
        Path(junit).write_text(to_junit(report))
    if sarif:
        Path(sarif).write_text(to_sarif(report))
    emit(to_json(report), lambda: _show(report))
    return 0 if report.is_contained else NOT_CONTAINED


def _trust(isolation: Isolation) -> int:
    from runtime.probe.trust.run import prove_trust  # noqa: PLC0415
    from runtime.probe.trust.table import render_table, rows_to_json  # noqa: PLC0415 - as above

    be_quiet()
    if sys.stderr.isatty() and not is_json():
        click.echo("trying every client in a sandbox: about half a minute ...", err=True)
    try:
        rows, problems = asyncio.run(prove_trust(read_settings(), isolation=isolation))
    except CanaryError as exc:
        raise NotReadyError(str(exc), hint="orch doctor") from exc
    is_ok = all(row.is_ok for row in rows) and not problems

    def show() -> None:
        from rich.console import Console  # noqa: PLC0415 - only for a person

        Console(highlight=False).print(render_table(rows))
        for problem in problems:
            click.echo(f"problem: {printable(problem)}")

    emit({"ok": is_ok, "problems": problems, "rows": rows_to_json(rows)}, show)
    return 0 if is_ok else NOT_CONTAINED


def _neighbours(isolation: Isolation) -> int:
    from runtime.probe.neighbours.report import render_table, results_to_json  # noqa: PLC0415 - as above
    from runtime.probe.neighbours.run import prove_neighbours  # noqa: PLC0415
    from runtime.probe.neighbours.table import ROWS, Windows  # noqa: PLC0415

    be_quiet()
    progress = _Progress(len(ROWS))
    try:
        results, problems = asyncio.run(
            prove_neighbours(
                read_settings(),
                isolation=isolation,
                windows=Windows(),
                on_progress=lambda title: progress.on_case("", title),
            )
        )
    except CanaryError as exc:
        raise NotReadyError(str(exc), hint="orch doctor") from exc
    finally:
        progress.end()
    is_ok = all(result.is_held for result in results) and not problems

    def show() -> None:
        from rich.console import Console  # noqa: PLC0415 - only for a person

        Console(highlight=False).print(render_table(results))
        for result in results:
            for reason in result.why:
                click.echo(f"not held: {result.row.title}: {printable(reason)}")
        for problem in problems:
            click.echo(f"problem: {printable(problem)}")

    emit({"ok": is_ok, "problems": problems, "rows": results_to_json(results)}, show)
    return 0 if is_ok else NOT_CONTAINED


class _Progress:
    """One line on stderr that counts, for a person who waits."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._is_shown = sys.stderr.isatty() and not is_json()
        if self._is_shown:
            click.echo("starting a sandbox, its proxy and the canaries ...", err=True)

    def on_case(self, case_id: str, outcome: str) -> None:
        """One attempt was made."""
        self._done += 1
        if self._is_shown:
            text = printable(f"{self._done}/{self._total} {case_id} {outcome}")
            click.echo(f"\r\x1b[2K{text}", nl=False, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown and self._done:
            click.echo("\r\x1b[2K", nl=False, err=True)


def _show(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415 - only for a person
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    table = Table(
        "group", "held", "failed", "escaped", title=f"orch probe: {report.policy}, {report.isolation}"
    )
    for group, counts in report.by_group.items():
        table.add_row(group, *(str(counts[v]) for v in ("held", "failed", "escaped")))
    console.print(table)
    for result in (r for r in report.results if r.verdict is not Verdict.HELD):
        colour = _COLOURS[result.verdict]
        console.print(f"[{colour}]{result.verdict.value}[/] {result.case.id} {escape(result.case.title)}")
        console.print(f"  expected: {escape(_expected(result.case.expect))}")
        console.print(
            f"  seen: {escape(printable(result.why))}; inside: {escape(printable(result.inside.detail))}"
        )
        console.print(f"  look at: {escape(result.case.fix)}")
    for problem in report.problems:
        console.print(f"[red]problem[/] {escape(printable(problem))}")
    cases = len(report.results)
    verdict = "[green]contained[/]" if report.is_contained else "[red]not contained[/]"
    console.print(f"{verdict}: {cases} cases in {report.took_s:.0f} s on {escape(report.engine)}")


def _expected(expect: object) -> str:
    reasons = getattr(expect, "reasons", None)
    name = type(expect).__name__.lower()
    return f"{name} ({' or '.join(sorted(reasons))})" if reasons else name
