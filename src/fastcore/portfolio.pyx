# cython: freethreading_compatible=True
"""Positions, average price, profit, fees and volume, exact.

Prices are ticks, sizes lots, and money is counted in units of a tick times a lot, to a billionth (an `Instrument.unit_value` turns it into
currency, at the very end). The cost of an open position is kept instead of its average price, so at any mark price

    realised + unrealised == cash + value(mark, position)

holds exactly, fill after fill, through partial closes, which take their share of the cost rounded towards zero, and flips.
"""

from fractions import Fraction

import numpy as np

cimport cython
cimport numpy as cnp

from libc.stdint cimport int8_t, int64_t
from libc.string cimport memset

from fastcore cimport records as t
from fastcore._integers cimport as_int64, int64_in
from fastcore.money cimport BILLION, money_object, money_put, money_t
from fastcore.records cimport NO_PRICE, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_OK, event_t, fc_alloc, fc_free

from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["POSITION_DTYPE", "Portfolio", "Position"]

_LOTS = ("position_lots", "bought_lots", "sold_lots", "fills", "refused")
_MONEY = ("cash", "cost", "fees", "turnover")
POSITION_DTYPE = np.dtype([(name, np.int64) for name in _LOTS] + [(name, np.float64) for name in _MONEY])

cdef money_t NOTHING = money_t(0, 0)


cdef int _raise(int result, str prefix, const position_t* p, int64_t side, int64_t price_ticks, int64_t size_lots, fee) except -1:
    if result == RESULT_BAD_SIZE:
        if side != t.BUY and side != t.SELL:
            raise ValueError(f"side must be 1 (buy) or -1 (sell): {prefix}side={side}")
        raise ValueError(f"size_lots must be at least 1: {prefix}size_lots={size_lots}")
    if result == RESULT_BAD_PRICE:
        raise ValueError(f"price_ticks must be {price_rule(p)}: {prefix}price_ticks={price_ticks}")
    raise OverflowError(
        f"lots must fit into 64 bits, cash, cost and turnover into 128: {prefix}price_ticks={price_ticks} size_lots={size_lots} fee={fee}"
    )


cdef str price_rule(const position_t* p):
    return "a price" if p.signed_prices else "at least 1"


cdef int _fill(position_t* p, str prefix, side, price_ticks, size_lots, fee) except -1:
    cdef int64_t s = as_int64(side), price = as_int64(price_ticks), size = as_int64(size_lots)
    cdef money_t paid
    cdef int result
    money_put(fee, "fee", &paid)
    # A side such as 257 must not become 1.
    result = position_fill(p, <int8_t> s if -1 <= s <= 1 else 0, price, size, &paid)
    return 0 if result == RESULT_OK else _raise(result, prefix, p, s, price, size, fee)


cdef int64_t _checked_mark(const position_t* p, mark_ticks) except? -1:
    cdef int64_t mark = as_int64(mark_ticks)
    if not position_priced(p, mark):
        raise ValueError(f"mark_ticks must be {price_rule(p)}: mark_ticks={mark}")
    return mark


cdef object _net(const position_t* p, int64_t mark, bint whole):
    # The whole profit after fees, or that of the open lots alone.
    cdef money_t value
    if not (position_net(p, mark, &value) if whole else position_unrealised(p, mark, &value)):
        raise OverflowError(f"profit must fit into 128 bits: position_lots={p.position_lots} mark_ticks={mark}")
    return money_object(value)


cdef int _describe(position_t* p, instrument) except -1:
    # What lots of an instrument are worth.
    if instrument is not None:
        p.inverse = instrument.kind == "inverse"
        p.signed_prices = instrument.signed_prices
    return 0


@cython.final
cdef class Position:
    """Position(instrument=None)\n--\n\n
    The position in one instrument.

    Parameters
    ----------
    instrument : Instrument, optional
        What a lot is worth and which prices it has; by default the price, and positive ones.

    Attributes
    ----------
    position_lots : int
        Lots bought minus lots sold.
    cash : int or Fraction
        Received minus paid, before fees. Money is exact, in units of a tick times a lot (`Instrument.unit_value`): an int where it is
        whole.
    cost : int or Fraction
        What the open position cost; 0 when flat.
    realised : int or Fraction
        Profit of the closed lots, before fees: ``cash + cost``.
    fees : int or Fraction
        Fees paid minus rebates.
    bought_lots, sold_lots, volume_lots : int
        Lots traded; the last is their sum.
    turnover : int or Fraction
        Value traded on both sides.
    fills, refused : int
        Fills accounted; fills that raised and changed nothing else.
    average_price : float or None
        Average price of the open lots in ticks; None when flat, and where inverse lots are worth less than a billionth.

    Notes
    -----
    **Thread safety**: one thread writes.
    """

    def __cinit__(self, instrument=None):
        _describe(&self._p, instrument)

    def __repr__(self):
        return f"<Position position_lots={self.position_lots} average_price={self.average_price} realised={self.realised} fees={self.fees}>"

    @property
    def position_lots(self):
        return self._p.position_lots

    @property
    def cash(self):
        return money_object(self._p.cash)

    @property
    def cost(self):
        return money_object(self._p.cost)

    @property
    def realised(self):
        return money_object(position_realised(&self._p))

    @property
    def fees(self):
        return money_object(self._p.fees)

    @property
    def bought_lots(self):
        return self._p.bought_lots

    @property
    def sold_lots(self):
        return self._p.sold_lots

    @property
    def volume_lots(self):
        return int(self._p.bought_lots) + int(self._p.sold_lots)

    @property
    def turnover(self):
        return money_object(self._p.turnover)

    @property
    def fills(self):
        return self._p.fills

    @property
    def refused(self):
        return self._p.refused

    @property
    def average_price(self):
        cdef double price = position_average_price(&self._p)
        return price if price == price else None

    def fill(self, side, price_ticks, size_lots, fee=0):
        """Account a fill.

        Parameters
        ----------
        side : int
            1 when we bought, -1 when we sold. A float is a `TypeError`, for any argument.
        price_ticks : int
            Price, at least 1 unless the instrument has signed prices.
        size_lots : int
            Size, at least 1.
        fee : int or Fraction, default 0
            Fee, a whole number of billionths of a unit; negative for a rebate.

        Raises
        ------
        ValueError
            If the side, the price or the size is out of range.
        OverflowError
            If a total would leave its bits (64 of lots, 128 of money). In every case nothing changes but `refused`.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        _fill(&self._p, "", side, price_ticks, size_lots, fee)

    def unrealised(self, mark_ticks):
        """Return the profit of the open lots at a price.

        Parameters
        ----------
        mark_ticks : int
            Mark price, as in `fill`.

        Returns
        -------
        int or Fraction
            Exact; 0 when flat.

        Raises
        ------
        ValueError
            If it is no price.
        OverflowError
            If it does not fit into 128 bits.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return _net(&self._p, _checked_mark(&self._p, mark_ticks), False)

    def net(self, mark_ticks):
        """Return realised and unrealised profit minus fees.

        Parameters
        ----------
        mark_ticks : int
            Mark price, as in `fill`.

        Returns
        -------
        int or Fraction
            Exact.

        Raises
        ------
        ValueError
            If it is no price.
        OverflowError
            If it does not fit into 128 bits.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return _net(&self._p, _checked_mark(&self._p, mark_ticks), True)

    def reset(self):
        """Start again from nothing.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef position_t fresh
        memset(&fresh, 0, sizeof(position_t))
        fresh.inverse = self._p.inverse
        fresh.signed_prices = self._p.signed_prices
        self._p = fresh


@cython.final
cdef class Portfolio:
    """Portfolio(capacity, instruments=None)\n--\n\n
    The positions in many instruments, by symbol id.

    Parameters
    ----------
    capacity : int
        Symbol ids are 0 to `capacity` - 1; at least 1.
    instruments : Instruments, optional
        What their lots are worth: the rows that it has now. Default: ticks times lots, prices positive.

    Attributes
    ----------
    capacity, instruments
        As given.

    Raises
    ------
    ValueError
        If the capacity is out of range.
    MemoryError
        If the positions do not fit into memory.

    Notes
    -----
    **Thread safety**: one thread writes.
    """

    def __cinit__(self, capacity, instruments=None):
        cdef int64_t i, n = int64_in(capacity, "capacity", 1, 0xFFFFFFFF)
        self._positions = <position_t*> fc_alloc(<size_t> n, sizeof(position_t))
        self._marks = <int64_t*> fc_alloc(<size_t> n, sizeof(int64_t))
        if self._positions == NULL or self._marks == NULL:
            raise MemoryError(f"the positions must fit into memory: capacity={n}")
        self.capacity = n
        self.instruments = instruments
        for i in range(n):
            self._marks[i] = NO_PRICE
        for i, instrument in zip(range(n), instruments or ()):
            _describe(&self._positions[i], instrument)

    def __dealloc__(self):
        if self._positions != NULL:
            fc_free(self._positions)
        if self._marks != NULL:
            fc_free(self._marks)

    def __len__(self):
        return self.capacity

    def __repr__(self):
        cdef int64_t i, held = 0, fills = 0
        for i in range(self.capacity):
            held += self._positions[i].position_lots != 0
            fills += self._positions[i].fills
        return f"<Portfolio capacity={self.capacity} held={held} fills={fills}>"

    cdef position_t* _at(self, int64_t symbol_id) except NULL:
        if not 0 <= symbol_id < self.capacity:
            raise IndexError(f"symbol_id must be in 0..{self.capacity - 1}: symbol_id={symbol_id}")
        return &self._positions[symbol_id]

    def __getitem__(self, symbol_id):
        """A copy of one position."""
        cdef Position copy = Position()
        copy._p = self._at(as_int64(symbol_id))[0]
        return copy

    def fill(self, symbol_id, side, price_ticks, size_lots, fee=0):
        """Account a fill; see `Position.fill`.

        Parameters
        ----------
        symbol_id : int
            In [0, `capacity`).
        side, price_ticks, size_lots, fee : int
            As in `Position.fill`.

        Raises
        ------
        IndexError
            If no position has that id.
        ValueError, OverflowError
            As in `Position.fill`.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef int64_t i = as_int64(symbol_id)
        _fill(self._at(i), f"symbol_id={i} ", side, price_ticks, size_lots, fee)

    def apply(self, events not None):
        """Account every event of kind ``fill``; other kinds are passed over.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), C-contiguous
            Records, in order; `side` is that of our order.

        Returns
        -------
        int
            Fills accounted.

        Raises
        ------
        TypeError
            If it is no array of events.
        IndexError
            If a fill has an unknown symbol id (with its index): nothing is accounted then.
        ValueError, OverflowError
            As in `Position.fill`, with the index; the fills before it stand.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef cnp.ndarray array
        cdef const event_t* data
        cdef Py_ssize_t i, n
        cdef int64_t applied = 0
        cdef int result
        if not isinstance(events, np.ndarray) or events.dtype != EVENT_DTYPE:
            raise TypeError(f"events must be a NumPy array of EVENT_DTYPE: dtype={getattr(events, 'dtype', type(events).__name__)}")
        array = events
        if array.ndim != 1 or not cnp.PyArray_ISCARRAY_RO(array):
            raise ValueError(f"events must be one-dimensional, C-contiguous and aligned: shape={events.shape} strides={events.strides}")
        data, n = <const event_t*> cnp.PyArray_DATA(array), cnp.PyArray_DIM(array, 0)
        for i in range(n):
            if data[i].kind == t.KIND_FILL and data[i].symbol_id >= self.capacity:
                raise IndexError(f"symbol_id must be in 0..{self.capacity - 1}: symbol_id={data[i].symbol_id}, index={i}")
        for i in range(n):
            if data[i].kind == t.KIND_FILL:
                result = position_fill(&self._positions[data[i].symbol_id], data[i].side, data[i].price, data[i].size, &NOTHING)
                if result != RESULT_OK:
                    _raise(result, f"index={i} ", &self._positions[data[i].symbol_id], data[i].side, data[i].price, data[i].size, 0)
                applied += 1
        return applied

    def mark(self, symbol_id, mark_ticks):
        """Set the price at which the open lots of one instrument are valued.

        Parameters
        ----------
        symbol_id : int
            In [0, `capacity`).
        mark_ticks : int
            As in `Position.fill`.

        Raises
        ------
        IndexError
            If no position has that id.
        ValueError
            If it is no price.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef int64_t i = as_int64(symbol_id)
        self._marks[i] = _checked_mark(self._at(i), mark_ticks)

    def unrealised(self, symbol_id):
        """Return the profit of the open lots of one instrument at its mark.

        Parameters
        ----------
        symbol_id : int
            In [0, `capacity`).

        Returns
        -------
        int or Fraction
            Exact; 0 when flat.

        Raises
        ------
        IndexError
            If no position has that id.
        ValueError
            If lots are open and no mark is set.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef int64_t i = as_int64(symbol_id)
        cdef position_t* p = self._at(i)
        if p.position_lots and self._marks[i] == NO_PRICE:
            raise ValueError(f"an open position must have a mark: symbol_id={i} position_lots={p.position_lots}")
        return _net(p, self._marks[i], False)

    def to_numpy(self):
        """Return all positions.

        Returns
        -------
        ndarray of POSITION_DTYPE, shape (capacity,)
            A copy; row i is that of symbol id i. Money as the nearest floats; exact ones are those of the items.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef position_t* p
        cdef int64_t i
        out = np.empty(self.capacity, POSITION_DTYPE)
        for i in range(self.capacity):
            p = &self._positions[i]
            out[i] = (
                p.position_lots, p.bought_lots, p.sold_lots, p.fills, p.refused, money_double(p.cash) / BILLION,
                money_double(p.cost) / BILLION, money_double(p.fees) / BILLION, money_double(p.turnover) / BILLION,
            )
        return out

    def totals(self, unit_values=None, *, currency=None, rates=None):
        """Sum up in money.

        Parameters
        ----------
        unit_values : sequence of number, one for each symbol id, optional
            What a unit of each instrument is worth: `Instrument.unit_value` times a rate of exchange. Default: that of `instruments`
            in `currency`; without them 1 for all.
        currency : str, optional
            Of the sums. Default: the one that all traded instruments have.
        rates : mapping of str to number, optional
            What one of another currency is worth in `currency`.

        Returns
        -------
        dict of str to float
            ``realised``, ``unrealised``, ``fees``, ``net``, ``turnover``: summed exactly, rounded once.

        Raises
        ------
        ValueError
            If a value is not finite or not positive, there are too few, a rate is missing, or an open position has no mark.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef int64_t i
        cdef position_t* p
        if unit_values is not None and len(unit_values) != self.capacity:
            raise ValueError(f"unit_values must have one value per symbol id: values={len(unit_values)} capacity={self.capacity}")
        for i, value in enumerate(unit_values if unit_values is not None else ()):
            if not 0.0 < value < float("inf"):
                raise ValueError(f"unit_values must be finite and positive: index={i} unit_value={value}")
        sums = dict.fromkeys(("realised", "unrealised", "fees", "net", "turnover"), Fraction(0))
        for i in range(self.capacity):
            p = &self._positions[i]
            if p.fills == 0:
                continue
            if unit_values is not None:
                value = Fraction(unit_values[i])
            elif self.instruments is None:
                value = Fraction(1)
            else:
                instrument = self.instruments[i]
                currency = instrument.currency if currency is None else currency
                value = instrument.unit_value * _rate(instrument.currency, currency, rates or {}, i)
            sums["realised"] += money_object(position_realised(p)) * value
            sums["unrealised"] += self.unrealised(i) * value
            sums["fees"] += money_object(p.fees) * value
            sums["turnover"] += money_object(p.turnover) * value
        sums["net"] = sums["realised"] + sums["unrealised"] - sums["fees"]
        return {name: float(total) for name, total in sums.items()}


def _rate(str currency, str wanted, rates, symbol_id):
    if currency == wanted:
        return 1
    if currency not in rates:
        raise ValueError(f"every currency needs a rate: currency={currency!r} wanted={wanted!r} symbol_id={symbol_id}")
    rate = Fraction(str(rates[currency]))
    if rate <= 0:
        raise ValueError(f"a rate must be positive: currency={currency!r} rate={rates[currency]}")
    return rate
