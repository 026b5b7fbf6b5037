"""What the pictures of a result show: panels of curves that are thinned to the width of a picture and keep every minimum and maximum.

``page`` draws them as a page, ``plot`` with matplotlib: one description for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .figures import gains, horizon_name, totals

__all__ = ["Layer", "Panel", "panels", "plot", "thin"]

if TYPE_CHECKING:
    from .outcome import Outcome

COLUMNS = 800  # of a picture: a curve has at most two points in each
MARKETS = 12  # with panels of their own, those with the most value traded
MARKERS = 3_000
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """Something drawn in a panel: `x` are ns of time, seconds (log), or places of bars; `y2` is the other edge of a band."""

    kind: Literal["line", "step", "band", "bars", "buys", "sells", "level"]
    label: str
    x: Values
    y: Values
    y2: Values | None = None


@dataclass(frozen=True)
class Panel:
    """Layers over one axis."""

    title: str
    axis: Literal["time", "seconds", "bars"]
    layers: list[Layer]
    ticks: list[str] = field(default_factory=list)  # of bars

    @property
    def shows(self) -> bool:
        return any(layer.kind != "level" and len(layer.x) for layer in self.layers)


def thin(x: Values, y: Values, span: tuple[int, int], columns: int = COLUMNS) -> tuple[Values, Values]:
    """Return the smallest and the largest value in each column of a picture, in the order in which they come; NaN is left out."""
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    if len(x) <= 2 * columns:
        return x, y
    column = np.clip((x - span[0]) * columns // max(1, span[1] - span[0]), 0, columns - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    sizes = np.diff(np.append(starts, len(x)))
    place = np.repeat(np.arange(len(starts)), sizes)
    kept = []
    for values, extreme in ((y, np.minimum.reduceat(y, starts)), (y, np.maximum.reduceat(y, starts))):
        hits = np.flatnonzero(values == extreme[place])
        kept.append(hits[np.unique(place[hits], return_index=True)[1]])
    chosen = np.unique(np.concatenate([*kept, [0, len(x) - 1]]))
    return x[chosen], y[chosen]


def _curve(kind: Any, label: str, x: Values, y: Values, span: tuple[int, int]) -> Layer:
    return Layer(kind, label, *thin(x, y, span))


def best_quotes(result: Outcome, symbol: str, side: str, edges: Values) -> Values:
    """The best price of own orders that worked at some time in each interval between edges; NaN where none did."""
    orders = result.orders
    own = (orders["symbol"] == symbol) & (orders["side"] == side)
    begins, ends = (orders[name][own].astype(np.int64) for name in ("venue_entered", "venue_ended"))
    ends = np.where(ends == np.iinfo(np.int64).min, edges[-1], ends)
    first = np.clip(np.searchsorted(edges, begins, "right") - 1, 0, len(edges) - 2)
    last = np.clip(np.searchsorted(edges, ends, "left") - 1, first, len(edges) - 2)
    counts = last - first + 1
    cells = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    prices = np.repeat(orders["price"][own], counts)
    best = np.full(len(edges) - 1, np.nan)
    (np.fmax if side == "buy" else np.fmin).at(best, cells, prices)
    return best


def panels(result: Outcome) -> list[Panel]:
    """Return the panels of a result, those with nothing to show left out."""
    equity, fills, stats = result.equity, result.fills, result.stats
    times = equity["time"].astype(np.int64)
    if not len(times):
        return []
    span = (int(times[0]), int(times[-1]))
    when = fills["venue_time"].astype(np.int64)
    out = []
    for currency, row in stats["currencies"].items():
        t, profit = totals(result, currency)
        own = np.isin(fills["symbol"], [each.symbol for each in result.markets.values() if each.currency == currency])
        done = np.searchsorted(when[own], t, "right")
        earned = gains(result, np.where(np.isnan(fills["mid"]), fills["price"], fills["mid"]))[own]
        spread, fee = (np.append(0.0, np.cumsum(each))[done] for each in (earned, fills["fee"][own]))
        parts = [("net", profit), ("spread earned", spread), ("drift after fills", profit - spread + fee), ("fees", -fee)]
        name = f", {currency}" if currency else ""
        out.append(Panel(f"profit and its parts{name}", "time", [_curve("line", label, t, y, span) for label, y in parts]))
        fall = profit - np.maximum.accumulate(np.maximum(profit, 0.0))
        out.append(Panel(f"below the highest profit so far{name}", "time", [_curve("line", "fall", t, fall, span)]))
        hours = np.bincount(t // (3_600 * 10**9) % 24, np.diff(profit, prepend=0.0), 24)
        used = np.flatnonzero(np.bincount(t // (3_600 * 10**9) % 24, minlength=24))
        ticks = [f"{hour:02}" for hour in used]
        marked = [line for line in row["markouts"] if line["all"] is not None and line["horizon_ns"]]
        if marked:
            seconds = np.array([line["horizon_ns"] for line in marked]) / 1e9
            ranged = [line["range"] is not None for line in marked]
            middle, wide = (np.array([line[key] for line in marked if line["range"] is not None], float) for key in ("all", "range"))
            layers = [Layer("band", "95% range", seconds[ranged], middle - wide, middle + wide)]
            for label in ("all", "buys", "sells"):
                known = [line[label] is not None for line in marked]
                layers.append(Layer("line", label, seconds[known], np.array([line[label] for line in marked if line[label] is not None])))
            out.append(Panel("mark-out after a fill, bps of value", "seconds", layers))
        out.append(Panel(f"profit by hour of the day (UTC){name}", "bars", [Layer("bars", "", used, hours[used])], ticks))
    several = len(stats["symbols"]) > 1
    for symbol in sorted(stats["symbols"], key=lambda name: -stats["symbols"][name]["traded"])[:MARKETS]:
        out += _of_market(result, symbol, f"{symbol}: " if several else "", span)
    return [panel for panel in [*out, *_signals(result, span), *_waiting(result)] if panel.shows]


def _of_market(result: Outcome, symbol: str, head: str, span: tuple[int, int]) -> list[Panel]:
    """Position, and the market with own quotes and fills."""
    equity, fills = result.equity, result.fills
    own = equity["symbol"] == symbol
    t = equity["time"][own].astype(np.int64)
    mine = fills["symbol"] == symbol
    when, price, side = fills["venue_time"][mine].astype(np.int64), fills["price"][mine], fills["side"][mine]
    held = np.cumsum([0.0, *np.where(side == "buy", 1.0, -1.0) * fills["size"][mine]])
    position = [_curve("step", "position", np.array([span[0], *when, span[1]]), np.append(held, held[-1]), span)]
    limit = result._kept["position_limits"].get(symbol)
    if limit is not None:
        position += [Layer("level", "limit", np.zeros(1), np.array([value])) for value in (limit, -limit)]
    edges = np.linspace(span[0], span[1], COLUMNS // 2 + 1).astype(np.int64)
    bid, ask = (best_quotes(result, symbol, name, edges) for name in ("buy", "sell"))
    middle = (edges[:-1] + edges[1:]) // 2
    market = [
        Layer("step", "own bid", middle, bid), Layer("step", "own ask", middle, ask), _curve("line", "mid", t, equity["mid"][own], span),
    ]  # fmt: skip
    for kind, name in (("buys", "buy"), ("sells", "sell")):
        chosen = np.flatnonzero(side == name)
        if len(chosen) > MARKERS:  # of those that would lie on each other one stays
            column = (when[chosen] - span[0]) * COLUMNS // max(1, span[1] - span[0])
            chosen = chosen[np.unique(np.stack([column, price[chosen]]), axis=1, return_index=True)[1]][:: 1 + len(chosen) // (8 * MARKERS)]
        market.append(Layer(kind, kind, when[chosen], price[chosen]))  # type: ignore[arg-type]
    return [Panel(f"{head}position", "time", position), Panel(f"{head}mid, own quotes and fills", "time", market)]


def _signals(result: Outcome, span: tuple[int, int]) -> list[Panel]:
    """What strategies recorded, a panel for each name."""
    records, out = result.records, []
    for name in [name for name in records if name not in ("time", "strategy", "symbol")]:
        layers = []
        for symbol in dict.fromkeys(records["symbol"].tolist()):
            own = records["symbol"] == symbol
            layers.append(_curve("line", symbol, records["time"][own].astype(np.int64), records[name][own], span))
        out.append(Panel(f"recorded: {name}", "time", layers[:MARKETS]))
    return out


def _waiting(result: Outcome) -> list[Panel]:
    """How long orders that were filled had waited, and behind how much."""
    orders, out = result.orders, []
    filled = orders["filled"] > 0
    waited = (orders["first_fill"] - orders["venue_entered"]).astype(np.int64)[filled]
    edges = [0, *(ms * 10**6 for ms in (1, 10, 100, 1_000, 10_000, 60_000, 600_000)), 2**62]
    ticks = ["< 1 ms", *(f"< {horizon_name(ns)}" for ns in edges[2:-1]), "longer"]
    counts = np.histogram(waited, edges)[0]
    out.append(Panel("time to the first fill, orders", "bars", [Layer("bars", "", np.arange(len(counts)), counts)], ticks))
    ahead = orders["ahead"][filled]
    if len(ahead) and np.nanmax(ahead, initial=0.0) > 0:
        top = float(np.nanmax(ahead))
        counts, bins = np.histogram(ahead[~np.isnan(ahead)], 12, (0.0, top))
        ticks = [f"{value:,.4g}" for value in bins[:-1]]
        out.append(Panel("size ahead of orders that were filled, as they came", "bars", [Layer("bars", "", np.arange(12), counts)], ticks))
    return out


def plot(result: Outcome, path: Path) -> None:
    """Draw the panels with matplotlib into a ``.svg``, ``.png`` or ``.pdf``."""
    from .report import check_plot

    check_plot(path)
    import_module("matplotlib").use("Agg")
    pyplot, shown = import_module("matplotlib.pyplot"), panels(result)
    n = max(1, len(shown))
    figure, rows = pyplot.subplots(n, 1, figsize=(10, 2.6 * n), squeeze=False)
    figure.subplots_adjust(left=0.09, right=0.98, top=1 - 0.3 / (2.6 * n), bottom=0.4 / (2.6 * n), hspace=0.35)
    for axes, panel in zip(rows[:, 0], shown, strict=False):
        for layer in panel.layers:
            _draw(axes, panel, layer)
        axes.set_title(panel.title, fontsize=9, loc="left")
        axes.grid(alpha=0.3)
        if panel.axis == "seconds":
            axes.set_xscale("log")
        if panel.axis == "bars":
            axes.set_xticks(range(len(panel.ticks)), panel.ticks)
        elif len(panel.layers) > 1:
            axes.legend(fontsize=7, loc="upper left")
    figure.savefig(path)
    pyplot.close(figure)


def _draw(axes: Any, panel: Panel, layer: Layer) -> None:
    """One layer with matplotlib."""
    x = layer.x.astype("M8[ns]") if panel.axis == "time" else layer.x
    if layer.kind == "line":
        axes.plot(x, layer.y, linewidth=0.8, label=layer.label)
    elif layer.kind == "step":
        axes.step(x, layer.y, linewidth=0.8, where="post", label=layer.label)
    elif layer.kind == "band":
        axes.fill_between(x, layer.y, layer.y2, alpha=0.2, label=layer.label)
    elif layer.kind == "bars":
        axes.bar(range(len(layer.y)), layer.y)
    elif layer.kind == "level":
        axes.axhline(layer.y[0], linestyle="--", linewidth=0.8)
    else:
        axes.scatter(x, layer.y, s=8, marker="^" if layer.kind == "buys" else "v", label=layer.label, zorder=3)

