"""Positions: exact profit through partial closes and flips, and nothing accepted that does not fit."""

import threading
from fractions import Fraction

import numpy as np
import pytest

from fastcore import portfolio as compiled
from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE

MODULE = "portfolio"
BUY, SELL = 1, -1
FUTURE = Instrument("ESH6", 0.25, 1.0, multiplier=50.0, currency="USD")
EURO = Instrument("SAP", 0.01, 1.0, currency="EUR")
INVERSE = Instrument("XBTUSD", 0.5, 1.0, currency="XBT", kind="inverse")
SPREAD = Instrument("CLF6-CLG6", 0.01, 1.0, signed_prices=True)


def after(impl, *fills):
    p = impl.Position()
    for fill in fills:
        p.fill(*fill)
    return p


def test_round_trip_realises_the_difference(impl):
    p = after(impl, (BUY, 100, 10), (SELL, 103, 10))
    assert (p.position_lots, p.realised, p.cost, p.cash) == (0, 30, 0, 30)
    assert (p.volume_lots, p.bought_lots, p.sold_lots, p.turnover, p.fills) == (20, 10, 10, 2030, 2)
    assert p.average_price is None
    assert p.unrealised(500) == 0


def test_short_round_trip_mirrors_the_long_one(impl):
    p = after(impl, (SELL, 103, 10), (BUY, 100, 10))
    assert (p.position_lots, p.realised) == (0, 30)
    assert after(impl, (SELL, 103, 10)).average_price == 103.0


def test_adding_averages_the_price(impl):
    p = after(impl, (BUY, 100, 10), (BUY, 110, 30))
    assert (p.average_price, p.unrealised(108), p.realised) == (107.5, 20, 0)


def test_partial_close_takes_its_share_of_the_cost(impl):
    p = after(impl, (BUY, 100, 10), (BUY, 110, 30), (SELL, 120, 10))
    assert (p.position_lots, p.average_price, p.realised) == (30, 107.5, 125)


def test_flip_closes_all_and_opens_the_rest_at_its_price(impl):
    p = after(impl, (BUY, 100, 10), (SELL, 105, 25))
    assert (p.position_lots, p.average_price, p.realised, p.cost) == (-15, 105.0, 50, -1575)
    p.fill(BUY, 101, 40)
    assert (p.position_lots, p.average_price, p.realised) == (25, 101.0, 50 + 60)


def test_rounding_of_a_partial_close_stays_in_the_open_lots(impl):
    """Three lots for 10: closing one takes 10/3 out, rounded towards zero, and flat means that every unit is accounted."""
    third = Fraction(3_333_333_333, 10**9)
    p = after(impl, (BUY, 3, 2), (BUY, 4, 1), (SELL, 5, 1))
    assert (p.cost, p.realised) == (10 - third, 5 - third)
    p.fill(SELL, 5, 1)
    assert (p.cost, p.realised) == (10 - 2 * third, 10 - 2 * third)
    p.fill(SELL, 5, 1)
    assert (p.cost, p.realised, p.cash) == (0, 5, 5)
    mirrored = after(impl, (SELL, 3, 2), (SELL, 4, 1), (BUY, 5, 1))
    assert (mirrored.cost, mirrored.realised) == (third - 10, third - 5)


def test_fees_and_rebates_lower_and_raise_the_net(impl):
    p = impl.Position()
    p.fill(BUY, 100, 10, fee=7)
    p.fill(SELL, 101, 4, fee=-2)
    assert (p.fees, p.realised, p.unrealised(102), p.net(102)) == (5, 4, 12, 11)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        ((0, 100, 1), r"side must be 1 \(buy\) or -1 \(sell\): side=0"),
        ((257, 100, 1), "side must be 1.*side=257"),
        ((2, 100, 1), "side must be 1"),
        ((BUY, 100, 0), "size_lots must be at least 1: size_lots=0"),
        ((BUY, 100, -5), "size_lots must be at least 1: size_lots=-5"),
        ((BUY, 0, 1), "price_ticks must be at least 1: price_ticks=0"),
        ((BUY, -1, 1), "price_ticks must be at least 1: price_ticks=-1"),
        ((BUY, NO_PRICE, 1), "price_ticks must be at least 1: price_ticks=-9223372036854775808"),
    ],
)
def test_bad_fill_changes_nothing_and_is_counted(impl, fill, message):
    p = after(impl, (BUY, 100, 10))
    with pytest.raises(ValueError, match=message):
        p.fill(*fill)
    assert (p.position_lots, p.cash, p.fills, p.refused) == (10, -1000, 1, 1)


@pytest.mark.parametrize(
    ("fills", "last"),
    [
        ([], (BUY, 2**62, 2**62)),  # price * size
        ([], (SELL, 2**62, 2**62)),
        ([(BUY, 1, 2**62), (BUY, 1, 2**61)], (BUY, 1, 2**62)),  # position
        ([(BUY, 2**62, 2**34)] * 2, (BUY, 2**62, 2**34)),  # cost and cash
        ([(BUY, 2**62, 2**34), (SELL, 2**62, 2**34)], (BUY, 2**62, 2**34)),  # turnover
    ],
)
def test_fill_that_does_not_fit_is_refused_whole(impl, fills, last):
    p = after(impl, *fills)
    before = (p.position_lots, p.cash, p.cost, p.turnover, p.bought_lots, p.sold_lots, p.fills)
    with pytest.raises(OverflowError, match="lots must fit into 64 bits, cash, cost and turnover into 128: price_ticks="):
        p.fill(*last)
    assert (p.position_lots, p.cash, p.cost, p.turnover, p.bought_lots, p.sold_lots, p.fills) == before
    assert p.refused == 1
    with pytest.raises(OverflowError, match="money must fit into 128 bits"):
        p.fill(BUY, 5, 1, fee=2**100)


def test_fees_that_do_not_fit_are_refused(impl):
    p = impl.Position()
    most = Fraction(2**127 - 1, 10**9)
    p.fill(BUY, 1, 1, fee=most)
    with pytest.raises(OverflowError, match="fee=1"):
        p.fill(BUY, 1, 1, fee=1)
    assert p.fees == most
    with pytest.raises(ValueError, match="fee must be a whole number of billionths of a tick times a lot: fee=1/3"):
        p.fill(BUY, 1, 1, fee=Fraction(1, 3))


def test_unrealised_is_exact_beyond_64_bits(impl):
    p = after(impl, (BUY, 1, 2**45))
    assert p.unrealised(2**50) == p.net(2**50) == 2**95 - 2**45
    with pytest.raises(OverflowError, match=f"profit must fit into 128 bits: position_lots={2**45} mark_ticks={2**62}"):
        p.net(2**62)


def test_inverse_contract_gains_in_its_base_currency(impl):
    """100,000 contracts of a dollar, bought at 50,000 and sold at 62,500: 2 - 1.6 coins."""
    p = impl.Position(INVERSE)
    p.fill(BUY, 100_000, 100_000)  # ticks of half a dollar
    assert p.average_price == pytest.approx(100_000, rel=1e-14)
    assert p.unrealised(125_000) * INVERSE.unit_value == Fraction(2, 5)
    p.fill(SELL, 125_000, 100_000)
    assert (p.position_lots, p.cost, p.realised * INVERSE.unit_value) == (0, 0, Fraction(2, 5))
    with pytest.raises(ValueError, match="price_ticks must be at least 1"):
        p.fill(BUY, -1, 1)


def test_signed_prices_where_the_instrument_allows_them(impl):
    p = impl.Position(SPREAD)
    p.fill(BUY, -37, 10)
    assert (p.average_price, p.cash, p.unrealised(0), p.turnover) == (-37, 370, 370, 370)
    p.fill(SELL, 3, 10)
    assert (p.realised, p.cost) == (400, 0)
    with pytest.raises(ValueError, match="price_ticks must be a price: price_ticks=-9223372036854775808"):
        p.fill(BUY, NO_PRICE, 1)


def test_portfolio_counts_multipliers_and_currencies():
    table = Instruments([FUTURE, EURO, INVERSE])
    p = compiled.Portfolio(3, table)
    p.fill(0, BUY, 20_001, 2)  # 5000.25
    p.mark(0, 20_005)
    assert p.totals() == {"realised": 0.0, "unrealised": 100.0, "fees": 0.0, "net": 100.0, "turnover": 1_000_050.0 / 2}
    p.fill(1, SELL, 1000, 100, fee=7)
    p.mark(1, 900)
    with pytest.raises(ValueError, match="every currency needs a rate: currency='EUR' wanted='USD' symbol_id=1"):
        p.totals()
    assert p.totals(rates={"EUR": "1.1"})["net"] == 100 + 1.1 * (100 - 0.07)
    p.fill(2, BUY, 100_000, 100_000)
    p.mark(2, 125_000)
    assert p.totals(currency="USD", rates={"EUR": "1.1", "XBT": 50_000})["unrealised"] == 100 + 110 + 20_000
    with pytest.raises(ValueError, match="a rate must be positive: currency='EUR' rate=0"):
        p.totals(currency="USD", rates={"EUR": 0})


@pytest.mark.parametrize("mark", [0, -1, NO_PRICE])
def test_mark_must_be_a_price(impl, mark):
    with pytest.raises(ValueError, match="mark_ticks must be at least 1: mark_ticks="):
        impl.Position().unrealised(mark)


@pytest.mark.parametrize(
    "fill", [(1.0, 100, 1), (BUY, 100.5, 1), (BUY, float("nan"), 1), (BUY, 100, float("inf")), (BUY, "100", 1)]
)
def test_fraction_is_an_error_and_not_cut_off(fill):
    p = compiled.Position()
    with pytest.raises(TypeError):
        p.fill(*fill)
    with pytest.raises(TypeError):
        p.unrealised(100.5)
    assert p.fills == 0


def test_numpy_integers_are_integers(impl):
    p = after(impl, (np.int8(1), np.int64(100), np.uint32(10)))
    assert p.cash == -1000


def test_reset_starts_again(impl):
    p = after(impl, (BUY, 100, 10))
    p.reset()
    assert (p.position_lots, p.cash, p.fills) == (0, 0, 0)


def fills(*rows):
    events = np.zeros(len(rows), EVENT_DTYPE)
    for event, (kind, symbol_id, side, price, size) in zip(events, rows, strict=True):
        event["kind"], event["symbol_id"], event["side"], event["price"], event["size"] = (
            KINDS[kind],
            symbol_id,
            side,
            price,
            size,
        )
    return events


def test_portfolio_applies_fill_events_and_passes_over_others(impl):
    p = impl.Portfolio(3)
    events = fills(("fill", 0, BUY, 100, 10), ("trade", 9, BUY, 1, 1), ("fill", 2, SELL, 50, 4), ("fill", 0, SELL, 101, 10))
    assert p.apply(events) == 3
    assert (p[0].realised, p[1].fills, p[2].position_lots) == (10, 0, -4)
    assert p.to_numpy()["position_lots"].tolist() == [0, 0, -4]
    assert p.to_numpy().dtype == impl.POSITION_DTYPE
    assert len(p) == p.capacity == 3


def test_portfolio_refuses_a_batch_with_an_unknown_symbol_whole(impl):
    p = impl.Portfolio(3)
    with pytest.raises(IndexError, match=r"symbol_id must be in 0\.\.2: symbol_id=3, index=1"):
        p.apply(fills(("fill", 0, BUY, 100, 10), ("fill", 3, BUY, 100, 10)))
    assert p[0].fills == 0


def test_portfolio_names_the_index_of_a_bad_fill(impl):
    p = impl.Portfolio(1)
    with pytest.raises(ValueError, match="price_ticks must be at least 1: index=1 price_ticks=0"):
        p.apply(fills(("fill", 0, BUY, 100, 10), ("fill", 0, BUY, 0, 10), ("fill", 0, BUY, 100, 10)))
    assert (p[0].fills, p[0].refused) == (1, 1)


def test_portfolio_checks_its_array(impl):
    p = impl.Portfolio(1)
    with pytest.raises(TypeError, match="events must be a NumPy array of EVENT_DTYPE"):
        p.apply(np.zeros(2))
    with pytest.raises(TypeError, match="events must be a NumPy array of EVENT_DTYPE"):
        p.apply([])
    with pytest.raises(ValueError, match="events must be one-dimensional"):
        p.apply(np.zeros(4, EVENT_DTYPE)[::2])


@pytest.mark.parametrize("symbol_id", [-1, 3, 2**40])
def test_portfolio_ids_are_checked(impl, symbol_id):
    p = impl.Portfolio(3)
    for call in (
        lambda: p.fill(symbol_id, BUY, 1, 1),
        lambda: p.mark(symbol_id, 1),
        lambda: p.unrealised(symbol_id),
        lambda: p[symbol_id],
    ):
        with pytest.raises(IndexError, match=rf"symbol_id must be in 0\.\.2: symbol_id={symbol_id}"):
            call()


def test_portfolio_item_is_a_copy(impl):
    p = impl.Portfolio(1)
    p[0].fill(BUY, 1, 1)
    assert p[0].fills == 0


def test_portfolio_totals_in_money(impl):
    p = impl.Portfolio(2)
    p.fill(0, BUY, 100, 10, fee=3)
    p.fill(1, SELL, 200, 5)
    with pytest.raises(ValueError, match="an open position must have a mark: symbol_id=0 position_lots=10"):
        p.totals()
    p.mark(0, 103)
    p.mark(1, 190)
    assert p.unrealised(0) == 30
    assert p.totals() == {"realised": 0.0, "unrealised": 80.0, "fees": 3.0, "net": 77.0, "turnover": 2000.0}
    assert p.totals([0.5, 2.0])["net"] == 15.0 + 100.0 - 1.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "one value per symbol id"),
        ([1.0, np.nan], "index=1 unit_value=nan"),
        ([0.0, 1.0], "index=0"),
        ([1, np.inf], "inf"),
    ],
)
def test_unit_values_are_checked(impl, values, message):
    with pytest.raises(ValueError, match=message):
        impl.Portfolio(2).totals(values)


@pytest.mark.parametrize("capacity", [0, -1, 2**32])
def test_portfolio_capacity_is_checked(impl, capacity):
    with pytest.raises(ValueError, match=r"capacity must be in 1\.\.2\*\*32-1: capacity="):
        impl.Portfolio(capacity)


@pytest.mark.threads
def test_one_writer_and_readers():
    p, stop, bad = compiled.Portfolio(2), threading.Event(), []

    def read():
        while not stop.is_set():
            rows = p.to_numpy()
            if rows["bought_lots"].min() < 0 or rows.shape != (2,):
                bad.append(rows)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(20_000):
        p.fill(i & 1, BUY if i % 4 < 2 else SELL, 100 + i % 7, 1 + i % 3)
    stop.set()
    for thread in threads:
        thread.join()
    assert not bad
    assert p[0].fills + p[1].fills == 20_000


def test_more_memory_than_the_machine_has_is_refused():
    with pytest.raises(MemoryError, match="capacity=4294967295"):
        compiled.Portfolio(2**32 - 1)  # 343 GB
