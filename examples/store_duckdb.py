"""Ask a store of many days questions in SQL: the live store as an Arrow stream, then the Parquet file that was exported from it.

Run: python examples/store_duckdb.py [DIRECTORY]    (makes three synthetic days without an argument; needs duckdb and pyarrow)
"""

import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np

from fastcore.records import TICK_DTYPE
from hft.store import DirectoryStore, export, reader

DAY_NS = 86_400 * 10**9


def make(root: Path, days: int = 3, ticks_a_day: int = 50_000) -> None:
    """Write random walks of three symbols."""
    random = np.random.default_rng(7)
    with DirectoryStore(root, "a", groups=2) as store:
        ids = store.symbols.add_many(["AAA", "BBB", "CCC"])
        for day in range(19_790, 19_790 + days):
            ticks = np.zeros(ticks_a_day, TICK_DTYPE)
            ticks["timestamp_ns"] = day * DAY_NS + np.sort(random.integers(0, DAY_NS, ticks_a_day))
            ticks["symbol_id"] = random.choice(ids, ticks_a_day)
            ticks["price"] = 100 + 10 * ticks["symbol_id"] + 0.01 * random.integers(-1, 2, ticks_a_day).cumsum()
            ticks["volume"] = random.integers(1, 10, ticks_a_day)
            store.append_many(ticks)


def main(root: Path, folder: Path) -> None:
    with DirectoryStore(root) as store:
        first_day = store.days()[0]
        stream = reader(store)  # consumed once, batch by batch
        print("Volume-weighted prices, from the store itself:")
        query = "select symbol, count(*), sum(price * volume) / sum(volume) from stream group by symbol order by symbol"
        for symbol, ticks, price in duckdb.execute(query).fetchall():
            print(f"  {symbol}: {ticks:,} ticks, {price:.3f}")
        del stream

        file = folder / "ticks.parquet"
        print(f"{export(store, file):,} ticks exported")
        # Times stay whole nanoseconds; make_timestamp_ns turns them into DuckDB's own.
        query = f"""
            select symbol, time_bucket(interval 6 hours, make_timestamp_ns(timestamp_ns)::timestamp) as bar,
                   first(price), max(price), min(price), last(price), sum(volume)
            from '{file}' where symbol = 'AAA' group by all order by bar limit 4
        """
        print(f"Bars of six hours on {first_day}, from the file:")
        for symbol, bar, open_, high, low, close, volume in duckdb.execute(query).fetchall():
            print(f"  {symbol} {bar:%H:%M}  {open_:.2f} {high:.2f} {low:.2f} {close:.2f}  {volume:,.0f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        if len(sys.argv) > 1:
            main(Path(sys.argv[1]), Path(scratch))
        else:
            make(Path(scratch) / "store")
            main(Path(scratch) / "store", Path(scratch))
