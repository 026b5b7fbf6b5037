"""Decoders, books and synthetic markets of their own in many threads at once: nothing is shared between them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastcore.book import OrderBook, OrderTable
from fastcore.records import EVENT_DTYPE
from fastcore.sim.synthetic import SyntheticMarket
from fastcore.wire.itch import ItchDecoder, ItchEncoder

pytestmark = pytest.mark.threads


def day(seed):
    """Make, encode, decode and apply a day in small pieces; the hash says whether all went well."""
    market, encoder, decoder = SyntheticMarket(20_000, seed, ("A", "B")), ItchEncoder(), ItchDecoder(strict=True)
    table = OrderTable(16, 16)
    books = [OrderBook(1, table), OrderBook(2, table)]
    events, out = np.zeros((2, 500), EVENT_DTYPE)
    while n := market.fill(events):
        assert decoder.decode(encoder.encode(events[:n]), out)[0] == n
        for book in books:
            assert set(book.apply(out[:n])) <= {"ok"}
    for book in books:
        book.check()
    return [book.state_hash() for book in books], decoder.counts


def test_threads_with_their_own_objects_do_not_disturb_each_other():
    seeds = list(range(4)) * 4
    alone = [day(seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(day, seeds))
    assert together == [alone[seed] for seed in seeds]
