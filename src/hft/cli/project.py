"""``hft init`` and ``hft backtest``: a strategy in a directory of its own."""

import json
from pathlib import Path

import click
from msgspec.structs import replace

from hft.project import create, read
from hft.project import run as run_project

from . import INTERRUPTED
from .inputs import refused
from .progress import ProgressBar
from .replay import pairs


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Write a strategy that runs as it is into DIRECTORY: strategy.py, run.toml, a test and a README."""
    create(directory)
    click.echo(f"{directory}: strategy.py, run.toml, test_strategy.py, README.md\nnext: cd {directory} && hft backtest")


@click.command()
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--data", multiple=True, type=click.Path(exists=True, path_type=Path), help="File, in the place of those in run.toml; may be repeated."
)
@click.option("--symbol", "symbols", multiple=True, help="Market; may be repeated.")
@click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="Parameter of the strategy; may be repeated.")
@click.option("--latency", metavar="LATENCY", help="1ms, or order=200us,response=normal(300us,50us),feed=recorded.")
@click.option("--queue", metavar="MODEL", help="Place in queues on data by level: risk-averse, power:N, log:1, log:2.")
@click.option("--maker-fee", help="0.02% of the value, or an amount a unit.")
@click.option("--taker-fee", help="The same of orders that took.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the text.")
def backtest(
    directory: Path,
    data: tuple[Path, ...],
    symbols: tuple[str, ...],
    parameters: tuple[str, ...],
    latency: str | None,
    queue: str | None,
    maker_fee: str | None,
    taker_fee: str | None,
    as_json: bool,
) -> None:
    """Run the strategy in DIRECTORY (. by default) as its run.toml says, and print what it did."""
    project = read(directory)
    given = {"latency": latency, "queue": queue, "maker_fee": maker_fee, "taker_fee": taker_fee, "symbols": symbols or None}
    project = replace(project, **{name: value for name, value in given.items() if value is not None})
    with ProgressBar() as bar, refused():
        result = run_project(project, data=data, parameters=pairs("--set", parameters), progress=bar.task(directory.resolve().name))
    click.echo(json.dumps(result.stats) if as_json else str(result))
    if result.stopped == "interrupted":
        click.get_current_context().exit(INTERRUPTED)
    if result.stats["orders"] == 0 and not as_json:
        click.echo("Warning: no orders.", err=True)

