"""Broadcast rings: 64-byte records between two threads in compiled loops, with back-pressure and with overrun.

Hot where one feed serves several strategies. The consumer checks the order of what it reads and accounts for what it lost.
"""

from __future__ import annotations

import statistics
import threading
import time

from fastcore import _bench
from fastcore.broadcast import BroadcastRing

from .harness import Bench, main


def run(bench: Bench) -> None:
    """Add the rows of the broadcast rings."""
    count = 100_000 if bench.quick else 1_000_000
    for overrun, name in ((False, "broadcast, one consumer, batches of 64"), (True, "overrun, one consumer, batches of 64")):
        times: list[float] = []
        for _ in range(3 if bench.quick else 9):
            ring = BroadcastRing(4096, overrun=overrun)
            consumer = ring.consumer()

            def produce(ring: BroadcastRing = ring, times: list[float] = times) -> None:
                start = time.perf_counter_ns()
                _bench.broadcast_produce(ring, count, 64)
                times.append(time.perf_counter_ns() - start)
                ring.close()

            producer = threading.Thread(target=produce)
            producer.start()
            read, bad, _, lost, _ = _bench.broadcast_consume(consumer, 64)
            producer.join()
            if bad or read + lost != count:
                raise AssertionError(f"records must arrive in order or be counted as lost: wrong={bad} read={read} lost={lost}")
        bench.add("broadcast", name, "fastcore", min(times) / count, statistics.median(times) / count, count)


if __name__ == "__main__":
    main(run)
