"""``hft init``, ``hft backtest``, ``hft report`` and ``hft explain``: a strategy in a directory of its own, and what it did."""

import json
from pathlib import Path
from typing import Any

import click

from hft.config import ConfigError
from hft.controls import Controls, read_controls
from hft.feeds import recognise
from hft.figures import text
from hft.project import create, find, keep, read, replaced
from hft.project import explain as explain_result
from hft.project import run as run_project
from hft.strategy import StrategyError

from . import INTERRUPTED
from .inputs import OPTION, conditions, feed_options, refused
from .progress import ProgressBar
from .replay import numbers, pairs


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--tier", type=click.Choice(["python", "numba", "cython"]), default="python", help="What the hooks are written in.")
def init(directory: Path, tier: str) -> None:
    """Write a strategy that runs as it is into DIRECTORY: strategy.py, run.toml, a test and a README."""
    files = create(directory, tier)
    click.echo(f"{directory}: {', '.join(files)}\nnext: cd {directory} && hft backtest")


@click.command()
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--data", multiple=True, type=click.Path(exists=True, path_type=Path), help="File, in the place of those in run.toml; may be repeated."
)
@OPTION
@click.option("--symbol", "symbols", multiple=True, help="Market; may be repeated.")
@click.option("--save/--no-save", default=True, show_default=True, help="Keep the result in DIRECTORY/results.")
@conditions
def backtest(
    directory: Path,
    data: tuple[Path, ...],
    extra: tuple[str, ...],
    symbols: tuple[str, ...],
    parameters: tuple[str, ...],
    latency: str | None,
    queue: str | None,
    maker_fee: str | None,
    taker_fee: str | None,
    currency: str | None,
    rates: tuple[str, ...],
    limits: tuple[str, ...],
    journal: Path | None,
    controls: Path | None,
    save: bool,
    min_rest: str | None,
    requote_ticks: int | None,
    as_json: bool,
) -> None:
    """Run the strategy in DIRECTORY (. by default) as its run.toml says, and print what it did."""
    given: dict[str, Any] = {"latency": latency, "queue": queue, "maker_fee": maker_fee, "taker_fee": taker_fee}
    given |= {"symbols": symbols or None, "currency": currency, "rates": numbers("--rate", rates), "limits": pairs("--limit", limits)}
    given |= {"min_rest": min_rest, "requote_ticks": requote_ticks}
    project = read(directory, given)
    with ProgressBar() as bar, refused():
        if extra:
            formats = [recognise(path) for path in (data or [directory / path for path in project.data])]
            project = replaced(project, {"options": feed_options(extra, formats)})
        asked, progress = pairs("--set", parameters), bar.task(directory.resolve().name)
        planned = Controls([] if controls is None else read_controls(controls))
        try:
            result = run_project(project, data=data, parameters=asked, progress=progress, journal=journal, controls=planned)
        except StrategyError as error:
            if save and error.result is not None:
                click.echo(f"What was done so far: {keep(error.result, directory)}", err=True)
            raise
    if planned.waiting:
        click.echo(f"Warning: {planned.waiting:,} controls are later than the data", err=True)
    click.echo(json.dumps(result.stats) if as_json else text(result, "next: hft report --open     hft explain markout"))
    if save:
        keep(result, directory)
    if result.stopped == "interrupted":
        click.get_current_context().exit(INTERRUPTED)
    if result.stats["orders"] == 0 and not as_json:
        click.echo("Warning: no orders.", err=True)


@click.command()
@click.argument("run", required=False)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File; report.html beside the result by default.")
@click.option("--open", "shown", is_flag=True, help="Show it in the browser.")
def report(run: str | None, output: Path | None, shown: bool) -> None:
    """Write the result of RUN (the last one by default) as one HTML file that works offline."""
    from hft.result import load

    place = find(run)
    with refused():
        path = load(place).report(output or place / "report.html")
    click.echo(str(path))
    if shown:
        click.launch(path.resolve().as_uri())


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[RUN] WHAT")
def explain(words: tuple[str, ...]) -> None:
    """Tell the life of order WHAT, or what figure WHAT means (profit, markout, fills, position, ratios), of RUN.

    RUN is an id or its beginning, the directory of a result, or that of a journal; the last run of the project by default.
    """
    from hft.explain import explain_journal
    from hft.journal import RUN
    from hft.result import load

    if len(words) > 2:
        raise click.UsageError("hft explain takes a run and an order or figure")
    place = find(words[0] if len(words) > 1 else None)
    try:
        click.echo(explain_journal(place, words[-1]) if (place / RUN).exists() else explain_result(load(place), words[-1]))
    except LookupError as error:
        raise ConfigError(str(error)) from None
