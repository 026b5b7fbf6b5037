"""The synthetic market against its twin, then its laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.book import OrderBook, OrderTable
from fastcore.records import EVENT_DTYPE
from fastcore.reference import synthetic as twin
from fastcore.sim.synthetic import OVERHEAD, SyntheticMarket

SEEDS = st.integers(0, 2**64 - 1)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tail": st.floats(0.2, 10.0),
        "orders": st.integers(32, 1_000),
        "reactive": st.booleans(),
        "branching": st.sampled_from([0.0, 1e-300, 0.3, 0.95]) | st.floats(0.0, 0.95),
        "burst_s": st.floats(1e-6, 3_600.0),
        "u_shape": st.floats(0.0, 0.9),
        "volatility": st.floats(0.0, 0.2),
        "correlation": st.floats(0.0, 1.0),
        "pairs": st.lists(
            st.tuples(st.floats(0.01, 100.0), st.floats(0.001, 1e6), st.floats(0.0, 1e6)), min_size=1, max_size=2
        ),
        "step_s": st.floats(20.0, 3_600.0),
        "all_types": st.booleans(),
    },
)


def filled(market, n):
    events = np.zeros(n, EVENT_DTYPE)
    assert market.fill(events) == n
    return events


@examples(15)
@given(SEEDS, st.integers(1, 6), st.integers(0, 1_500))
def test_synthetic_matches_reference(seed, symbols, flow):
    names = [f"S{i}" for i in range(symbols)]
    n = OVERHEAD[0] + OVERHEAD[1] * symbols + flow
    a = filled(SyntheticMarket(n, seed, names, 10**18), n)
    b = filled(twin.SyntheticMarket(n, seed, names, 10**18), n)
    assert a.tobytes() == b.tobytes()


@examples(20)
@given(SEEDS, st.integers(4, 6), st.integers(0, 1_000), OPTIONS)
def test_synthetic_matches_reference_with_options(seed, symbols, flow, options):
    names = [f"S{i}" for i in range(symbols)]
    n = OVERHEAD[0] + OVERHEAD[1] * symbols + flow + 11 + 7 * symbols
    options = {"step_s": 60.0} | options
    options["pairs"] = [(names[2 * i], names[2 * i + 1], *rest) for i, rest in enumerate(options.get("pairs", []))]
    a, b = SyntheticMarket(n, seed, names, **options), twin.SyntheticMarket(n, seed, names, **options)
    e = filled(a, n)
    assert e.tobytes() == filled(b, n).tobytes()
    for x, y in zip(a.truth, b.truth, strict=True):
        assert np.array_equal(x, y, equal_nan=True) if isinstance(x, np.ndarray) else x == y
    assert np.all(np.diff(e["exch_ns"]) >= 0)
    table = OrderTable()
    for i in range(1, symbols + 1):
        book = OrderBook(i, table)
        book.apply(e)
        assert set(book.counts) == {"ok"}
        assert book.best_bid is None or book.best_ask is None or book.best_bid < book.best_ask


def test_a_longer_day_matches_reference():
    a = filled(SyntheticMarket(15_000, 11, ("A", "B", "C")), 15_000)
    b = filled(twin.SyntheticMarket(15_000, 11, ("A", "B", "C")), 15_000)
    assert a.tobytes() == b.tobytes()


@examples(25)
@given(SEEDS, st.integers(1, 20), st.integers(0, 20_000))
def test_synthetic_stream_stays_valid(seed, symbols, flow):
    n = OVERHEAD[0] + OVERHEAD[1] * symbols + flow
    e = filled(SyntheticMarket(n, seed, [f"S{i}" for i in range(symbols)]), n)
    assert np.all(np.diff(e["exch_ns"]) >= 0)
    table = OrderTable()
    for i in range(1, symbols + 1):
        book = OrderBook(i, table)
        book.apply(e)
        assert set(book.counts) == {"ok"}
        assert book.best_bid is None or book.best_ask is None or book.best_bid < book.best_ask


@examples(25)
@given(SEEDS, st.lists(st.integers(1, 500), min_size=1, max_size=10))
def test_pieces_of_a_day_are_the_day(seed, pieces):
    n = max(OVERHEAD[0] + OVERHEAD[1], sum(pieces))
    whole = filled(SyntheticMarket(n, seed), n)
    market = SyntheticMarket(n, seed)
    got = [filled(market, k) for k in pieces]
    assert b"".join(a.tobytes() for a in got) == whole[: sum(pieces)].tobytes()
