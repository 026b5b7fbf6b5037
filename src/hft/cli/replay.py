"""``hft replay`` and ``hft demo``: a day of market data through the compiled engine."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from hft import report
from hft.conditions import split
from hft.config import SYNTHETIC, load
from hft.feeds import recognise
from hft.feeds.several import open_feeds
from hft.run import Summary
from hft.run import replay as run_replay

from . import INTERRUPTED, STOPPED
from .inputs import OPTION, FilePath, feed_options, readable, refused
from .progress import ProgressBar

SHARES = ("itch", "pcap")  # formats of exchanges of shares, which the defaults of the market maker suit
DATED = ("itch", "pcap", "lobster", "csv", "parquet", "arrow")  # formats whose times may be counted from midnight of a day


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both commands have."""
    for option in (
        click.option("--strategy", type=click.Choice(["avellaneda", "none"]), help="Market maker, or books only."),
        click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML file."),
        click.option(
            "--store", type=FilePath(dir_okay=False), help="Append the executions of the symbol to this tick store."
        ),
        click.option(
            "--latency",
            metavar="LATENCY",
            help="1ms of orders and responses, or order=200us,response=normal(300us,50us),feed=recorded.",
        ),
        click.option("--queue", metavar="MODEL", help="Place in queues on data by level: risk-averse, power:N, log:1, log:2."),
        click.option("--sample", type=click.IntRange(min=0), help="Latencies of one message in N; 1 every message, 0 none."),
        click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Picture: .svg, .png or .pdf (needs matplotlib)."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table."),
    )[::-1]:
        command = option(command)
    return command


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@click.option("--symbol", help="Symbol to trade; may be left out where the file has only one.")
@click.option("--format", "format_name", help="Format of the file; by default recognised.")
@OPTION
@options
def replay(
    files: tuple[str, ...],
    symbol: str | None,
    format_name: str | None,
    extra: tuple[str, ...],
    strategy: str | None,
    config: Path | None,
    store: str | None,
    latency: str | None,
    queue: str | None,
    sample: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Replay FILE (any format that hft.feeds reads; - is the standard input) through book, market maker and venue.

    Several files are one feed: days of one capture one behind the other, different symbols merged by time. Unless told otherwise the
    market maker, whose defaults suit a share, runs on ITCH (files and pcap); other data build their books only.
    """
    check_plot(plot)
    with ExitStack() as stack:
        paths = [readable(stack, file, format_name) for file in files]
        bar = stack.enter_context(ProgressBar())
        progress = bar.task(" ".join(path.name for path in paths))
        formats = [format_name or recognise(path) for path in paths]
        chosen = feed_options(extra, formats)
        settings = load(
            config,
            defaults={} if formats[0] in SHARES else {"run": {"strategy": "none"}},
            symbol=symbol,
            strategy=strategy,
            store=store,
            sample_every=sample,
            given=conditions(latency, queue),
        )
        chosen.setdefault("strict", not settings.run.skip_malformed)
        if settings.run.date is not None and formats[0] in DATED:
            chosen.setdefault("date", settings.run.date)

        def act(partial: Callable[[Summary], None]) -> Summary:
            feed = stack.enter_context(
                open_feeds(paths, formats[0] if len(paths) == 1 else format_name, progress=progress, **chosen)
            )
            if settings.run.strategy != "none":
                feed = stack.enter_context(feed.to_trade())
            return run_replay(feed, settings, partial=partial)

        run(act, plot, as_json, bar)


def conditions(latency: str | None, queue: str | None) -> dict[str, dict[str, str | None]]:
    """Return the sections of a configuration that two options give."""
    try:
        return {"latency": {} if latency is None else dict(split(latency)), "venue": {"queue": queue}}
    except ValueError as error:
        raise click.UsageError(f"--latency: {error}") from None


@click.command()
@click.option("--messages", type=click.IntRange(min=1_000), default=400_000, show_default=True, help="Length of the day.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True, help="Same seed, same day.")
@options
def demo(
    messages: int,
    seed: int,
    strategy: str | None,
    config: Path | None,
    store: str | None,
    latency: str | None,
    queue: str | None,
    sample: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Replay a synthetic day: order flow made up by a seeded generator, written as real ITCH bytes."""
    from hft.feeds import synthetic
    from hft.feeds.itch import ItchFeed

    settings = load(config, defaults=SYNTHETIC, strategy=strategy, store=store, sample_every=sample, given=conditions(latency, queue))
    check_plot(plot)
    if not as_json:
        click.echo("Making a synthetic day: no real market, nothing to conclude about profit.", err=True)
    chunks = list(synthetic.iterate(messages, seed))  # made first: the figures are those of the replay alone
    with ProgressBar() as bar:
        tracked = bar.track(chunks, "synthetic day")
        feed = ItchFeed("synthetic", chunks=tracked)
        run(lambda partial: run_replay(feed, settings, data="synthetic", partial=partial), plot, as_json, bar)


def check_plot(path: Path | None) -> None:
    """Refuse a picture that cannot be drawn before the run, not after it."""
    if path is not None:
        try:
            report.check_plot(path)
        except ValueError as error:
            raise click.UsageError(str(error)) from None


def run(act: Callable[[Callable[[Summary], None]], Summary], plot: Path | None, as_json: bool, bar: ProgressBar) -> None:
    """Run, print what was done, and leave with the exit code that says how it ended."""

    def show(summary: Summary) -> None:
        bar.stop()
        if as_json:
            click.echo(json.dumps(summary.to_json()))
        else:
            from rich.console import Console

            console = Console(file=sys.stdout)
            console.print(report.table(summary))
            if summary.latency_ns:
                console.print()
                console.print(report.latency_table(summary))
        for warning in summary.warnings:
            click.echo(f"Warning: {warning}", err=True)
        if plot is not None:
            report.plot(summary, plot)

    with refused():
        summary = act(show)
    show(summary)
    context = click.get_current_context()
    if summary.interrupted:
        context.exit(INTERRUPTED)
    if summary.stopped:
        context.exit(STOPPED)
