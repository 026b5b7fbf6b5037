"""Positions: contract and hot path. Prices are ticks, sizes lots, money is exact (`money.pxd`).

Average-cost accounting: `cash` is what the trades paid, `cost` is what the open position cost, and realised profit is *defined* as
``cash + cost``, so that at any mark price

    realised + unrealised = (cash + cost) + (value(mark, position) - cost) = cash + value(mark, position)

holds as an identity of integers. Closing c of |p| lots takes the share ``cost * c / |p|`` out of the cost, rounded towards zero;
what the rounding leaves stays in the cost of the lots that are still open, so nothing is ever lost, and a flat position has cost 0.
"""

from libc.math cimport NAN
from libc.stdint cimport int8_t, int64_t, uint8_t, uint64_t

from fastcore.money cimport BILLION, money_add, money_double, money_magnitude, money_share, money_sub, money_t, money_value
from fastcore.records cimport BUY, NO_PRICE, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_FULL, RESULT_OK, SELL, likely, unlikely


cdef extern from "fc_checked.h" nogil:
    bint fc_add_overflow(int64_t a, int64_t b, int64_t* result)
    uint64_t fc_magnitude(int64_t a)


ctypedef struct position_t:
    int64_t position_lots   # signed: bought minus sold
    int64_t bought_lots
    int64_t sold_lots
    int64_t fills
    int64_t refused         # fills that broke a rule or did not fit; they changed nothing else
    uint8_t inverse         # what lots are worth: as instrument_t
    uint8_t signed_prices
    uint8_t pad[6]
    money_t cash            # received minus paid, before fees
    money_t cost            # what the open position cost; 0 when flat
    money_t fees            # paid; a rebate lowers it
    money_t turnover        # value traded on both sides


cdef inline bint position_priced(const position_t* p, int64_t price_ticks) noexcept nogil:
    """Whether a price is one of this instrument."""
    return likely(price_ticks > 0) or (p.signed_prices and price_ticks != NO_PRICE)


cdef inline money_t position_realised(const position_t* p) noexcept nogil:
    """Profit of the closed lots, before fees; position_fill keeps it inside 128 bits."""
    cdef money_t realised
    money_add(p.cash, p.cost, &realised)
    return realised


cdef inline bint position_unrealised(const position_t* p, int64_t mark_ticks, money_t* out) noexcept nogil:
    """Profit of the open lots at a mark price; False when there is no mark for an open position, or when it does not fit."""
    if p.position_lots == 0:
        out[0] = money_t(0, 0)
        return True
    if not position_priced(p, mark_ticks) or money_value(p.inverse, mark_ticks, p.position_lots, out):
        return False
    return not money_sub(out[0], p.cost, out)


cdef inline bint position_net(const position_t* p, int64_t mark_ticks, money_t* out) noexcept nogil:
    """Realised and unrealised profit after fees; False as position_unrealised."""
    cdef money_t realised = position_realised(p)
    return position_unrealised(p, mark_ticks, out) and not money_add(realised, out[0], out) and not money_sub(out[0], p.fees, out)


cdef inline double position_average_price(const position_t* p) noexcept nogil:
    """Average price of the open lots in ticks, for people and reports; NaN when flat, and where they are worth nothing that counts."""
    if p.inverse:
        return NAN if money_double(p.cost) == 0.0 else -<double> p.position_lots * 1e18 / money_double(p.cost)
    return money_double(p.cost) / 1e9 / <double> p.position_lots


cdef inline int position_fill(position_t* p, int8_t side, int64_t price_ticks, int64_t size_lots, const money_t* fee) noexcept nogil:
    """Account one fill; RESULT_OK, or the code of the broken rule with nothing changed but `refused`."""
    cdef position_t next = p[0]
    cdef int64_t signed_size
    cdef money_t value, share
    cdef bint bad
    if unlikely(size_lots <= 0 or (side != BUY and side != SELL)):
        p.refused += 1
        return RESULT_BAD_SIZE
    if unlikely(not position_priced(p, price_ticks)):
        p.refused += 1
        return RESULT_BAD_PRICE
    signed_size = size_lots if side == BUY else -size_lots
    bad = money_value(p.inverse, price_ticks, signed_size, &value)
    bad |= money_sub(p.cash, value, &next.cash)
    bad |= fc_add_overflow(p.position_lots, signed_size, &next.position_lots)
    bad |= money_add(p.fees, fee[0], &next.fees)
    bad |= money_add(p.turnover, money_magnitude(value), &next.turnover)
    if side == BUY:
        bad |= fc_add_overflow(p.bought_lots, size_lots, &next.bought_lots)
    else:
        bad |= fc_add_overflow(p.sold_lots, size_lots, &next.sold_lots)
    if p.position_lots == 0 or (p.position_lots > 0) == (signed_size > 0):
        bad |= money_add(p.cost, value, &next.cost)     # opens or adds
    elif fc_magnitude(p.position_lots) > <uint64_t> size_lots:
        # Closes a part: its share of the cost, rounded towards zero.
        bad |= money_share(p.cost, <uint64_t> size_lots, fc_magnitude(p.position_lots), &share)
        bad |= money_sub(p.cost, share, &next.cost)
    else:
        # Closes all of it, and opens the rest on the other side at this price.
        bad |= money_value(p.inverse, price_ticks, next.position_lots, &next.cost)
    bad |= money_add(next.cash, next.cost, &share)      # realised profit must fit too
    if unlikely(bad):
        p.refused += 1
        return RESULT_FULL
    next.fills += 1
    p[0] = next
    return RESULT_OK


cdef class Position:
    cdef position_t _p


cdef class Portfolio:
    cdef position_t* _positions     # by symbol id
    cdef int64_t* _marks            # last mark price in ticks; NO_PRICE before the first
    cdef readonly Py_ssize_t capacity
    cdef readonly object instruments
    cdef position_t* _at(self, int64_t symbol_id) except NULL
