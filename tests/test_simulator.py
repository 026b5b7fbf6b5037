"""The simulator: one market for two or one for each, and the law of time and order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.engine import Engine
from fastcore.errors import CorruptDataError
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, KINDS, SELL
from fastcore.ring import RingBuffer
from fastcore.ring_source import RingSource
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.wire.itch import ItchDecoder


def outcome(run):
    return (run.reports().tobytes(), run.curve().tobytes(), run.quotes, run.fills, run.profit, run.quote(), run.traded_lots)


def coarse(seed, messages, grain):
    """The events of a random day whose times are multiples of `grain` ns: many share one."""
    out = np.zeros(20_000, EVENT_DTYPE)
    n, _ = ItchDecoder().decode(random_day(seed, messages), out)
    events = out[:n].copy()
    events["exch_ns"] -= events["exch_ns"] % grain
    return events


@examples(25)
@given(st.integers(0, 10**6), st.sampled_from(["message", "time"]), st.sampled_from([1, 3_000_000, 20_000_000]))
def test_one_market_and_two_give_the_same(seed, instant, grain):
    events = coarse(seed, 400, grain)
    one, two = (make(compiled, instant=instant, two_books=two, parameters={"k": 300.0}) for two in (False, True))
    one.feed_events(events)
    two.feed_events(events)
    assert outcome(one) == outcome(two)


@examples(25)
@given(st.integers(0, 10**6), st.sampled_from(["message", "time"]), st.integers(1, 90))
def test_pieces_of_the_history_change_nothing(seed, instant, size):
    events = coarse(seed, 300, 3_000_000)
    whole, parts = make(compiled, instant=instant), make(compiled, instant=instant, sample_every=3)
    whole.feed_events(events)
    parts.given.items.extend(events[at : at + size] for at in range(0, len(events), size))
    parts.feed_events(events[:0])
    assert parts.reports().tobytes() == whole.reports().tobytes()
    assert (parts.quotes, parts.profit) == (whole.quotes, whole.profit)


def adds(*rows):
    """Rows (time, order id, side, price, size)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for event, (time, order_id, side, price, size) in zip(out, rows, strict=True):
        event["exch_ns"], event["order_id"], event["kind"] = time, order_id, KINDS["add"]
        event["side"], event["price"], event["size"], event["symbol_id"] = side, price, size, 7
    return out


BOOK = [(5, 1, BUY, 999_000, 500), (5, 2, SELL, 1_001_000, 500)]


def acks(run):
    reports = run.reports()
    return [tuple(int(r[name]) for name in ("seq", "side", "price", "match_id")) for r in reports[reports["kind"] == KINDS["ack"]]]


@pytest.mark.parametrize(("instant", "seq", "bid"), [("message", 2, 999_800), ("time", 3, 1_000_200)])
def test_maker_answers_the_message_or_the_time(instant, seq, bid):
    """By message it quotes between 99.90 and 100.10, by time it has seen the bid at 99.98, which moves the middle up."""
    run = make(compiled, volatility=False, instant=instant)
    run.feed_events(adds(*BOOK, (5, 3, BUY, 999_800, 60)))
    assert acks(run)[0] == (seq, BUY, bid, 0)


def test_best_prices_that_are_the_same_after_an_instant_are_no_news():
    events = adds(*BOOK, (6, 3, BUY, 999_500, 10), (6, 4, BUY, 999_100, 10))
    gone = np.zeros(1, EVENT_DTYPE)
    gone["exch_ns"], gone["kind"], gone["order_id"], gone["symbol_id"] = 6, KINDS["delete"], 3, 7
    deep = adds((7, 5, BUY, 998_000, 10))
    by_time, by_message = (make(compiled, volatility=False, instant=instant) for instant in ("time", "message"))
    for run in (by_time, by_message):
        run.feed_events(np.concatenate([events[:3], gone, deep]))
    assert by_time.quotes == 1
    assert by_message.quotes == 3


def test_image_does_not_move_the_clock_and_time_never_goes_back():
    times = [5, 5, 4, 9, 8, 9]
    events = adds(*((t, i + 1, BUY, 999_000 - i, 5) for i, t in enumerate(times)))
    run = make(compiled, volatility=False, instant="time")
    run.feed_events(events)
    assert run.engine.last_ns == 9
    assert run.market.events == 6


def test_history_that_fails_is_told_behind_what_came_before():
    def broken():
        yield adds(*BOOK)
        raise CorruptDataError("gone")

    market = Market()
    simulator = Simulator(EventSource(broken()), market)
    with pytest.raises(CorruptDataError, match="gone"):
        Engine(simulator, market).run()
    assert market.events == 2


def test_venue_of_an_instrument_is_opened_once():
    simulator = Simulator(EventSource([]), Market(symbols=8))
    assert simulator.open(3) is simulator.open(3)
    assert sorted(simulator.venues) == [3]
    with pytest.raises(ValueError, match=r"symbol_id must be in 0\.\.7: symbol_id=8"):
        simulator.open(8)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (lambda m: (EventSource([]), m, {"instant": "day"}), "instant must be message or time: instant='day'"),
        (lambda m: (RingSource(RingBuffer(8, EVENT_DTYPE)), m, {}), "history must be a source of recorded events"),
        (lambda m: (EventSource([]), m, {"venue_market": m}), "venue_market must be another market"),
        (lambda m: (EventSource([]), m, {"venue_market": Market("levels")}), "with the same books"),
    ],
)
def test_constructor_states_the_rule(arguments, rule):
    history, market, options = arguments(Market())
    with pytest.raises(ValueError, match=rule):
        Simulator(history, market, **options)
