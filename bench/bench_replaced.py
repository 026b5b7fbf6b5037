"""The replaced engine: the figures that it claims, its design measured on this machine, and the same work done by ours.

``replaced.py`` holds that design. Each row of its two tables (``replaced.CLAIMS``) is a pair of implementations,
``replaced`` and ``fastcore``, timed in alternating rounds with their answers compared; calls of both have the same names and
arguments wherever ours keeps them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastcore.records import TICK_DTYPE
from fastcore.replaced import LatencyMonitor, LockFreeRingBuffer, MemoryMappedDataStore, fast_zscore_calculation
from fastcore.symbols import SymbolMapper
from fastcore.tickstore import TickStore
from fastcore.zscore import RollingZScore, rolling_zscore
from hft import AvellanedaMarketMaker, HFTEngine, Ticker

from . import replaced
from .harness import Bench, calls, main

GROUP = replaced.GROUP
SYMBOLS = [f"SYM{i:03d}" for i in range(100)]


def equal(expected: Any, tolerance: float = 0.0) -> Any:
    """Return a check that every implementation gives `expected`, and the largest difference where one is allowed."""

    def check(impl: str, result: Any) -> float | None:
        if tolerance == 0:
            if result != expected:
                raise AssertionError(f"answers must be equal: {impl}={result}, expected={expected}")
            return None
        error = float(np.max(np.abs(np.asarray(result) - expected)))
        if not error <= tolerance:
            raise AssertionError(f"answers must agree within {tolerance}: {impl} differs by {error}")
        return error

    return check


def structures(bench: Bench, place: Path) -> None:
    n = 2_000 if bench.quick else 20_000
    theirs, ours = replaced.SymbolMapper(SYMBOLS), SymbolMapper(SYMBOLS)
    assert [ours.get_id(s) for s in SYMBOLS] == [theirs.get_id(s) for s in SYMBOLS]
    symbol = "".join(["SYM", "042"])  # not the object that the mapper holds
    bench.compare(
        GROUP,
        "symbol to id",
        n,
        {"replaced": calls("f(s)", n, f=theirs.get_id, s=symbol), "fastcore": calls("f(s)", n, f=ours.get_id, s=symbol)},
    )
    for mapper in (theirs, ours):
        mapper.update_price(42, 101.5, 7)
    assert theirs.prices[42] == ours.prices[42] == 101.5
    bench.compare(
        GROUP,
        "last price by id",
        n,
        {"replaced": calls("a[42]", n, a=theirs.prices), "fastcore": calls("a[42]", n, a=ours.prices)},
    )
    bench.compare(
        GROUP,
        "update a price",
        n,
        {
            "replaced": calls("f(42, 101.5, 7)", n, f=theirs.update_price),
            "fastcore": calls("f(42, 101.5, 7)", n, f=ours.update_price),
        },
    )

    a, b = replaced.LockFreeRingBuffer(8192), LockFreeRingBuffer(8192)
    assert (a.push(1.5), a.pop(), a.pop()) == (b.push(1.5), b.pop(), b.pop())
    bench.compare(
        GROUP,
        "ring: push and pop",
        n,
        {
            "replaced": calls("push(1.5); pop()", n, push=a.push, pop=a.pop),
            "fastcore": calls("push(1.5); pop()", n, push=b.push, pop=b.pop),
        },
    )
    old, new = replaced.LatencyMonitor(), LatencyMonitor()
    bench.compare(
        GROUP,
        "record a latency",
        n,
        {
            "replaced": calls("f(1_000, 43_000)", n, f=old.record_latency),
            "fastcore": calls("f(1_000, 43_000)", n, f=new.record_latency),
        },
    )

    # Appending: each round appends to a store that is large enough for all rounds, already mapped, as in a session.
    records = 210 * n
    old_store = replaced.MemoryMappedDataStore(place / "old", records)
    new_store = MemoryMappedDataStore(str(place / "new"), records)
    tick = (1_700_000_000_000_000_000, 42, 101.5, 300.0)
    assert old_store.write_tick(*tick)
    assert new_store.write_tick(*tick)
    assert tuple(old_store.read_tick(0) or ()) == tuple(new_store.read_tick(0) or ()) == tick
    write = "f(1_700_000_000_000_000_000, 42, 101.5, 300.0)"
    bench.compare(
        GROUP,
        "store: write one tick",
        n,
        {"replaced": calls(write, n, f=old_store.write_tick), "fastcore": calls(write, n, f=new_store.write_tick)},
    )
    bench.compare(
        GROUP,
        "store: read one tick",
        n,
        {"replaced": calls("f(77)", n, f=old_store.read_tick), "fastcore": calls("f(77)", n, f=new_store.read_tick)},
    )
    assert old_store.read_tick(77) == new_store.read_tick(77) == tick
    old_store.close()
    new_store.close()


def kernels(bench: Bench) -> None:
    n = 10_000
    x = 100 + np.cumsum(np.random.default_rng(20).normal(size=n + 1)) * 0.01
    window, values = x[:n].copy(), x[:n].tolist()
    expected = replaced.zscore_python(values)
    impls: dict[str, Any] = {
        "replaced python": lambda: replaced.zscore_python(values),
        "replaced numpy": lambda: replaced.zscore_numpy(window),
        "fastcore": lambda: rolling_zscore(window, n)[-1],
    }
    numba = bench.optional("numba")
    if numba:
        compiled = numba.njit(replaced.zscore_loop)
        impls["replaced numba"] = lambda: compiled(window)
    # One call is one item here: the claim is for the 10,000 points together.
    bench.compare(GROUP, "z-score over 10,000 points", 1, impls, equal(expected, 1e-9))

    # What a live strategy asks for: one more point has arrived, what is the z-score of the newest window?
    stream = RollingZScore(n)
    for value in x:
        last = stream.update(value)
    moved = x[1:].copy()
    assert last is not None
    assert abs(last - replaced.zscore_numpy(moved)) < 1e-9
    m = 1_000
    bench.compare(
        GROUP,
        "z-score, one more point",
        1,
        {
            "replaced numpy": lambda: replaced.zscore_numpy(moved),
            "fastcore": (calls("f(v)", m, f=stream.update, v=float(x[-1])), m),
        },
    )

    lookback, length = 100, 2_000 if bench.quick else 10_000
    p1 = 100 + np.cumsum(np.random.default_rng(21).normal(size=length)) * 0.01
    p2 = 50 + np.cumsum(np.random.default_rng(22).normal(size=length)) * 0.01
    rolling: dict[str, Any] = {"fastcore": lambda: fast_zscore_calculation(p1, p2, lookback)}
    if numba:
        naive = numba.njit(replaced.rolling_zscore_loop)
        rolling["replaced numba"] = lambda: naive(p1, p2, lookback)
    else:
        rolling["replaced"] = lambda: replaced.rolling_zscore_loop(p1, p2, lookback)
    truth = replaced.rolling_zscore_loop(p1, p2, lookback)
    bench.compare(GROUP, "fast_zscore_calculation, per point", length - lookback + 1, rolling, equal(truth, 1e-8))


def ticks(count: int) -> list[replaced.Tick]:
    """A seeded stream of ticks of 100 symbols."""
    rng = np.random.default_rng(23)
    ids = rng.integers(0, len(SYMBOLS), count)
    prices = 100 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=count)))
    return [(1_700_000_000_000_000_000 + 1000 * i, int(ids[i]), float(prices[i]), 100.0) for i in range(count)]


def system(bench: Bench, place: Path) -> None:
    size = replaced.BATCH
    count = size * (20 if bench.quick else 100)
    stream = ticks(count)
    batches = [stream[i : i + size] for i in range(0, count, size)]
    rounds = 220  # stores hold every round: warm-up, and up to 200 measured

    theirs = replaced.HFTEngine(SYMBOLS, place / "old-system", 3 * count * rounds)
    ours, few = HFTEngine(SYMBOLS), HFTEngine(SYMBOLS[:5])
    store = TickStore(place / "new-system", "a", segment_records=2 * count * rounds)

    async def ours_run() -> int:
        # The work of theirs: prices, signals, pools, latencies, and every tick in the store.
        done = 0
        for batch in batches:
            rows = np.array(batch, TICK_DTYPE)
            await ours.process_market_data(rows)
            done += store.append_many(rows)
        return done

    loop = asyncio.new_event_loop()
    try:
        # Signals begin after the window of returns is full; both are measured from then on.
        for _ in range(2 + theirs.signals.WINDOW // len(batches)):
            loop.run_until_complete(theirs.run(batches, 0))
            loop.run_until_complete(ours_run())
        bench.compare(
            GROUP,
            "message, as the engine runs",
            count,
            {
                "replaced": lambda: loop.run_until_complete(theirs.run(batches)),
                # Nothing of ours sleeps between batches, so that this is its throughput as it runs.
                "fastcore": lambda: loop.run_until_complete(ours_run()),
            },
            equal(count),
        )
        bench.compare(
            GROUP,
            "message, processing alone",
            count,
            {
                "replaced": lambda: loop.run_until_complete(theirs.run(batches, 0)),
                "fastcore": lambda: loop.run_until_complete(ours_run()),
            },
            equal(count),
        )
        one = [[tick] for tick in stream[: count // 5]]  # each batch a single tick, as a list: no store, no pacing

        five = [[(t, i % 5, price, volume)] for [(t, i, price, volume)] in one]

        async def alone(engine: Any, batches: list[list[replaced.Tick]]) -> int:
            for batch in batches:
                await engine.process_market_data(batch)
            return len(batches)

        bench.compare(
            GROUP,
            "batch of one tick",
            len(one),
            {
                "replaced": lambda: loop.run_until_complete(alone(theirs, one)),
                "fastcore": lambda: loop.run_until_complete(alone(ours, one)),
                "fastcore, 5 symbols": lambda: loop.run_until_complete(alone(few, five)),
            },
            equal(len(one)),
        )
        assert store.records(0, count).tolist() == stream
        assert [theirs.store.read_tick(i) for i in range(count)] == stream
        assert np.array_equal(theirs.mapper.prices, ours.symbol_mapper.prices[: len(SYMBOLS)])
    finally:
        loop.close()
        store.close()
        theirs.store.close()


def quoting(bench: Bench) -> None:
    n = 200 if bench.quick else 2_000
    makers = {"replaced": replaced.AvellanedaMarketMaker(), "fastcore": AvellanedaMarketMaker()}
    # The mid moves by 0.4% from quote to quote, so that each call makes new quotes: five levels a side.
    tickers = {
        "replaced": [replaced.Ticker(mid, mid - 5, mid + 5) for mid in (50_000.0, 50_200.0)],
        "fastcore": [Ticker(mid, mid - 5, mid + 5) for mid in (50_000.0, 50_200.0)],
    }
    for impl, maker in makers.items():
        assert maker.set_tick_size(1.0)
        maker.set_instrument("BTC-PERPETUAL")
        for i in range(100):
            maker.update_market_data(50_000.0 + i % 7, 1.0, True)
        for ticker in tickers[impl] * 2:
            bids, asks = maker.generate_quotes(ticker, {})
            levels = [q.price for q in bids[::-1]] + [q.price for q in asks]
            assert len(bids) == len(asks) == 5, impl
            assert levels == sorted(levels), (impl, levels)
    update, quote = "update(50_000.0, 1.0, True)", "quote(t, {})"
    again = quote.replace("t,", "u,")
    for name, expression in (
        ("market data", f"{update}; {update}"),
        ("quotes", f"{quote}; {again}"),
        ("quote cycle", f"{update}; {quote}; {update}; {again}"),
    ):
        impls = {}
        for impl, maker in makers.items():
            t, u = tickers[impl]
            impls[impl] = calls(expression, n, update=maker.update_market_data, quote=maker.generate_quotes, t=t, u=u)
        bench.compare(GROUP, name, 2 * n, impls)
    fill = "f('1', 50_000.0, 0.1, True); f('2', 50_001.0, 0.1, False)"
    bench.compare(GROUP, "fill", 2 * n, {impl: calls(fill, n, f=maker.on_order_filled) for impl, maker in makers.items()})


MEMORY = """
import sys, tempfile, pathlib
import numpy, asyncio
def used():
    with open("/proc/self/statm") as file:
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * 4096  # without the pages of mapped files
before = used()
place = pathlib.Path(sys.argv[2])
symbols = ["SYM%03d" % i for i in range(100)]
if sys.argv[1] == "replaced":
    from importlib.util import spec_from_file_location, module_from_spec
    spec = spec_from_file_location("replaced", sys.argv[3])
    module = module_from_spec(spec)
    sys.modules["replaced"] = module
    spec.loader.exec_module(module)
    engine = module.HFTEngine(symbols, place / "a")
else:
    from hft import HFTEngine
    from fastcore.replaced import MemoryMappedDataStore
    engine = HFTEngine(symbols)
    store = MemoryMappedDataStore(str(place / "b"))
asyncio.run(engine.process_market_data([(i, i % 100, 100.0 + i, 1.0) for i in range(10_000)]))
print(used() - before)
"""


def memory(bench: Bench, place: Path) -> None:
    if not sys.platform.startswith("linux"):
        return
    import hft

    root = str(Path(hft.__file__).parent.parent)
    for impl in ("replaced", "fastcore"):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{MEMORY}", impl, str(place), replaced.__file__],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        bench.fact(GROUP, "memory", impl, int(done.stdout), "bytes")


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        structures(bench, place)
        kernels(bench)
        system(bench, place)
        quoting(bench)
        memory(bench, place)


if __name__ == "__main__":
    main(run)
