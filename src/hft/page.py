"""A result as one HTML file: its text and its panels as inline SVG. No script, no font, no address: it works offline and for ever."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .figures import text
from .panels import Layer, Panel, Values, panels
from .tables import Table

__all__ = ["page"]

if TYPE_CHECKING:
    from .outcome import Outcome

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 190, 70, 24, 8, 22
COLORS = ("#1f5fbf", "#c2571a", "#2e8b57", "#8b3fa8", "#7a6a2f", "#3a3f4a")
STYLE = """
body{font:14px/1.45 system-ui,sans-serif;max-width:940px;margin:1.5em auto;padding:0 1em;color:#20242c;background:#fff}
pre{font:12px/1.4 ui-monospace,monospace;background:#f4f5f7;padding:1em;overflow-x:auto}
h2{font-size:14px;margin:1.4em 0 .2em}svg{width:100%;height:auto}
th,td{text-align:right;padding:0 1em 0 0;font-size:12px}
text{font:10px system-ui,sans-serif;fill:#5a6270}.key{font-size:12px;color:#5a6270}.key b{font-weight:600}
"""
STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)
DAY_S = 86_400


def nice(low: float, high: float, most: int = 5) -> list[float]:
    """Round values between two, at most so many."""
    step = 10 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= most)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def times(low: float, high: float) -> list[tuple[float, str]]:
    """Round times between two of ns, with their names."""
    begin, end = low / 1e9, high / 1e9
    step = next((s for s in STEPS_S if (end - begin) / s <= 9), math.ceil((end - begin) / DAY_S / 9) * DAY_S)
    found = [step * i for i in range(math.ceil(begin / step), math.floor(end / step) + 1)]

    def name(second: float) -> str:
        stamp = str(np.datetime64(int(second), "s"))
        return stamp[:10] if step >= DAY_S else stamp[11:19] if step < 60 else stamp[11:16]

    return [(1e9 * second, name(second)) for second in found]


class Axes:
    """Where values lie in a picture."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        drawn = [layer for layer in panel.layers if layer.kind != "level" and len(layer.x)]
        x = np.concatenate([layer.x for layer in drawn]).astype(float)
        y = np.concatenate([v.astype(float) for layer in panel.layers for v in (layer.y, layer.y2) if v is not None and len(v)])
        y = y[~np.isnan(y)] if not np.isnan(y).all() else np.zeros(1)
        if panel.axis == "bars":
            self.x0, self.x1, y = -0.5, len(panel.ticks) - 0.5, np.append(y, 0.0)
        else:
            x = np.log10(x) if panel.axis == "seconds" else x
            self.x0, self.x1 = float(x.min()), float(x.max())
        self.y0, self.y1 = float(y.min()), float(y.max())
        self.x1 += self.x1 <= self.x0
        margin = 0.04 * (self.y1 - self.y0) or abs(self.y0) or 1.0
        self.y0, self.y1 = self.y0 - margin, self.y1 + margin

    def x(self, values: Values) -> Values:
        """Places of values, in pixels from the left."""
        values = np.log10(values) if self.panel.axis == "seconds" else np.asarray(values, float)
        return LEFT + (values - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, values: Values) -> Values:
        """Places of values, in pixels from the top."""
        return TOP + (self.y1 - np.asarray(values, float)) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> str:
        """Lines and numbers of both axes."""
        out = []
        for value in nice(self.y0, self.y1):
            at = float(self.y(np.array(value)))
            out.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e3e6ea"/>')
            out.append(f'<text x="{LEFT - 6}" y="{at + 3:.1f}" text-anchor="end">{value:,.10g}</text>')
        if self.panel.axis == "time":
            marks = times(self.x0, self.x1)
        elif self.panel.axis == "seconds":
            marks = [(10.0**i, f"{10.0**i:g} s") for i in range(math.ceil(self.x0 - 1e-9), math.floor(self.x1 + 1e-9) + 1)]
        else:
            marks = [(float(i), name) for i, name in enumerate(self.panel.ticks)]
        for at, (_, name) in zip(self.x(np.array([value for value, _ in marks])), marks, strict=True):
            out.append(f'<text x="{at:.1f}" y="{HEIGHT - 7}" text-anchor="middle">{escape(name)}</text>')
        return "".join(out)


def _points(x: Values, y: Values) -> str:
    return " ".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _layer(axes: Axes, layer: Layer, color: str) -> str:
    """One layer as SVG."""
    if layer.kind == "level":
        return f'<path d="M{LEFT} {float(axes.y(layer.y)[0]):.1f}H{WIDTH - RIGHT}" stroke="#b02a37" stroke-dasharray="4 3"/>'
    x, y = axes.x(layer.x), axes.y(layer.y)
    if layer.kind == "band" and layer.y2 is not None:
        edge = _points(np.append(x, x[::-1]), np.append(y, axes.y(layer.y2)[::-1]))
        return f'<polygon points="{edge}" fill="{color}" opacity=".18"/>'
    if layer.kind == "bars":
        wide, zero = 0.7 * (WIDTH - LEFT - RIGHT) / len(axes.panel.ticks), float(axes.y(np.zeros(1))[0])
        places = axes.x(np.arange(len(y)))
        return "".join(
            f'<rect x="{a - wide / 2:.1f}" y="{min(b, zero):.1f}" width="{wide:.1f}" height="{abs(b - zero):.1f}" fill="{color}"/>'
            for a, b in zip(places.tolist(), y.tolist(), strict=True)
        )
    if layer.kind in ("buys", "sells"):
        shape = "l3 6h-6z" if layer.kind == "buys" else "l3-6h-6z"
        color = "#2e8b57" if layer.kind == "buys" else "#b02a37"
        return f'<path d="{"".join(f"M{a:.1f} {b:.1f}{shape}" for a, b in zip(x.tolist(), y.tolist(), strict=True))}" fill="{color}"/>'
    parts = []
    known = ~np.isnan(y)
    for run in np.split(np.arange(len(y)), np.flatnonzero(np.diff(known)) + 1):
        if not len(run) or not known[run[0]]:
            continue
        a, b = x[run], y[run]
        if layer.kind == "line":
            parts.append("M" + _points(a, b))
        else:
            steps = "".join(f"H{p:.1f}V{q:.1f}" for p, q in zip(a[1:].tolist(), b[1:].tolist(), strict=True))
            parts.append(f"M{a[0]:.1f} {b[0]:.1f}{steps or 'h1'}")
    return f'<path d="{"".join(parts)}" fill="none" stroke="{color}"/>'


def draw(panel: Panel) -> str:
    """Return a panel as a heading, a key and an SVG picture."""
    axes = Axes(panel)
    body, key = [], []
    for i, layer in enumerate(layer for layer in panel.layers if len(layer.x)):
        color = COLORS[i % len(COLORS)]
        body.append(_layer(axes, layer, color))
        if layer.label and layer.kind != "level":
            shown = {"buys": "#2e8b57", "sells": "#b02a37"}.get(layer.kind, color)
            key.append(f'<b style="color:{shown}">{escape(layer.label)}</b>')
    words = f'<div class="key">{" &middot; ".join(key)}</div>' if len(key) > 1 else ""
    return (
        f"<h2>{escape(panel.title)}</h2>{words}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{axes.grid()}{"".join(body)}</svg>'
    )  # fmt: skip


def latency(result: Outcome) -> str:
    """Return how long the stages of the loop took, as a table; nothing of a result that does not tell it."""
    stages = result._kept.get("latency_ns")
    if not stages:
        return ""
    names = {"p50": "p50", "p99": "p99", "p99.9": "p999", "max": "max"}
    columns = {title: np.array([times[name] for times in stages.values()]) for title, name in names.items()}
    return "<h2>latency by stage, ns of sampled events</h2>" + Table({"stage": np.array(list(stages))} | columns)._repr_html_()


def page(result: Outcome) -> str:
    """Return the page of a result."""
    title = escape(f"{', '.join(result._kept['strategies'])} on {', '.join(each.symbol for each in result.markets.values())}, run {result.id}")
    said = escape(text(result, "").rstrip())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>\n'
        f"<body><h1 style=\"font-size:18px\">{title}</h1><pre>{said}</pre>\n" + "\n".join(map(draw, panels(result)))
        + f"\n{latency(result)}</body></html>\n"
    )
