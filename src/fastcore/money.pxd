"""Exact money: contract and hot path.

Money is a 128-bit integer in billionths of a *unit*: of one tick times one lot, or, for an inverse contract, of a billionth of a lot
per tick. What a unit is worth in a currency is `Instrument.unit_value`, an exact fraction.
"""

from libc.stdint cimport int64_t, uint64_t

from fastcore.records cimport NO_PRICE, unlikely


cdef extern from "fc_money.h" nogil:
    ctypedef struct money_t "fc_money_t":
        uint64_t low
        int64_t high

    # Each returns True when the true result does not fit.
    bint money_add "fc_money_add"(money_t a, money_t b, money_t* result)
    bint money_sub "fc_money_sub"(money_t a, money_t b, money_t* result)
    bint money_product "fc_money_product"(int64_t a, int64_t b, uint64_t c, money_t* result)
    bint money_share "fc_money_share"(money_t a, uint64_t b, uint64_t c, money_t* result)   # a * b / c towards zero; c > 0
    bint money_less "fc_money_less"(money_t a, money_t b)
    int money_sign "fc_money_sign"(money_t a)
    money_t money_magnitude "fc_money_magnitude"(money_t a)
    double money_double "fc_money_double"(money_t a)


cdef enum:
    BILLION = 1_000_000_000
    FEE_TIERS = 8

# The fees of one liquidity flag; a rebate is negative.
ctypedef struct fee_rate_t:
    money_t per_lot
    int64_t per_value           # billionths of the traded value

# The fee schedule of an instrument.
ctypedef struct fees_t:
    fee_rate_t rates[FEE_TIERS][2]  # by tier: maker, taker
    money_t from_value[FEE_TIERS]   # traded value from which a tier holds; that of the first is 0
    money_t per_order               # once, with the first fill of an order
    int count                       # tiers; 0: no fees


cdef inline bint money_value(bint inverse, int64_t price_ticks, int64_t lots, money_t* out) noexcept nogil:
    """What lots are worth at a price, signed as the lots; True when that does not fit. The only place where that is worked out.

    An inverse contract pays in the base currency: lots are worth -lots / price, so that a long position gains when the price rises;
    rounded towards zero, once, here. Its price must be positive.
    """
    if unlikely(inverse):
        if price_ticks <= 0:
            out[0] = money_t(0, 0)
            return True
        return money_product(-1, lots, BILLION, out) | money_share(out[0], BILLION, <uint64_t> price_ticks, out)
    return money_product(price_ticks, lots, BILLION, out)


cdef inline int64_t money_units(money_t amount) noexcept nogil:
    """Whole units, rounded down; NO_PRICE where they do not fit into 64 bits."""
    cdef money_t whole, back
    money_share(amount, 1, BILLION, &whole)
    if whole.high != (-1 if whole.low >> 63 else 0):
        return NO_PRICE
    money_product(<int64_t> whole.low, 1, BILLION, &back)
    return <int64_t> whole.low - money_less(amount, back)


cdef inline bint fees_of(const fees_t* f, money_t traded, bint taker, bint first, money_t value, int64_t lots, money_t* out) noexcept nogil:
    """Fee of a fill of `lots` worth `value`, after `traded` value; True when it does not fit.

    `first` is the first fill of its order. The tier is that of the value traded before this fill.
    """
    cdef int tier = 0
    cdef const fee_rate_t* rate
    cdef money_t part
    cdef bint bad
    out[0] = money_t(0, 0)
    if f.count == 0:
        return False
    while tier + 1 < f.count and not money_less(traded, f.from_value[tier + 1]):
        tier += 1
    rate = &f.rates[tier][taker]
    bad = money_share(rate.per_lot, <uint64_t> lots, 1, out)
    if rate.per_value:
        bad |= money_share(money_magnitude(value), <uint64_t> (rate.per_value if rate.per_value > 0 else -rate.per_value), BILLION, &part)
        bad |= money_add(out[0], part, out) if rate.per_value > 0 else money_sub(out[0], part, out)
    if first:
        bad |= money_add(out[0], f.per_order, out)
    return bad


cdef object money_object(money_t amount)            # exact number of units: an int where it is whole, else a Fraction
cdef int money_put(object units, str name, money_t* out) except -1
cdef int fees_put(object fees, object unit_value, double lot_size, fees_t* out) except -1
