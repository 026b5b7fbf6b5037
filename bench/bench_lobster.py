"""The LOBSTER window: rows of an orderbook file compared with what the messages make of the row before.

A day has some hundred thousand rows of 5 or 10 levels; ``hft verify`` compares them all. The rows here are those of a synthetic
book of 5 levels, all of which must match.
"""

import numpy as np

from fastcore.wire.lobster import LobsterWindow

from .harness import Bench, main

LEVELS = 5


def make(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return messages and rows of a book whose levels grow, shrink, go and come back."""
    random = np.random.default_rng(3)
    prices = {1: 1_000_000 - 100 * np.arange(1, LEVELS + 1), -1: 1_000_000 + 100 * np.arange(1, LEVELS + 1)}
    sizes = {1: np.full(LEVELS, 500), -1: np.full(LEVELS, 500)}
    messages, rows = np.empty((n, 4), np.int64), np.empty((n, LEVELS, 4), np.int64)
    for i in range(n):
        side, k, size = 1 - 2 * int(random.integers(2)), int(random.integers(LEVELS)), 100
        # Every level exists all the time: only what would not empty it is taken off.
        kind = 1 if i == 0 or sizes[side][k] <= size or random.random() < 0.5 else int(random.integers(2, 5))
        messages[i] = kind, size, prices[side][k], side
        sizes[side][k] += size if kind == 1 else -size
        rows[i] = np.stack([prices[-1], sizes[-1], prices[1], sizes[1]], axis=1)
    return messages, rows.reshape(n, 4 * LEVELS)


def run(bench: Bench) -> None:
    n = 5_000 if bench.quick else 50_000
    messages, rows = make(n)
    columns = [np.ascontiguousarray(c) for c in messages.T]

    def ours() -> int:
        return LobsterWindow(LEVELS).apply(*columns, rows)

    def check(impl: str, result: int) -> None:
        assert result == n, (impl, result)

    bench.compare("lobster", f"rows of {LEVELS} levels", n, {"fastcore": ours}, check)


if __name__ == "__main__":
    main(run)
