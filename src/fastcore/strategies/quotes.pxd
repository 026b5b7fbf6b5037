"""Wanted quotes in prices: what a strategy in Cython needs between its numbers and ticks, with the rounding of ``hft.Strategy``.

Bids are rounded down to the increment of the venue and asks up, sizes down to whole lots; a quote that would meet the other side of the market
is held back behind it, so that it waits.
"""

from libc.math cimport floor
from libc.stdint cimport int64_t, uint32_t

from fastcore.book cimport top_t
from fastcore.instruments cimport instrument_price, instrument_t
from fastcore.market cimport market_book, market_t, market_trades
from fastcore.records cimport BUY, NO_PRICE, SELL, likely, unlikely


# What became of one side of a quote.
cdef enum:
    QUOTE_WANTED
    QUOTE_NO_SIZE
    QUOTE_UNDER_LOT
    QUOTE_NO_GRID       # no price on the grid of the venue


cdef inline bint two_sided(const market_t* market, const top_t* top, uint32_t symbol_id) noexcept nogil:
    """Whether the market trades with both best prices there, neither crossed nor locked, and its book is not stale."""
    if top.bid == NO_PRICE or top.ask == NO_PRICE or top.bid >= top.ask:
        return False
    return market_trades(market, symbol_id) and not market_book(market, symbol_id).stale


cdef inline double mid_price(const instrument_t* row, const top_t* top) noexcept nogil:
    """Middle of the best prices, which are there."""
    return 0.5 * instrument_price(row, top.bid + top.ask)


cdef inline double micro_price(const instrument_t* row, const top_t* top) noexcept nogil:
    """Best prices weighted by the size on the other side; both are there."""
    cdef double b = <double> top.bid_size, a = <double> top.ask_size
    return (instrument_price(row, top.bid) * a + instrument_price(row, top.ask) * b) / (a + b)


cdef inline int64_t quote_ticks(const instrument_t* row, double price, int side) noexcept nogil:
    """Ticks of a wanted price on the grid of the venue; NO_PRICE beyond 1e15 of them."""
    cdef double x = price * row.tick_den / row.tick_num
    cdef double step = row.low_increment_ticks if x < <double> row.low_below_ticks else row.increment_ticks
    if unlikely(not -1e15 < x < 1e15):
        return NO_PRICE
    # A millionth of a tick is noise of binary fractions.
    return <int64_t> (floor((x + 1e-6) / step) * step if side == BUY else -floor((-x + 1e-6) / step) * step)


cdef inline int64_t quote_price(const instrument_t* row, const top_t* top, double price, int side) noexcept nogil:
    """Ticks of a wanted price that is no NaN, held back behind the other side of the market; NO_PRICE where the venue has no such price."""
    cdef int64_t at = quote_ticks(row, price, side)
    if unlikely(at == NO_PRICE):
        return NO_PRICE
    if side == BUY and top.ask != NO_PRICE and at >= top.ask:
        at = quote_ticks(row, instrument_price(row, top.ask - 1), BUY)
    elif side == SELL and top.bid != NO_PRICE and at <= top.bid:
        at = quote_ticks(row, instrument_price(row, top.bid + 1), SELL)
    return NO_PRICE if unlikely(at <= 0 and not row.signed_prices) else at


cdef inline int quote_side(
    const instrument_t* row, const top_t* top, double price, double size, int side, int64_t* ticks, int64_t* lots
) noexcept nogil:
    """Ticks and lots of one side of a quote; `ticks` is NO_PRICE unless the answer is QUOTE_WANTED. Neither number is NaN."""
    cdef double whole = 0.0 if size <= 0.0 else size / row.lot_size + 1e-9
    ticks[0] = NO_PRICE
    if unlikely(whole < 1.0):
        return QUOTE_UNDER_LOT if size > 0.0 else QUOTE_NO_SIZE
    ticks[0] = quote_price(row, top, price, side)
    lots[0] = <int64_t> (whole if whole < 1e15 else 1e15)
    return QUOTE_WANTED if likely(ticks[0] != NO_PRICE) else QUOTE_NO_GRID
