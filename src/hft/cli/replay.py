"""``hft replay`` and ``hft demo``: a day of market data through the compiled engine."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Any

import click
from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import replace

from fastcore.errors import CorruptDataError, FastcoreError
from hft import report
from hft.conditions import split
from hft.config import BUILT_IN, SYNTHETIC, Config, is_own, load
from hft.controls import Control, Controls, read_controls
from hft.feeds import recognise
from hft.feeds.feed import Feed
from hft.feeds.several import open_feeds
from hft.journal import Inputs, build_id, check_files, compare, compare_stamps, read, read_planned, record
from hft.run import Summary
from hft.run import replay as run_replay

from . import FAILED, INTERRUPTED, STOPPED
from .inputs import OPTION, FilePath, conditions, feed_options, readable, refused
from .progress import ProgressBar

SHARES = ("itch", "pcap")  # formats of exchanges of shares, which the defaults of the market maker suit
DATED = ("itch", "pcap", "lobster", "csv", "parquet", "arrow")  # formats whose times may be counted from midnight of a day


def strategy_name(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse a name that no strategy can have."""
    if value is not None and value not in BUILT_IN and not is_own(value):
        raise click.BadParameter(f"{value!r} is not one of {', '.join(BUILT_IN)}, FILE.py, FILE.py:Class, MODULE:Class.")
    return value


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both commands have; those that stand for sections of a configuration come as `given`."""

    @wraps(command)
    def with_sections(
        *,
        latency: str | None,
        queue: str | None,
        maker_fee: str | None,
        taker_fee: str | None,
        currency: str | None,
        rates: tuple[str, ...],
        min_rest: str | None,
        requote_ticks: int | None,
        parameters: tuple[str, ...],
        limits: tuple[str, ...],
        **rest: Any,
    ) -> None:
        try:
            latencies: dict[str, Any] = {} if latency is None else dict(split(latency))
        except ValueError as error:
            raise click.UsageError(f"--latency: {error}") from None
        given = {
            "latency": latencies,
            "venue": {"queue": queue},
            "quotes": {"min_rest": min_rest, "requote_ticks": requote_ticks},
            "fees": {"maker_fee": maker_fee, "taker_fee": taker_fee},
            "conversion": {"currency": currency, "rates": numbers("--rate", rates) or None},
            "limits": pairs("--limit", limits),
            "run": {"parameters": pairs("--set", parameters) or None},
        }
        command(given=given, **rest)

    out = conditions(with_sections)
    for option in (
        click.option(
            "--strategy",
            metavar="STRATEGY",
            callback=strategy_name,
            help="avellaneda (market maker), none (books only), or one of yours: FILE.py, FILE.py:Class, MODULE:Class.",
        ),
        click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML file."),
        click.option(
            "--store", type=FilePath(dir_okay=False), help="Append the executions of the symbol to this tick store."
        ),
        click.option("--sample", type=click.IntRange(min=0), help="Latencies of one message in N; 1 every message, 0 none."),
        click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Picture: .svg, .png or .pdf (needs matplotlib)."),
    )[::-1]:
        out = option(out)
    return out


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
    given: dict[str, dict[str, Any]],
    config: Path | None,
    store: str | None,
    journal: Path | None,
    controls: Path | None,
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
        settings = load(
            config,
            defaults={} if formats[0] in SHARES else {"run": {"strategy": "none"}},
            symbol=symbol,
            strategy=strategy,
            store=store,
            sample_every=sample,
            given=given,
        )
        named, arguments = [{"path": str(path)} for path in paths], {"format": format_name, "options": list(extra)}
        inputs = Inputs("replay", named, arguments, to_builtins(settings))
        planned = [] if controls is None else read_controls(controls)
        run(lambda partial: play(inputs, settings, journal, partial=partial, progress=progress, planned=planned), plot, as_json, bar)


def play(
    inputs: Inputs,
    settings: Config,
    journal: Path | None = None,
    *,
    partial: Callable[[Summary], None] = lambda summary: None,
    progress: Callable[[int, int], None] | None = None,
    planned: Sequence[Control] = (),
) -> Summary:
    """Run what was asked for, now or once more."""
    with ExitStack() as stack:
        data: Any = "recorded"
        if inputs.command == "demo":
            from hft.feeds import synthetic
            from hft.feeds.itch import ItchFeed

            data, total = "synthetic", inputs.arguments["messages"]
            feed: Feed = ItchFeed("synthetic", chunks=list(synthetic.iterate(total, inputs.arguments["seed"])))
        else:
            paths, format_name = [Path(file["path"]) for file in inputs.files], inputs.arguments["format"]
            formats = [format_name or recognise(path) for path in paths]
            chosen = feed_options(inputs.arguments["options"], formats)
            chosen.setdefault("strict", not settings.run.skip_malformed)
            if settings.run.date is not None and formats[0] in DATED:
                chosen.setdefault("date", settings.run.date)
            feed = stack.enter_context(open_feeds(paths, formats[0] if len(paths) == 1 else format_name, progress=progress, **chosen))
            if settings.run.strategy != "none":
                feed = stack.enter_context(feed.to_trade())
        written = None if journal is None else stack.enter_context(record(journal, inputs))
        controls = Controls(planned)
        summary = run_replay(feed, settings, data=data, partial=partial, recording=written, controls=controls)
        if controls.waiting:
            click.echo(f"Warning: {controls.waiting:,} controls are later than the data", err=True)
        return summary


def pairs(option: str, words: tuple[str, ...]) -> dict[str, str]:
    """Return the names and values of an option that may be repeated."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise click.UsageError(f"{option} must be NAME=VALUE: {word!r}")
        values[name.strip()] = value.strip()
    return values


def numbers(option: str, words: tuple[str, ...]) -> dict[str, float | str]:
    """Return the names and values of an option that may be repeated, as numbers where they are."""
    values: dict[str, float | str] = {}
    for name, value in pairs(option, words).items():
        try:
            values[name] = float(value)
        except ValueError:
            values[name] = value
    return values


@click.command()
@click.option("--messages", type=click.IntRange(min=1_000), default=400_000, show_default=True, help="Length of the day.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True, help="Same seed, same day.")
@options
def demo(
    messages: int,
    seed: int,
    strategy: str | None,
    given: dict[str, dict[str, Any]],
    config: Path | None,
    store: str | None,
    journal: Path | None,
    controls: Path | None,
    sample: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Replay a synthetic day: order flow made up by a seeded generator, written as real ITCH bytes."""
    settings = load(
        config, defaults=SYNTHETIC, strategy=strategy, store=store, sample_every=sample, given=given
    )
    check_plot(plot)
    if not as_json:
        click.echo("Making a synthetic day: no real market, nothing to conclude about profit.", err=True)
    inputs = Inputs("demo", [], {"messages": messages, "seed": seed}, to_builtins(settings))
    planned = [] if controls is None else read_controls(controls)
    with ProgressBar() as bar:
        progress = bar.task("synthetic day")
        run(lambda partial: play(inputs, settings, journal, partial=partial, progress=progress, planned=planned), plot, as_json, bar)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def rerun(directory: Path) -> None:
    """Run the journal in DIRECTORY again, and say whether the orders are the same, or where first not."""
    import tempfile

    inputs, ended, then = read(directory)
    planned = read_planned(directory)
    check_files(inputs.files)
    if inputs.build != build_id():
        click.echo(f"Warning: the journal was written by build {inputs.build}, this is {build_id()}", err=True)
    with tempfile.TemporaryDirectory() as place, refused():
        again = Path(place) / "again"
        failed = None
        try:
            if inputs.command == "backtest":
                from hft.project import rerun as rerun_project

                rerun_project(inputs, again, planned)
            else:
                settings = convert(inputs.config, Config)
                run, limits = replace(settings.run, store=None), replace(settings.limits, kill_switch=None)
                play(inputs, replace(settings, run=run, limits=limits), again, planned=planned)
        except ValidationError as error:
            raise CorruptDataError(f"the configuration of a journal must be one of this version: {directory}: {error}") from None
        except FastcoreError as error:
            if ended is not None or not (again / "run.json").exists():
                raise
            failed = error  # as it did then, perhaps: what was written up to there says so
        stamped, _, now = read(again)
    found = compare(ended, then, now)
    difference = compare_stamps(inputs, stamped) or found.difference
    if difference:
        click.echo(f"Different: {difference}")
        click.get_current_context().exit(FAILED)
    click.echo(f"The same {found.events:,} events" + ("." if found.whole else ", as far as the journal goes: its run did not end."))
    if failed is not None:
        click.echo(f"Warning: the run fails: {failed}", err=True)


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
