"""``hft bench``: run the benchmark suite that is installed as ``hft.bench``, or the one of a checkout."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

PREFIX = "bench_"


def suite() -> ModuleType:
    """Return the package of the benchmark modules.

    Returns
    -------
    module
        ``hft.bench``; where the package runs from a checkout, the directory ``bench`` beside ``src`` under that name.
    """
    try:
        return importlib.import_module("hft.bench")
    except ModuleNotFoundError as error:
        if error.name != "hft.bench":
            raise
    directory = Path(__file__).resolve().parents[3] / "bench"
    spec = importlib.util.spec_from_file_location(
        "hft.bench", directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    if spec is None or spec.loader is None or not directory.is_dir():
        raise ModuleNotFoundError("the benchmark suite is neither installed as hft.bench nor beside src/", name="hft.bench")
    module = importlib.util.module_from_spec(spec)
    sys.modules["hft.bench"] = module
    spec.loader.exec_module(module)
    return module


def names_of(package: ModuleType) -> list[str]:
    """Return the names that ``hft bench`` takes: those of the modules ``bench_*`` without the prefix, sorted."""
    return sorted(m.name.removeprefix(PREFIX) for m in pkgutil.iter_modules(package.__path__) if m.name.startswith(PREFIX))


def number(value: float) -> str:
    """Format nanoseconds with three significant digits and separated thousands."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def group_table(group: str, rows: Iterable[dict[str, Any]]) -> Table:
    """Return the table of one group: a block of lines for each thing measured, a line for each implementation."""
    table = Table(title=group, title_justify="left", title_style="bold")
    table.add_column("what")
    table.add_column("implementation")
    for name in ("min ns/item", "median", "x fastcore", "max error"):
        table.add_column(name, justify="right")
    last = None
    for row in rows:
        if last not in (None, row["name"]):
            table.add_section()
        table.add_row(
            row["name"] if row["name"] != last else "",
            row["impl"],
            number(row["ns_per_item"]),
            number(row["median_ns_per_item"]),
            "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            f"{row['max_error']:.1e}" if "max_error" in row else "",
            style="bold" if row["impl"] == "fastcore" else None,
        )
        last = row["name"]
    return table


def replaced_tables(package: ModuleType, rows: list[dict[str, Any]], facts: list[dict[str, Any]]) -> list[Table]:
    """Return the two tables of the replaced engine: claimed there, that design measured here, ours here."""
    replaced = importlib.import_module(f"{package.__name__}.replaced")
    tables = []
    for title, lines in replaced.tables(rows, facts):
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("what")
        for name in ("claimed there", "that design here", "ours here"):
            table.add_column(name, justify="right")
        for line in lines:
            table.add_row(*line)
        tables.append(table)
    return tables


def plot(report: dict[str, Any], path: Path) -> None:
    """Write the ratios of a report as a bar chart, logarithmic: how many times longer than the compiled core."""
    try:
        importlib.import_module("matplotlib").use("Agg")
    except ImportError:
        raise click.UsageError("--plot needs matplotlib: pip install 'hft-fastcore[plot]'") from None
    pyplot: Any = importlib.import_module("matplotlib.pyplot")

    rows = [r for r in report["rows"] if r["ratio"] is not None and r["impl"] != "fastcore"][::-1]
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.2 * len(rows)), layout="constrained")
    axes.barh([f"{r['group']}: {r['name']} / {r['impl']}" for r in rows], [r["ratio"] for r in rows])
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time per item, times fastcore")
    axes.tick_params(axis="y", labelsize=6)
    axes.margins(y=0.005)
    figure.savefig(path)
    pyplot.close(figure)


@click.command("bench")
@click.argument("names", nargs=-1)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, allow_dash=True), help="Write the report; - is stdout.")
@click.option("--quick", is_flag=True, help="Small inputs and short budgets: to see that everything runs, not to publish.")
@click.option("--plot", "plot_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a chart (needs matplotlib).")
@click.option("--list", "list_only", is_flag=True, help="Print the names and stop.")
def bench(names: tuple[str, ...], json_path: str | None, quick: bool, plot_path: Path | None, list_only: bool) -> None:
    """Compare every hot path with plain Python, NumPy, Numba and other libraries.

    NAMES select benchmarks (ring zscore ...); without any, all run. Each answer is verified before its row is
    reported; a wrong answer or a failing benchmark gives exit status 1. Peers that are not installed are listed:
    pip install 'hft-fastcore[bench]', and [peers] for other backtesters.
    """
    package = suite()
    known = names_of(package)
    if list_only:
        click.echo("\n".join(known))
        return
    wrong = [name for name in names if name not in known]
    if wrong:
        raise click.UsageError(f"names must be among {', '.join(known)}: names={', '.join(wrong)}")
    chosen = [name for name in known if name in names] if names else known
    harness = importlib.import_module(f"{package.__name__}.harness")
    to_stdout = json_path == "-"
    log = Console(stderr=True)
    out = Console(stderr=to_stdout)
    if not out.is_terminal:
        out.width = 120  # a file or a pipe has no width of its own
    failures: dict[str, str] = {}
    with Progress(
        TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=log
    ) as progress:
        task = progress.add_task("", total=len(chosen))

        def on_row(row: dict[str, Any]) -> None:
            progress.update(task, description=f"{row['group']}: {row['name']}"[:34])
            if not log.is_terminal:
                log.print(f"{row['group']} / {row['name']} / {row['impl']}", markup=False, highlight=False, soft_wrap=True)

        run = harness.Bench(quick=quick, on_row=on_row)
        for name in chosen:
            progress.update(task, description=name)
            try:
                importlib.import_module(f"{package.__name__}.{PREFIX}{name}").run(run)
            except Exception as error:
                # One failing benchmark must not hide the others; it is reported and decides the exit status.
                failures[name] = f"{type(error).__name__}: {error}"
                log.print(f"{name}: {failures[name]}", style="red", markup=False)
            progress.advance(task)
    report = {**run.report(), "quick": quick, "failed": failures}
    if json_path:
        with click.open_file(json_path, "w") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    for group in dict.fromkeys(row["group"] for row in run.rows):
        rows = [row for row in run.rows if row["group"] == group]
        order = list(dict.fromkeys(row["name"] for row in rows))
        out.print(group_table(group, sorted(rows, key=lambda row: order.index(row["name"]))))
    for table in replaced_tables(package, run.rows, run.facts):
        out.print(table)
    about = run.report()["machine"]
    out.print(", ".join(f"{key} {value}" for key, value in about.items() if value), markup=False, highlight=False)
    if quick:
        out.print("--quick: small inputs and short budgets, not for publication")
    if run.missing:
        out.print(f"not installed, left out: {', '.join(run.missing)}  (pip install 'hft-fastcore[bench,peers]')", markup=False)
    if plot_path:
        plot(report, plot_path)
    if failures:
        raise click.ClickException("benchmarks failed: " + "; ".join(f"{k}: {v}" for k, v in failures.items()))
