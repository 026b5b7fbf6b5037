# cython: freethreading_compatible=True
"""How many decimals the numbers of a text table need, read from the text itself.

A field is a number if, without spaces and quotes around it, it is ``[+-]digits[.digits][e[+-]digits]``. Zeros at its end need no
decimals: 1.250 needs two, 1200 needs -2, 1.2e-5 needs six. Rows end with a line feed; a field in quotes may hold the delimiter.
"""

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memchr

cimport numpy as cnp

from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport int64_in

import numpy as np

cnp.import_array()

__all__ = ["NONE", "Decimals"]

NONE = DECIMALS_NONE


cdef int64_t decimals_needed(const char* p, const char* end, char point, char group) noexcept nogil:
    cdef int64_t digits = 0         # without zeros in front
    cdef int64_t zeros = 0          # at the end
    cdef int64_t fraction = 0       # behind the point
    cdef int64_t exponent = 0
    cdef bint behind = False
    cdef bint any_digit = False
    cdef bint negative = False
    cdef char c
    while p < end and (p[0] == c' ' or p[0] == c'"'):
        p += 1
    while p < end and ((end - 1)[0] == c' ' or (end - 1)[0] == c'"' or (end - 1)[0] == c'\r'):
        end -= 1
    if p < end and (p[0] == c'-' or p[0] == c'+'):
        p += 1
    while p < end:
        c = p[0]
        if c'0' <= c <= c'9':
            any_digit = True
            fraction += behind
            if c != c'0':
                digits += zeros + 1
                zeros = 0
            else:
                zeros += digits > 0
        elif c == point and not behind:
            behind = True
        elif c == c'e' or c == c'E':
            break
        elif not (group and c == group and any_digit and not behind):
            return DECIMALS_NONE
        p += 1
    if not any_digit or digits == 0 or digits > DECIMALS_DIGITS:
        return DECIMALS_NONE
    if p < end:
        p += 1
        if p < end and (p[0] == c'-' or p[0] == c'+'):
            negative = p[0] == c'-'
            p += 1
        if p == end or end - p > 3:
            return DECIMALS_NONE
        while p < end:
            if not c'0' <= p[0] <= c'9':
                return DECIMALS_NONE
            exponent = exponent * 10 + (p[0] - c'0')
            p += 1
    return fraction - zeros - (-exponent if negative else exponent)


cdef size_t scan(const char* p, size_t length, decimals_form_t* f, int64_t* places, const char* wanted, size_t columns) noexcept nogil:
    # Returns the rows that ended. Behind the last wanted column only the end of the line is looked for.
    cdef const char* end = p + length
    cdef const char* start
    cdef const char* stop
    cdef const char* point
    cdef bint plain
    cdef size_t rows = 0
    cdef size_t last = columns
    cdef size_t column = 0
    cdef int64_t needed
    while last and not wanted[last - 1]:
        last -= 1
    while p < end:
        if column >= last:
            p = <const char*> memchr(p, c'\n', end - p)
            if p == NULL:
                break
            p += 1
            column = 0
            rows += 1
            continue
        start = p
        if p[0] == c'"':
            p += 1
            while p < end and p[0] != c'"' and p[0] != c'\n':
                p += 1
        if not wanted[column]:
            while p < end and p[0] != f.delimiter and p[0] != c'\n':
                p += 1
        else:
            # What has no more characters behind the point than the column needs already, zeros at the end apart, says nothing new.
            point = NULL
            plain = start[0] != c'"'
            while p < end and p[0] != f.delimiter and p[0] != c'\n':
                if p[0] == f.point:
                    point = p
                plain &= p[0] <= c'9'
                p += 1
            needed = p - point - 1 if point else 0
            stop = p
            while needed > places[column] and stop > start and (stop - 1)[0] == c'0':
                stop -= 1
                needed -= 1
            if needed > places[column] or not plain:
                needed = decimals_needed(start, p, f.point, f.group)
                if places[column] < needed <= f.most:
                    places[column] = needed
        if p < end:
            if p[0] == c'\n':
                column = 0
                rows += 1
            else:
                column += 1
            p += 1
    return rows


@cython.final
cdef class Decimals:
    """Decimals(columns, wanted, delimiter=",", point=".", group="", most=12)\n--\n\n
    Decimals that the columns of a table need, over all the blocks that were added.

    Parameters
    ----------
    columns : int
        Of the table, 1 to 65536.
    wanted : sequence of int
        Columns that are looked at.
    delimiter, point, group : str
        One ASCII character each: between fields, before decimals, and between thousands ("" where there is none).
    most : int, default 12
        Numbers that need more decimals are left out.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    **Thread safety**: one thread at a time; `add` runs without the GIL.
    """

    def __init__(self, columns, wanted, str delimiter=",", str point=".", str group="", most=12):
        alone(&self._busy)
        columns, most = int64_in(columns, "columns", 1, 65_536), int64_in(most, "most", 0, DECIMALS_DIGITS)
        for name, mark in (("delimiter", delimiter), ("point", point), ("group", group)):
            if len(mark) != 1 - (name == "group" and not mark) or not mark.isascii():
                raise ValueError(f"{name} must be one ASCII character: {name}={mark!r}")
        self._places = np.full(columns, NONE, np.int64)
        self._wanted = bytearray(columns)
        for column in wanted:
            if not 0 <= column < columns:
                raise ValueError(f"wanted must be columns of the table: column={column} columns={columns}")
            self._wanted[column] = 1
        self._form.delimiter, self._form.point = ord(delimiter), ord(point)
        self._form.group = ord(group) if group else 0
        self._form.most = most

    def add(self, block not None) -> int:
        """Look at a block of whole lines.

        Parameters
        ----------
        block : bytes-like

        Returns
        -------
        int
            Line ends in it.
        """
        cdef const unsigned char[::1] data = block
        cdef const char* wanted = self._wanted
        cdef int64_t* places = <int64_t*> cnp.PyArray_DATA(self._places)
        cdef size_t columns = len(self._wanted)
        cdef size_t rows = 0
        enter(&self._busy)
        if data.shape[0]:
            with nogil:
                rows = scan(<const char*> &data[0], data.shape[0], &self._form, places, wanted, columns)
        leave(&self._busy)
        return rows

    @property
    def places(self) -> list:
        """By column: the decimals that its numbers need, less than 0 where all end with zeros before the point; `NONE` without a number."""
        return self._places.tolist()
