"""The venue beside a book by level or of best prices: hand-computed estimates, then the twin on random streams."""

import random
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples, same_kind

from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SIDE, SELL, kind_name
from fastcore.reference import venue as reference
from fastcore.sim import venue as compiled

MODULE = "sim.venue"


class LevelMarket:
    """A by-level stream: book and venue side by side, as the engine drives them."""

    def __init__(self, impl, **options):
        self.book = same_kind(impl, "book").LevelBook(quotes=True)
        self.venue = impl.Venue(4, by_level=True, **options)
        self.unknown = impl.UNKNOWN

    def _apply(self, kind, side, payload, flags=0):
        event = np.zeros(1, EVENT_DTYPE)
        event[0] = (0, 0, 0, 0, KINDS[kind], side, flags, *payload)
        self.book.apply(event)

    def level(self, side, price, total, flags=0, ns=0):
        before = self.book.level_size(side, price)
        self._apply("level", side, (price, total, 0, 0), flags)
        self.venue.apply(
            KINDS["level"], side, price, abs(total - before), 0, NO_PRICE, total, exch_ns=ns, flags=flags, grew=total > before
        )

    def quote(self, bid, bid_size, ask, ask_size, flags=0):
        self._apply("quote", NO_SIDE, (bid, ask, bid_size, ask_size))
        self.venue.apply(KINDS["quote"], NO_SIDE, bid, bid_size, 0, ask, ask_size, flags=flags)

    def trade(self, side, price, size, flags=0, match_id=7, ns=0):
        self.venue.apply(KINDS["trade"], side, price, size, 0, match_id=match_id, exch_ns=ns, flags=flags)

    def clear(self):
        self._apply("clear", NO_SIDE, (0, 0, 0, 0))
        self.venue.apply(KINDS["clear"], NO_SIDE, NO_PRICE, 0, 0)

    def cross(self, price, size):
        self.venue.apply(KINDS["cross"], NO_SIDE, price, size, 0)

    def submit(self, side, price, size, terms=0):
        return self.venue.submit(self.book, side, price, size, terms)

    def ahead(self):
        return [row[4] for row in self.venue.orders()]

    def reports(self):
        return [
            (kind_name(r["kind"]), int(r["side"]), int(r["price"]), int(r["size"]), int(r["order_id"]), int(r["match_id"]))
            for r in self.venue.take_reports()
        ]

    def fills(self):
        return [row[2:4] for row in self.reports() if row[0] == "fill"]


@pytest.fixture
def market(impl):
    made = LevelMarket(impl)
    made.level(BUY, 100, 50)
    made.level(BUY, 98, 10)
    made.level(SELL, 103, 50)
    return made


def test_executions_serve_those_ahead_first(market):
    market.submit(BUY, 100, 20)
    assert market.ahead() == [50]
    market.trade(BUY, 100, 30)
    market.level(BUY, 100, 20)  # the same execution, as the book shows it
    assert market.ahead() == [20]
    market.trade(BUY, 100, 25)
    assert market.fills() == [(100, 5)]
    market.trade(BUY, 100, 100)
    assert market.fills() == [(100, 15)]
    assert market.venue.orders() == []


def test_who_leaves_without_trading_stood_behind_us_while_that_can_be(market):
    market.submit(BUY, 100, 20)
    market.level(BUY, 100, 80)
    market.level(BUY, 100, 60)
    assert market.ahead() == [50]
    market.level(BUY, 100, 30)
    assert market.ahead() == [30]
    market.level(BUY, 100, 90)
    assert market.ahead() == [30]


def test_worse_than_every_level_shown_nobody_knows_what_waits(market):
    market.submit(BUY, 97, 5)
    market.submit(BUY, 99, 5)
    assert market.ahead() == [0, market.unknown]
    market.trade(BUY, 97, 10**9)
    assert market.fills() == [(99, 5)]
    market.level(BUY, 97, 40)
    assert market.ahead() == [45], "with the five that our other order displaced"


def test_arrival_on_the_other_side_through_our_price_fills(market):
    market.submit(BUY, 101, 30)
    market.level(SELL, 101, 12)
    assert market.fills() == [(101, 12)]
    market.level(SELL, 101, 7)  # some of it left again: nothing arrived
    market.level(SELL, 100, 100)
    assert market.fills() == [(101, 18)]


def test_image_of_the_book_is_no_arrival(market):
    market.submit(BUY, 101, 30)
    market.level(SELL, 101, 12, FLAGS["snapshot"])
    assert market.fills() == []


def test_execution_at_a_worse_price_fills_and_a_hidden_one_needs_a_strictly_worse(market):
    market.submit(BUY, 100, 20)
    market.trade(BUY, 100, 500, FLAGS["hidden"])
    assert market.fills() == []
    market.trade(BUY, 99, 8)
    market.trade(BUY, 99, 8, FLAGS["hidden"])
    assert market.fills() == [(100, 8), (100, 8)]


def test_print_without_a_side_is_of_the_side_whose_best_price_it_reaches(market):
    market.submit(BUY, 101, 5)
    market.submit(SELL, 102, 5)
    market.trade(NO_SIDE, 101, 2)
    market.trade(NO_SIDE, 102, 3)
    assert market.fills() == [], "between the best prices it may be of either"
    market.trade(NO_SIDE, 100, 2)
    market.trade(NO_SIDE, 103, 3)
    assert market.fills() == [(101, 2), (102, 3)]


def test_print_of_what_we_took_does_not_fill_us_again(market):
    market.submit(BUY, 101, 30)
    market.level(SELL, 101, 4)
    assert market.fills() == [(101, 4)]
    market.trade(NO_SIDE, 101, 4)
    market.trade(SELL, 101, 4)
    market.level(SELL, 101, 0)
    market.trade(SELL, 101, 4)
    assert market.fills() == []


def test_print_where_the_book_shows_nothing_is_hidden(market):
    market.submit(BUY, 101, 5)
    market.trade(BUY, 101, 5)
    assert market.fills() == []
    market.trade(BUY, 99, 2)
    assert market.fills() == [(101, 2)]


def test_print_that_is_not_printable_is_none(market):
    market.submit(BUY, 100, 5)
    market.trade(BUY, 100, 500, FLAGS["not_printable"])
    market.trade(BUY, 98, 500, FLAGS["not_printable"])
    assert (market.ahead(), market.fills()) == ([50], [])


def test_level_that_shrinks_before_its_trade_is_printed_is_counted_once(market):
    market.submit(BUY, 100, 20)
    market.level(BUY, 100, 20)
    market.trade(BUY, 100, 30)
    assert (market.ahead(), market.fills()) == ([20], [])
    market.level(BUY, 100, 5)
    market.trade(BUY, 100, 10)
    assert (market.ahead(), market.fills()) == ([5], [])


def test_print_comes_soon_after_its_level_or_is_another(impl):
    for lag, filled in ((1000, []), (999, [(100, 10)])):
        market = LevelMarket(impl, print_lag_ns=lag)
        market.level(BUY, 100, 50)
        market.level(BUY, 99, 50)
        market.submit(BUY, 100, 20)
        market.level(BUY, 100, 20, ns=5000)
        market.trade(BUY, 100, 30, ns=6000)
        assert market.fills() == filled


def test_level_that_shrinks_after_its_print_is_counted_once(market):
    market.submit(BUY, 100, 20)
    market.level(BUY, 100, 80)
    market.trade(BUY, 100, 10)
    market.level(BUY, 100, 70)
    market.level(BUY, 100, 45)  # 25 left without a trade: all behind us
    market.trade(BUY, 100, 40)
    assert (market.ahead(), market.fills()) == ([0], [])
    market.level(BUY, 100, 5)
    market.trade(BUY, 100, 5)
    assert market.fills() == [(100, 5)]


def test_level_that_leaves_what_the_feed_shows_keeps_the_place(market):
    market.submit(BUY, 98, 5)
    market.level(BUY, 98, 0)
    assert market.ahead() == [10], "it is worse than all that are shown"
    market.level(BUY, 98, 40)
    assert market.ahead() == [10]
    market.level(BUY, 97, 1)
    market.level(BUY, 98, 0)
    assert market.ahead() == [0]


def test_growth_that_the_feed_dates_before_we_came_is_ahead(impl):
    for lag, ahead in ((0, [70, 90]), (1000, [70, 80])):
        market = LevelMarket(impl, level_lag_ns=lag)
        market.level(BUY, 100, 50, ns=10_000)
        market.submit(BUY, 100, 5)
        market.level(BUY, 100, 70, ns=9000)
        assert market.ahead() == ahead[:1]
        market.level(BUY, 100, 90, ns=11_000 - (lag > 0))
        assert market.ahead() == ([70] if lag == 0 else [90])
        market.level(BUY, 100, 95, ns=11_000)
        assert market.ahead() == ([70] if lag == 0 else [90])


def test_print_that_the_feed_dates_before_we_came_is_not_ours(impl):
    market = LevelMarket(impl)
    market.level(BUY, 100, 50, ns=10_000)
    market.level(BUY, 99, 50, ns=10_000)
    market.submit(BUY, 100, 5)
    market.trade(BUY, 100, 60, ns=9000)
    market.trade(BUY, 99, 60, ns=9000)
    assert (market.ahead(), market.fills()) == ([50], [])
    market.trade(BUY, 99, 60, ns=10_000)
    assert market.fills() == [(100, 5)]


def test_clear_and_image_keep_the_place(market):
    market.submit(BUY, 100, 5)
    market.clear()
    assert market.ahead() == [50]
    market.level(SELL, 99, 8, FLAGS["snapshot"])
    market.level(BUY, 100, 30, FLAGS["snapshot"])
    market.level(BUY, 98, 30, FLAGS["snapshot"])
    assert (market.ahead(), market.fills()) == ([30], [])


def test_before_the_first_image_nobody_knows_what_is_ahead(impl):
    market = LevelMarket(impl)
    market.submit(BUY, 100, 5)
    assert market.ahead() == [market.unknown]
    market.level(BUY, 100, 30, FLAGS["snapshot"])
    assert market.ahead() == [30]


def test_what_our_fill_displaced_still_stands_before_a_later_order(market):
    market.submit(BUY, 101, 10)
    market.submit(BUY, 100, 10)
    market.trade(BUY, 100, 50)
    market.level(BUY, 100, 0)
    assert market.fills() == [(101, 10)]
    assert market.ahead() == [10], "the last ten of the fifty still stand in a world with us"
    market.level(BUY, 100, 30)
    market.trade(BUY, 100, 15)
    assert market.fills() == [(100, 5)]


def test_what_we_took_is_not_there_for_our_next_order(market):
    market.submit(BUY, 103, 30)
    market.submit(BUY, 103, 30)
    assert market.fills() == [(103, 30), (103, 20)]


def test_order_takes_part_in_a_cross_and_nothing_else_fills_it_meanwhile(market):
    market.submit(BUY, 101, 10)
    market.venue.trading = "quotation"
    market.level(SELL, 99, 50)
    market.trade(BUY, 98, 50)
    assert market.fills() == []
    market.cross(101, 50)
    market.cross(100, 4)
    assert market.fills() == [(100, 4)]


def test_own_orders_at_one_price_share_an_execution_in_the_order_of_their_entry(market):
    market.submit(BUY, 100, 4)
    market.submit(BUY, 100, 4)
    market.trade(BUY, 100, 56)
    assert market.fills() == [(100, 4), (100, 2)]


def test_best_prices_alone(impl):
    market = LevelMarket(impl)
    market.quote(100, 10, 103, 20)
    market.submit(BUY, 100, 5)
    market.submit(BUY, 99, 5)
    assert market.ahead() == [10, market.unknown]
    market.quote(99, 30, 101, 4)  # our order is better than the best now
    assert market.ahead() == [0, 30]
    market.quote(99, 30, 100, 3)  # an arrival that would have traded with us
    market.quote(99, 30, 100, 4)
    market.quote(99, 30, 100, 4)
    assert market.fills() == [(100, 3), (100, 1)]
    market.quote(NO_PRICE, 0, NO_PRICE, 0)
    market.quote(99, 30, 100, 4)
    assert market.fills() == [(100, 1)]


def test_best_prices_without_sizes(impl):
    market = LevelMarket(impl)
    market.quote(100, 0, 103, 0)
    market.submit(BUY, 100, 5)
    market.quote(100, 0, 103, 0)
    assert market.ahead() == [market.unknown]
    market.quote(98, 0, 101, 0)
    assert market.ahead() == [0]
    market.quote(98, 0, 100, 0)
    assert market.fills() == [(100, 5)]


def test_best_price_without_size_fills_nothing_on_entry(impl):
    market = LevelMarket(impl)
    market.quote(100, 0, 103, 0)
    market.level(SELL, 104, 8)
    market.submit(BUY, 103, 5)
    assert [row[0] for row in market.reports()] == ["ack"]
    market.submit(BUY, 104, 10)
    assert market.fills() == [(104, 8)]
    assert [row[2:4] for row in market.venue.orders()] == [(104, 2), (103, 5)]
    market.submit(SELL, 100, 5)
    assert market.fills() == []


def test_book_must_be_of_the_kind_of_the_venue():
    book, levels = (import_module("fastcore.book").OrderBook(), import_module("fastcore.book").LevelBook())
    with pytest.raises(TypeError, match="book must be a LevelBook: type=OrderBook"):
        compiled.Venue(by_level=True).submit(book, BUY, 100, 1)
    with pytest.raises(TypeError, match="book must be an OrderBook: type=LevelBook"):
        compiled.Venue().submit(levels, BUY, 100, 1)


LEVEL_ACTIONS = ["level"] * 5 + ["quote", "trade", "trade", "trade", "submit", "submit", "pull", "move", "amend", "clear", "cross", "state"]


@examples(300)
@given(st.lists(st.tuples(st.sampled_from(LEVEL_ACTIONS), st.integers(0, 2**30))), st.integers(0, 2**30))
def test_level_rules_match_the_reference(actions, seed):
    traces = []
    chosen = random.Random(seed)
    options = {
        "displaced_ns": chosen.choice((None, None, 0, 20)), "self_trade": chosen.choice(("refuse", "cancel")), "details": True,
        "print_lag_ns": chosen.choice((0, 5, 10**7)), "level_lag_ns": chosen.choice((0, 0, 5)),
    }  # fmt: skip
    for impl in (compiled, reference):
        market, trace, now = LevelMarket(impl, **options), [], 0
        for action, number in actions:
            rng = random.Random(number)
            side = rng.choice((BUY, SELL))
            price, size = 100 - side * rng.randint(-2, 5), rng.randint(1, 20)
            own = [row[0] for row in market.venue.orders()]
            now += rng.choice((0, 1, 3, -2))
            if action == "level":
                market.level(side, price, rng.choice((0, size)), rng.choice((0, 0, 0, FLAGS["snapshot"])), now)
            elif action == "quote":
                market.quote(rng.choice((price, NO_PRICE)), rng.choice((size, 0)), price + rng.randint(0, 3), rng.randint(1, 20))
            elif action == "trade":
                flags = rng.choice((0, 0, 0, FLAGS["hidden"], FLAGS["not_printable"]))
                market.trade(rng.choice((BUY, SELL, NO_SIDE)), price, size, flags, ns=now)
            elif action == "submit":
                market.submit(side, price, size, rng.choice((0, 0, 0, 4, 8, 1, 32)))
            elif action == "clear":
                market.clear()
            elif action == "cross":
                market.cross(price, size)
            elif action == "state":
                market.venue.trading = rng.choice((None, None, "trading", "quotation", "halted"))
            elif own and action == "move":
                market.venue.replace(market.book, rng.choice(own), price, size)
            elif own and action == "amend":
                market.venue.amend(market.book, rng.choice(own), price, size)
            elif own:
                market.venue.cancel(rng.choice(own))
            market.venue.check()
            counts = (market.venue.displaced_lots, market.venue.deferred_lots, market.venue.forgotten)
            trace.append((market.venue.take_reports().tobytes(), market.venue.orders(), market.book.state_hash(), counts))
        traces.append(trace)
    assert traces[0] == traces[1]
