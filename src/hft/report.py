"""Reports of a run for people: a table, and a picture of profit, position and price over time."""

import html
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.table import Table

from fastcore.records import NO_PRICE

from .config import TICKS_PER_USD
from .replay import Summary


def table(summary: Summary) -> Table:
    """Return the table that ``hft replay`` prints."""
    out = Table(
        title=title(summary), title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    out.add_column(style="bold")
    out.add_column(justify="right")
    types = " ".join(f"{kind}{count:,}" for kind, count in sorted(summary.messages_by_type.items(), key=lambda item: -item[1]))
    out.add_row("events", f"{summary.events:,}")
    out.add_row("messages by type", types)
    for name, count in (
        ("skipped", summary.skipped),
        ("malformed", summary.malformed),
        ("refused by a book", summary.book_errors),
    ):
        if count:
            out.add_row(name, f"{count:,}")
    out.add_row("symbols", f"{summary.symbols:,}")
    out.add_row("market volume", f"{summary.market_volume:,} shares")
    if summary.strategy != "none":
        out.add_row("orders", f"{summary.orders:,}" + (f" (and {summary.rejected:,} refused)" if summary.rejected else ""))
        out.add_row("fills", f"{summary.fills:,}")
        out.add_row("volume", f"{summary.volume:,} shares")
        out.add_row("position", f"{summary.position:,} shares")
        out.add_row("profit and loss", "no price" if summary.pnl is None else f"{summary.pnl:,.2f} USD")
        if summary.fees:
            out.add_row("of it fees", f"{-summary.fees:,.2f} USD")
    if summary.ticks_stored:
        out.add_row("ticks stored", f"{summary.ticks_stored:,}")
    out.add_row("events per second", f"{summary.events_per_s:,.0f}")
    out.add_row("loop", f"{summary.loop_ns_per_event:,.1f} ns an event")
    out.add_row("peak memory", f"{summary.peak_rss_bytes / 2**20:,.0f} MiB")
    return out


def latency_table(summary: Summary) -> Table:
    """Return the table of latencies by stage."""
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
    """Return hours of the day, middle price and profit (USD, NaN for none) and position (shares) of the curve."""
    curve = summary.curve

    def usd(values: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.where(values == NO_PRICE, np.nan, values / TICKS_PER_USD)

    first = curve["exch_ns"][0] if len(curve) else 0
    midnight = 0 if 0 <= first < 86_400 * 10**9 else first
    return {
        "hours": (curve["exch_ns"] - midnight) / 3.6e12,
        "mid": usd(curve["mid_ticks"]),
        "position": curve["position_lots"].astype(np.float64),
        "profit": usd(curve["profit"]),
    }


PANELS = (("profit", "profit, USD"), ("position", "position, shares"), ("mid", "middle price, USD"))


def check_plot(path: Path) -> None:
    """Raise ValueError unless `plot` can write such a file here."""
    suffix = path.suffix.lower()
    if suffix not in (".html", ".svg", ".png", ".pdf"):
        raise ValueError(f"plot must end in .html, .svg, .png or .pdf: plot={path}")
    if suffix in (".png", ".pdf") and find_spec("matplotlib") is None:
        raise ValueError(
            f"{suffix} pictures need matplotlib (pip install 'hft-fastcore[plot]'), .html and .svg do not: plot={path}"
        )


def plot(summary: Summary, path: Path) -> None:
    """Draw profit, position and middle price over time.

    Parameters
    ----------
    summary : Summary
    path : Path
        ``.html`` or ``.svg`` need nothing; ``.png`` and ``.pdf`` need matplotlib (extra ``plot``).

    Raises
    ------
    ValueError
        If the suffix is another one, or matplotlib is missing.
    """
    check_plot(path)
    if path.suffix.lower() in (".png", ".pdf"):
        _draw(summary, path)
        return
    picture = svg(summary)
    if path.suffix.lower() == ".html":
        picture = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title(summary))}</title>'
            f"<body>{picture}</body></html>\n"
        )
    path.write_text(picture, encoding="utf-8")


def _draw(summary: Summary, path: Path) -> None:
    import_module("matplotlib").use("Agg")
    pyplot = import_module("matplotlib.pyplot")

    data = series(summary)
    figure, rows = pyplot.subplots(3, 1, sharex=True, figsize=(10, 8), layout="constrained")
    for axes, (name, label) in zip(rows, PANELS, strict=True):
        axes.plot(data["hours"], data[name], linewidth=0.8)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    rows[0].set_title(title(summary))
    rows[2].set_xlabel("hour of the day")
    figure.savefig(path)
    pyplot.close(figure)


def svg(summary: Summary, width: int = 900, height: int = 220) -> str:
    """Return the picture as scalable vector graphics."""
    data = series(summary)
    left, right, top, gap = 90, 20, 40, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + 3 * (height + gap)}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="{left}" y="24" font-size="16">{html.escape(title(summary))}</text>',
    ]
    hours = data["hours"]
    for n, (name, label) in enumerate(PANELS):
        y0 = top + n * (height + gap)
        parts.append(f'<rect x="{left}" y="{y0}" width="{width - left - right}" height="{height}" fill="none" stroke="#ccc"/>')
        parts.append(f'<text x="{left + 6}" y="{y0 + 16}">{label}</text>')
        values = data[name]
        known = np.isfinite(values)
        if known.sum() < 2:
            continue
        x, y = hours[known], values[known]
        low, high = float(y.min()), float(y.max())
        span = high - low or 1.0
        px = left + (x - x[0]) / (float(x[-1] - x[0]) or 1.0) * (width - left - right)
        py = y0 + height - (y - low) / span * height
        keep = np.unique(np.linspace(0, len(px) - 1, min(len(px), 4000)).astype(int))
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px[keep], py[keep], strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="#1f6fb4" stroke-width="1"/>')
        for value, at in ((high, y0 + 10), (low, y0 + height)):
            parts.append(f'<text x="{left - 6}" y="{at}" text-anchor="end">{value:,.2f}</text>')
        if n == 2:
            for value, at, anchor in ((x[0], left, "start"), (x[-1], width - right, "end")):
                parts.append(f'<text x="{at}" y="{y0 + height + 18}" text-anchor="{anchor}">{value:.2f} h</text>')
    return "\n".join([*parts, "</svg>\n"])
