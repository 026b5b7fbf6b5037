"""``hft inspect``: what a file of market data holds, and what looks wrong with it."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack

import click

from hft.feeds import recognise
from hft.inspect import Inspection, clock
from hft.inspect import inspect as run_inspect

from . import CORRUPT
from .inputs import OPTION, feed_options, readable, refused
from .progress import ProgressBar

SYMBOLS = 12  # that are shown
_MARGIN = " " * 13


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, allow_dash=True))
@click.option("--format", "format_name", help="Format of the files; by default recognised.")
@OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of the text.")
def inspect(files: tuple[str, ...], format_name: str | None, extra: tuple[str, ...], as_json: bool) -> None:
    """Say what each FILE holds: format, symbols, times, kinds, gaps, clocks, books, what looks wrong, and how to replay it.

    Exit code 0, or 4 where data are malformed or end early.
    """
    corrupt = False
    for file in files:
        with ProgressBar() as bar, ExitStack() as stack, refused():
            path = readable(stack, file, format_name)
            options = feed_options(extra, [format_name or recognise(path)])
            found = run_inspect(path, format_name, options=options, progress=bar.task(path.name))
        click.echo(json.dumps(found.to_json()) if as_json else "\n".join(text(found)))
        corrupt |= found.corrupt is not None or bool(found.malformed)
    if corrupt:
        click.get_current_context().exit(CORRUPT)


def text(found: Inspection) -> Iterator[str]:
    """Return the lines for people, as wide as the terminal."""
    width = max(60, shutil.get_terminal_size().columns)

    def row(name: str, said: str) -> Iterator[str]:
        yield from textwrap.wrap(said, width, initial_indent=f"  {name:<11}", subsequent_indent=_MARGIN, break_on_hyphens=False)

    yield f"{found.path}: {found.what}" + (f", {found.packed}" if found.packed else "") + f" ({found.file_bytes:,} bytes)"
    yield from row("messages", f"{sum(found.messages.values()):,}: {_counts(found.messages)}")
    yield from row("events", f"{found.events:,}: {_counts(found.kinds)}")
    for rule, n in found.malformed.items():
        yield from row("malformed", f"{n:,}: {rule}")
    if found.first_malformed:
        yield from row("", f"the first: {found.first_malformed}")
    if found.first_ns is not None and found.last_ns is not None:
        yield from row("times", f"{clock(found.first_ns)} to {clock(found.last_ns)}")
        yield from row("", f"longest silence {found.longest_silence_ns / 1e9:,.3f} s from {clock(found.silence_begins_ns)}")
    if found.clock_smallest_ns is not None and found.clock_largest_ns is not None:
        smallest, largest = found.clock_smallest_ns / 1e9, found.clock_largest_ns / 1e9
        yield from row("clocks", f"events are received {smallest:+.6f} to {largest:+.6f} s after they happen")
    yield from row("gaps", f"{found.gaps:,}")
    if found.waiting or found.dropped:
        yield from row("", f"changes that wait for an image of the book {found.waiting:,}, dropped {found.dropped:,}")
    for rule, n in found.book_errors.items():
        yield from row("refused", f"{n:,} by books: {rule}")
    yield from row("symbols", f"{len(found.symbols):,}")
    if found.symbols:
        yield f"  {'step':>7}{'tick':>7}{'lot':>7}{'events':>11}{'first':>11}{'last':>11}{'crossed':>8}{'stale':>7}  symbol"
    for facts in found.symbols[:SYMBOLS]:
        crossed = "-" if facts.crossed_share is None else f"{facts.crossed_share:.2%}"
        same_day = clock(facts.first_ns)[:10] == clock(facts.last_ns)[:10]
        first, last = ("-" if not facts.events else _short(t, same_day) for t in (facts.first_ns, facts.last_ns))
        yield (
            f"  {'-' if facts.increment is None else f'{facts.increment:g}':>7}{facts.tick_size:>7g}{facts.lot_size:>7g}{facts.events:>11,}"
            f"{first:>11}{last:>11}{crossed:>8}{facts.stale_share:>7.2%}"
            f"  {facts.symbol}"
        )
    if len(found.symbols) > SYMBOLS:
        yield f"  and {len(found.symbols) - SYMBOLS:,} more (--json)"
    for i, s in enumerate(found.suspicions):
        most = f", at most {s.largest:.6g} {s.unit}" if s.unit else ""
        yield from row("" if i else "suspicious", f"{s.count:,} {s.what}{most}" + (f"; first: {s.first}" if s.first else ""))
    if found.corrupt:
        yield from row("ends early", found.corrupt)
    yield f"  replay     {found.command}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda item: -item[1])) or "none"


def _short(time_ns: int, same_day: bool) -> str:
    said = clock(time_ns)
    return said[:10] if "T" in said and not same_day else said.rpartition("T")[2][:8]
