"""A ring as a source: idle while it is empty, at its end when it is closed, and everything in order across threads."""

import threading

import numpy as np
import pytest

from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, KINDS
from fastcore.ring import RingBuffer
from fastcore.ring_source import RingSource

NUMBERS = np.dtype([("seq", np.uint64), ("value", np.int64)])


def adds(n, first=1):
    out = np.zeros(n, EVENT_DTYPE)
    out["order_id"] = out["exch_ns"] = np.arange(first, first + n)
    out["kind"], out["side"], out["price"], out["size"] = KINDS["add"], BUY, 100, 1
    return out


def test_run_is_idle_until_there_is_something_and_ends_when_the_ring_is_closed():
    ring, market = RingBuffer(64, EVENT_DTYPE), Market(symbols=4)
    engine = Engine(RingSource(ring), market)
    assert engine.run() == "idle"
    ring.push_batch(adds(10))
    assert engine.run() == "idle"
    assert market.events == 10
    ring.push_batch(adds(5, 11))
    ring.close()
    assert engine.run() == "end"
    assert market.events == 15
    assert market.book_errors == 0
    assert market.books.book(0).best_bid_size == 15


@pytest.mark.threads
def test_events_of_another_thread_come_whole_and_in_order():
    ring, market = RingBuffer(256, EVENT_DTYPE), Market(symbols=4)
    events = adds(20_000)

    def publish():
        at = 0
        while at < len(events):
            at += ring.push_batch(events[at : at + 37])
        ring.close()

    thread = threading.Thread(target=publish)
    thread.start()
    engine = Engine(RingSource(ring), market)
    while engine.run() == "idle":
        pass
    thread.join()
    assert (market.events, market.book_errors) == (20_000, 0)
    assert engine.last_ns == 20_000


def test_ring_must_hold_events():
    with pytest.raises(TypeError, match="ring must hold events"):
        RingSource(RingBuffer(8, NUMBERS))
