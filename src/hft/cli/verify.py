"""``hft verify``: books built from recorded data against the exchange's own references."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hft.verify import ReferenceMissing, Verification
from hft.verify import verify as run_verify

from . import FAILED
from .progress import ProgressBar

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True))
@click.option("--format", "format_name", help="Format of the files; by default recognised.")
@click.option("--reference", "references", multiple=True, type=click.Path(exists=True), help="What to compare with; may be repeated.")
@click.option("--symbol", help="Symbol of the reference, where a file has several.")
@click.option("--at-least", type=click.FloatRange(0, 100), default=100.0, show_default=True, help="Per cent that must agree.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of the table.")
def verify(
    files: tuple[str, ...], format_name: str | None, references: tuple[str, ...], symbol: str | None, at_least: float, as_json: bool
) -> None:
    """Build the books of each FILE and compare them with its reference, or with what the data themselves carry.

    Exit code 0 where enough agrees in every file, 1 where it does not, 4 where data are corrupt.
    """
    done: list[Verification] = []
    for file in files:
        with ProgressBar() as bar:
            try:
                outcome = run_verify(file, format_name, references, symbol=symbol, progress=bar.task(Path(file).name))
            except ReferenceMissing as error:
                raise click.UsageError(str(error)) from None
        done.append(outcome)
        if as_json:
            click.echo(json.dumps(vars(outcome)))
    if not as_json:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 200).print(table(done))
    if any(100.0 * outcome.share < at_least for outcome in done):
        click.get_current_context().exit(FAILED)


def table(outcomes: list[Verification]) -> Table:
    """Return what was compared, a row for each file, with the first disagreement below it."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("file", "format", "checked", "matched", "%", "messages", "malformed", "gaps", "reference"):
        number = name not in ("file", "format", "reference")
        made.add_column(name, justify="right" if number else "left", no_wrap=name != "reference", style="bold" if name == "%" else "")
    for o in outcomes:
        reference = " ".join(Path(word).name if "/" in word else word for word in o.reference.split())
        made.add_row(
            Path(o.path).name, o.format, f"{o.checked:,}", f"{o.matched:,}", f"{math.floor(1e5 * o.share) / 1e3:.3f}",
            f"{o.messages:,}", f"{o.malformed:,}", f"{o.gaps:,}", reference or "-",
        )  # fmt: skip
        if o.first_mismatch:
            made.add_row(*[""] * 8, f"first mismatch: {o.first_mismatch}")
    return made
