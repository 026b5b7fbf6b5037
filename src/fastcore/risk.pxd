"""Pre-trade limits: contract and hot path. A limit that nobody configured rejects."""

from libc.stdint cimport int8_t, int64_t, uint64_t

from fastcore.records cimport (
    BUY, NO_PRICE, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_LIMIT_COLLAR, RESULT_LIMIT_POSITION, RESULT_LIMIT_SIZE,
    RESULT_NO_REFERENCE, RESULT_OK, SELL, unlikely,
)


cdef extern from "fc_checked.h" nogil:
    bint fc_add_overflow(int64_t a, int64_t b, int64_t* result)
    bint fc_sub_overflow(int64_t a, int64_t b, int64_t* result)


cdef enum:
    RISK_REASONS = 32               # result codes that can be counted: all are smaller

ctypedef struct limits_t:
    int64_t max_order_lots          # largest size of one order; <= 0: not configured
    int64_t max_position_lots       # largest |position| with every open order filled; < 0: not configured
    int64_t collar_ticks            # largest |price - reference|; < 0: not configured

ctypedef struct risk_gate_t:
    limits_t limits
    int64_t by_result[RISK_REASONS] # checks by result code; [RESULT_OK] are those that passed


cdef inline int risk_check(
    const limits_t* l, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t position_lots,
    int64_t open_buy_lots, int64_t open_sell_lots, int64_t reference_ticks,
) noexcept nogil:
    """Judge one order before it is sent; `open_*_lots` count the open orders without this one.

    The first broken rule, in this order: RESULT_BAD_SIZE (size below 1, or no side), RESULT_BAD_PRICE (none, zero or negative),
    RESULT_LIMIT_SIZE, RESULT_LIMIT_POSITION (also when the sum does not fit, an open quantity is negative or the position is
    NO_PRICE: not known),
    RESULT_NO_REFERENCE, RESULT_LIMIT_COLLAR; else RESULT_OK.
    """
    cdef int64_t worst
    cdef bint bad
    if unlikely(size_lots <= 0 or (side != BUY and side != SELL)):
        return RESULT_BAD_SIZE
    if unlikely(price_ticks <= 0):    # NO_PRICE is the smallest of all
        return RESULT_BAD_PRICE
    if size_lots > l.max_order_lots:
        return RESULT_LIMIT_SIZE
    if unlikely(l.max_position_lots < 0 or open_buy_lots < 0 or open_sell_lots < 0 or position_lots == NO_PRICE):
        return RESULT_LIMIT_POSITION
    if side == BUY:
        bad = fc_add_overflow(position_lots, open_buy_lots, &worst)
        bad |= fc_add_overflow(worst, size_lots, &worst)
        if bad or worst > l.max_position_lots:
            return RESULT_LIMIT_POSITION
    else:
        bad = fc_sub_overflow(position_lots, open_sell_lots, &worst)
        bad |= fc_sub_overflow(worst, size_lots, &worst)
        if bad or worst < -l.max_position_lots:
            return RESULT_LIMIT_POSITION
    if unlikely(reference_ticks <= 0):
        return RESULT_NO_REFERENCE
    # Both are positive here, so the difference fits; an unconfigured collar is below every distance.
    if (price_ticks - reference_ticks if price_ticks > reference_ticks else reference_ticks - price_ticks) > l.collar_ticks:
        return RESULT_LIMIT_COLLAR
    return RESULT_OK


cdef inline int risk_gate(
    risk_gate_t* g, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t position_lots,
    int64_t open_buy_lots, int64_t open_sell_lots, int64_t reference_ticks,
) noexcept nogil:
    """risk_check, counted by result."""
    cdef int result = risk_check(
        &g.limits, side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
    )
    g.by_result[result] += 1
    return result


cdef class RiskLimits:
    cdef risk_gate_t _gate
    cdef int _judge(
        self, side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
    ) except -1
