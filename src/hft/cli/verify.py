"""``hft verify``: books built from recorded data against the exchange's own references."""

from __future__ import annotations

import json
import math
import shutil
import textwrap
from contextlib import ExitStack
from pathlib import Path

import click

from hft.feeds import recognise
from hft.verify import ReferenceMissing, Verification
from hft.verify import verify as run_verify

from . import CORRUPT, FAILED, USAGE, exit_code
from .inputs import OPTION, Number, feed_options, readable
from .progress import ProgressBar


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, allow_dash=True))
@click.option("--format", "format_name", help="Format of the files; by default recognised.")
@click.option("--reference", "references", multiple=True, type=click.Path(exists=True), help="What to compare with; may be repeated.")
@click.option("--symbol", help="The symbol to compare, where a file has several.")
@OPTION
@click.option("--join", is_flag=True, help="Take the files as one capture: book and sequence go on from one to the next.")
@click.option("--at-least", type=Number(0, 100), default=100.0, show_default=True, help="Per cent that must agree.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of the table.")
def verify(
    files: tuple[str, ...], format_name: str | None, references: tuple[str, ...], symbol: str | None, extra: tuple[str, ...], join: bool,
    at_least: float, as_json: bool,
) -> None:  # fmt: skip
    """Build the books of each FILE and compare them with its reference, or with what the data themselves carry.

    What could have been compared and was not counts against the share. Exit code 0 where enough agrees in every file, 1 where it
    does not or nothing was compared, 2 where there is nothing to compare with, 4 where data are corrupt.
    """
    if not as_json:
        click.echo("    checked      matched        %  file")
    codes = set()
    for names in [files] if join else [(file,) for file in files]:
        with ProgressBar() as bar, ExitStack() as stack:
            try:
                paths = [readable(stack, name, format_name) for name in names]
                options = feed_options(extra, [format_name or recognise(path) for path in paths])
                task = bar.task(" ".join(path.name for path in paths))
                outcome = run_verify(paths, format_name, references, symbol=symbol, options=options, progress=task)
            except (LookupError, ValueError, OSError, ImportError) as error:
                code = USAGE if type(error) in (ReferenceMissing, ValueError) else exit_code(error)
                if code is None:
                    raise
                bar.stop()
                codes.add(code)
                if as_json:
                    click.echo(json.dumps({"path": "+".join(names), "error": str(error)}))
                click.echo(f"Error: {error}", err=True)
                continue
        click.echo(json.dumps(vars(outcome)) if as_json else row(outcome))
        if outcome.malformed:
            codes.add(CORRUPT)
        elif not 100.0 * outcome.share >= at_least or not outcome.checked:
            codes.add(FAILED)
    click.get_current_context().exit(next((code for code in (CORRUPT, USAGE, FAILED) if code in codes), 0))


def row(o: Verification) -> str:
    """Return what was compared: a line of figures, and below the name of the file what they are of."""
    name = "+".join(Path(part).name for part in o.path.split("+"))
    reference = " ".join(Path(word).name if "/" in word else word for word in o.reference.split())
    facts = [f"{o.format}, {o.messages:,} messages, {o.malformed:,} malformed, {o.gaps:,} gaps; {reference}"]
    if o.unchecked:
        facts.append(f"not compared, for want of a book: {o.unchecked:,}")
    if not o.checked:
        facts.append("nothing was compared")
    if o.first_mismatch:
        facts.append(f"first mismatch: {o.first_mismatch}")
    lines = [f"{o.checked:>11,}  {o.matched:>11,}  {math.floor(1e5 * o.share) / 1e3:>7.3f}  {name}"]
    width = max(40, shutil.get_terminal_size().columns)
    for fact in facts:
        lines += textwrap.wrap(fact, width, initial_indent=" " * 4, subsequent_indent=" " * 6, break_long_words=False)
    return "\n".join(lines)
