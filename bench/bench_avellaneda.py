"""Quotes: made on every change of the market, for every symbol.

A quote from Python is held against an empty compiled method with the same arguments and against Numba called from Python; a
quote in a compiled loop against plain C; 1,000 symbols at once against NumPy, which computes the published formula, and
NumPy that keeps every constant.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.avellaneda import Quoter, QuoterSet, simd
from fastcore.reference import avellaneda as reference

from .harness import Bench, calls, main

GAMMA, SIGMA, K = 0.1, 2.0, 1.5


def python_quote(mid: float, inventory: float, time_left: float, gamma: float, sigma: float, k: float) -> tuple[float, float]:
    """The published formula."""
    risk = gamma * sigma**2 * time_left
    reservation = mid - inventory * risk
    half = 0.5 * risk + math.log(1 + gamma / k) / gamma
    return reservation - half, reservation + half


def numpy_quote(mid: Any, inventory: Any, time_left: Any, gamma: Any, sigma: Any, k: Any) -> tuple[Any, Any]:
    """The published formula on arrays (or NumPy scalars)."""
    risk = gamma * sigma**2 * time_left
    reservation = mid - inventory * risk
    half = 0.5 * (risk + (2 / gamma) * np.log(1 + gamma / k))
    return reservation - half, reservation + half


def run(bench: Bench) -> None:
    numba = bench.optional("numba")
    quoter = Quoter("avellaneda_stoikov", gamma=GAMMA, sigma=SIGMA, k=K)
    twin = reference.Quoter("avellaneda_stoikov", gamma=GAMMA, sigma=SIGMA, k=K)
    mid, inventory, left = 100.0, 3.0, 0.5
    expected = python_quote(mid, inventory, left, GAMMA, SIGMA, K)
    four = {"a": mid, "b": inventory, "c": left}
    six = {**four, "g": GAMMA, "s": SIGMA, "k": K}

    cases: dict[str, Any] = {
        "fastcore": calls("q.quote(a, b, c)", q=quoter, **four),
        "fastcore with sigma": calls("q.quote(a, b, c, s)", q=quoter, s=SIGMA, **four),
        "fastcore, bid and ask read": calls("q.quote(a, b, c); q.bid; q.ask", q=quoter, **four),
        "empty call": calls("e.four_floats(a, b, c, s)", e=_bench.Empty(), s=SIGMA, **four),
        "python": calls("f(a, b, c, g, s, k)", f=python_quote, **six),
        "python twin": (calls("q.quote(a, b, c)", n=1000, q=twin, **four), 1000),
        "numpy scalars": (
            calls("f(a, b, c, g, s, k)", n=1000, f=numpy_quote, **{n: np.float64(v) for n, v in six.items()}),
            1000,
        ),
    }
    if numba is not None:
        compiled = numba.njit(python_quote)
        assert compiled(mid, inventory, left, GAMMA, SIGMA, K) == expected
        cases["numba"] = calls("f(a, b, c, g, s, k)", f=compiled, **six)
    bench.compare("avellaneda", "quote from Python", 10_000, cases)
    assert abs(quoter.bid - expected[0]) < 1e-12 * mid
    assert abs(quoter.ask - expected[1]) < 1e-12 * mid

    mids = 100.0 + np.arange(10_000) * 0.01
    base = math.log(1 + GAMMA / K) / GAMMA
    answer = _bench.quote_loop(quoter, mids, inventory, left)

    def check_loop(impl: str, result: Any) -> float:
        error = abs(result / answer - 1)
        assert error < 1e-9, impl
        return float(error)

    cases = {
        "fastcore": lambda: _bench.quote_loop(quoter, mids, inventory, left),
        "c": lambda: _bench.floor_quotes(mids, inventory, left, GAMMA, SIGMA, K, base, False),
        "c with the logarithm": lambda: _bench.floor_quotes(mids, inventory, left, GAMMA, SIGMA, K, base, True),
    }
    bench.compare("avellaneda", "quote in a compiled loop", 10_000, cases, check_loop)

    n = 1000
    rng = np.random.default_rng(1)
    gammas, sigmas, decays = rng.uniform(0.05, 0.2, n), rng.uniform(1, 3, n), rng.uniform(1, 2, n)
    many, held = rng.uniform(50, 150, n), rng.integers(-10, 11, n) * 1.0
    quoters = [Quoter("avellaneda_stoikov", gamma=g, sigma=s, k=k) for g, s, k in zip(gammas, sigmas, decays, strict=True)]
    batch = QuoterSet(quoters)
    bids, asks = numpy_quote(many, held, left, gammas, sigmas, decays)
    variances, halves = gammas * sigmas**2, np.log(1 + gammas / decays) / gammas

    def ours() -> tuple[Any, Any]:
        batch.quote(many, held, left)
        return bids_view, asks_view

    bids_view, asks_view = batch.bids, batch.asks

    def numpy_kept() -> tuple[Any, Any]:
        risk = variances * left
        reservation = many - held * risk
        half = 0.5 * risk + halves
        return reservation - half, reservation + half

    cases = {
        "fastcore": ours,
        "numpy": lambda: numpy_quote(many, held, left, gammas, sigmas, decays),
        "numpy, constants kept": numpy_kept,
    }
    if numba is not None:

        @numba.njit
        def numba_many(mid: Any, held: Any, left: Any, gamma: Any, sigma: Any, k: Any, bid: Any, ask: Any) -> None:
            for i in range(len(mid)):
                risk = gamma[i] * sigma[i] ** 2 * left
                r = mid[i] - held[i] * risk
                half = 0.5 * risk + math.log(1 + gamma[i] / k[i]) / gamma[i]
                bid[i] = r - half
                ask[i] = r + half

        out = np.empty(n), np.empty(n)

        def numba_run() -> tuple[Any, Any]:
            numba_many(many, held, left, gammas, sigmas, decays, *out)
            return out

        cases["numba"] = numba_run

    def check_many(impl: str, result: Any) -> float:
        error = max(float(np.abs(result[0] / bids - 1).max()), float(np.abs(result[1] / asks - 1).max()))
        assert error < 1e-12, impl
        return error

    bench.compare(
        "avellaneda",
        f"quotes of 1,000 symbols ({simd()})",
        n,
        cases,
        check_many,
    )
    bench.compare("avellaneda", "rounding of 1,000 quotes", n, {"fastcore": batch.round})


if __name__ == "__main__":
    main(run)
