"""Best prices and prints of several instruments, that walk at random: feeds for runs over many markets."""

import random

import numpy as np

from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, KINDS
from hft.feeds.feed import Feed

SECOND = 1_000_000_000


class QuoteFeed(Feed):
    """Events of a table of instruments, as they are."""

    book = "quotes"

    def __init__(self, events, table):
        super().__init__("given", Instruments(table))
        self.events = events

    def _arrays(self):
        yield self.events


def put_quote(event, *payload):
    event["price"], event["size"], event["order_id"], event["match_id"] = payload


def walk(middles, seed, steps=1_500, interval_ns=SECOND, moves=(0, 1, -1, 3, -3)):
    """Random walks around middle prices in ticks, one for each instrument, with prints that reach resting quotes."""
    rng, middle = random.Random(seed), list(middles)
    out = np.zeros(steps, EVENT_DTYPE)
    for n, event in enumerate(out):
        i = n if n < len(middle) else rng.randrange(len(middle))
        event["exch_ns"], event["symbol_id"], event["seq"] = interval_ns * (n + 1), i, n + 1
        if n >= len(middle) and rng.random() < 0.4:
            side = rng.choice([1, -1])  # of what rests
            event["kind"], event["side"] = KINDS["trade"], side
            event["price"], event["size"] = middle[i] - side * rng.choice([2, 3, 6]), rng.randint(1, 40)
            continue
        middle[i] += rng.choice(moves)
        event["kind"] = KINDS["quote"]
        put_quote(event, middle[i] - 2, middle[i] + 2, rng.randint(1, 50), rng.randint(1, 50))
    return out
