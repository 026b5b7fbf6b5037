"""Tables of quotes, trades, bars, orders and levels."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from random import Random

from fuzz.corpora import CSV, lines, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import feed_check
from hft.feeds.csv import CsvFeed


def csv_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Quotes, trades, bars, orders, levels and books, with and without a header, in several ways to write times."""
    found = []
    for header, row in (
        ("timestamp,bid,ask", "{t},{p}.1,{p}.2"),
        ("time;symbol;bid;ask;bid_size;ask_size", "2014-05-08 10:00:{s:02}.{t:06};A{s};{p}.25;{p}.5;{s};100"),
        ("timestamp,price,size,side", "2014-05-08T10:00:{s:02}Z,{p}.5,{s},buy"),
        ("timestamp,open,high,low,close,volume", "{t},{p},{p}.5,{p}.1,{p}.2,{s}"),
        ("", "{t},{p}.1,{p}.2"),
        ("time,action,id,price,size,side", "{t},A,{i},{p}.5,{s},B"),
        ("date,time,price,qty,is_buyer_maker", "08.05.2014,10:00:{s:02},{p},{s},true"),
        ("symbol,timestamp,local_timestamp,is_snapshot,side,price,amount", "A{s},{t},{t},{image},bid,{p}.5,{s}"),
        ("time,ask_px_0,ask_sz_0,bid_px_0,bid_sz_0,ask_px_1,ask_sz_1,bid_px_1,bid_sz_1", "{t}" + ",{p},{s}" * 4),
    ):
        rows = [
            row.format(t=36_000_000 + 250 * i, s=i % 60, p=random.randrange(1, 200), i=i, image=str(i < 60).lower()) for i in range(80)
        ]
        found.append("\n".join([header] * bool(header) + rows + [""]).encode())
    found.append(gzip.compress(found[0], 1, mtime=0))
    for path in recorded(data_dir, "fx/*.csv"):
        found.append(b"".join(lines(path.read_bytes())[:200]))
    return found


def csv_check(data: bytes, folder: Path) -> Counts:
    path = folder / "day.csv"
    path.write_bytes(data)
    return feed_check(lambda **options: CsvFeed(path, date=date(2014, 5, 8), **options))


TARGETS = (Target("csv", csv_corpus, csv_check, lines, CSV, needs=("pyarrow",), iterations=60),)
