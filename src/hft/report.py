"""Reports of a run for people: a table, and a picture of profit, position and price over time."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastcore.records import NO_PRICE

from .figures import quantity
from .run import Summary

if TYPE_CHECKING:
    from rich.table import Table


def table(summary: Summary) -> Table:
    """Return the table that ``hft replay`` prints."""
    from rich.table import Table

    out = Table(
        title=title(summary), title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    out.add_column(style="bold")
    out.add_column(justify="right")
    types = ", ".join(f"{kind} {count:,}" for kind, count in sorted(summary.messages_by_type.items(), key=lambda item: -item[1]))
    out.add_row("events", f"{summary.events:,}")
    out.add_row("messages by type", types)
    for name, count in (
        ("skipped", summary.skipped),
        ("malformed", summary.malformed),
        ("refused by a book", summary.book_errors),
        ("gaps", summary.gaps),
        ("changes that wait for a book", summary.waiting),
        ("changes without a book", summary.dropped),
    ):
        if count:
            out.add_row(name, f"{count:,}")
    if summary.gaps:
        out.add_row("book stale", f"{summary.stale_s:,.1f} s")
    out.add_row("symbols", f"{summary.symbols:,}")
    out.add_row("market volume", f"{quantity(summary.market_volume)}")
    if summary.strategy != "none":
        out.add_row("orders", f"{summary.orders:,}" + (f" (and {summary.rejected:,} refused)" if summary.rejected else ""))
        if summary.refusals:
            out.add_row("refused by", ", ".join(f"{name} {count:,}" for name, count in summary.refusals.items()))
        if summary.killed:
            out.add_row("kept down by", summary.killed)
        out.add_row("fills", f"{summary.fills:,}")
        out.add_row("volume", f"{quantity(summary.volume)}")
        out.add_row("position", f"{quantity(summary.position)}")
        out.add_row("profit and loss", "no price" if summary.pnl is None else f"{summary.pnl:,.2f}")
        if summary.fees:
            out.add_row("of it fees", f"{-summary.fees:,.2f}")
    if summary.ticks_stored or summary.ticks_refused:
        refused = f" (and {summary.ticks_refused:,} executions that are no tick)" if summary.ticks_refused else ""
        out.add_row("ticks stored", f"{summary.ticks_stored:,}{refused}")
    out.add_row("events per second", f"{summary.events_per_s:,.0f}")
    out.add_row("loop", f"{summary.loop_ns_per_event:,.1f} ns an event")
    out.add_row("peak memory", f"{summary.peak_rss_bytes / 2**20:,.0f} MiB")
    return out


def latency_table(summary: Summary) -> Table:
    """Return the table of latencies by stage."""
    from rich.table import Table

    out = Table(title="Latency, ns", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    out.add_column("stage", style="bold")
    for name in ("p50", "p99", "p99.9", "max"):
        out.add_column(name, justify="right")
    for stage, values in summary.latency_ns.items():
        out.add_row(stage, *(f"{values[key]:,}" for key in ("p50", "p99", "p999", "max")))
    return out


def title(summary: Summary) -> str:
    """Return one line that says what was run, on what, and whether it came to its end."""
    data = "synthetic data, no real market" if summary.data == "synthetic" else "recorded data"
    state = ", interrupted" if summary.interrupted else ", stopped by the loss limit" if summary.stopped else ""
    strategy = "books only" if summary.strategy == "none" else summary.strategy
    return f"{summary.symbol}: {strategy}, {data}{state}"


def series(summary: Summary) -> dict[str, npt.NDArray[np.float64]]:
    """Return hours since the first point, middle price and profit (NaN for none) and position (units) of the curve."""
    curve = summary.curve

    def money(values: npt.NDArray[np.int64], unit: float) -> npt.NDArray[np.float64]:
        return np.where(values == NO_PRICE, np.nan, values * unit)

    return {
        "hours": (curve["exch_ns"] - (0 if _of_day(curve) or not len(curve) else curve["exch_ns"][0])) / 3.6e12,
        "mid": money(curve["mid_ticks"], summary.tick_size),
        "position": curve["position_lots"] * summary.lot_size,
        "profit": money(curve["profit"], summary.unit_value),
    }


def _of_day(curve: npt.NDArray[np.void]) -> bool:
    """Whether times are counted from a midnight, of a day that nobody has said."""
    return len(curve) > 0 and 0 <= curve["exch_ns"][0] < 86_400 * 10**9


def hours_label(summary: Summary) -> str:
    """Say what the hours of `series` are."""
    if _of_day(summary.curve) or not len(summary.curve):
        return "hour of the day"
    return f"hours since {np.datetime_as_string(summary.curve['exch_ns'][0].astype('M8[ns]'), 's').replace('T', ' ')} UTC"


PANELS = (("profit", "profit"), ("position", "position"), ("mid", "middle price"))


def check_plot(path: Path) -> None:
    """Raise ValueError unless `plot` can write such a file here."""
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise ValueError(f"plot must end in .svg, .png or .pdf: plot={path}")
    if find_spec("matplotlib") is None:
        raise ValueError(f"pictures need matplotlib (pip install 'hft-fastcore[plot]'): plot={path}")


def plot(summary: Summary, path: Path) -> None:
    """Draw profit, position and middle price over time.

    Parameters
    ----------
    summary : Summary
    path : Path
        ``.svg``, ``.png`` or ``.pdf``.

    Raises
    ------
    ValueError
        If the suffix is another one, or matplotlib (extra ``plot``) is missing.
    """
    check_plot(path)
    import_module("matplotlib").use("Agg")
    pyplot = import_module("matplotlib.pyplot")

    data = series(summary)
    figure, rows = pyplot.subplots(3, 1, sharex=True, figsize=(10, 8), layout="constrained")
    for axes, (name, label) in zip(rows, PANELS, strict=True):
        axes.plot(data["hours"], data[name], linewidth=0.8)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    rows[0].set_title(title(summary))
    rows[2].set_xlabel(hours_label(summary))
    figure.savefig(path)
    pyplot.close(figure)
