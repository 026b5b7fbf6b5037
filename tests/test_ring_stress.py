"""Rings under load: threads and processes, records in order, no torn reads, and every legal outcome of a race.

The default is a reduced run; ``FASTCORE_STRESS=1`` sends 10^8 records through each ring.
"""

import os
import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest

from fastcore import _bench
from fastcore.broadcast import BroadcastRing
from fastcore.errors import OverrunError, RingError
from fastcore.records import EVENT_DTYPE
from fastcore.replaced import LockFreeRingBuffer
from fastcore.ring import RingBuffer

FULL = os.environ.get("FASTCORE_STRESS") == "1"
# ThreadSanitizer costs a factor of ten to twenty.
COUNT = 100_000_000 if FULL else int(os.environ.get("FASTCORE_STRESS_COUNT", "2000000"))
SMALL_COUNT = min(COUNT, 1_000_000) // 5
# A ring of two hands every record over singly; with fewer free cores than threads that is a switch each.
TINY_COUNT = SMALL_COUNT // 20

pytestmark = pytest.mark.threads


def both(*functions):
    """Run all in threads, at once; an error in one fails the test."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if errors:
        raise errors[0]


def consume(consumer, batch, results):
    """A function that reads all with one consumer."""
    return lambda: results.append(_bench.broadcast_consume(consumer, batch))


@pytest.mark.parametrize("capacity", [2, 4096])
@pytest.mark.parametrize("batch", [1, 64])
def test_records_stay_in_order_between_threads(capacity, batch):
    count = COUNT if capacity == 4096 else TINY_COUNT
    ring = RingBuffer(capacity)
    result = []
    both(
        lambda: _bench.ring_produce(ring, count, batch),
        lambda: result.append(_bench.ring_consume(ring, count, batch)[1]),
    )
    assert result == [0]
    assert (ring.published, ring.consumed, len(ring)) == (count, count, 0)


@pytest.mark.parametrize("batch", [1, 64])
def test_records_stay_in_order_between_processes(batch):
    name = f"fc-test-{uuid.uuid4().hex[:12]}"
    code = (
        "import sys; from fastcore import _bench, ring\n"
        "r = ring.RingBuffer.attach(sys.argv[1], role='producer')\n"
        "_bench.ring_produce(r, int(sys.argv[2]), int(sys.argv[3]))"
    )
    with (
        RingBuffer(4096, name=name, role="consumer") as ring,
        subprocess.Popen([sys.executable, "-c", code, name, str(COUNT), str(batch)]) as process,
    ):
        assert int(ring.peek(1, timeout=60)["price"][0]) == 0  # a child that cannot start ends the wait
        assert _bench.ring_consume(ring, COUNT, batch)[1] == 0
        assert process.wait() == 0


@pytest.mark.parametrize("wait", ["spin", "yield", "sleep"])
def test_python_batches_stay_in_order_between_threads(wait):
    count = SMALL_COUNT
    ring = RingBuffer(1024, wait=wait)
    received = []

    def produce():
        rows = np.zeros(600, EVENT_DTYPE)
        sent = 0
        while sent < count:
            n = min(len(rows), count - sent)
            rows["price"] = np.arange(sent, sent + len(rows))
            assert ring.push_batch(rows[:n], timeout=60) == n
            sent += n
        ring.close()

    def consume():
        out = np.zeros(700, EVENT_DTYPE)
        total = 0
        try:
            while True:
                n = ring.pop_batch(out, timeout=60)
                assert (out["price"][:n] == np.arange(total, total + n)).all()
                assert (out["seq"][:n] == np.arange(total + 1, total + n + 1, dtype=np.uint64)).all()
                total += n
        except RingError:
            received.append(total)

    both(produce, consume)
    assert received == [count]


def test_views_stay_in_order_between_threads():
    count = SMALL_COUNT
    ring = RingBuffer(256)
    received = []

    def produce():
        sent = 0
        while sent < count:
            view = ring.claim(min(100, count - sent), timeout=60)
            view["price"] = np.arange(sent, sent + len(view))
            sent += len(view)
            ring.commit()
        ring.close()

    def consume():
        total = 0
        try:
            while True:
                view = ring.peek(100, timeout=60)
                assert (view["price"] == np.arange(total, total + len(view))).all()
                total += len(view)
                ring.release()
        except RingError:
            received.append(total)

    both(produce, consume)
    assert received == [count]


@pytest.mark.parametrize("capacity", [2, 1024])
def test_every_consumer_sees_every_record(capacity):
    count = COUNT // 2 if capacity > 2 else TINY_COUNT
    ring = BroadcastRing(capacity, consumers=3)
    consumers = [ring.consumer() for _ in range(3)]
    results = []

    def produce():
        assert _bench.broadcast_produce(ring, count, 16) == count
        ring.close()

    both(produce, *(consume(c, b, results) for c, b in zip(consumers, (1, 16, 64), strict=True)))
    assert [r[:4] for r in results] == [(count, 0, 0, 0)] * 3
    assert [c.consumed for c in consumers] == [count] * 3


@pytest.mark.parametrize("capacity", [2, 64, 1024])
def test_overrun_reads_are_never_torn_and_losses_are_counted(capacity):
    count = COUNT // 2
    ring = BroadcastRing(capacity, overrun=True)
    consumers = [ring.consumer() for _ in range(2)]
    results = []

    def produce():
        assert _bench.broadcast_produce(ring, count, 8) == count
        ring.close()

    both(produce, *(consume(c, b, results) for c, b in zip(consumers, (1, 64), strict=True)))
    for read, bad, overruns, lost, _ in results:
        assert bad == 0
        assert read + lost == count
        assert (overruns > 0) == (lost > 0)


def test_consumers_that_join_and_leave_see_unbroken_runs():
    # Legal: a run of consecutive numbers from anywhere. Illegal: a gap, a repeat, a standstill.
    ring = BroadcastRing(16, consumers=4)
    steady = ring.consumer()
    stop = threading.Event()
    runs = []

    def produce():
        while not stop.is_set():
            _bench.broadcast_produce(ring, 1000, 4)
        ring.close()

    def visit(start):
        out = np.zeros(8, EVENT_DTYPE)
        for _ in range(150):
            with ring.consumer(start) as c:
                seen = []
                while len(seen) < 20:
                    seen += out["seq"][: c.pop_batch(out, timeout=60)].tolist()
                runs.append(seen)

    def visits():
        try:
            both(lambda: visit("oldest"), lambda: visit("latest"))
        finally:
            stop.set()

    both(produce, visits, lambda: runs.append(_bench.broadcast_consume(steady, 8)))
    whole = [r for r in runs if isinstance(r, tuple)]
    assert whole[0][:4] == (ring.published, 0, 0, 0)
    for run in runs:
        if isinstance(run, list):
            assert run == list(range(run[0], run[0] + len(run)))


def test_close_races_with_push_and_loses_nothing():
    # Legal: the close comes after any push. Illegal: a push that returned True and is not read, or the other way round.
    outcomes = set()
    for _ in range(300):
        ring = RingBuffer(8)
        row = bytes(64)
        accepted = []

        def produce(ring=ring, row=row, accepted=accepted):
            try:
                for _ in range(4):
                    accepted.append(ring.try_push(row))
            except RingError:
                pass

        both(produce, ring.close)
        read = 0
        try:
            while ring.try_pop() is not None:
                read += 1
        except RingError:
            pass
        assert read == sum(accepted)
        outcomes.add(read)
    assert outcomes <= set(range(5))


def test_consumer_may_close_while_the_producer_waits():
    ring = RingBuffer(2)
    ring.push_batch(np.zeros(2, EVENT_DTYPE))
    result = []

    def produce():
        try:
            ring.push(bytes(64), timeout=60)
        except RingError as error:
            result.append(str(error))

    both(produce, ring.close)
    assert result == ["the ring is closed: published=2"]


def test_float_ring_between_threads():
    count = 100_000
    ring = LockFreeRingBuffer(1024)
    received = []

    def produce():
        for i in range(count):
            while not ring.push(i):
                os.sched_yield() if hasattr(os, "sched_yield") else None

    def consume():
        while len(received) < count:
            value = ring.pop()
            if value is not None:
                received.append(value)

    both(produce, consume)
    assert received == list(map(float, range(count)))


def test_overrun_in_python_threads_accounts_for_every_record():
    ring = BroadcastRing(128, overrun=True)
    consumer = ring.consumer()
    count = SMALL_COUNT
    totals = {"read": 0, "lost": 0}

    def produce():
        rows = np.zeros(1000, EVENT_DTYPE)
        for start in range(0, count, 1000):
            rows["price"] = np.arange(start, start + 1000)
            ring.push_batch(rows)
        ring.close()

    def consume():
        out = np.zeros(64, EVENT_DTYPE)
        last = 0
        while True:
            try:
                n = consumer.pop_batch(out, timeout=60)
            except OverrunError as error:
                totals["lost"] += error.lost
                continue
            except RingError:
                return
            assert (out["seq"][:n] == out["price"][:n].astype(np.uint64) + np.uint64(1)).all()
            assert int(out["seq"][0]) > last
            last = int(out["seq"][n - 1])
            totals["read"] += n

    both(produce, consume)
    assert totals["read"] + totals["lost"] == count
    assert (consumer.consumed, consumer.lost) == (totals["read"], totals["lost"])
