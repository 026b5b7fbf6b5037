"""Tables that are right and written as people write them: other countries, systems, units, orders of columns and of rows.

An input is no table but the seed of one: what is true, and how it is written. The law: what is read is what is true, exactly; the
rest is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.records import QUOTE_DTYPE
from fuzz.corpora import blocks
from fuzz.engine import Counts, Target
from hft.feeds import open_feed
from hft.feeds.feed import FormatError

NAMES = {
    "time": ("time", "Timestamp", "ts_event", "Date-Time", "gmt time"),
    "price": ("price", "Px", "LAST", "trade_price"), "size": ("size", "Qty", "amount", "Volume"),
    "bid": ("bid", "Bid Price", "best_bid"), "ask": ("ask", "askPrice", "offer"),
    "bid_size": ("bid size", "bidQty"), "ask_size": ("ask size", "askQty"),
}  # fmt: skip
TIMES = ("s", "s.ms", "ms", "us", "ns", "mixed", "iso", "iso T", "zone", "packed", "dense", "dots", "slashes", "named", "two columns", "kdb")


@dataclass
class Style:
    """How a table is written."""

    random: Random

    def __post_init__(self) -> None:
        choose = self.random.choice
        self.kind = choose(("trades", "quotes"))
        self.delimiter = choose((",", ";", "\t", "|"))
        self.point = choose((".", ".", ","))
        self.group = choose(("", "", "", ",", ".", " ", "'", "\u00a0"))
        if self.group == self.point:
            self.group = ""
        self.quoted = choose((False, False, True)) or (self.delimiter in self.point + self.group)
        self.encoding = choose(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"))
        self.end = choose(("\n", "\r\n", "\r"))
        self.time = choose(TIMES)
        self.padded = choose((True, False))
        self.title = choose(("", "", "", "a table, made by x", "# one\n# two", "\n", f"sep={self.delimiter}"))
        self.last = choose(("", "", "\n\n", "   \n"))
        self.reversed = choose((False,) * 9 + (True,))
        self.decimals = self.random.randrange(0, 7)
        if self.group == ".":  # 1.234 alone is read with a point, as nearly everybody writes it
            self.padded, self.decimals = True, max(1, self.decimals)
        self.extra = choose((False, True))

    def number(self, units: int) -> str:
        """A whole number of 10**-decimals as this table has it."""
        whole, rest = divmod(units, 10**self.decimals)
        text = f"{whole:,}".replace(",", self.group) if self.group else str(whole)
        fraction = f"{rest:0{self.decimals}}" if self.decimals else ""
        if not self.padded:
            fraction = fraction.rstrip("0")
        return text + (self.point + fraction if fraction else "")

    def clock(self, ms: int) -> list[str]:
        """A time, which may be two columns."""
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
        seconds = f"{at:%H:%M:%S}.{ms % 1000:03}"
        unit = self.random.choice(("ms", "us", "ns")) if self.time == "mixed" else self.time
        return {
            "s": [str(ms // 1000)], "s.ms": [f"{ms // 1000}.{ms % 1000:03}"], "ms": [str(ms)],
            "us": [str(ms * 1000)], "ns": [str(ms * 10**6)], "iso": [f"{at:%Y-%m-%d} {seconds}"], "iso T": [f"{at:%Y-%m-%d}T{seconds}Z"],
            "zone": [f"{at + timedelta(hours=2):%Y-%m-%d %H:%M:%S}.{ms % 1000:03}+02:00"], "packed": [f"{at:%Y%m%d%H%M%S}{ms % 1000:03}"],
            "dense": [f"{at:%Y%m%d %H%M%S}{ms % 1000:03}"], "dots": [f"{at:%d.%m.%Y} {seconds}"], "slashes": [f"{at:%m/%d/%Y} {seconds}"],
            "named": [f"{at:%d-%b-%Y} {seconds}"], "two columns": [f"{at:%Y%m%d}", seconds], "kdb": [f"{at:%Y.%m.%d}D{seconds}000000"],
        }[unit]  # fmt: skip


def written(style: Style) -> tuple[bytes, list[tuple[int, ...]]]:
    """The table, and what is true: times in ns, then prices and sizes in units of 10**-decimals."""
    random = style.random
    roles = ["price", "size"] if style.kind == "trades" else ["bid", "ask", "bid_size", "ask_size"]
    columns = [*(["date", "clock"] if style.time == "two columns" else ["time"]), *roles, *["note"] * style.extra]
    random.shuffle(columns)
    names = {"date": "Date", "clock": "Time", "note": "note"} | {role: random.choice(NAMES[role]) for role in ("time", *roles)}
    quote = '"' if style.quoted else ""
    join = style.delimiter.join
    lines = [join(f"{quote}{names[c]}{quote}" for c in columns)]
    truth = []
    now = random.randrange(700_000_000, 3_000_000_000) * 1000
    low, step = random.randrange(10, 10 ** random.randrange(2, 9)), 1000 if style.time == "s" else random.choice((1, 1000, 40_000_000))
    for _ in range(random.randrange(2, 30)):
        now += step * random.randrange(0, 50)
        first = low + random.randrange(0, 1 + low // 20)
        sizes = [random.randrange(1, 10**5) for _ in range(2)]
        values = [first, sizes[0]] if style.kind == "trades" else [first, first + 1, *sizes]
        truth.append((now * 10**6, *values))
        cells = dict(zip(roles, map(style.number, values), strict=True)) | {"note": "x"}
        time = style.clock(now)
        cells |= {"time": time[0], "date": time[0], "clock": time[-1]}
        lines.append(join(f"{quote}{cells[c]}{quote}" for c in columns))
    if style.reversed:
        lines[1:], truth = lines[:0:-1], truth[::-1]
    text = "\n".join(([style.title] if style.title else []) + lines) + "\n" + style.last
    return text.replace("\n", style.end).encode(style.encoding), truth


def check(data: bytes, folder: Path) -> Counts:
    """Read a table, and hold what comes of it to what is true."""
    style = Style(Random(data))
    text, truth = written(style)
    path = folder / "table.csv"
    path.write_bytes(text)
    try:
        with open_feed(path) as feed:
            events = np.concatenate([array.copy() for array in feed])
    except (FormatError, CorruptDataError):
        return {"refused": 1}
    assert feed.kind == style.kind, (feed.kind, style)
    instrument = feed.instruments[0]
    tick, lot = (Fraction(str(size)) * 10**style.decimals for size in (instrument.tick_size, instrument.lot_size))
    if style.kind == "trades":
        found = [(e["exch_ns"], e["price"] * tick, e["size"] * lot) for e in events]
    else:
        quotes = events.view(QUOTE_DTYPE)
        found = [(e["exch_ns"], e["bid"] * tick, e["ask"] * tick, e["bid_size"] * lot, e["ask_size"] * lot) for e in quotes]
    assert len(found) + sum(feed.errors.values()) == len(truth), (len(found), feed.errors, len(truth))
    rest = iter(truth)
    for row in found:  # what is left out was counted; what is read is there, in its order
        assert any(tuple(map(int, row)) == true and all(int(v) == v for v in row) for true in rest), (row, style)
    return {"messages": len(found), "tables": 1, "refused": 0}


TARGETS = (
    Target("table_styles", lambda random, folder: [random.randbytes(8) for _ in range(64)], check, blocks, needs=("pyarrow",), iterations=300),
)
