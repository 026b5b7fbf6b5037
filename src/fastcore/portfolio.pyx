# cython: freethreading_compatible=True
"""Positions, average price, profit, fees and volume in exact integers.

Prices are ticks, sizes lots, and money is counted in ticks times lots (`unit_value` turns it into currency, at the very end).
The cost of an open position is kept instead of its average price, so at any mark price

    realised + unrealised == cash + position * mark

holds exactly, fill after fill, through partial closes and flips (`portfolio.pxd` says how a partial close is rounded).
"""

from math import fsum

import numpy as np

cimport cython
cimport numpy as cnp

from libc.stdint cimport int8_t, int64_t, uint32_t
from libc.string cimport memcpy, memset

from fastcore cimport records as t
from fastcore._integers cimport as_int64, int64_in
from fastcore.records cimport NO_PRICE, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_OK, event_t, fc_alloc, fc_free

from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["POSITION_DTYPE", "Portfolio", "Position"]

_FIELDS = ("position_lots", "cash", "cost", "fees", "bought_lots", "sold_lots", "turnover", "fills", "refused")
POSITION_DTYPE = np.dtype([(name, np.int64) for name in _FIELDS])
assert POSITION_DTYPE.itemsize == sizeof(position_t)


cdef int _raise(int result, str prefix, int64_t side, int64_t price_ticks, int64_t size_lots, int64_t fee) except -1:
    if result == RESULT_BAD_SIZE:
        if side != t.BUY and side != t.SELL:
            raise ValueError(f"side must be 1 (buy) or -1 (sell): {prefix}side={side}")
        raise ValueError(f"size_lots must be at least 1: {prefix}size_lots={size_lots}")
    if result == RESULT_BAD_PRICE:
        raise ValueError(f"price_ticks must be at least 1: {prefix}price_ticks={price_ticks}")
    raise OverflowError(
        f"position, cash, cost and turnover must fit into 64 bits: {prefix}price_ticks={price_ticks} size_lots={size_lots} fee={fee}"
    )


cdef int _fill(position_t* p, str prefix, side, price_ticks, size_lots, fee) except -1:
    cdef int64_t s = as_int64(side), price = as_int64(price_ticks), size = as_int64(size_lots), f = as_int64(fee)
    # A side such as 257 must not become 1.
    cdef int result = position_fill_fee(p, <int8_t> s if -1 <= s <= 1 else 0, price, size, f)
    return 0 if result == RESULT_OK else _raise(result, prefix, s, price, size, f)


cdef int64_t _checked_mark(mark_ticks) except? -1:
    cdef int64_t mark = as_int64(mark_ticks)
    if mark <= 0:
        raise ValueError(f"mark_ticks must be at least 1: mark_ticks={mark}")
    return mark


cdef object _unrealised(const position_t* p, int64_t mark):
    # Exact in Python integers where 64 bits do not hold it.
    cdef int64_t value = position_unrealised(p, mark)
    if value == NO_PRICE:
        return int(p.position_lots) * int(mark) - int(p.cost)
    return value


@cython.final
cdef class Position:
    """Position()\n--\n\n
    The position in one instrument.

    Attributes
    ----------
    position_lots : int
        Lots bought minus lots sold.
    cash : int
        Ticks times lots received minus paid, before fees.
    cost : int
        Ticks times lots that the open position cost; 0 when flat.
    realised : int
        Profit of the closed lots in ticks times lots, before fees: ``cash + cost``.
    fees : int
        Fees paid minus rebates, in ticks times lots.
    bought_lots, sold_lots, volume_lots : int
        Lots traded; the last is their sum.
    turnover : int
        Ticks times lots traded on both sides.
    fills, refused : int
        Fills accounted; fills that raised and changed nothing else.
    average_price : float or None
        Average price of the open lots in ticks; None when flat.

    Notes
    -----
    **Thread safety**: one thread writes.
    """

    def __repr__(self):
        return f"<Position position_lots={self.position_lots} average_price={self.average_price} realised={self.realised} fees={self.fees}>"

    @property
    def position_lots(self):
        return self._p.position_lots

    @property
    def cash(self):
        return self._p.cash

    @property
    def cost(self):
        return self._p.cost

    @property
    def realised(self):
        return position_realised(&self._p)

    @property
    def fees(self):
        return self._p.fees

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
        return self._p.turnover

    @property
    def fills(self):
        return self._p.fills

    @property
    def refused(self):
        return self._p.refused

    @property
    def average_price(self):
        return position_average_price(&self._p) if self._p.position_lots else None

    def fill(self, side, price_ticks, size_lots, fee=0):
        """Account a fill.

        Parameters
        ----------
        side : int
            1 when we bought, -1 when we sold. A float is a `TypeError`, for any argument.
        price_ticks : int
            Price, at least 1.
        size_lots : int
            Size, at least 1.
        fee : int, default 0
            Fee in ticks times lots; negative for a rebate.

        Raises
        ------
        ValueError
            If the side, the price or the size is out of range.
        OverflowError
            If a total would leave 64 bits. In every case nothing changes but `refused`.

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
            Mark price, at least 1.

        Returns
        -------
        int
            Ticks times lots, exact; 0 when flat.

        Raises
        ------
        ValueError
            If the price is below 1.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return _unrealised(&self._p, _checked_mark(mark_ticks))

    def net(self, mark_ticks):
        """Return realised and unrealised profit minus fees.

        Parameters
        ----------
        mark_ticks : int
            Mark price, at least 1.

        Returns
        -------
        int
            Ticks times lots, exact.

        Raises
        ------
        ValueError
            If the price is below 1.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return int(position_realised(&self._p)) + _unrealised(&self._p, _checked_mark(mark_ticks)) - int(self._p.fees)

    def reset(self):
        """Start again from nothing.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        memset(&self._p, 0, sizeof(position_t))


@cython.final
cdef class Portfolio:
    """Portfolio(capacity)\n--\n\n
    The positions in many instruments, by symbol id.

    Parameters
    ----------
    capacity : int
        Symbol ids are 0 to `capacity` - 1; at least 1.

    Attributes
    ----------
    capacity : int
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

    def __cinit__(self, capacity):
        cdef int64_t i, n = int64_in(capacity, "capacity", 1, 0xFFFFFFFF)
        self._positions = <position_t*> fc_alloc(<size_t> n, sizeof(position_t))
        self._marks = <int64_t*> fc_alloc(<size_t> n, sizeof(int64_t))
        if self._positions == NULL or self._marks == NULL:
            raise MemoryError(f"the positions must fit into memory: capacity={n}")
        self.capacity = n
        for i in range(n):
            self._marks[i] = NO_PRICE

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
                result = position_fill(&self._positions[data[i].symbol_id], data[i].side, data[i].price, data[i].size)
                if result != RESULT_OK:
                    _raise(result, f"index={i} ", data[i].side, data[i].price, data[i].size, 0)
                applied += 1
        return applied

    def mark(self, symbol_id, mark_ticks):
        """Set the price at which the open lots of one instrument are valued.

        Parameters
        ----------
        symbol_id : int
            In [0, `capacity`).
        mark_ticks : int
            At least 1.

        Raises
        ------
        IndexError
            If no position has that id.
        ValueError
            If the price is below 1.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef int64_t i = as_int64(symbol_id)
        self._at(i)
        self._marks[i] = _checked_mark(mark_ticks)

    def unrealised(self, symbol_id):
        """Return the profit of the open lots of one instrument at its mark.

        Parameters
        ----------
        symbol_id : int
            In [0, `capacity`).

        Returns
        -------
        int
            Ticks times lots, exact; 0 when flat.

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
        return _unrealised(p, self._marks[i])

    def to_numpy(self):
        """Return all positions.

        Returns
        -------
        ndarray of POSITION_DTYPE, shape (capacity,)
            A copy; row i is that of symbol id i. ``cash + cost`` is the realised profit.

        Notes
        -----
        **Thread safety**: any thread.
        """
        out = np.empty(self.capacity, POSITION_DTYPE)
        memcpy(cnp.PyArray_DATA(out), self._positions, <size_t> self.capacity * sizeof(position_t))
        return out

    def totals(self, unit_values=None):
        """Sum up in money.

        Parameters
        ----------
        unit_values : array_like of float, shape (capacity,), optional
            Money that one tick times one lot of each instrument is worth: tick size * lot size * multiplier. Default: 1 for all.

        Returns
        -------
        dict of str to float
            ``realised``, ``unrealised``, ``fees``, ``net``, ``turnover``: each position exact, multiplied once, summed without
            rounding in between.

        Raises
        ------
        ValueError
            If a value is not finite or not positive, the shape is wrong, or an open position has no mark.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        values = np.ones(self.capacity) if unit_values is None else np.asarray(unit_values, np.float64)
        if values.shape != (self.capacity,):
            raise ValueError(f"unit_values must have one value per symbol id: shape={values.shape} capacity={self.capacity}")
        if not (np.isfinite(values) & (values > 0.0)).all():
            i = int(np.argmin(np.isfinite(values) & (values > 0.0)))
            raise ValueError(f"unit_values must be finite and positive: index={i} unit_value={values[i]}")
        used = [i for i in range(self.capacity) if self._positions[i].fills]
        realised = [position_realised(&self._positions[i]) * float(values[i]) for i in used]
        unrealised = [self.unrealised(i) * float(values[i]) for i in used]
        fees = [self._positions[i].fees * float(values[i]) for i in used]
        return {
            "realised": fsum(realised),
            "unrealised": fsum(unrealised),
            "fees": fsum(fees),
            "net": fsum(realised + unrealised + [-fee for fee in fees]),
            "turnover": fsum(self._positions[i].turnover * float(values[i]) for i in used),
        }


def _mul_div(a, b, c, bint portable=False):
    # Both forms of a * b / c, for the tests.
    return fc_mul_div_portable(a, b, c) if portable else fc_mul_div(a, b, c)
