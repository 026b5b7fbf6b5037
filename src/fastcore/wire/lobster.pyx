# cython: freethreading_compatible=True
"""Check of LOBSTER data: the N-level window of a book, kept from messages and compared with the rows of the orderbook file.

A message (LOBSTER, "Data structure") has a type, an order, a size, a price and the side of the resting order::

    1 new order   2 cancellation of a part   3 deletion   4 execution   5 execution of a hidden order   6 cross   7 halt

A row of the orderbook file is (ask price, ask size, bid price, bid size) x N, the state behind its message; an empty level is
9999999999 (ask) or -9999999999 (bid) with size 0.

**Rule.** Row 0 is where the window begins. Each later message is applied to the window: a new order adds its size to the level
of its price, or makes that level; types 2, 3 and 4 take their size off a level, which must be in the window and hold as much,
and an empty level goes; types 5, 6 and 7 change nothing. A level that is pushed beyond place N falls out. Then the row must be
the window, price by price and size by size, with one exception: where the message has emptied a level of a side that was full
(N levels), the row may show one level more on that side, behind all others. It was outside the window before, where no message
tells of it, and is taken over. Nothing else is taken over, so a wrong size, price, order of messages or row is found.

Behind a row that does not match the window is set to that row, if it is well formed, so that each row is judged by its own
message.
"""

cimport cython
from libc.stdint cimport INT64_MAX
from libc.string cimport memmove

cimport numpy as cnp

from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport int64_in
from fastcore.records cimport fc_alloc, fc_free

import numpy as np

cnp.import_array()

__all__ = ["LobsterWindow"]

cdef enum:
    RULE_ROW = 1
    RULE_MESSAGE = 2
    RULE_LEVEL = 3
    RULE_BID = 4
    RULE_ASK = 5

_RULES = (
    "",
    "a row has its levels in the order of prices, with sizes, and the empty ones behind them",
    "a message has a type of 1..7, and with types 1..4 a side, a price and a size",
    "what a message takes off is there",
    "the bids of the row are those of the window",
    "the asks of the row are those of the window",
)

cdef int64_t EMPTY = 9_999_999_999


cdef inline const int64_t* row_level(const int64_t* row, uint32_t i, int side_index) noexcept nogil:
    # Price and size of level i of a side (0 bids).
    return row + 4 * i + (0 if side_index else 2)


cdef int row_count(const int64_t* row, uint32_t levels, int side_index) noexcept nogil:
    # Levels of a side of a row; -1 where it is not well formed.
    cdef int sign = -1 if side_index else 1
    cdef uint32_t i
    cdef uint32_t n = 0
    cdef const int64_t* l
    for i in range(levels):
        l = row_level(row, i, side_index)
        if l[1] == 0 and l[0] == -sign * EMPTY:
            continue
        if l[1] <= 0 or l[0] <= 0 or l[0] >= EMPTY or n != i:
            return -1
        if i and sign * (row_level(row, i - 1, side_index)[0] - l[0]) <= 0:
            return -1
        n += 1
    return <int> n


cdef void take_row(lobster_window_t* w, const int64_t* row, int side_index, uint32_t count) noexcept nogil:
    cdef lobster_side_t* s = &w.sides[side_index]
    cdef uint32_t i
    for i in range(count):
        s.prices[i] = row_level(row, i, side_index)[0]
        s.sizes[i] = row_level(row, i, side_index)[1]
    s.count = count


cdef bint change(lobster_window_t* w, int64_t type, int64_t size, int64_t price, int64_t side) noexcept nogil:
    # Apply a message of type 1..4 to the window; False where what it takes off is not there.
    cdef lobster_side_t* s = &w.sides[side < 0]
    cdef uint32_t i = 0
    while i < s.count and side * (s.prices[i] - price) > 0:
        i += 1
    cdef bint found = i < s.count and s.prices[i] == price
    if type != 1:
        if not found or s.sizes[i] < size:
            return False
        s.sizes[i] -= size
        if s.sizes[i] == 0:
            s.count -= 1
            memmove(s.prices + i, s.prices + i + 1, (s.count - i) * sizeof(int64_t))
            memmove(s.sizes + i, s.sizes + i + 1, (s.count - i) * sizeof(int64_t))
        return True
    if found:
        if size > INT64_MAX - s.sizes[i]:
            return False
        s.sizes[i] += size
        return True
    memmove(s.prices + i + 1, s.prices + i, (s.count - i) * sizeof(int64_t))
    memmove(s.sizes + i + 1, s.sizes + i, (s.count - i) * sizeof(int64_t))
    s.prices[i] = price
    s.sizes[i] = size
    s.count = s.count + 1 if s.count < w.levels else w.levels
    return True


cdef bint same_levels(const lobster_side_t* s, const int64_t* row, int side_index) noexcept nogil:
    cdef uint32_t i
    for i in range(s.count):
        if row_level(row, i, side_index)[0] != s.prices[i] or row_level(row, i, side_index)[1] != s.sizes[i]:
            return False
    return True


cdef int lobster_apply(
    lobster_window_t* w, int64_t type, int64_t size, int64_t price, int64_t side, const int64_t* row
) noexcept nogil:
    cdef int rule = 0
    cdef int i
    cdef int[2] counts
    cdef uint32_t[2] full
    cdef bint first = w.checked == 0
    cdef lobster_side_t* s
    for i in range(2):
        counts[i] = row_count(row, w.levels, i)
        full[i] = w.sides[i].count == w.levels
    if type < 1 or type > 7 or (type <= 4 and ((side != 1 and side != -1) or size <= 0 or price <= 0 or price >= EMPTY)):
        rule = RULE_MESSAGE
    elif type <= 4 and not first and not change(w, type, size, price, side):
        rule = RULE_LEVEL
    if counts[0] < 0 or counts[1] < 0:
        rule = RULE_ROW
    else:
        for i in range(2):
            s = &w.sides[i]
            if rule == 0 and not first:
                if not same_levels(s, row, i) or counts[i] < <int> s.count:
                    rule = RULE_ASK if i else RULE_BID
                elif counts[i] > <int> s.count:
                    # Revealed: only by a message that took a level off this side, which was full.
                    if full[i] and s.count == w.levels - 1:
                        w.revealed += 1
                    else:
                        rule = RULE_ASK if i else RULE_BID
            take_row(w, row, i, <uint32_t> counts[i])
    if rule == 0:
        w.matched += 1
    else:
        if w.misses < LOBSTER_LOG:
            w.log[w.misses].row = w.checked
            w.log[w.misses].rule = rule
        w.misses += 1
    w.checked += 1
    return rule


cdef object column(object values, str name, Py_ssize_t n):
    a = np.ascontiguousarray(values, dtype=np.int64)
    if a.ndim != 1 or (n >= 0 and a.size != n):
        raise ValueError(f"{name} must have one value for each row: shape={a.shape} rows={n}")
    return a


@cython.final
cdef class LobsterWindow:
    """LobsterWindow(levels)\n--\n\n
    The N-level window of a LOBSTER sample, compared with its orderbook file.

    Parameters
    ----------
    levels : int
        Levels of each side in the orderbook file, 1..200.

    Raises
    ------
    ValueError
        If `levels` is outside its range.

    Notes
    -----
    The rule is in the text of the module.

    **Thread safety**: one thread owns a window.
    """

    def __cinit__(self, levels):
        cdef int64_t number = int64_in(levels, "levels", 1, LOBSTER_LEVELS)
        self._w = <lobster_window_t*> fc_alloc(1, sizeof(lobster_window_t))
        if self._w == NULL:
            raise MemoryError("no memory for a window")
        self._w.levels = <uint32_t> number

    def __dealloc__(self):
        fc_free(self._w)

    def apply(self, types, sizes, prices, sides, rows):
        """Apply the next messages and compare the window with the row behind each.

        Parameters
        ----------
        types, sizes, prices, sides : array_like of int, shape (n,)
            Columns 2, 4, 5 and 6 of the message file. int64 arrays are read in place.
        rows : ndarray of int64, shape (n, 4 * levels), contiguous
            The same lines of the orderbook file.

        Returns
        -------
        int
            Rows of this chunk that match.
        """
        cdef cnp.ndarray r
        if not cnp.PyArray_Check(rows):
            raise TypeError(f"rows must be a NumPy array of int64: type={type(rows).__name__}")
        r = rows
        if cnp.PyArray_TYPE(r) != cnp.NPY_INT64 or not cnp.PyArray_ISNOTSWAPPED(r):
            raise TypeError(f"rows must have dtype int64: dtype={r.dtype}")
        if (r.ndim != 2 or r.shape[1] != 4 * <Py_ssize_t> self._w.levels or not cnp.PyArray_IS_C_CONTIGUOUS(r)
                or <size_t> cnp.PyArray_DATA(r) & 7):
            raise ValueError(f"rows must be contiguous, of shape (n, {4 * self._w.levels}): shape={rows.shape}")
        cdef Py_ssize_t n = r.shape[0]
        cdef cnp.ndarray a = column(types, "types", n)
        cdef cnp.ndarray b = column(sizes, "sizes", n)
        cdef cnp.ndarray c = column(prices, "prices", n)
        cdef cnp.ndarray d = column(sides, "sides", n)
        cdef const int64_t* kind = <const int64_t*> cnp.PyArray_DATA(a)
        cdef const int64_t* size = <const int64_t*> cnp.PyArray_DATA(b)
        cdef const int64_t* price = <const int64_t*> cnp.PyArray_DATA(c)
        cdef const int64_t* side = <const int64_t*> cnp.PyArray_DATA(d)
        cdef const int64_t* row = <const int64_t*> cnp.PyArray_DATA(r)
        cdef Py_ssize_t i
        cdef uint64_t before
        enter(&self._busy)
        before = self._w.matched
        with nogil:
            for i in range(n):
                lobster_apply(self._w, kind[i], size[i], price[i], side[i], row + i * 4 * <Py_ssize_t> self._w.levels)
        leave(&self._busy)
        return self._w.matched - before

    @property
    def levels(self):
        """Levels of each side."""
        return self._w.levels

    @property
    def checked(self):
        """Rows so far."""
        return self._w.checked

    @property
    def matched(self):
        """Rows so far that match; row 0 does when it is well formed."""
        return self._w.matched

    @property
    def revealed(self):
        """Levels that were taken over from a row, because they came into the window from outside."""
        return self._w.revealed

    @property
    def first_mismatch(self):
        """Number of the first row that does not match, from 0 over all chunks; None when all do."""
        return self._w.log[0].row if self._w.misses else None

    @property
    def mismatches(self):
        """The first 64 rows that do not match: a list of (row, rule that does not hold)."""
        alone(&self._busy)
        cdef uint64_t i
        cdef uint64_t n = self._w.misses if self._w.misses < LOBSTER_LOG else LOBSTER_LOG
        return [(self._w.log[i].row, _RULES[self._w.log[i].rule]) for i in range(n)]

    def depth(self):
        """Return the window: (bids, asks), lists of (price, size), best first."""
        alone(&self._busy)
        return tuple(
            [(self._w.sides[i].prices[k], self._w.sides[i].sizes[k]) for k in range(self._w.sides[i].count)] for i in range(2)
        )

    def __repr__(self):
        return f"LobsterWindow(levels={self.levels}, checked={self.checked}, matched={self.matched})"
