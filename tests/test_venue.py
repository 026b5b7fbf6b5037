"""The simulated venue: hand-computed queues as event lists, and fill times against a matching engine that holds the order."""

import random

import pytest
from makers.markets import Market
from makers.matching import Matching

from fastcore.errors import Result
from fastcore.records import BUY, FLAGS, SELL, order_terms

MODULE = "sim.venue"


def opened(impl, **options):
    """A market in which orders rest, far away on both sides."""
    market = Market(impl, **options)
    market.book.add(901, BUY, 1, 1)
    market.book.add(902, SELL, 10**9, 1)
    return market


@pytest.fixture
def market(impl):
    return opened(impl)


def ahead(market):
    return [row[4] for row in market.venue.orders()]


def test_order_waits_behind_the_displayed_quantity_and_fills_when_it_is_executed(market):
    market.add(1, BUY, 100, 30)
    market.add(2, BUY, 100, 20)
    assert market.submit(BUY, 100, 10) == 0
    market.add(3, BUY, 100, 40)
    market.execute(1, 30, match_id=7)
    market.execute(2, 20, match_id=8)
    assert ahead(market) == [0]
    market.execute(3, 4, match_id=9)  # would have been ours
    market.execute(3, 36, match_id=10)
    assert market.reports() == [
        ("ack", BUY, 100, 10, 1, 50),
        ("fill", BUY, 100, 4, 1, 9),
        ("fill", BUY, 100, 6, 1, 10),
    ]
    assert market.venue.orders() == []
    assert market.venue.filled_lots == 10


def test_reports_carry_the_event_that_caused_them(market):
    market.add(1, SELL, 100, 5)
    market.submit(SELL, 100, 5)
    market.add(2, SELL, 100, 5)
    market.execute(1, 5)
    market.execute(2, 5)
    reports = market.venue.take_reports()
    assert reports["seq"].tolist() == [1, 4]
    assert reports["exch_ns"].tolist() == [1000, 4000]
    assert reports["flags"].tolist() == [FLAGS["own"], FLAGS["own"] | FLAGS["maker"] | FLAGS["at"]]
    assert len(market.venue.take_reports()) == 0


def test_cancels_ahead_shorten_the_queue_and_cancels_behind_do_not(market):
    market.add(1, SELL, 100, 30)
    market.add(2, SELL, 100, 20)
    market.submit(SELL, 100, 10)
    market.add(3, SELL, 100, 40)
    market.cancel(1, 10)
    assert ahead(market) == [40]
    market.delete(3)
    assert ahead(market) == [40]
    market.delete(1)
    assert ahead(market) == [20]
    market.cancel(2, 20)
    assert ahead(market) == [0]


def test_replaced_recorded_order_leaves_the_queue_ahead(market):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.replace(1, 2, 100, 30)
    assert ahead(market) == [0]
    market.execute(2, 7)
    assert market.fills() == [(100, 7, 1)]


def test_execution_at_a_worse_price_would_have_reached_us(market):
    market.add(1, BUY, 99, 50)
    market.submit(BUY, 100, 10)
    market.execute(1, 4)
    market.execute(1, 40)
    assert market.fills() == [(100, 4, 1), (100, 6, 1)]


def test_execution_at_a_better_price_does_not_reach_us(market):
    market.add(1, SELL, 99, 50)
    market.submit(SELL, 100, 10)
    market.execute(1, 50)
    assert market.fills() == []


@pytest.mark.parametrize("price", [100, 99])
def test_arrival_on_the_other_side_that_reaches_our_price_trades_with_us(market, price):
    market.submit(BUY, 100, 10)
    market.add(1, SELL, 101, 5)
    market.add(2, SELL, price, 6)
    assert market.fills() == [(100, 6, 1)]
    market.replace(1, 3, price, 9)
    assert market.fills() == [(100, 4, 1)]


def test_hidden_print_fills_only_strictly_through_our_price(market):
    market.submit(BUY, 100, 10)
    market.submit(SELL, 104, 10)
    for price in (100, 101, 104):
        market.trade(price, 5)
    assert market.fills() == []
    market.trade(99, 3)
    market.trade(105, 4)
    assert market.fills() == [(100, 3, 1), (104, 4, 2)]


def test_record_that_serves_out_of_turn_serves_those_ahead_first(market):
    market.add(1, BUY, 100, 4)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 10)
    market.execute(2, 10)
    market.execute(1, 4)
    assert market.fills() == [(100, 6, 1), (100, 4, 1)]


def test_best_own_price_is_served_first_then_the_earliest(market):
    market.submit(SELL, 102, 10)
    market.submit(SELL, 101, 10)
    market.submit(SELL, 101, 10)
    market.add(1, SELL, 103, 100)
    market.reports()
    market.execute(1, 25)
    assert market.reports() == [("fill", SELL, 101, 10, 2, 0), ("fill", SELL, 101, 10, 3, 0), ("fill", SELL, 102, 5, 1, 0)]


def test_marketable_order_takes_what_is_displayed_and_rests_with_the_remainder(market):
    market.add(1, SELL, 101, 10)
    market.add(2, SELL, 102, 20)
    market.add(3, SELL, 103, 30)
    assert market.submit(BUY, 102, 50) == 0
    assert market.reports() == [
        ("ack", BUY, 102, 50, 1, 0),
        ("fill", BUY, 101, 10, 1, -1),
        ("fill", BUY, 102, 20, 1, -1),
    ]
    assert market.venue.orders() == [(1, BUY, 102, 20, 0)]
    assert market.book.best_ask == 101, "the recorded book is not altered"


def test_marketable_sell_has_the_same_shape(market):
    market.add(1, BUY, 99, 10)
    market.add(2, BUY, 98, 10)
    market.submit(SELL, 98, 15)
    assert market.reports() == [
        ("ack", SELL, 98, 15, 1, 0),
        ("fill", SELL, 99, 10, 1, -1),
        ("fill", SELL, 98, 5, 1, -1),
    ]
    assert market.venue.orders() == []


def test_sweep_stops_after_64_levels_and_the_rest_is_pulled(market):
    for i in range(70):
        market.add(i + 1, SELL, 100 + i, 1)
    market.submit(BUY, 1000, 100)
    reports = market.reports()
    assert [r[0] for r in reports] == ["ack"] + ["fill"] * 64 + ["pulled"]
    assert reports[-1] == ("pulled", BUY, 1000, 36, 1, 0)
    assert market.venue.orders() == []


def test_cancel_pulls_what_is_left(market):
    market.add(1, BUY, 99, 50)
    market.submit(BUY, 100, 10)
    market.execute(1, 4)
    market.reports()
    assert market.venue.cancel(1) == 0
    assert market.reports() == [("pulled", BUY, 100, 6, 1, 0)]
    assert market.venue.open_buy_lots == 0


def test_cancel_and_replace_of_unknown_order_are_rejected(market):
    assert market.venue.cancel(5) == Result.UNKNOWN_ORDER
    assert market.move(6, 100, 10) == Result.UNKNOWN_ORDER
    assert [(r[0], r[4], r[5]) for r in market.reports()] == [("reject", 5, Result.UNKNOWN_ORDER), ("reject", 6, Result.UNKNOWN_ORDER)]


def test_replace_at_the_same_price_with_less_keeps_the_place(market):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 40)
    assert market.move(1, 100, 6) == 0
    assert market.venue.orders() == [(2, BUY, 100, 6, 30)]
    assert market.reports()[1:] == [("pulled", BUY, 100, 10, 1, 0), ("ack", BUY, 100, 6, 2, 30)]
    assert market.venue.open_buy_lots == 6


@pytest.mark.parametrize(("price", "size", "queue"), [(100, 11, 70), (101, 10, 0), (99, 5, 0)])
def test_replace_with_more_or_elsewhere_goes_to_the_back(market, price, size, queue):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 40)
    assert market.move(1, price, size) == 0
    assert market.venue.orders() == [(2, BUY, price, size, queue)]


@pytest.mark.parametrize(
    ("price", "size", "code"), [(0, 1, Result.BAD_PRICE), (-5, 1, Result.BAD_PRICE), (2**61, 1, Result.BAD_PRICE), (5, 0, Result.BAD_SIZE)]
)
def test_order_outside_the_range_is_rejected_and_the_old_one_stays(market, price, size, code):
    market.submit(BUY, 100, 10)
    assert market.submit(BUY, price, size) == code
    assert market.move(1, price, size) == code
    assert [r[0] for r in market.reports()] == ["ack", "reject", "reject"]
    assert market.venue.orders() == [(1, BUY, 100, 10, 0)]


def test_order_without_a_side_is_rejected(market):
    assert market.submit(0, 100, 10) == Result.BAD_SIZE


@pytest.mark.parametrize(
    ("price", "total", "left"), [(100, 8, 4), (100, 20, 16), (99, 10, 6), (100, 4, None), (99, 3, None)]
)
def test_replace_counts_what_is_filled_and_never_buys_it_again(market, price, total, left):
    market.submit(BUY, 100, 10)
    market.add(1, SELL, 100, 4)  # trades with us while the message is under way
    assert market.fills() == [(100, 4, 1)]
    assert market.move(1, price, total) == (Result.OK if left else Result.UNKNOWN_ORDER)
    pulled = ("pulled", BUY, 100, 6, 1, 0)
    place = [] if left is None else market.venue.orders()[0][4]
    answer = ("reject", BUY, price, total, 2, Result.UNKNOWN_ORDER) if left is None else ("ack", BUY, price, left, 2, place)
    assert market.reports()[-2:] == [pulled, answer]
    assert market.submit(BUY, 90, 1) == 0
    assert [row[0] for row in market.venue.orders()] == ([2, 3] if left else [3])


def test_full_venue_rejects_and_a_replace_still_works(impl):
    market = Market(impl, capacity=1)
    market.submit(BUY, 100, 10)
    assert market.submit(BUY, 101, 10) == Result.FULL
    assert market.submit(SELL, 105, 10) == 0
    assert market.move(1, 101, 10) == 0
    assert [row[:3] for row in market.venue.orders()] == [(4, BUY, 101), (3, SELL, 105)]


@pytest.mark.parametrize(
    "kwargs", [{"capacity": 0}, {"symbol_id": -1}, {"displaced_ns": -1}, {"print_lag_ns": -1}, {"level_lag_ns": 2**61}]
)
def test_constructor_states_the_rule(impl, kwargs):
    (name,) = kwargs
    with pytest.raises(ValueError, match=f"{name} must be in .*: {name}="):
        impl.Venue(**kwargs)
    with pytest.raises(ValueError, match="self_trade must be refuse or cancel: self_trade=decrement"):
        impl.Venue(self_trade="decrement")
    with pytest.raises(ValueError, match="trading must be one of unknown, .*: trading=open"):
        impl.Venue().trading = "open"


def test_unknown_kind_is_an_error(impl):
    with pytest.raises(ValueError, match="kind must be one of"):
        impl.Venue().apply(99, 1, 1, 1, 1)


def test_many_reports_are_kept(market):
    for _ in range(2000):
        market.submit(BUY, 100, 1)
        market.venue.cancel(market.venue.orders()[0][0])
    assert len(market.venue.take_reports()) == 4000


# ---- displaced and taken lots


def test_what_our_fill_displaced_still_stands_before_a_later_order(market):
    market.add(1, BUY, 100, 10)
    market.submit(BUY, 101, 10)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 10)
    market.execute(1, 10)
    assert market.fills() == [(101, 10, 1)]
    assert ahead(market) == [10], "order 1 still stands in a world with us"
    market.execute(2, 10)
    assert market.fills() == []
    assert ahead(market) == [0]
    market.add(3, BUY, 100, 10)
    market.execute(3, 10)
    assert market.fills() == [(100, 10, 2)]
    assert market.venue.deferred_lots == 10


def test_a_later_order_of_ours_stands_behind_displaced_lots(market):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 101, 20)
    market.execute(1, 20)
    market.reports()
    market.submit(BUY, 100, 5)
    assert market.reports() == [("ack", BUY, 100, 5, 2, 30)], "10 that are displayed and 20 that are not"
    market.execute(1, 10)
    assert ahead(market) == [20]
    market.add(2, BUY, 100, 40)
    market.execute(2, 24)
    assert market.fills() == [(100, 4, 2)]


@pytest.mark.parametrize(("displaced_ns", "queue", "filled"), [(None, 10, 0), (10**9, 10, 0), (2001, 10, 5), (2000, 0, 5), (0, 0, 5)])
def test_how_long_displaced_lots_stay_is_a_choice(impl, displaced_ns, queue, filled):
    market = opened(impl, displaced_ns=displaced_ns)
    market.add(1, BUY, 100, 10)
    market.submit(BUY, 101, 10)
    market.execute(1, 10)
    market.add(2, BUY, 100, 10)
    market.submit(BUY, 100, 5)
    market.reports()
    market.add(3, BUY, 100, 10)
    assert market.venue.displaced_lots == queue
    market.execute(2, 10)
    market.execute(3, 10)
    assert sum(row[1] for row in market.fills()) == filled


def test_displaced_lots_that_an_execution_at_a_worse_price_serves_move_there(market):
    market.add(1, BUY, 100, 10)
    market.submit(BUY, 101, 10)
    market.execute(1, 10)
    market.add(2, BUY, 99, 10)
    market.execute(2, 4)  # would have been order 1's
    market.reports()
    market.submit(BUY, 100, 1)
    market.submit(BUY, 99, 1)
    assert [row[5] for row in market.reports()] == [6, 10], "6 of order 2 are displayed, 4 are not"


def test_displaced_lots_go_with_a_delete_of_their_order(market):
    market.add(1, BUY, 100, 20)
    market.submit(BUY, 101, 10)
    market.execute(1, 10)
    market.reports()
    market.submit(BUY, 100, 5)
    assert ahead(market) == [20]
    market.delete(1)
    assert ahead(market) == [0]


def test_displaced_lots_trade_with_what_arrives_on_the_other_side(market):
    market.add(1, BUY, 100, 10)
    market.submit(BUY, 101, 10)
    market.execute(1, 10)
    market.add(2, SELL, 100, 4)
    market.reports()
    market.submit(BUY, 99, 1)
    assert market.venue.displaced_lots == 6
    market.replace(2, 3, 99, 4)  # its four have traded with order 1
    assert market.fills() == []


def test_who_has_traded_with_us_does_not_trade_again_when_it_is_replaced(market):
    market.add(1, BUY, 98, 10)
    market.submit(BUY, 100, 10)
    market.add(2, SELL, 99, 6)
    assert market.fills() == [(100, 6, 1)]
    market.replace(2, 3, 100, 6)
    assert market.fills() == []
    market.replace(3, 4, 105, 20)
    market.replace(4, 5, 100, 30)
    assert market.fills() == [], "it is gone in a world with us"


def test_who_has_traded_in_part_moves_the_rest(market):
    market.submit(BUY, 100, 6)
    market.add(2, SELL, 99, 10)
    market.submit(BUY, 98, 10)
    market.reports()
    market.replace(2, 3, 97, 10)
    assert market.fills() == [(98, 4, 2)]


def test_what_we_took_is_not_there_for_our_next_order(market):
    market.add(1, SELL, 101, 4)
    market.add(2, SELL, 101, 6)
    market.submit(BUY, 101, 7)
    market.submit(BUY, 101, 7)
    assert market.fills() == [(101, 7, 1), (101, 3, 2)]
    market.cancel(2, 1)
    market.add(3, SELL, 101, 5)
    assert market.fills() == [(101, 4, 2)]


def test_more_than_there_is_room_for_is_forgotten_and_counted(impl):
    market = opened(impl)
    for i in range(70):
        market.add(i + 1, SELL, 101, 1)
    market.submit(BUY, 101, 70)
    assert market.venue.forgotten == 6
    assert sum(row[1] for row in market.fills()) == 70
    market.submit(BUY, 101, 10)
    assert market.fills() == [(101, 6, 2)], "those that were forgotten"
    for i in range(600):
        market.add(1000 + i, BUY, 50, 1)
    market.venue.cancel(2)
    market.submit(BUY, 60, 600)
    for i in range(600):
        market.execute(1000 + i, 1)
    assert market.venue.displaced_lots == 256
    assert market.venue.forgotten == 6 + 6 + 344
    market.venue.check()


# ---- images


def test_clear_and_image_keep_the_place(market):
    market.add(1, BUY, 100, 300)
    market.add(2, BUY, 100, 200)
    market.submit(BUY, 100, 10)
    market.add(3, BUY, 100, 50)
    market.clear()
    assert ahead(market) == [500]
    for order_id, size in ((1, 300), (2, 150), (3, 50), (4, 7)):
        market.add(order_id, BUY, 100, size, FLAGS["snapshot"])
    assert ahead(market) == [500], "who is ahead in the image was ahead before, up to what was ahead"
    market.add(5, BUY, 99, 1)
    market.execute(1, 300)
    market.execute(2, 150)
    assert ahead(market) == [50]
    market.execute(3, 50)
    market.execute(4, 7)
    assert market.fills() == [(100, 7, 1)]


def test_what_an_image_puts_before_an_order_stands_before_those_behind_it(impl):
    market = Market(impl)
    market.submit(BUY, 101, 9)  # before there is a book: nobody knows what is ahead
    market.add(1, SELL, 104, 2)
    market.submit(BUY, 101, 9)
    market.clear()
    market.add(2, BUY, 101, 9, FLAGS["snapshot"])
    assert ahead(market) == [1 << 60, 9]
    market.venue.check()


def test_image_with_less_than_was_ahead_shortens_the_queue(market):
    market.add(1, BUY, 100, 300)
    market.submit(BUY, 100, 10)
    market.clear()
    market.add(2, BUY, 100, 80, FLAGS["snapshot"])
    assert ahead(market) == [300]
    market.add(3, SELL, 105, 1)
    assert ahead(market) == [80]


def test_image_that_crosses_us_is_no_arrival(market):
    market.add(1, BUY, 100, 300)
    market.submit(BUY, 100, 10)
    market.clear()
    market.add(2, SELL, 99, 80, FLAGS["snapshot"])
    assert market.fills() == []


def test_before_the_first_image_nobody_knows_what_is_ahead(impl):
    market = Market(impl)
    market.submit(BUY, 100, 10)
    assert market.reports() == [("ack", BUY, 100, 10, 1, impl.UNKNOWN)]
    market.clear()
    market.add(1, BUY, 100, 30, FLAGS["snapshot"])
    market.add(2, BUY, 100, 20, FLAGS["snapshot"])
    market.add(3, BUY, 100, 5)
    assert ahead(market) == [50]
    market.execute(1, 30)
    market.execute(2, 20)
    assert market.fills() == []
    market.execute(3, 5)
    assert market.fills() == [(100, 5, 1)]


# ---- own orders among themselves, halts, auctions, broken trades


def test_order_that_would_meet_an_own_one_is_refused(market):
    market.add(1, SELL, 103, 5)
    market.submit(SELL, 104, 10)
    assert market.submit(BUY, 104, 6) == Result.SELF_TRADE
    assert market.submit(BUY, 104, 5) == 0, "it does not come as far"
    assert market.submit(BUY, 103, 1) == 0
    assert market.move(4, 104, 1) == Result.SELF_TRADE
    assert [row[:2] for row in market.venue.orders()] == [(4, BUY), (1, SELL)]


def test_self_trade_mode_cancel_pulls_the_own_orders_that_would_be_met(impl):
    market = opened(impl, self_trade="cancel")
    for price in (104, 105, 107):
        market.submit(SELL, price, 10)
    market.reports()
    market.submit(BUY, 105, 6)
    pulled = [("pulled", SELL, price, 10, number, Result.SELF_TRADE) for number, price in ((1, 104), (2, 105))]
    assert market.reports() == [*pulled, ("ack", BUY, 105, 6, 4, 0)]


def test_one_print_never_fills_both_sides(market):
    market.submit(BUY, 100, 5)
    market.submit(SELL, 102, 5)
    for price in (99, 100, 101, 102, 103):
        market.trade(price, 50)
        assert len({row[2] for row in market.fills()}) <= 1


@pytest.mark.parametrize("state", ["unknown", "halted", "paused"])
def test_halted_venue_refuses_orders_fills_nothing_and_lets_them_be_pulled(market, state):
    market.submit(BUY, 100, 10)
    market.reports()
    market.venue.trading = state
    assert market.submit(BUY, 101, 10) == Result.NOT_TRADING
    assert market.move(1, 101, 10) == Result.NOT_TRADING
    market.add(1, SELL, 99, 5)
    assert market.fills() == []
    assert market.venue.cancel(1) == 0


def test_order_takes_part_in_a_cross_at_a_better_price(market):
    market.venue.trading = "quotation"
    market.add(1, SELL, 99, 50)
    market.submit(BUY, 101, 10)
    market.submit(BUY, 100, 10)
    market.submit(BUY, 101, 10, order_terms(time="ioc"))
    assert [row[0] for row in market.reports()] == ["ack", "ack", "ack", "pulled"], "nothing trades while orders are collected"
    market.cross(100, 8)
    assert market.reports() == [("fill", BUY, 100, 8, 1, 77)]
    market.venue.trading = "trading"
    market.execute(1, 50, flags=FLAGS["not_printable"])  # the cross, order by order
    assert market.fills() == []


def test_execution_that_is_part_of_a_cross_moves_the_queue_and_fills_nothing(market):
    market.add(1, BUY, 100, 10)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 99, 10)
    market.execute(1, 10, flags=FLAGS["not_printable"])
    market.execute(2, 10, flags=FLAGS["not_printable"])
    market.trade(98, 10, FLAGS["not_printable"])
    assert ahead(market) == [0]
    assert market.fills() == []


def test_broken_trade_undoes_nothing(market):
    market.add(1, BUY, 99, 50)
    market.submit(BUY, 100, 10)
    market.execute(1, 4, match_id=7)
    market._tell("break", (0, 0, 0, 0), match_id=7)
    assert market.fills() == [(100, 4, 1)]
    assert market.venue.filled_lots == 4


# ---- kinds of orders


def test_market_order_takes_what_it_finds_and_the_rest_is_pulled(market):
    market.book.delete(902)
    market.add(1, SELL, 101, 10)
    market.add(2, SELL, 150, 10)
    market.submit(BUY, 0, 25, order_terms("market"))
    assert market.reports() == [
        ("ack", BUY, 0, 25, 1, 0), ("fill", BUY, 101, 10, 1, -1), ("fill", BUY, 150, 10, 1, -1), ("pulled", BUY, 0, 5, 1, 0),
    ]  # fmt: skip


def test_immediate_order_does_not_rest(market):
    market.add(1, SELL, 101, 10)
    market.submit(BUY, 101, 25, order_terms(time="ioc"))
    assert [row[:1] + row[3:4] for row in market.reports()] == [("ack", 25), ("fill", 10), ("pulled", 15)]


def test_fill_or_kill_is_filled_in_full_or_refused(market):
    market.add(1, SELL, 101, 10)
    market.add(2, SELL, 102, 10)
    fok = order_terms(time="fok")
    assert market.submit(BUY, 101, 11, fok) == Result.UNFILLABLE
    assert market.submit(BUY, 102, 11, fok) == 0
    assert market.submit(BUY, 102, 10, fok) == Result.UNFILLABLE, "it took eleven already"
    assert [row[1] for row in market.fills()] == [10, 1]


def test_post_only_order_never_takes(market):
    market.add(1, SELL, 101, 10)
    post_only = order_terms(post_only=True)
    assert market.submit(BUY, 101, 5, post_only) == Result.POST_ONLY
    assert market.submit(BUY, 100, 5, post_only) == 0
    assert market.move(2, 101, 5) == Result.POST_ONLY
    assert market.venue.amend(market.book, 2, 101, 5) == Result.POST_ONLY
    assert [row[:3] for row in market.venue.orders()] == [(2, BUY, 100)]


def test_orders_expire_in_time(market):
    def good_till(ns):
        return order_terms(time="gtd", expiry_ns=ns)

    assert market.venue.due_ns is None
    market.add(1, BUY, 90, 1)  # 1,000 ns
    market.submit(BUY, 100, 5, good_till(5120))
    market.submit(SELL, 110, 5, good_till(5120))
    market.submit(BUY, 100, 5, good_till(2560))
    market.submit(BUY, 100, 5)
    assert market.submit(BUY, 100, 5, good_till(1000)) == Result.EXPIRED
    market.reports()
    assert market.venue.due_ns == 2560
    market.venue.expire(2559)
    assert market.reports() == []
    market.venue.expire(2560)
    assert market.reports() == [("pulled", BUY, 100, 5, 3, Result.EXPIRED)]
    market.venue.expire(10**6)
    assert [row[4] for row in market.reports()] == [1, 2]
    assert market.venue.due_ns is None
    assert [row[0] for row in market.venue.orders()] == [4]


@pytest.mark.parametrize(
    "terms", [2, 3, 16, 20, 64, 128, 12, 256, 4 | 256, 32 | 4, 32 | 8, 32 | 1, 1 | 12 | 256, -1, -(2**63)]
)
def test_terms_that_contradict_each_other_are_refused(market, terms):
    assert market.submit(BUY, 100, 5, terms) == Result.BAD_TERMS


@pytest.mark.parametrize(
    ("arguments", "options", "rule"),
    [
        (("stop",), {}, "type must be limit or market: type=stop"),
        (("limit", "gtc"), {}, "time must be day, ioc, fok or gtd: time=gtc"),
        (("limit", "gtd"), {}, "expiry_ns must be in 256..*gtd"),
        (("limit", "day"), {"expiry_ns": 1000}, "expiry_ns must be in .*day"),
        (("market",), {"post_only": True}, "terms must agree"),
        (("market", "gtd"), {"expiry_ns": 1000}, "terms must agree"),
    ],
)
def test_terms_are_checked_where_they_are_made(arguments, options, rule):
    with pytest.raises(ValueError, match=rule):
        order_terms(*arguments, **options)


def test_amend_downwards_keeps_the_place_and_counts_what_is_filled(market):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 40)
    market.execute(1, 30)
    market.execute(2, 4)
    market.reports()
    assert market.venue.amend(market.book, 1, 100, 9) == 0
    assert market.reports() == [("ack", BUY, 100, 9, 1, 0)]
    assert [row[3:] for row in market.venue.orders()] == [(5, 0)]
    assert market.venue.open_buy_lots == 5
    assert market.venue.amend(market.book, 1, 100, 4) == 0
    assert market.reports() == [("pulled", BUY, 100, 5, 1, 0)], "no more than what is filled: done"
    assert market.venue.orders() == []
    assert market.venue.amend(market.book, 1, 100, 4) == Result.UNKNOWN_ORDER


@pytest.mark.parametrize(("price", "total", "queue"), [(100, 11, 76), (101, 10, 0), (99, 5, 0)])
def test_amend_upwards_or_elsewhere_goes_to_the_back(market, price, total, queue):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 46)
    assert market.venue.amend(market.book, 1, price, total) == 0
    assert market.venue.orders() == [(1, BUY, price, total, queue)]
    for price, total, code in ((0, 5, Result.BAD_PRICE), (100, 0, Result.BAD_SIZE), (100, -5, Result.BAD_SIZE)):
        assert market.venue.amend(market.book, 1, price, total) == code


def test_prices_below_zero_where_the_instrument_allows_them(impl):
    market = Market(impl, signed_prices=True)
    market.add(1, BUY, -5, 10)
    market.add(2, SELL, 0, 10)
    assert market.submit(BUY, -5, 4) == 0
    assert market.submit(SELL, 0, 4) == 0
    market.execute(1, 10)
    market.add(3, BUY, -5, 10)
    market.execute(3, 3)
    market.trade(1, 9)
    assert market.fills() == [(-5, 3, 1), (0, 4, 2)]


# ---- what a fill says of itself


def explained(market):
    names = ("maker", "taker", "hidden", "at", "through", "crossing", "took", "auction")
    out = []
    for row in market.venue.take_reports().tolist():
        if row[4] == 14:
            out.append(" ".join(name for name in names if row[6] & FLAGS[name]))
        elif out and row[4] == 27:
            out.append((row[5], *row[7:]))
    return out


def test_fill_says_what_filled_it(market):
    market.add(1, SELL, 102, 5)
    market.submit(BUY, 102, 6)
    market.submit(SELL, 106, 30)
    market.add(2, SELL, 106, 5)
    market.add(3, SELL, 107, 5)
    market.execute(2, 1)
    market.execute(3, 1)
    market.trade(107, 1)
    market.add(4, BUY, 106, 1)
    market.cross(107, 1)
    assert explained(market) == [
        "taker took", "maker at", "maker through", "maker hidden", "maker crossing", "maker auction",
    ]  # fmt: skip


def test_details_tell_how_a_fill_came_about(impl):
    market = opened(impl, details=True)
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 101, 10)
    market.submit(BUY, 100, 9)
    market.execute(1, 30)
    market.add(2, BUY, 100, 14)
    market.execute(2, 14)
    assert explained(market) == ["maker through", (BUY, 0, 0, 2, 0), "maker at", (BUY, 10, 5, 4, 10)]
    market.add(3, SELL, 105, 3)
    market.submit(BUY, 105, 2)
    assert explained(market) == ["taker took", (BUY, 0, 0, 5, 0)]


# ---- order-level exactness (theory.md section 5): the same flow through a matching engine that really holds the order


def random_flow(rng, n, rests):
    """Orders of a market around 100, each step a limit order, an aggressive order or a cancel of an earlier one."""
    flow = []
    for i in range(1, n + 1):
        kind = rng.random()
        side = rng.choice((BUY, SELL))
        if kind < 0.5:
            flow.append(("limit", i, side, 100 - side * rng.randint(1, 5), rng.randint(1, 20)))
        elif kind < 0.72:
            flow.append(("aggress", i, side, rng.randint(1, 30), rng.choice((0, 0, 1, 2)) if rests else 0))
        else:
            flow.append(("cancel", rng.randint(max(1, i - 60), i)))
    return flow


@pytest.mark.parametrize(("own_size", "rests"), [(1, True), (1, False), (7, False)])
@pytest.mark.parametrize("seed", range(40))
def test_fill_times_equal_a_matching_engine_that_holds_the_order(impl, seed, own_size, rests):
    rng = random.Random(1000 * own_size + seed + rests)
    flow = random_flow(rng, 400, rests)
    insert_at = rng.randint(50, 150)
    own_side = rng.choice((BUY, SELL))
    own_offset = rng.randint(0, 3)

    # The recorded world, without our order. Aggressive orders are sized and priced by what is displayed there.
    recorded = Matching()
    market = Market(impl)
    position, own_price, told, venue_times, orders = 0, None, [], [], []
    for step, item in enumerate(flow):
        if step == insert_at:
            best = recorded.best(own_side)
            own_price = (best if best is not None else 100 - own_side * 3) - own_side * own_offset
            if own_price <= 0 or ((b := recorded.best(-own_side)) is not None and own_side * (own_price - b) >= 0):
                return  # would trade on entry: another test
            market.submit(own_side, own_price, own_size)
            market.reports()
        if item[0] == "limit":
            _, order_id, side, price, size = item
            # Passive limit orders: never through the other side of either world.
            if (b := recorded.best(-side)) is not None and side * (price - b) >= 0:
                price = b - side
            if own_price is not None and side == -own_side and side * (price - own_price) >= 0 and not rests:
                price = own_price - side
            orders.append(("limit", order_id, side, price, size, True))
        elif item[0] == "aggress":
            _, order_id, side, size, through = item
            best = recorded.best(-side)
            if best is None:
                continue
            if not rests:
                size = min(size, sum(s for _, s in recorded.queues[-side][best]))
            orders.append(("limit", order_id, side, best + side * through, size, rests))
        else:
            orders.append(item)
        told.append((step, orders[-1]))
        apply_order(recorded, orders[-1])
        for message in recorded.record[position:]:
            getattr(market, message[0])(*message[1:])
        position = len(recorded.record)
        market.venue.check()
        venue_times += [(step, size) for _, size, _ in market.fills()]

    # The true world, in which the order really stands in the queue.
    truth, true_times = Matching(), []
    inserted = False
    for step, order in told:
        if step >= insert_at and not inserted:
            truth.limit("own", own_side, own_price, own_size)
            inserted = True
        before = truth.filled.get("own", 0)
        apply_order(truth, order)
        after = truth.filled.get("own", 0)
        if after > before:
            true_times.append((step, after - before))
    summed = {}
    for step, size in venue_times:
        summed[step] = summed.get(step, 0) + size
    assert sorted(summed.items()) == true_times


def apply_order(engine, order):
    if order[0] == "limit":
        engine.limit(*order[1:])
    else:
        engine.cancel(order[1])
