"""Clock reads: every stage of the engine is timed by two of them, so they bound what can be measured at all."""

from __future__ import annotations

import time
from functools import partial

from fastcore import _bench, clock

from .harness import Bench, calls, main


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 200_000
    bench.compare(
        "clock",
        "read in a compiled loop",
        n,
        {
            "fastcore": partial(_bench.clock_loop, "ticks", n),
            "fastcore, in ns": partial(_bench.clock_loop, "ticks_to_ns", n),
            "monotonic clock": partial(_bench.clock_loop, "monotonic_ns", n),
            "wall clock": partial(_bench.clock_loop, "wall_ns", n),
        },
    )
    bench.compare(
        "clock",
        "read from Python",
        n,
        {
            "fastcore": calls("ticks()", n, ticks=clock.ticks),
            "fastcore monotonic_ns": calls("f()", n, f=clock.monotonic_ns),
            "python perf_counter_ns": calls("f()", n, f=time.perf_counter_ns),
            "empty call": calls("f()", n, f=_bench.Empty().none),
        },
    )


if __name__ == "__main__":
    main(run)
