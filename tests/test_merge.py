"""Several histories as one: the order of the law of time, held against a sort in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.merge import MergeSource
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_SYMBOL
from fastcore.ring import RingBuffer
from fastcore.ring_source import RingSource
from fastcore.source import EventSource


def history(part, rows):
    """Adds whose order id tells part and place; rows (time, continued, snapshot)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for i, (time, continued, snapshot) in enumerate(rows):
        flags = FLAGS["continued"] * (continued and i < len(rows) - 1) | FLAGS["snapshot"] * snapshot
        out[i] = (0, time, 0, part, KINDS["add"], BUY, flags, 100, 1, part * 1_000 + i + 1, 0)
    return out


def law(histories, offsets):
    """(time, part, place) of every event in order, one after the other."""
    keys = []
    for part, (events, offset) in enumerate(zip(histories, offsets, strict=True)):
        clock = None
        inside = False
        for place, event in enumerate(events):
            time = int(event["exch_ns"]) + offset
            if clock is None:
                clock = time
            elif not inside and not event["flags"] & FLAGS["snapshot"]:
                clock = max(clock, time)
            inside = bool(event["flags"] & FLAGS["continued"])
            keys.append((clock, part, place))
    return sorted(keys)


def merged(histories, offsets, pieces=1_000):
    """The market behind the merge of histories that are given in pieces of whole messages."""

    def cut(events):
        start = 0
        while start < len(events):
            end = min(start + pieces, len(events))
            while end < len(events) and events["flags"][end - 1] & FLAGS["continued"]:
                end += 1
            yield events[start:end]
            start = end

    market = Market(symbols=8)
    source = MergeSource([EventSource(cut(events)) for events in histories], offsets)
    assert Engine(source, market, sample_every=0).run() == "end"
    return market


ROWS = st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), max_size=12)


@examples(150)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 5), st.data())
def test_events_come_in_the_order_of_the_law(rows, pieces, data):
    histories = [history(part, r) for part, r in enumerate(rows)]
    offsets = [data.draw(st.integers(-3, 3)) for _ in rows]
    wanted = law(histories, offsets)
    # The first event that a book refuses tells how many came before it.
    for stop in range(len(wanted)):
        marked = [h.copy() for h in histories]
        _, part, place = wanted[stop]
        marked[part]["size"][place] = 0  # refused
        market = merged(marked, offsets, pieces)
        assert (market.events, market.book_errors, market.first_error_seq) == (len(wanted), 1, stop + 1)


def test_ids_are_mapped_and_times_moved():
    histories = [history(0, [(5, False, False), (9, False, False)]), history(1, [(6, False, False)])]
    market = Market(symbols=8)
    ids = [np.array([4], np.uint32), np.array([7, 3], np.uint32)]
    engine = Engine(MergeSource([EventSource(h) for h in histories], [10, 0], ids), market)
    engine.run()
    assert sorted(market.books) == [3, 4]
    assert engine.last_ns == 19


def test_id_without_a_place_in_the_map_is_of_no_symbol():
    lone = history(0, [(5, False, False)])
    lone["symbol_id"] = 9
    market = Market(symbols=8)
    Engine(MergeSource([EventSource(lone)], ids=[np.array([0], np.uint32)]), market).run()
    assert (market.events, market.book_errors) == (1, 1)
    assert NO_SYMBOL not in market.books


def test_error_of_a_history_reaches_the_caller():
    def broken():
        yield history(0, [(1, False, False)])
        raise OSError("gone")

    market = Market(symbols=8)
    with pytest.raises(OSError, match="gone"):
        Engine(MergeSource([EventSource(broken()), EventSource(history(1, [(5, False, False)]))]), market).run()


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        (([],), ValueError, "sources must not be empty"),
        (([EventSource([])], [1, 2]), ValueError, "one offset and one map for each"),
        (([1],), TypeError, "sources must be of the compiled kind: type=int"),
        (([RingSource(RingBuffer(8, EVENT_DTYPE))],), ValueError, "sources must be of recorded events"),
        (([EventSource([])] * 2,), ValueError, "sources must be different ones"),
    ],
)
def test_constructor_states_the_rule(arguments, error, rule):
    with pytest.raises(error, match=rule):
        MergeSource(*arguments)
