"""What the `portfolio` command prints: tables, JSON, changes, findings and progress."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.diff import Diff
    from pipeline.preflight import Finding
    from products.releases import Release

# rich is imported where it is used, as in pipeline/cli.py: `list` and `verify` run in every pre-commit.
# ruff: noqa: PLC0415

_SIGNS: Final = {"added": "+", "removed": "-", "replaced": "!", "changed": "~", "wider": "+"}
_COLOURS: Final = {"major": "red", "minor": "yellow", "patch": "green"}
_HEADINGS: Final = {
    "product": "Product",
    "parameters": "Parameters",
    "rules": "Rules about parameters",
    "resources": "Resources",
    "iam": "Permissions that got wider",
    "outputs": "Outputs",
    "seed code": "Files of the seed code",
}


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …"):
        yield


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal; call what it yields after each of `total` parts."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print findings of a preflight, one after the other, with what corrects each."""
    marks = {"ok": ("ok", "green"), "missing": ("MISSING", "red"), "unknown": ("unknown", "yellow")}
    width = max(len(finding.place) for finding in findings)
    for finding in findings:
        word, colour = marks[finding.state]
        click.echo(f"{click.style(f'{word:7}', fg=colour)}  {finding.place:{width}}  {finding.title}")
        for problem in finding.problems:
            click.echo(f"         {problem.what}\n           → {problem.remedy}")
    counts = {state: sum(finding.state == state for finding in findings) for state in marks}
    click.echo(f"\n{counts['ok']} ok, {counts['missing']} missing, {counts['unknown']} unknown.")


def print_diff(product: str, base: Release, diff: Diff) -> None:
    """Print what has changed since a release, and the smallest version step."""
    click.secho(f"{product}: changes since {base.version}", bold=True)
    area = ""
    for change in diff.changes:
        if change.area != area:
            area = change.area
            click.secho(f"\n{_HEADINGS[area]}", bold=True)
        step = click.style(f"{change.step!s:5}", fg=_COLOURS[str(change.step)])
        detail = f": {change.detail}" if change.detail else ""
        happened = f" {change.kind}" if change.kind in ("added", "removed", "replaced") else ""
        click.echo(f"  {step}  {_SIGNS[change.kind]} {change.name}{happened}{detail}")
    if not diff.changes:
        click.echo("\nNothing has changed, so there is nothing to release.")
        return
    reasons = diff.reasons
    more = f" (and {quantity(len(reasons) - 1, f'more {diff.step} change')})" if len(reasons) > 1 else ""
    following = base.version.after(diff.step)
    click.secho(f"\nSmallest step: {diff.step}, so at least {following}.", bold=True)
    click.echo(f"Reason: {reasons[0]}{more}")


def print_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows below their headers, in columns as wide as their longest cell."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def quantity(number: int, noun: str) -> str:
    """Return a number with its noun, e.g. ``2 releases``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size_text(size: int) -> str:
    """Return a size for people, e.g. ``12 kB``."""
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"
