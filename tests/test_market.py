"""Trading states, market hours and volume, as a table of cases; books have their own tests."""

import numpy as np
import pytest

from fastcore.bookset import BookSet
from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, SELL, SESSION
from fastcore.records import TRADING as STATES
from fastcore.source import EventSource

TRADING, HALTED = STATES["trading"], STATES["halted"]
MARKET_HOURS, AFTER_HOURS = SESSION["market_opens"], SESSION["market_closes"]


def events(*rows):
    """Rows (kind, payload, symbol_id, flags, side) as events one millisecond apart."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for i, (kind, payload, *rest) in enumerate(rows):
        symbol_id, flags, side = (*rest, *(0, 0, 0)[len(rest) :])
        padded = (*payload, *(0, 0, 0, 0)[len(payload) :])
        out[i] = (0, (i + 1) * 1_000_000, 0, symbol_id, KINDS[kind], side, flags, *padded)
    return out


def after(*rows, book="orders"):
    market = Market(book, symbols=16)
    Engine(EventSource(events(*rows)), market).run()
    return market


@pytest.mark.parametrize(
    ("rows", "trades"),
    [
        ([], True),
        ([("listing", (1,))], False),
        ([("listing", (1,)), ("status", (TRADING,))], True),
        ([("listing", (1,)), ("status", (TRADING,)), ("status", (HALTED,))], False),
        ([("status", (HALTED,))], False),
        ([("status", (HALTED,), 1)], True),
        ([("status", (TRADING,)), ("listing", (1,))], True),
        ([("system", (AFTER_HOURS,), NO_SYMBOL)], False),
        ([("system", (MARKET_HOURS,), NO_SYMBOL)], True),
        ([("system", (MARKET_HOURS,), NO_SYMBOL), ("listing", (1,))], False),
        ([("notice", (1,), 0, FLAGS["continued"]), ("status", (HALTED,))], True),
        ([("status", (HALTED,), 999)], True),
    ],
    ids=[
        "nobody has said anything", "listed without a status", "listed and trading", "halted", "halted without a listing",
        "another instrument is halted", "a listing does not undo a status", "after hours", "market hours",
        "market hours, and listed without a status", "the later part of a message is no status", "an id beyond the table",
    ],
)  # fmt: skip
def test_instrument_trades(rows, trades):
    assert after(*rows).trades(0) is trades


def test_volume_is_that_of_printed_executions():
    market = after(
        ("add", (100, 50, 1), 0, 0, BUY),
        ("execute", (NO_PRICE, 20, 1)),
        ("execute", (NO_PRICE, 10, 1), 0, FLAGS["not_printable"]),
        ("trade", (100, 7), 0, 0, SELL),
        ("execute", (NO_PRICE, 1_000, 1)),  # refused: more than is left
        ("trade", (100, 5), 1),
    )
    assert [market.volume_lots(i) for i in range(3)] == [27, 5, 0]
    assert market.seen_ns(2) == 0
    assert (market.events, market.book_errors, market.first_error_seq) == (6, 1, 5)


def of_match(kind, price, size, match_id, flags=0, order_id=0):
    return (kind, (price, size, order_id, match_id), 0, flags)


def test_volume_counts_crosses_and_takes_broken_trades_off():
    hidden = FLAGS["not_printable"]
    rows = [
        ("add", (100, 200, 1), 0, 0, BUY), of_match("execute", NO_PRICE, 30, 11, order_id=1), of_match("execute", 100, 10, 12, order_id=1),
        of_match("execute", 100, 40, 13, hidden, order_id=1), of_match("cross", 100, 40, 13), of_match("trade", 100, 25, 14),
    ]  # fmt: skip
    assert after(*rows).volume_lots(0) == 105
    broken = [*rows, of_match("break", NO_PRICE, 0, 14)]
    assert after(*broken).volume_lots(0) == 80
    assert after(*broken, of_match("break", NO_PRICE, 0, 14)).volume_lots(0) == 80  # broken once
    # Of the execution and the cross with one number the cross, which came last, was counted.
    assert after(*rows, of_match("break", NO_PRICE, 0, 13)).volume_lots(0) == 65
    elsewhere = after(*rows, ("break", (NO_PRICE, 0, 0, 14), 1), ("break", (NO_PRICE, 0, 0, 99), 0))
    assert (elsewhere.volume_lots(0), elsewhere.lost_breaks) == (105, 2)
    assert after(*rows, ("break", (NO_PRICE, 0, 0, 14), NO_SYMBOL)).volume_lots(0) == 80


def test_quotes_beside_orders_change_no_book():
    market = after(("add", (100, 50, 1), 0, 0, BUY), ("quote", (101, 102, 5, 5)))
    assert market.books.book(0).best_bid == 100
    assert market.book_errors == 0


@pytest.mark.parametrize(
    ("kwargs", "rule"),
    [
        ({"book": "none"}, "book must be orders, levels or quotes: book=none"),
        ({"symbols": 0}, r"symbols must be in 1\.\.16777216: symbols=0"),
        ({"symbols": (1 << 24) + 1}, "symbols must be in 1"),
    ],
)
def test_constructor_states_the_rule(kwargs, rule):
    with pytest.raises(ValueError, match=rule):
        Market(**kwargs)


def test_symbol_id_out_of_range_states_the_rule():
    for ask in (Market(symbols=4).trades, Market(symbols=4).volume_lots):
        with pytest.raises(ValueError, match=r"symbol_id must be in 0\.\.3: symbol_id=4"):
            ask(4)


@pytest.mark.parametrize("kind", [len(KINDS), 64 + KINDS["system"], 64 + KINDS["add"], 128 + KINDS["status"], 255])
def test_kinds_that_there_are_not_are_counted_and_change_nothing(kind):
    rows = events(("add", (100, 5, 1), 0, 0, BUY), ("add", (101, 5, 2), 0, 0, BUY), ("status", (HALTED,), 3))
    rows["kind"][1] = kind
    market = Market(symbols=16)
    Engine(EventSource(rows), market).run()
    assert (market.events, market.book_errors, market.first_error_seq) == (3, 1, 2)
    assert market.books.book(0).best_bid == 100
    books = BookSet(symbols=4)
    books.apply(rows)
    assert books.counts == {"ok": 2, "unknown message type": 1}
