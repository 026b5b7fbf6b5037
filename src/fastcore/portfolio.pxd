"""Positions in integer ticks and lots: contract and hot path.

Money is int64 in units of one tick times one lot. Average-cost accounting, exact: `cash` is what the trades paid, `cost` is
what the open position cost, and realised profit is *defined* as ``cash + cost``, so that at any mark price

    realised + unrealised = (cash + cost) + (position * mark - cost) = cash + position * mark

holds as an identity of integers. Closing c of |p| lots takes the share ``cost * c / |p|`` out of the cost, rounded towards zero;
what the rounding leaves stays in the cost of the lots that are still open, so nothing is ever lost, and a flat position has cost 0.
"""

from libc.stdint cimport int8_t, int64_t, uint64_t

from fastcore.records cimport BUY, NO_PRICE, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_FULL, RESULT_OK, SELL, unlikely


cdef extern from "fc_checked.h" nogil:
    bint fc_add_overflow(int64_t a, int64_t b, int64_t* result)
    bint fc_sub_overflow(int64_t a, int64_t b, int64_t* result)
    bint fc_mul_overflow(int64_t a, int64_t b, int64_t* result)
    uint64_t fc_magnitude(int64_t a)
    uint64_t fc_mul_div(uint64_t a, uint64_t b, uint64_t c)
    uint64_t fc_mul_div_portable(uint64_t a, uint64_t b, uint64_t c)


ctypedef struct position_t:
    int64_t position_lots   # signed: bought minus sold
    int64_t cash            # ticks * lots received minus paid, before fees
    int64_t cost            # ticks * lots that the open position cost; its sign is that of the position
    int64_t fees            # ticks * lots paid; a rebate lowers it
    int64_t bought_lots
    int64_t sold_lots
    int64_t turnover        # ticks * lots traded on both sides
    int64_t fills
    int64_t refused         # fills that broke a rule or did not fit into 64 bits; they changed nothing else


cdef inline int64_t position_realised(const position_t* p) noexcept nogil:
    """Profit of the closed lots in ticks * lots, before fees; position_fill keeps it inside 64 bits."""
    return p.cash + p.cost


cdef inline int64_t position_unrealised(const position_t* p, int64_t mark_ticks) noexcept nogil:
    """Profit of the open lots at a mark price in ticks * lots; NO_PRICE when it does not fit or there is no mark for an open position."""
    cdef int64_t value
    if p.position_lots == 0:
        return 0
    if mark_ticks == NO_PRICE or fc_mul_overflow(p.position_lots, mark_ticks, &value):
        return NO_PRICE
    if fc_sub_overflow(value, p.cost, &value):
        return NO_PRICE
    return value


cdef inline bint position_net(const position_t* p, int64_t mark_ticks, int64_t* net) noexcept nogil:
    """Profit after fees in ticks * lots into `net`; False where it is not known: no mark for an open position, or no room in 64 bits.

    What a limit judges: one that cannot be computed is broken.
    """
    cdef int64_t open_profit = position_unrealised(p, mark_ticks)
    return (
        open_profit != NO_PRICE
        and not fc_add_overflow(position_realised(p), open_profit, net)
        and not fc_sub_overflow(net[0], p.fees, net)
    )


cdef inline double position_average_price(const position_t* p) noexcept nogil:
    """Average price of the open lots in ticks, for people and reports; 0/0 = NaN when flat."""
    return <double> p.cost / <double> p.position_lots


cdef inline int position_fill_fee(position_t* p, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t fee) noexcept nogil:
    """Account one fill; RESULT_OK, or the code of the broken rule with nothing changed but `refused`."""
    cdef position_t next = p[0]
    cdef int64_t signed_size, notional, closed, share, realised
    cdef bint bad
    if unlikely(size_lots <= 0 or (side != BUY and side != SELL)):
        p.refused += 1
        return RESULT_BAD_SIZE
    if unlikely(price_ticks <= 0):      # NO_PRICE is the smallest of all
        p.refused += 1
        return RESULT_BAD_PRICE
    signed_size = size_lots if side == BUY else -size_lots
    bad = fc_mul_overflow(price_ticks, signed_size, &notional) or notional == NO_PRICE   # -2^63 has no magnitude
    bad |= fc_sub_overflow(p.cash, notional, &next.cash)
    bad |= fc_add_overflow(p.position_lots, signed_size, &next.position_lots)
    bad |= fc_add_overflow(p.fees, fee, &next.fees)
    bad |= fc_add_overflow(p.turnover, <int64_t> fc_magnitude(notional), &next.turnover)
    if side == BUY:
        bad |= fc_add_overflow(p.bought_lots, size_lots, &next.bought_lots)
    else:
        bad |= fc_add_overflow(p.sold_lots, size_lots, &next.sold_lots)
    if p.position_lots == 0 or (p.position_lots > 0) == (signed_size > 0):
        bad |= fc_add_overflow(p.cost, notional, &next.cost)    # opens or adds
    elif fc_magnitude(p.position_lots) > <uint64_t> size_lots:
        # Closes a part: its share of the cost, rounded towards zero.
        share = <int64_t> fc_mul_div(fc_magnitude(p.cost), <uint64_t> size_lots, fc_magnitude(p.position_lots))
        next.cost = p.cost - share if p.cost >= 0 else p.cost + share
    else:
        # Closes all of it, and opens the rest on the other side at this price.
        bad |= fc_mul_overflow(price_ticks, next.position_lots, &next.cost)
    bad |= fc_add_overflow(next.cash, next.cost, &realised)
    if unlikely(bad):
        p.refused += 1
        return RESULT_FULL
    next.fills += 1
    p[0] = next
    return RESULT_OK


cdef inline int position_fill(position_t* p, int8_t side, int64_t price_ticks, int64_t size_lots) noexcept nogil:
    """Account one fill without a fee; as position_fill_fee."""
    return position_fill_fee(p, side, price_ticks, size_lots, 0)


cdef class Position:
    cdef position_t _p


cdef class Portfolio:
    cdef position_t* _positions     # by symbol id
    cdef int64_t* _marks            # last mark price in ticks; NO_PRICE before the first
    cdef readonly Py_ssize_t capacity
    cdef position_t* _at(self, int64_t symbol_id) except NULL
