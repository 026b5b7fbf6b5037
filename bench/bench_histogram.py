"""Latency histogram: recorded at every stage of the loop, so a record must cost less than the time stamps around it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.histogram import Histogram
from fastcore.reference import histogram as twin
from fastcore.reference.replaced import LatencyMonitor as PythonMonitor
from fastcore.replaced import LatencyMonitor

from .harness import Bench, calls, main


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 200_000
    values = np.random.default_rng(1).lognormal(8.0, 1.0, n).astype(np.int64)
    listed = values[:2000].tolist()
    exact = int(np.sort(values)[n * 99 // 100 - 1])

    def loop(timed: bool = False) -> Histogram:
        h = Histogram()
        _bench.histogram_loop(h, values, timed)
        return h

    def batch() -> Histogram:
        h = Histogram()
        h.record_many(values)
        return h

    def each(h: Any, name: str) -> Any:
        record = getattr(h, name)
        for value in listed:
            record(value)
        return h

    def check(impl: str, result: Any) -> float | None:
        if impl in ("fastcore", "record_many"):
            assert result.count == n
            assert abs(result.percentile(99.0) / exact - 1) < 1e-3
        return None

    h = Histogram()
    bench.compare(
        "histogram",
        "record in a compiled loop",
        n,
        {
            "fastcore": loop,
            "record_many": batch,
            "two counter reads and a record": partial(loop, True),
            "numpy histogram, 1,000 buckets": partial(np.histogram, values, 1000, (0, 1_000_000)),
        },
        check,
    )
    one: dict[str, Any] = {
        "fastcore": calls("record(1234)", n, record=h.record),
        "python": (partial(each, twin.Histogram(), "record"), len(listed)),
    }
    hdrh = bench.optional("hdrh.histogram")
    if hdrh is not None:
        one["hdrhistogram"] = (partial(each, hdrh.HdrHistogram(1, 3_600_000_000_000, 3), "record_value"), len(listed))
    bench.compare("histogram", "record from Python", n, one)
    monitor = LatencyMonitor()
    start, end = 1_700_000_000_000_000_000, 1_700_000_000_000_012_345
    bench.compare(
        "histogram",
        "LatencyMonitor.record_latency",
        n,
        {
            "fastcore": calls("record(start, end)", n, record=monitor.record_latency, start=start, end=end),
            "empty call": calls("f(start, end)", n, f=_bench.Empty().two_ints, start=start, end=end),
            "python": calls("record(start, end)", n, record=PythonMonitor().record_latency, start=start, end=end),
        },
    )
    assert monitor.latencies[-1] == 12_345


if __name__ == "__main__":
    main(run)
