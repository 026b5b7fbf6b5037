"""Mark-outs: middles before each fill and after it, against a book that is walked through the whole day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.book import OrderBook
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE
from fastcore.sim.markouts import Markouts
from fastcore.wire.itch import ItchDecoder

MS = 1_000_000
HORIZONS = (1, 2 * MS, 30 * MS, 10_000 * MS)


def day(seed, messages, grain):
    """The events of the instrument of a random day, with times that are multiples of `grain` ns."""
    out = np.zeros(20_000, EVENT_DTYPE)
    n, _ = ItchDecoder().decode(random_day(seed, messages), out)
    events = out[:n].copy()
    events["exch_ns"] -= events["exch_ns"] % grain
    return events


def middles(events):
    """Venue times and twice the middle behind each event of the instrument."""
    book, times, values = OrderBook(), [], []
    now = -(2**62)
    for event in events:
        now = max(now, int(event["exch_ns"]))
        if event["symbol_id"] == 7:
            book.apply(np.array([event]))
        bid, ask = book.best_bid, book.best_ask
        times.append(now)
        values.append(NO_PRICE if bid is None or ask is None or bid >= ask else bid + ask)
    return np.array(times), np.array(values)


def expected(events, fills):
    """Rows (fill, horizon, middle2) in order."""
    times, values = middles(events)
    rows = []
    for number, fill in enumerate(fills):
        t = int(fill["exch_ns"])
        behind = bool(fill["flags"] & FLAGS["took"])  # our message met the market behind the events of its time
        for horizon, ns in enumerate((0, *HORIZONS)):
            n = np.searchsorted(times, t + ns, "right" if ns or behind else "left")
            if t + ns <= times[-1]:
                rows.append((number, horizon, int(values[n - 1]) if n else NO_PRICE))
    return sorted(rows)


@examples(40)
@given(
    st.integers(0, 10**6), st.sampled_from([1, 3 * MS, 20 * MS]), st.booleans(), st.sampled_from([0, 1, MS, 3 * MS]),
    st.sampled_from([0, 2 * MS]), st.sampled_from([0, 5 * MS]), st.integers(1, 400),
)  # fmt: skip
def test_middles_are_those_of_the_venue(seed, grain, two_books, feed_ns, order, response, piece):
    events = day(seed, 400, grain)
    markouts = Markouts(HORIZONS)
    plain = make(compiled, parameters={"k": 300.0}, feed_ns=feed_ns, order=order, response=response, two_books=two_books)
    options = {"feed_ns": feed_ns, "order": order, "response": response, "two_books": two_books, "markouts": markouts}
    run = make(compiled, parameters={"k": 300.0}, **options)
    plain.feed_events(events)
    run.given.items.extend(events[at : at + piece] for at in range(0, len(events), piece))
    run.feed_events(events[:0])
    assert run.reports().tobytes() == plain.reports().tobytes()
    found = markouts.array()
    fills = run.reports()[run.reports()["kind"] == KINDS["fill"]]
    known = sorted(row for row in found.tolist() if row[0] < len(fills))
    assert known == expected(events, fills)
    assert markouts.fills >= len(fills)
    assert markouts.lost == 0


def test_details_follow_each_fill():
    events = day(3, 2_000, 1)
    run, plain = (make(compiled, parameters={"k": 300.0}, details=details) for details in (True, False))
    for each in (run, plain):
        each.feed_events(events)
    reports = run.reports()
    fills = np.flatnonzero(reports["kind"] == KINDS["fill"])
    assert len(fills) > 0
    assert (reports["kind"][fills + 1] == KINDS["detail"]).all()
    assert (reports["flags"][fills] & FLAGS["continued"] != 0).all()
    reports["flags"] &= ~np.uint16(FLAGS["continued"])
    assert reports[reports["kind"] != KINDS["detail"]].tobytes() == plain.reports().tobytes()
    assert run.profit == plain.profit


@pytest.mark.parametrize("horizons", [(0,), (5, 5), (5, 4), (2**60 + 1,), range(1, 18)])
def test_horizons_are_checked(horizons):
    with pytest.raises(ValueError, match="horizons_ns must be"):
        Markouts(horizons)


def test_fills_that_wait_take_room_as_they_come():
    """Forty thousand fills inside the longest horizon: more than the first ring holds."""
    n = 40_000
    events = np.zeros(2 * n + 2, EVENT_DTYPE)
    events["symbol_id"], events["exch_ns"] = 7, np.arange(2 * n + 2)
    events["kind"], events["side"], events["size"] = KINDS["add"], -1, 100
    events["order_id"] = np.arange(2 * n + 2)
    events["price"] = 1_001_000
    events["kind"][2:], events["side"][0], events["price"][0] = KINDS["trade"], 1, 999_000
    events["side"][2:], events["price"][2:], events["size"][2:] = 0, 1_000_000, 1
    events["price"][3::2] = 990_000  # through our bid, in turn with prints between the best prices
    events["price"][2::2] = 1_010_000  # and through our ask
    markouts = Markouts((1, 10**9))
    run = make(compiled, volatility=False, limits=(10**6, 10**9, 10**6), order_lots=60_000, markouts=markouts)
    run.feed_events(events)
    fills = run.reports()[run.reports()["kind"] == KINDS["fill"]]
    assert len(fills) == markouts.fills > 33_000
    assert markouts.lost == 0
    found = markouts.array()
    assert (found["horizon"] == 0).sum() == len(fills)
    assert (found["horizon"] == 1).sum() in (len(fills), len(fills) - 1)
    assert (found["middle2"] == 2_000_000).all()
    assert repr(markouts) == f"Markouts((1, 1000000000), {len(fills)} fills)"
