"""Days of two instruments, given event by event, and a strategy in Python on them."""

import numpy as np

import hft
from fastcore.instruments import Instrument, Instruments
from fastcore.records import BUY, EVENT_DTYPE, KINDS, SELL
from hft.feeds.feed import Feed

TICK = 0.01
SECOND = 1_000_000_000


class Given(Feed):
    """Events of instruments A and B with ticks of a cent and lots of one tenth."""

    book = "orders"

    def __init__(self, *arrays):
        super().__init__("given", Instruments([Instrument("A", TICK, 0.1, increment_ticks=5), Instrument("B", TICK, 0.1)]))
        self.arrays = arrays

    def _arrays(self):
        yield from self.arrays


def adds(*rows):
    """Rows (time, order id, side, price in ticks, lots, symbol id)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for event, (time, order_id, side, price, size, *symbol) in zip(out, rows, strict=True):
        event["exch_ns"], event["order_id"], event["kind"] = time, order_id, KINDS["add"]
        event["side"], event["price"], event["size"], event["symbol_id"] = side, price, size, *(symbol or [0])
    return out


def execution(time, order_id, size):
    out = np.zeros(1, EVENT_DTYPE)
    out["exch_ns"], out["order_id"], out["kind"], out["size"] = time, order_id, KINDS["execute"], size
    out["price"] = -(2**63)
    return out


TWO_SIDED = [(SECOND, 1, BUY, 1000, 50), (SECOND, 2, SELL, 1020, 50)]


def run(strategy, *arrays, symbols=("A",), **options):
    return hft.backtest(strategy, Given(*arrays), symbols=symbols, **options)
