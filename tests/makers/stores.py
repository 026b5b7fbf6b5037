"""Ticks over some days, and stores that hold them."""

import numpy as np

from fastcore.records import TICK_DTYPE
from hft.store import DirectoryStore

DAY = 86_400 * 10**9
FIRST = 19_790  # 2024-03-08
SEGMENT = 8192  # four times the smallest, so that there is something to compact


def ticks(n=3000, days=3, symbols=12, seed=1):
    """Ticks over some days, in the order of time."""
    random = np.random.default_rng(seed)
    a = np.zeros(n, TICK_DTYPE)
    a["timestamp_ns"] = np.sort(random.integers(FIRST * DAY, (FIRST + days) * DAY, n))
    a["symbol_id"] = random.integers(0, symbols, n)
    a["price"] = random.normal(100, 1, n)
    a["volume"] = np.arange(n)
    return a


def fill(root, records, **options):
    options = {"groups": 4, "segment_records": SEGMENT, **options}
    with DirectoryStore(root, "a", records.dtype, **options) as store:
        store.symbols.add_many([f"S{i}" for i in range(12)])
        for first in range(0, len(records), 700):
            store.append_many(records[first : first + 700])
    return root
