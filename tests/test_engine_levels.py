"""The loop on feeds by level and of best prices: hand-made messages, then the twin on random streams."""

import random

import numpy as np
import pytest
from makers.engines import make, rows

from fastcore import engine as compiled
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_SIDE, NO_SYMBOL, SELL
from fastcore.reference import engine as reference
from hft.feeds.feed import whole_messages

MODULE = "engine"
MS = 1_000_000


def stream(*messages):
    """Events from messages; each is a list of (kind, side, payload..., flags) that are one message."""
    out = []
    for n, message in enumerate(messages):
        for i, (kind, side, *payload) in enumerate(message):
            flags = FLAGS["continued"] if i + 1 < len(message) else 0
            out.append((0, (n + 1) * MS, 0, 3, KINDS[kind], side, flags, *payload, *[0] * (4 - len(payload))))
    return np.array(out, EVENT_DTYPE)


def engine_by_level(impl, **kwargs):
    return make(impl, "BTCUSDT", symbol_id=3, volatility=False, **{"book": "levels", **kwargs})


BOOK = [("clear", NO_SIDE), ("level", BUY, 999_000, 500), ("level", SELL, 1_001_000, 500)]


def test_quotes_wait_for_the_end_of_a_message(impl):
    engine = engine_by_level(impl)
    moved = [("level", BUY, 999_500, 10), ("level", SELL, 1_000_500, 10), ("level", BUY, 999_500, 0), ("level", SELL, 1_000_500, 0)]
    engine.feed_events(stream(BOOK, moved))
    assert [row[:3] for row in rows(engine)] == [("ack", BUY, 999_800), ("ack", SELL, 1_000_200)]
    assert engine.quotes == 1


def test_trades_fill_own_orders_and_are_counted(impl):
    engine = engine_by_level(impl)
    engine.feed_events(stream(BOOK, [("trade", BUY, 999_700, 30, 0, 5)]))
    fills = [row for row in rows(engine) if row[0] == "fill"]
    assert [row[1:4] for row in fills] == [(BUY, 999_800, 30)]
    assert (engine.position.position_lots, engine.traded_lots) == (30, 30)


def test_gap_pulls_the_quotes_until_the_next_image(impl):
    engine = engine_by_level(impl)
    engine.feed_events(stream(BOOK, [("gap", NO_SIDE, 5, 2)], [("level", BUY, 999_100, 5)], BOOK))
    assert [row[0] for row in rows(engine)] == ["ack", "ack", "pulled", "pulled", "ack", "ack"]


def test_gap_of_the_whole_feed_counts_for_the_chosen_symbol(impl):
    engine = engine_by_level(impl)
    gap = stream([("gap", NO_SIDE, 5, 2)])
    gap["symbol_id"] = NO_SYMBOL
    for events in (stream(BOOK), gap, stream(BOOK)):
        engine.feed_events(events)
    assert [row[0] for row in rows(engine)] == ["ack", "ack", "pulled", "pulled", "ack", "ack"]


def test_best_prices_are_quoted_on(impl):
    engine = engine_by_level(impl, book="quotes")
    engine.feed_events(stream([("quote", NO_SIDE, 999_000, 1_001_000, 5, 5)]))
    assert engine.quote() == (999_000, 5, 1_001_000, 5)
    assert [row[:3] for row in rows(engine)] == [("ack", BUY, 999_800), ("ack", SELL, 1_000_200)]


def test_quotes_beside_levels_change_nothing(impl):
    engine = engine_by_level(impl)
    engine.feed_events(stream(BOOK, [("quote", NO_SIDE, 999_900, 1_000_100, 5, 5)]))
    assert engine.quote() == (999_000, 500, 1_001_000, 500)
    with pytest.raises(ValueError, match="book must be orders, levels or quotes: book=ladder"):
        engine_by_level(impl, book="ladder")


def test_order_events_are_refused_by_a_book_by_level(impl):
    engine = engine_by_level(impl)
    engine.feed_events(stream([("add", BUY, 999_000, 5, 1)], [("level", BUY, 0, 5)]))
    assert engine.book_errors == 2
    assert engine.first_error_seq == 1


def random_levels(seed, messages=400):
    rng = random.Random(seed)
    made, mid = [BOOK], 1_000_000
    for _ in range(messages):
        kind = rng.random()
        mid += rng.choice((-100, 0, 0, 100))
        side = rng.choice((BUY, SELL))
        if kind < 0.7:
            made.append(
                [("level", s, mid - s * 100 * rng.randint(-1, 6), rng.choice((0, rng.randint(1, 300))))
                 for s in rng.choices((BUY, SELL), k=rng.randint(1, 5))]
            )  # fmt: skip
        elif kind < 0.9:
            made.append([("trade", rng.choice((side, NO_SIDE)), mid - side * 100 * rng.randint(-1, 2), rng.randint(1, 200), 0, 9)])
        elif kind < 0.95:
            made.append([("quote", NO_SIDE, mid - 100, mid + 100, rng.randint(1, 50), rng.randint(1, 50))])
        elif kind < 0.97:
            made.append([("gap", NO_SIDE, 1, -1)])
        else:
            made.append(BOOK)
    return stream(*made)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("book", ["levels", "quotes"])
def test_streams_by_level_give_the_reports_of_the_twin(seed, book):
    events = random_levels(seed)
    ours, theirs = engine_by_level(compiled, book=book), engine_by_level(reference, book=book)
    for part in whole_messages(events, 37):
        ours.feed_events(part)
    theirs.feed_events(events)
    assert ours.reports().tobytes() == theirs.reports().tobytes()
    assert ours.curve().tobytes() == theirs.curve().tobytes()
    assert (ours.book_errors, ours.quotes, ours.fills) == (theirs.book_errors, theirs.quotes, theirs.fills)
    assert ours.fills > 3


def test_maker_keeps_its_quotes_until_the_middle_has_moved():
    """By more than what it was told; a fill always counts, and so does a book that was not there."""
    from fastcore.avellaneda import Quoter
    from fastcore.desk import Desk
    from fastcore.engine import Engine
    from fastcore.market import Market
    from fastcore.risk import RiskLimits
    from fastcore.sim.simulator import Simulator
    from fastcore.source import EventSource
    from fastcore.strategies.maker import MarketMaker

    asks = [1_002, 1_003, 1_004, 1_003, 1_001, 1_004]  # beside a bid of 998: the middle is 1,000, then 1,000.5, 1,001, ...
    messages = [[("quote", NO_SIDE, 998, ask, 5, 5)] for ask in asks]
    messages.append([("trade", BUY, 900, 500)])

    def asked(mid_move_ticks):
        market, desk = Market("quotes", symbols=8), Desk(RiskLimits("off", "off", "off"), symbols=8)
        simulator = Simulator(EventSource([stream(*messages)]), market)
        simulator.open(3)
        desk.open(3)
        quoter = Quoter("avellaneda_stoikov", gamma=0.05, k=1.5, sigma=0.2, tick_size=1.0)
        maker = MarketMaker(3, quoter, order_lots=1, time_left=1.0, ticks_per_price=1.0, mid_move_ticks=mid_move_ticks)
        Engine(simulator, market, desk, {"maker": maker}).run()
        assert desk.fills == 1
        return maker.quotes

    assert [asked(ticks) for ticks in (None, 0, 0.5, 1, 2)] == [7, 7, 5, 2, 2]
    with pytest.raises(ValueError, match="mid_move_ticks must be in 0"):
        MarketMaker(3, Quoter("avellaneda_stoikov", gamma=0.05, k=1.5, sigma=0.2, tick_size=1.0), mid_move_ticks=float("nan"))
