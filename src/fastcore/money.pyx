# cython: freethreading_compatible=True
"""Exact money and fees: 128-bit integers in billionths of a tick times a lot.

A fee of 0.00295 a share, of 0.02% of the value, of a size of 0.00001 coin are whole numbers here; a rate that is not is refused.
"""

from fractions import Fraction
from typing import NamedTuple

from libc.stdint cimport int64_t, uint64_t

from fastcore._integers cimport as_int64, as_uint64

__all__ = ["Fees"]


cdef object whole(money_t amount):
    return (int(amount.high) << 64) | int(amount.low)


cdef object money_object(money_t amount):
    number = whole(amount)
    units, rest = divmod(number, BILLION)
    return Fraction(number, BILLION) if rest else units


cdef int money_of(object number, money_t* out) except -1:
    # Of billionths.
    if not -(1 << 127) <= number < 1 << 127:
        raise OverflowError(f"money must fit into 128 bits: billionths={number}")
    out.low = <uint64_t> (number & 0xFFFFFFFFFFFFFFFF)
    out.high = <int64_t> (number >> 64)
    return 0


cdef int money_put(object units, str name, money_t* out) except -1:
    number = exact(name, units) * BILLION
    if number.denominator != 1:
        raise ValueError(f"{name} must be a whole number of billionths of a tick times a lot: {name}={units}")
    return money_of(number.numerator, out)


cdef object exact(str name, value):
    # A number as it is written: 0.1 is a tenth.
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)) and not hasattr(value, "as_integer_ratio"):
        raise TypeError(f"{name} must be a number: type={type(value).__name__}")
    try:
        return value if isinstance(value, Fraction) else Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{name} must be a finite number: {name}={value}") from None


cdef tuple rate(str name, value):
    # (of the value, of a unit of quantity)
    text = str(value).strip()
    for suffix, divisor in (("%", 100), ("bps", 10_000)):
        if isinstance(value, str) and text.endswith(suffix):
            share = exact(name, text[: -len(suffix)]) / divisor
            if not -1 <= share <= 1 or (share * BILLION).denominator != 1:
                raise ValueError(f"{name} must be a multiple of a billionth of the value, within +-100%: {name}={value}")
            return share, Fraction(0)
    return Fraction(0), exact(name, value)


class Fees(NamedTuple):
    """What a venue charges for a fill.

    Attributes
    ----------
    maker, taker : str, int, float, Decimal or Fraction, default 0
        Of fills of orders that waited, and of orders that took: ``"0.02%"`` or ``"2bps"`` of the value, or an amount of currency for a
        unit of quantity (``0.00295`` a share). A rebate is negative.
    per_order : number, default 0
        Currency, once for each order that is filled, with its first fill.
    tiers : sequence of (from_value, maker, taker), default ()
        Rates that hold once so much value (currency, rising) has been traded in the instrument; up to 7.
    """

    maker: object = 0
    taker: object = 0
    per_order: object = 0
    tiers: tuple = ()

    def checked(self):
        """Return the same fees.

        Raises
        ------
        TypeError, ValueError
            If a rate is no number, not finite, no multiple of a billionth of the value, or if tiers do not rise.
        """
        rate("maker", self.maker), rate("taker", self.taker), exact("per_order", self.per_order)
        if len(self.tiers) >= FEE_TIERS:
            raise ValueError(f"tiers must be at most {FEE_TIERS - 1}: tiers={len(self.tiers)}")
        last = 0
        for from_value, maker, taker in self.tiers:
            rate("maker", maker), rate("taker", taker)
            if exact("from_value", from_value) <= last:
                raise ValueError(f"tiers must begin above 0 and rise: from_value={from_value}")
            last = exact("from_value", from_value)
        return self


cdef int fees_put(object fees, object unit_value, double lot_size, fees_t* out) except -1:
    # As integers of an instrument; ValueError where an amount is no whole number of them.
    cdef int i
    lot = Fraction(repr(lot_size))
    fees.checked()
    money_put(exact("per_order", fees.per_order) / unit_value, "per_order", &out.per_order)
    for i, (from_value, *rates) in enumerate([(0, fees.maker, fees.taker), *fees.tiers]):
        money_put(exact("from_value", from_value) / unit_value, "from_value", &out.from_value[i])
        for taker, name, value in zip((0, 1), ("maker", "taker"), rates, strict=True):
            of_value, of_unit = rate(name, value)
            out.rates[i][<int> taker].per_value = int(of_value * BILLION)
            money_put(of_unit * lot / unit_value, name, &out.rates[i][<int> taker].per_lot)
    out.count = 1 + len(fees.tiers)
    return 0


# ---- for the tests: the arithmetic on Python's integers, None where it does not fit ----

cdef extern from "fc_money.h" nogil:
    uint64_t fc_mul_wide(uint64_t a, uint64_t b, uint64_t* high)
    uint64_t fc_mul_wide_portable(uint64_t a, uint64_t b, uint64_t* high)
    uint64_t fc_div_wide(uint64_t high, uint64_t low, uint64_t c, uint64_t* rest)
    uint64_t fc_div_wide_portable(uint64_t high, uint64_t low, uint64_t c, uint64_t* rest)


def _arithmetic(str name, a, b, c=1, bint inverse=False):
    cdef money_t x, y, r
    cdef bint bad
    if name in ("add", "sub", "less", "share"):
        money_of(a, &x)
    if name in ("add", "sub", "less"):
        money_of(b, &y)
    if name == "less":
        return bool(money_less(x, y))
    if name == "add":
        bad = money_add(x, y, &r)
    elif name == "sub":
        bad = money_sub(x, y, &r)
    elif name == "share":
        bad = money_share(x, as_uint64(b), as_uint64(c), &r)
    elif name == "product":
        bad = money_product(as_int64(a), as_int64(b), as_uint64(c), &r)
    else:
        bad = money_value(inverse, as_int64(a), as_int64(b), &r)
    return None if bad else whole(r)


def _double(a):
    cdef money_t x
    money_of(a, &x)
    return money_double(x)


def _wide(a, b, c, bint portable):
    # a * b, then its quotient and rest by c, which is above the upper half.
    cdef uint64_t high, rest, low = (fc_mul_wide_portable if portable else fc_mul_wide)(as_uint64(a), as_uint64(b), &high)
    cdef uint64_t quotient = (fc_div_wide_portable if portable else fc_div_wide)(high, low, as_uint64(c), &rest)
    return (int(high) << 64) | int(low), quotient, rest


def _fee(fees, unit_value, double lot_size, traded, bint taker, bint first, price_ticks, lots, bint inverse=False):
    # In billionths of a unit; None where it does not fit.
    cdef fees_t f
    cdef money_t before, value, out
    fees_put(fees, unit_value, lot_size, &f)
    money_of(traded, &before)
    if money_value(inverse, as_int64(price_ticks), as_int64(lots), &value):
        return None
    return None if fees_of(&f, before, taker, first, value, as_int64(lots), &out) else whole(out)
