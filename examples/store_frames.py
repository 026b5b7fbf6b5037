"""A day of a store as a polars and as a pandas frame, and a frame back into the store.

Run: python examples/store_frames.py    (needs polars, pandas and pyarrow)
"""

import tempfile
from pathlib import Path

import polars as pl
from store_duckdb import make

from hft.store import DirectoryStore, from_arrow, to_arrow


def main(root: Path) -> None:
    make(root)
    with DirectoryStore(root, "a") as store:
        day = 19_791 * 86_400 * 10**9
        table = to_arrow(store, day, day + 86_400 * 10**9, ["BBB"], timestamps=True)
        print(f"{table.num_rows:,} ticks of one day and one symbol from {store.last_query.opened} file")

        frame = pl.from_arrow(table)
        bars = frame.group_by_dynamic("timestamp_ns", every="6h").agg(pl.col("price").last(), pl.col("volume").sum())
        print(f"polars: {len(bars)} bars, last price {bars['price'][-1]:.2f}")

        pandas = table.to_pandas().set_index("timestamp_ns")
        print(f"pandas: mean of the hourly last prices {pandas['price'].resample('1h').last().mean():.3f}")

        # A frame of prices that were computed, under a name of their own.
        half = store.symbols.add("BBB/2")
        computed = frame.select("timestamp_ns", pl.col("price") / 2, "volume")
        stored = store.append_many(from_arrow(computed, symbol=half))
        print(f"{stored:,} ticks stored as {store.symbols.name_of(half)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch) / "store")
