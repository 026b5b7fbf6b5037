"""Symbol lookups and last prices: every message of a feed passes here once.

The wire key of a message becomes a dense id in a compiled loop; from Python, a ``dict`` is the limit for ``str``, an empty
compiled method for `update_price`, and batches are what Python should use.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.symbols import SymbolMapper

from .harness import Bench, calls, main

COUNT = 10_000


def names(count: int, seed: int = 1) -> list[str]:
    """Distinct symbols of one to eight letters, most of three and four, as on a stock exchange."""
    rng = random.Random(seed)
    found: set[str] = set()
    while len(found) < count:
        found.add("".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.choice((1, 2, 3, 3, 4, 4, 4, 5, 8)))))
    return sorted(found)


def over(expression: str, symbols: list[Any], **scope: Any) -> Callable[[], None]:
    """Evaluate `expression` once for every symbol `s`, twenty at a time, so that the loop costs next to nothing."""
    slots = [f"s{i}" for i in range(20)]
    body = "\n        ".join(expression.replace("(s)", f"({s})").replace("[s]", f"[{s}]") for s in slots)
    arguments = "".join(f"{name}={name}, " for name in scope)
    code = f"def run({arguments}chunks=chunks):\n    for {', '.join(slots)} in chunks:\n        {body}\n"
    full: dict[str, Any] = {**scope, "chunks": [tuple(symbols[i : i + 20]) for i in range(0, len(symbols), 20)]}
    exec(code, full)
    run: Callable[[], None] = full["run"]
    return run


class PythonMapper:
    """The design that this one replaces: a dictionary and three arrays."""

    def __init__(self, symbols: list[str]) -> None:
        self.ids = {symbol: i for i, symbol in enumerate(symbols)}
        self.prices = np.zeros(len(symbols))
        self.timestamps = np.zeros(len(symbols), np.int64)

    def get_id(self, symbol: str) -> int:
        return self.ids.get(symbol, -1)

    def update_price(self, symbol_id: int, price: float, timestamp: int) -> None:
        self.prices[symbol_id] = price
        self.timestamps[symbol_id] = timestamp


def run(bench: Bench) -> None:
    symbols = names(COUNT)
    order = list(symbols)
    random.Random(2).shuffle(order)
    mapper, old = SymbolMapper(symbols), PythonMapper(symbols)
    expected = np.array([old.ids[s] for s in order], np.uint32)
    wire = b"".join(s.encode().ljust(8) for s in order)
    keys = np.frombuffer(wire, np.uint64)
    by_key = {int(key): int(i) for key, i in zip(keys, expected, strict=True)}
    by_bytes = {s.encode().ljust(8): old.ids[s] for s in symbols}
    raw = [s.encode().ljust(8) for s in order]
    total = int(expected.sum())
    sorter = np.argsort(keys)
    ordered, ordered_ids = keys[sorter], expected[sorter]

    def check_total(impl: str, result: Any) -> None:
        if result is not None:
            assert int(result) == total, impl

    cases: dict[str, Any] = {
        "fastcore": lambda: _bench.find_keys(mapper, keys),
        "c direct index": lambda: _bench.floor_index(np.arange(COUNT, dtype=np.uint32), expected),
        "numpy searchsorted": lambda: int(ordered_ids[np.searchsorted(ordered, keys)].sum()),
        "python dict of bytes": over("d[s]", raw, d=by_bytes),
    }
    numba = bench.optional("numba")
    if numba is not None:
        table = numba.typed.Dict.empty(numba.types.uint64, numba.types.int64)
        for key, value in by_key.items():
            table[np.uint64(key)] = value

        @numba.njit
        def numba_find(table: Any, keys: Any) -> int:
            result = 0
            for key in keys:
                result += table[key]
            return result

        cases["numba typed dict"] = lambda: numba_find(table, keys)
    bench.compare("symbols", "wire key -> id, 10,000 symbols", COUNT, cases, check_total)

    hot = np.frombuffer(b"".join(s.encode().ljust(8) for s in random.Random(3).choices(order[:100], k=COUNT)), np.uint64)
    bench.compare("symbols", "wire key -> id, 100 hot symbols", COUNT, {"fastcore": lambda: _bench.find_keys(mapper, hot)})

    bench.compare(
        "symbols",
        "str -> id from Python, 10,000 symbols",
        COUNT,
        {
            "fastcore": over("m[s]", order, m=mapper),
            "python dict": over("d[s]", order, d=old.ids),
            "fastcore get_id": over("m.get_id(s)", order, m=mapper),
            "python method": over("m.get_id(s)", order, m=old),
        },
    )
    assert [mapper.get_id(s) for s in order] == expected.tolist()
    bench.compare(
        "symbols",
        "8 wire bytes -> id from Python",
        COUNT,
        {"fastcore": over("m.get_id(s)", raw, m=mapper), "python dict": over("d[s]", raw, d=by_bytes)},
    )

    stocks = np.array(order, "S8")

    def check_ids(impl: str, result: Any) -> None:
        assert np.array_equal(result, expected), impl

    bench.compare(
        "symbols",
        "ids of an array of 10,000 names",
        COUNT,
        {
            "fastcore": lambda: mapper.ids_of(stocks),
            "fastcore wire bytes": lambda: mapper.ids_of(wire),
            "numpy searchsorted": lambda: ordered_ids[np.searchsorted(ordered, keys)],
            "python dict": lambda: np.array([old.ids[s] for s in order], np.uint32),
        },
        check_ids,
    )

    scope = {"i": 77, "p": 100.25, "t": 1_700_000_000_000_000_000}
    bench.compare(
        "symbols",
        "update_price from Python",
        10_000,
        {
            "fastcore": calls("m.update_price(i, p, t)", m=mapper, **scope),
            "empty call": calls("e.int_float_int(i, p, t)", e=_bench.Empty(), **scope),
            "python": calls("m.update_price(i, p, t)", m=old, **scope),
        },
    )
    assert mapper.prices[77] == old.prices[77] == 100.25

    prices, volumes = np.linspace(1, 2, COUNT), np.ones(COUNT)
    times = np.arange(COUNT)
    target = np.zeros((2, COUNT)), np.zeros(COUNT, np.int64)

    def numpy_update() -> None:
        if not ((prices > 0) & (prices < np.inf) & (volumes >= 0) & (volumes < np.inf) & (times >= 0)).all():
            raise ValueError("bad row")
        target[0][0][expected] = prices
        target[0][1][expected] = volumes
        target[1][expected] = times

    bench.compare(
        "symbols",
        "update_prices of 10,000 rows",
        COUNT,
        {"fastcore": lambda: mapper.update_prices(expected, prices, volumes, times), "numpy": numpy_update},
    )
    assert np.array_equal(mapper.prices, target[0][0])


if __name__ == "__main__":
    main(run)
