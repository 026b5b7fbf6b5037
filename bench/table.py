"""Render the README's table of figures from the report of ``hft bench --json``.

    hft bench --json result.json
    python -m bench.table result.json...             # print it (installed: python -m hft.bench.table)
    python -m bench.table result.json... README.md   # replace what stands between <!-- figures --> and <!-- /figures -->
    python -m bench.table --names result.json        # every row of the report: group / name / implementation

Of several reports each row, ours and every peer's, comes from the run that disturbed it least: the one of its least time.

A figure that the report does not hold is shown as not measured, and the exit status is then 1; so it is for one that
misses what was asked.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One comparison: of rows whose group and name match, `ours` against `theirs`.

    ``times``: theirs / ours must reach `limit`. ``cost``: ours / theirs must not exceed it. ``ns``: our time per item must not.
    ``error``: our largest error must not. ``plus``: ours - theirs must not exceed it, ns. ``bytes``: a fact of the report must not.
    """

    label: str
    kind: str
    limit: float
    group: str
    name: str
    theirs: str = ""
    ours: str = "fastcore"

    def find(self, rows: list[Row], impl: str) -> list[Row]:
        return [
            r for r in rows if r["group"] == self.group and re.search(self.name, r["name"]) and re.fullmatch(impl, r["impl"])
        ]

    def show(self, rows: list[Row]) -> tuple[str, str, bool]:
        """Return what was asked, what was reached, and whether that is enough."""
        mine = self.find(rows, self.ours)
        label = f"{self.label} " if self.label else ""
        asked = {
            "times": f">= {self.limit:g}x",
            "cost": f"<= {self.limit:g}x",
            "ns": f"<= {self.limit:g} ns",
            "plus": f"+ <= {self.limit:g} ns",
            "bytes": f"<= {self.limit / 1e6:g} MB",
        }.get(self.kind, f"<= {self.limit:.0e}")
        if self.kind == "ns":
            if not mine:
                return label + asked, label + "not measured", False
            best, middle = max(r["ns_per_item"] for r in mine), max(r["median_ns_per_item"] for r in mine)
            return label + asked, f"{label}{number(best)} / {number(middle)} ns", best <= self.limit
        if self.kind == "error":
            errors = [r["max_error"] for r in mine if "max_error" in r]
            if not errors:
                return label + asked, label + "not measured", False
            return label + asked, f"{label}{max(errors):.1e}", max(errors) <= self.limit
        if self.kind == "bytes":
            values = [r["value"] for r in mine]
            if not values:
                return label + asked, label + "not measured", False
            return label + asked, f"{label}{max(values) / 1e6:.0f} MB", max(values) <= self.limit
        reached: list[tuple[float, float]] = []
        for row in mine:
            for peer in self.find(rows, self.theirs):
                if peer["name"] == row["name"]:
                    keys = ("ns_per_item", "median_ns_per_item")
                    pair = [row[key] - peer[key] if self.kind == "plus" else peer[key] / row[key] for key in keys]
                    reached.append((pair[0], pair[1]))
        if not reached:
            return label + asked, label + "not measured", False
        if self.kind == "plus":
            best, middle = (max(pair[i] for pair in reached) for i in (0, 1))
            return label + asked, f"{label}{best:+.1f} / {middle:+.1f} ns", best <= self.limit
        if self.kind == "cost":
            best, middle = (max(1 / pair[i] for pair in reached) for i in (0, 1))
            return label + asked, f"{label}{best:.2f}x / {middle:.2f}x", best <= self.limit
        best, middle = (min(pair[i] for pair in reached) for i in (0, 1))
        return label + asked, f"{label}{number(best)}x / {number(middle)}x", best >= self.limit


def number(value: float) -> str:
    """Format with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


ROLLING = r"^rolling z-score, window 100, n=(10,000|1,000,000), walk$"
# What is measured, and the comparisons that were asked for.
FIGURES: list[tuple[str, list[Part]]] = [
    (
        "ring, 64-byte records, two threads, one by one",
        [
            Part("C", "cost", 1.5, "ring", "^two threads, one by one$", "c"),
            Part("`queue.Queue`", "times", 100, "ring", "^two threads, one by one$", "queue.Queue"),
        ],
    ),
    (
        "ring, two threads, batches of 64",
        [
            Part("C", "cost", 1.5, "ring", "^two threads, batches of 64$", "c"),
            Part("`queue.Queue`", "times", 100, "ring", "^two threads, batches of 64$", "queue.Queue"),
            Part("`SimpleQueue`", "times", 10, "ring", "^two threads, batches of 64$", "queue.SimpleQueue"),
        ],
    ),
    (
        "ring between two processes, batches of 64",
        [Part("`multiprocessing.Queue`", "times", 200, "ring", "^two processes, batches of 64$", "multiprocessing.Queue")],
    ),
    (
        "`LockFreeRingBuffer.push`, `pop` from Python",
        [
            Part("push: empty call", "cost", 1.5, "ring", r"^LockFreeRingBuffer\.push from Python$", "empty call"),
            Part("pop: empty call", "cost", 1.5, "ring", r"^LockFreeRingBuffer\.pop from Python$", "empty call"),
        ],
    ),
    (
        "`SymbolMapper.update_price` from Python",
        [Part("empty call", "cost", 1.5, "symbols", "^update_price from Python$", "empty call")],
    ),
    (
        "`LatencyMonitor.record_latency` from Python",
        [Part("empty call", "cost", 1.5, "histogram", r"^LatencyMonitor\.record_latency$", "empty call")],
    ),
    ("tick append from Python", [Part("empty call", "cost", 1.5, "tickstore", "^append one from Python$", "empty call")]),
    ("`quote` from Python", [Part("empty call", "cost", 1.5, "avellaneda", "^quote from Python$", "empty call")]),
    ("wire key to id, 10,000 symbols, compiled loop", [Part("", "ns", 8, "symbols", "^wire key -> id, 10,000 symbols$")]),
    ("str to id from Python", [Part("`dict`", "cost", 1.3, "symbols", "^str -> id from Python", "python dict")]),
    (
        "rolling z-score, window 100, n = 1e4 and 1e6",
        [
            Part("bottleneck", "times", 2, "zscore", ROLLING, "bottleneck"),
            Part("pandas", "times", 15, "zscore", ROLLING, "pandas"),
            Part("naive Numba", "times", 50, "zscore", ROLLING, "numba"),
            Part("pure Python", "times", 2000, "zscore", ROLLING, "python"),
        ],
    ),
    (
        "its largest error against 50 digits",
        [
            Part("walk", "error", 1e-11, "zscore", "^rolling z-score, .*walk$"),
            Part("tiny variance", "error", 1e-11, "zscore", "^rolling z-score, .*tiny"),
            Part("after a fat print", "error", 1e-8, "zscore", "^rolling z-score, .*fat print$"),
        ],
    ),
    ("streaming z-score, compiled loop", [Part("", "ns", 15, "zscore", "^streaming update, compiled loop$")]),
    (
        "correlation of 100 series, window 1,000, per tick",
        [Part("`numpy.corrcoef`", "times", 50, "correlation", "^correlation of 100 series", "numpy")],
    ),
    ("quote, scalar from Python", [Part("Numba", "times", 8, "avellaneda", "^quote from Python$", "numba")]),
    ("quotes of 1,000 symbols", [Part("NumPy", "times", 15, "avellaneda", "^quotes of 1,000 symbols", "numpy")]),
    (
        "tick append from Python, against stores",
        [
            Part("replaced design", "times", 5, "tickstore", "^append one from Python$", "python mmap struct"),
            Part("LMDB put", "times", 10, "tickstore", "^append one from Python$", "lmdb put"),
        ],
    ),
    ("tick append, batches of 4,096", [Part("Arrow IPC", "times", 5, "tickstore", "^append batches of 4,096$", "arrow ipc")]),
    ("scan of one field", [Part("NumPy in memory", "times", 0.8, "tickstore", "^scan of one field$", "numpy in memory")]),
    ("replay of the AMZN day with the market maker", [Part("a message", "ns", 150, "engine", "^AMZN day, market maker$")]),
    ("ITCH bytes to events, the AMZN day to 10 M messages", [Part("a message", "ns", 8, "itch", r"^decode, AMZN day to 1\d\.\d M")]),
    ("ITCH bytes into the L3 book, the same", [Part("a message", "ns", 60, "bookset", "^itch bytes to books, AMZN ")]),
    ("the same, 8,000 symbols interleaved", [Part("a message", "ns", 120, "bookset", "^itch bytes to books, 8,000 symbols$")]),
    ("L2 book with its top-of-book events", [Part("an event", "ns", 20, "book", "^level events with quotes, synthetic day$")]),
    (
        "Binance line to events",
        [
            Part("bookTicker", "ns", 250, "binance", "^bookTicker line, "),
            Part("trade", "ns", 250, "binance", "^trade line, "),
            Part("level of a diff", "ns", 250, "binance", "^level of a diff, "),
        ],
    ),
    (
        "DBN to events, against `databento_dbn` records as NumPy",
        [Part("", "plus", 20, "dbn", r"^read \.dbn(\.zst)?$", "numpy")],
    ),
    ("1,000,000 live orders, resident memory", [Part("", "bytes", 120e6, "bookset", "^memory of 1,000,000 live orders$")]),
]


def render(report: dict[str, Any]) -> tuple[str, bool]:
    """Return the table in Markdown, and whether every figure was measured and reached."""
    lines = ["| what | asked | reached (min / median) | ns per item (min / median) |", "| --- | --- | --- | --- |"]
    fine = True
    for what, parts in FIGURES:
        shown = [part.show(report.get("facts", []) if part.kind == "bytes" else report["rows"]) for part in parts]
        fine &= all(enough for _, _, enough in shown)
        mine = {id(r): r for part in parts if part.kind not in ("error", "bytes") for r in part.find(report["rows"], part.ours)}
        own = "; ".join(dict.fromkeys(f"{number(r['ns_per_item'])} / {number(r['median_ns_per_item'])}" for r in mine.values()))
        reached = "; ".join(text if enough else f"**{text}**" for _, text, enough in shown)
        lines.append(f"| {what} | {'; '.join(asked for asked, _, _ in shown)} | {reached} | {own} |")
    about = report["machine"]
    runs = "one run" if report.get("runs", 1) == 1 else f"{report['runs']} runs, each row from the one of its least time"
    lines += [
        "",
        f"Measured on {about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}, NumPy {about['numpy']}, "
        f"{about['build']}; {runs}. Ratios are of minima, then of medians; where several sizes are asked for, the least favourable one.",
    ]
    return "\n".join(lines), fine


def merge(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one report with the least disturbed row of each group, name and implementation."""
    rows: dict[tuple[str, str, str], Row] = {}
    for report in reports:
        for row in report["rows"]:
            key = row["group"], row["name"], row["impl"]
            if key not in rows or row["ns_per_item"] < rows[key]["ns_per_item"]:
                rows[key] = row
    return {**reports[-1], "rows": list(rows.values()), "runs": len(reports)}


def main(arguments: list[str]) -> int:
    names = "--names" in arguments
    paths = [Path(a) for a in arguments if not a.startswith("--")]
    target = paths.pop() if paths and paths[-1].suffix != ".json" else None
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    report = merge([json.loads(path.read_text(encoding="utf-8")) for path in paths])
    if names:
        for row in report["rows"]:
            print(f"{row['group']} / {row['name']} / {row['impl']}")
        return 0
    table, fine = render(report)
    if target is None:
        print(table)
        return 0 if fine else 1
    text = target.read_text(encoding="utf-8")
    start, end = "<!-- figures -->\n", "<!-- /figures -->"
    if text.count(start) != 1 or text.count(end) != 1:
        print(f"the file must hold one pair of figures marks: path={target}", file=sys.stderr)
        return 2
    head, rest = text.split(start)
    target.write_text(f"{head}{start}{table}\n{end}{rest.split(end)[1]}", encoding="utf-8")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
