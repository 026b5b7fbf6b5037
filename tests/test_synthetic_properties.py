"""The synthetic market against its twin, then its laws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore.book import OrderBook, OrderTable
from fastcore.records import EVENT_DTYPE
from fastcore.reference import synthetic as twin
from fastcore.synthetic import OVERHEAD, SyntheticMarket

SEEDS = st.integers(0, 2**64 - 1)


def filled(market, n):
    events = np.zeros(n, EVENT_DTYPE)
    assert market.fill(events) == n
    return events


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 6), st.integers(0, 1_500))
def test_synthetic_matches_reference(seed, symbols, flow):
    names = [f"S{i}" for i in range(symbols)]
    n = OVERHEAD[0] + OVERHEAD[1] * symbols + flow
    a = filled(SyntheticMarket(n, seed, names, 10**18), n)
    b = filled(twin.SyntheticMarket(n, seed, names, 10**18), n)
    assert a.tobytes() == b.tobytes()


def test_a_longer_day_matches_reference():
    a = filled(SyntheticMarket(15_000, 11, ("A", "B", "C")), 15_000)
    b = filled(twin.SyntheticMarket(15_000, 11, ("A", "B", "C")), 15_000)
    assert a.tobytes() == b.tobytes()


@settings(max_examples=25)
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


@settings(max_examples=25)
@given(SEEDS, st.lists(st.integers(1, 500), min_size=1, max_size=10))
def test_pieces_of_a_day_are_the_day(seed, pieces):
    n = max(OVERHEAD[0] + OVERHEAD[1], sum(pieces))
    whole = filled(SyntheticMarket(n, seed), n)
    market = SyntheticMarket(n, seed)
    got = [filled(market, k) for k in pieces]
    assert b"".join(a.tobytes() for a in got) == whole[: sum(pieces)].tobytes()
