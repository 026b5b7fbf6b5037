"""Read any format as events, put two venues on one clock, and merge them.

Run: python examples/feeds.py [FILE...]    (made-up quotes of two venues without arguments)
"""

import csv
import gzip
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from fastcore.records import KINDS
from hft.feeds import open_feed
from hft.feeds.frames import to_frame
from hft.feeds.merge import clock_offset, merge

HOUR_MS = 3_600_000


def made_up(folder: Path) -> list[Path]:
    """Write quotes of one pair at two venues, whose clocks are 5 hours apart."""
    choose = random.Random(1)
    walk = [1.39]
    for _ in range(30_000):
        walk.append(walk[-1] + choose.gauss(0, 4e-5))
    paths = []
    for venue, ahead_ms, every_ms in (("east", 0, 900), ("west", 5 * HOUR_MS, 1_100)):
        path = folder / f"{venue}_20240508.csv.gz"
        with gzip.open(path, "wt", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["time", "bid", "ask"])
            time = 1_000
            while time < 30_000_000:
                mid = walk[time // 1000]
                rows.writerow([time + ahead_ms, f"{mid - 1e-4:.5f}", f"{mid + 1e-4:.5f}"])
                time += int(choose.expovariate(1 / every_ms)) + 1
        paths.append(path)
    return paths


def show(path: str) -> None:
    """What a file holds: its format, its symbols, its events by kind."""
    with open_feed(path) as feed:
        counts = np.zeros(64, np.int64)
        for events in feed:
            counts += np.bincount(events["kind"], minlength=64)
    kinds = ", ".join(f"{counts[code]:,} {name}" for name, code in KINDS.items() if code < 64 and counts[code])
    print(f"{path}: {feed.format}, {len(feed.instruments)} symbols, {kinds}; errors {feed.errors or 'none'}")


def main(arguments: list[str]) -> None:
    for path in arguments:
        show(path)
    if arguments:
        return
    with tempfile.TemporaryDirectory() as folder:
        east, west = made_up(Path(folder))
        offset = clock_offset(open_feed(east), open_feed(west))
        print(f"west to east: {offset}")
        feeds = [open_feed(path, symbol="EURUSD", tick_size=1e-5) for path in (east, west)]
        with merge(*feeds, offsets_ns=(0, offset.offset_ns), names=("EAST", "WEST")) as merged:
            events = np.concatenate(list(merged))
    names = merged.instruments.symbols
    print(f"{len(events):,} quotes of {' and '.join(names)} in the order of time: {bool((np.diff(events['exch_ns']) >= 0).all())}")
    try:
        frame = to_frame(events[:3], "polars", instruments=merged.instruments)
    except ImportError:
        return
    print(frame.select("exch_ns", "symbol", "kind", "price", "size"))


if __name__ == "__main__":
    main(sys.argv[1:])
