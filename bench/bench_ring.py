"""Rings: 64-byte records between two threads and two processes, Python batch calls, single floats, round trips.

Hot because every event passes a ring between the feed and the engine. Rows of the compiled loops measure the time from the
first record seen to the last; both loops check the order of what they move. The floor ``c`` is the same algorithm in plain
C with POSIX threads (``_c/fc_bench_ring.h``). ``multiprocessing.Queue`` and ``Pipe`` carry the same 64 bytes per record, one or
64 records a message.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.records import EVENT_DTYPE
from fastcore.reference import replaced as replaced_twin
from fastcore.reference import ring as twin
from fastcore.replaced import LockFreeRingBuffer
from fastcore.ring import RingBuffer

from .harness import Bench, calls, main

CAPACITY = 4096
RECORD = bytes(64)
_CORES = os.sched_getaffinity(0) if sys.platform == "linux" else set[int]()


def _add(bench: Bench, name: str, impl: str, items: int, times: list[float], max_error: float | None = None) -> None:
    """Add a row from total ns per run."""
    bench.add("ring", name, impl, min(times) / items, statistics.median(times) / items, items, max_error)


def _threads(*functions: Callable[[], Any]) -> float:
    """Run all at once; ns until the last is done."""
    threads = [threading.Thread(target=f) for f in functions]
    start = time.perf_counter_ns()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.perf_counter_ns() - start


def _verify(errors: int) -> None:
    if errors:
        raise AssertionError(f"records must arrive once and in order: errors={errors}")


def _ours(count: int, batch: int) -> float:
    """Two Python threads run the compiled loops; ns."""
    ring = RingBuffer(CAPACITY)
    producer = threading.Thread(target=_bench.ring_produce, args=(ring, count, batch))
    producer.start()
    elapsed, errors = _bench.ring_consume(ring, count, batch)
    producer.join()
    _verify(errors)
    return elapsed


def _queue(make: Callable[[], Any], put: str, get: str, count: int, batch: int) -> float:
    """Two Python threads, one object a record (or a list of `batch`); ns."""
    q = make()
    putter, getter = getattr(q, put), getattr(q, get)
    item: Any = RECORD if batch == 1 else [RECORD] * batch

    def produce() -> None:
        for _ in range(count // batch):
            putter(item)

    def consume() -> None:
        got = 0
        while got < count // batch:
            try:
                getter()
                got += 1
            except IndexError:  # an empty deque
                time.sleep(0)

    return _threads(produce, consume)


def _between_threads(bench: Bench) -> None:
    count = 200_000 if bench.quick else 2_000_000
    slow = 5_000 if bench.quick else 40_000
    rounds = 3 if bench.quick else 15
    peers = {
        "queue.Queue": (queue.Queue, "put", "get"),
        "queue.SimpleQueue": (queue.SimpleQueue, "put", "get"),
        "collections.deque": (deque, "append", "popleft"),
    }
    for batch, name in ((1, "two threads, one by one"), (64, "two threads, batches of 64")):
        ours: list[float] = []
        floor: list[float] = []
        for _ in range(rounds):
            ours.append(_ours(count, batch))
            measured = _bench.ring_c(count, batch)
            if measured is not None:
                _verify(measured[1])
                floor.append(measured[0])
        _add(bench, name, "fastcore", count, ours)
        if floor:
            _add(bench, name, "c", count, floor)
        for impl, (make, put, get) in peers.items():
            _add(bench, name, impl, slow, [_queue(make, put, get, slow, 1) for _ in range(3)])
            if batch > 1:
                lists = slow * 4 // batch * batch
                _add(bench, name, f"{impl} of lists", lists, [_queue(make, put, get, lists, batch) for _ in range(3)])


def _python_batches(bench: Bench) -> None:
    """push_batch and pop_batch as Python sees them: in one thread (the cost of the calls), then in two."""
    rounds = 200 if bench.quick else 2000
    for batch in (64, 1024):
        ring, python = RingBuffer(1024), twin.RingBuffer(1024)
        rows, out = np.zeros(batch, EVENT_DTYPE), np.zeros(batch, EVENT_DTYPE)
        items = [RECORD] * batch
        simple: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        full: queue.Queue[bytes] = queue.Queue()
        many: deque[bytes] = deque()

        def one_by_one(put: Callable[[bytes], Any], get: Callable[[], bytes], items: list[bytes] = items) -> Callable[[], int]:
            def run() -> int:
                for item in items:
                    put(item)
                return sum(1 for _ in items if get())

            return run

        def pair(r: Any, rows: Any = rows, out: Any = out) -> Callable[[], int]:
            def run() -> int:
                r.push_batch(rows)
                return int(r.pop_batch(out))

            return run

        def check(impl: str, result: int, batch: int = batch) -> None:
            if result != batch:
                raise AssertionError(f"every record must come back: impl={impl}, result={result}, batch={batch}")

        bench.compare(
            "ring",
            f"push_batch + pop_batch of {batch}, one thread",
            batch,
            {
                "fastcore": pair(ring),
                "python": pair(python),
                "queue.Queue": one_by_one(full.put, full.get),
                "queue.SimpleQueue": one_by_one(simple.put, simple.get),
                "collections.deque": one_by_one(many.append, many.popleft),
            },
            check,
        )

        def two_threads(batch: int = batch, rounds: int = rounds) -> float:
            ring = RingBuffer(4 * batch)
            rows, out = np.zeros(batch, EVENT_DTYPE), np.zeros(batch, EVENT_DTYPE)

            def produce() -> None:
                push = ring.push_batch
                for _ in range(rounds):
                    push(rows)

            def consume() -> None:
                left = batch * rounds
                while left:
                    left -= ring.pop_batch(out)

            return _threads(produce, consume)

        _add(
            bench,
            f"push_batch, pop_batch of {batch}, two threads",
            "fastcore",
            batch * rounds,
            [two_threads() for _ in range(5)],
        )


_CHILD = (
    "import sys; from fastcore import _bench, ring\n"
    "r = ring.RingBuffer.attach(sys.argv[1], role='producer')\n"
    "_bench.ring_produce(r, int(sys.argv[2]), int(sys.argv[3]))"
)
_PYTHON_CHILD = (
    "import sys; import numpy as np; from fastcore import records, ring\n"
    "r = ring.RingBuffer.attach(sys.argv[1], role='producer')\n"
    "rows = np.zeros(int(sys.argv[3]), records.EVENT_DTYPE)\n"
    "for i in range(int(sys.argv[2]) // len(rows)): r.push_batch(rows)"
)


def _process(count: int, batch: int) -> float:
    """A child produces, we consume; ns from the first record to the last."""
    name = f"fc-bench-{uuid.uuid4().hex[:12]}"
    with (
        RingBuffer(CAPACITY, name=name, role="consumer") as ring,
        subprocess.Popen([sys.executable, "-c", _CHILD, name, str(count), str(batch)]) as child,
    ):
        ring.peek(1, timeout=60)
        elapsed, errors = _bench.ring_consume(ring, count, batch)
        _verify(errors or child.wait())
    return elapsed


def _process_python(count: int, batch: int) -> float:
    """The same through push_batch in the child and pop_batch here."""
    name = f"fc-bench-{uuid.uuid4().hex[:12]}"
    out = np.zeros(batch, EVENT_DTYPE)
    with (
        RingBuffer(CAPACITY, name=name, role="consumer") as ring,
        subprocess.Popen([sys.executable, "-c", _PYTHON_CHILD, name, str(count), str(batch)]) as child,
    ):
        ring.peek(1, timeout=60)
        left, start = count, time.perf_counter_ns()
        while left:
            left -= ring.pop_batch(out)
        elapsed = time.perf_counter_ns() - start
        _verify(child.wait() or int(out["seq"].max() != count))
    return elapsed


def _put_all(end: Any, method: str, item: bytes, count: int) -> None:
    send = getattr(end, method)
    for _ in range(count):
        send(item)


def _multiprocessing_here(kind: str, count: int, batch: int) -> float:
    """A child puts messages of `batch` records of 64 bytes; ns from the first received to the last."""
    context = multiprocessing.get_context("spawn")
    end: Any
    receive_end: Any
    if kind == "Queue":
        end = receive_end = context.Queue()
        send, receive = "put", "get"
    else:
        receive_end, end = context.Pipe(False)
        send, receive = "send_bytes", "recv_bytes"
    child = context.Process(target=_put_all, args=(end, send, RECORD * batch, count // batch), daemon=True)
    child.start()
    get = getattr(receive_end, receive)
    arrived = (lambda: not receive_end.empty()) if kind == "Queue" else (lambda: receive_end.poll(0))
    while not arrived():
        if not child.is_alive() and not arrived():
            raise RuntimeError(f"the child ended before it sent anything: exitcode={child.exitcode}")
        time.sleep(0.001)
    get()
    start = time.perf_counter_ns()
    for _ in range(count // batch - 1):
        message = get()
    elapsed = time.perf_counter_ns() - start
    child.join()
    _verify(len(message) != 64 * batch)
    return elapsed


_MULTIPROCESSING = (
    "import importlib, json, sys\n"
    "name, kind, count, batch, path = sys.argv[1:]\n"
    "sys.path[:] = json.loads(path)\n"
    "print(importlib.import_module(name)._multiprocessing_here(kind, int(count), int(batch)))"
)


def _multiprocessing(kind: str, count: int, batch: int) -> float:
    """The same in an interpreter of its own, tried again when it is stuck.

    Spawned children run the main module again, which in ours may be anything, from a script without a guard to standard
    input. They also inherit whatever the benchmarks before this one left behind.
    """
    arguments = [f"{__package__}.bench_ring", kind, str(count), str(batch), json.dumps(sys.path)]
    tries = 3
    while True:
        tries -= 1
        try:
            done = subprocess.run(
                [sys.executable, "-c", _MULTIPROCESSING, *arguments], capture_output=True, text=True, check=True, timeout=120
            )
        except subprocess.TimeoutExpired:
            if not tries:
                raise
        except subprocess.CalledProcessError as error:
            if not tries:
                raise RuntimeError(f"multiprocessing.{kind} failed: {error.stderr.strip()}") from error
        else:
            return float(done.stdout)


def _between_processes(bench: Bench) -> None:
    name = "two processes, batches of 64"
    count = 200_000 if bench.quick else 2_000_000
    slow = 6_400 if bench.quick else 64_000
    rounds = 2 if bench.quick else 7
    _add(bench, name, "fastcore", count, [_process(count, 64) for _ in range(rounds)])
    _add(bench, name, "fastcore from Python", count, [_process_python(count, 64) for _ in range(rounds)])
    for kind in ("Queue", "Pipe"):
        _add(bench, name, f"multiprocessing.{kind}", slow, [_multiprocessing(kind, slow, 1) for _ in range(2)])
        _add(bench, name, f"multiprocessing.{kind} of 64", slow * 8, [_multiprocessing(kind, slow * 8, 64) for _ in range(2)])
    _add(bench, "two processes, one by one", "fastcore", count, [_process(count, 1) for _ in range(rounds)])


def _floats(bench: Bench) -> None:
    """One value a call, against a compiled method that does nothing with the same arguments."""
    empty = _bench.Empty()
    n = 4000
    ring = LockFreeRingBuffer(8192)
    python = replaced_twin.LockFreeRingBuffer(8192)
    push, pop = calls("push(1.5)", n, push=ring.push), calls("pop()", n, pop=ring.pop)
    slow_push, slow_pop = calls("push(1.5)", n, push=python.push), calls("pop()", n, pop=python.pop)
    empty_push, empty_pop = calls("f(1.5)", n, f=empty.one_float), calls("f()", n, f=empty.none)
    times: dict[str, list[float]] = {}
    for _ in range(100 if bench.quick else 1000):
        for key, function in (
            ("push fastcore", push),
            ("pop fastcore", pop),
            ("push empty call", empty_push),
            ("pop empty call", empty_pop),
        ):
            start = time.perf_counter_ns()
            function()
            times.setdefault(key, []).append(time.perf_counter_ns() - start)
    for _ in range(20):
        for key, function in (("push python", slow_push), ("pop python", slow_pop)):
            start = time.perf_counter_ns()
            function()
            times.setdefault(key, []).append(time.perf_counter_ns() - start)
    _verify(abs(ring.published - ring.consumed) + ring.full)
    for call in ("push", "pop"):
        for impl in ("fastcore", "empty call", "python"):
            _add(bench, f"LockFreeRingBuffer.{call} from Python", impl, n, times[f"{call} {impl}"])


def _stay(core: int | None) -> None:
    """Keep the calling thread on one core of the process, or (None) let it move again; nothing where the system has no such call."""
    if sys.platform == "linux":
        allowed = sorted(_CORES)
        os.sched_setaffinity(0, allowed if core is None else [allowed[core % len(allowed)]])


def _echo(there: RingBuffer, back: RingBuffer, count: int) -> None:
    _stay(1)
    _bench.ring_echo(there, back, count)


def _round_trip(bench: Bench) -> None:
    # Two spinning Python threads that the scheduler leaves on one core would measure its time slices: 11 us a trip.
    count = 2_000 if bench.quick else 50_000
    best: dict[str, list[np.ndarray[Any, Any]]] = {"fastcore": [], "c": []}
    for _ in range(3):
        there, back = RingBuffer(64), RingBuffer(64)
        out = np.zeros(count, np.int64)
        echo = threading.Thread(target=_echo, args=(there, back, count))
        _stay(0)
        echo.start()
        _bench.ring_trip(there, back, out)
        echo.join()
        _stay(None)
        best["fastcore"].append(out)
        floor = np.zeros(count, np.int64)
        if _bench.ring_trip_c(floor):
            best["c"].append(floor)
    for quantile in (50, 99):
        for impl, runs in best.items():
            if runs:
                values = [float(np.percentile(run, quantile)) for run in runs]
                bench.add("ring", f"round trip, two threads, p{quantile}", impl, min(values), statistics.median(values), count)


_ECHO = (
    "import mmap, os, sys; import numpy as np; from fastcore import _bench, ring\n"
    "name, path, count, core = sys.argv[1:]\n"
    "if core: os.sched_setaffinity(0, [int(core)])\n"
    "if path:\n"
    "    with open(path, 'r+b') as file: words = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint64)\n"
    "    _bench.line_echo(words, int(count))\n"
    "else:\n"
    "    there = ring.RingBuffer.attach(name + '-there')\n"
    "    back = ring.RingBuffer.attach(name + '-back', role='producer')\n"
    "    _bench.ring_echo(there, back, int(count))\n"
)


def _process_trips(count: int, path: str) -> np.ndarray[Any, Any]:
    """Round trips to a child through two rings, or (with a path) through two bare cache lines of a shared file; ns each."""
    name = f"fc-bench-{uuid.uuid4().hex[:12]}"
    core = str(sorted(_CORES)[1 % len(_CORES)]) if _CORES else ""
    out = np.zeros(count + 1, np.int64)
    words = np.zeros(32, np.uint64)
    if path:
        with open(path, "r+b") as file:
            words = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint64)
    with (
        RingBuffer(64, name=f"{name}-there") as there,
        RingBuffer(64, name=f"{name}-back", role="consumer") as back,
        subprocess.Popen([sys.executable, "-c", _ECHO, name, path, str(count + 1), core]) as child,
    ):
        _stay(0)
        if path:
            _bench.line_trip(words, out)
        else:
            _bench.ring_trip(there, back, out)
        _stay(None)
        _verify(child.wait())
    return out[1:]  # the first one waits for the child to start


def _round_trip_processes(bench: Bench) -> None:
    count = 2_000 if bench.quick else 50_000
    runs: dict[str, list[np.ndarray[Any, Any]]] = {"fastcore": [], "bare cache lines": []}
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as file:
        for _ in range(3):
            file.truncate(0)
            file.truncate(mmap.PAGESIZE)
            runs["bare cache lines"].append(_process_trips(count, file.name))
            runs["fastcore"].append(_process_trips(count, ""))
    for quantile in (50, 99):
        for impl, tries in runs.items():
            values = [float(np.percentile(run, quantile)) for run in tries]
            bench.add("ring", f"round trip, two processes, p{quantile}", impl, min(values), statistics.median(values), count)


def run(bench: Bench) -> None:
    """Add the rows of the rings."""
    _floats(bench)
    _python_batches(bench)
    _between_threads(bench)
    _round_trip(bench)
    _between_processes(bench)
    _round_trip_processes(bench)


if __name__ == "__main__":
    main(run)
