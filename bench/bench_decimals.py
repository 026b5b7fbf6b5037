"""The scan of a text table for the decimals that its numbers need, which goes over a whole file before its first row is read.

The alternative is the module ``csv`` and ``fractions``, as the twin has it.
"""

import numpy as np

from fastcore.reference import decimals as twin
from fastcore.wire import decimals

from .harness import Bench, main


def run(bench: Bench) -> None:
    n = 5_000 if bench.quick else 50_000
    random = np.random.default_rng(1)
    prices, sizes = random.integers(1, 10**7, n).tolist(), random.integers(1, 10**6, n).tolist()
    rows = zip(prices, sizes, strict=True)
    text = "".join(f"{1_700_000_000_000 + i},buy,{p / 100:.2f},{s / 1000:.3f},{i}\n" for i, (p, s) in enumerate(rows)).encode()

    def with_module(module: object) -> list[int]:
        scan = module.Decimals(5, [2, 3])  # type: ignore[attr-defined]
        assert scan.add(text) == n
        return scan.places  # type: ignore[no-any-return]

    def check(impl: str, result: list[int]) -> None:
        assert result[2:4] == [2, 3], (impl, result)

    ways = {"fastcore": lambda: with_module(decimals), "csv and fractions": lambda: with_module(twin)}
    bench.compare("decimals", "rows of a table of trades", n, ways, check)


if __name__ == "__main__":
    main(run)
