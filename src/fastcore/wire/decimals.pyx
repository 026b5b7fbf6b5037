# cython: freethreading_compatible=True
"""Text tables: how many decimals their numbers need, read from the text itself, and the columns of blocks that are plain.

A field is a number if, without spaces and quotes around it, it is ``[+-]digits[.digits][e[+-]digits]``. Zeros at its end need no
decimals: 1.250 needs two, 1200 needs -2, 1.2e-5 needs six. Rows end with a line feed; a field in quotes may hold the delimiter.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp

cimport numpy as cnp

from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport int64_in

import numpy as np

cnp.import_array()

__all__ = ["NONE", "Decimals", "plain_columns"]

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

    def __repr__(self):
        return f"Decimals(places={self.places})"


cdef extern from "fc_json.h" nogil:
    uint64_t le64 "fc_le64"(const uint8_t*)
    uint64_t ZEROS "FC_ZEROS"
    int count_digits "fc_digits"(uint64_t)
    uint64_t some_digits "fc_some_digits"(uint64_t, uint64_t, uint64_t*)
    const uint64_t* LIFT "fc_lift"
    const uint64_t* POW10 "fc_pow10"


# Read on a number with the digits at p, of which `end` is the end of the text: the place behind them. So many as 18 fit.
cdef inline const uint8_t* digits_at(const uint8_t* p, const uint8_t* end, uint64_t* value) noexcept nogil:
    cdef uint64_t wrong = 0
    cdef uint64_t chunk
    cdef int n
    while end - p >= 8:
        chunk = le64(p)
        n = count_digits(chunk ^ ZEROS)
        value[0] = value[0] * POW10[n] + some_digits(chunk, LIFT[n], &wrong)
        p += n
        if n < 8:
            return p
    while p < end and c'0' <= p[0] <= c'9':
        value[0] = value[0] * 10 + (p[0] - c'0')
        p += 1
    return p


# The place of a field's end, NULL where it is not plain. `row` is where its value goes, `form` says as what.
cdef inline const uint8_t* plain_field(const uint8_t* p, const uint8_t* end, plain_column_t* c, size_t row, char delimiter, char point) noexcept nogil:
    cdef const uint8_t* start
    cdef uint64_t value = 0
    cdef bint negative
    cdef int length
    cdef int places = 0
    cdef int32_t i
    if c.form == c'i' or c.form == c'f':
        negative = p[0] == c'-'
        p += negative
        start = p
        p = digits_at(p, end, &value)
        length = <int> (p - start)
        if c.form == c'f' and p[0] == point:
            start = p + 1
            p = digits_at(start, end, &value)
            places = <int> (p - start)
            length += places
        if length == 0 or length > DECIMALS_DIGITS:
            return NULL
        if c.form == c'i':
            (<int64_t*> c.out)[row] = -<int64_t> value if negative else <int64_t> value
        elif value > <uint64_t> 1 << 53:
            return NULL
        else:  # both are exact, so that the quotient is the float next to the decimal
            (<double*> c.out)[row] = (-<double> value if negative else <double> value) / <double> POW10[places]
        return p
    start = p
    while p[0] != <uint8_t> delimiter and p[0] != c'\n' and p[0] != c'\r':
        p += 1
    if c.form == c'w':
        length = <int> (p - start) if p - start <= PLAIN_LETTERS else 0
        if length == 0:
            return NULL
        i = c.last
        if i >= c.words or c.lengths[i] != length or memcmp(c.texts[i], start, length) != 0:
            i = 0
            while i < c.words and (c.lengths[i] != length or memcmp(c.texts[i], start, length) != 0):
                i += 1
            if i == PLAIN_WORDS:
                return NULL
            if i == c.words:
                c.texts[i] = start
                c.lengths[i] = length
                c.words += 1
            c.last = i
        (<int32_t*> c.out)[row] = i
    return p


# Whether all rows of a text that ends with a line feed are plain; their values are in the columns then.
cdef bint plain_rows(const uint8_t* p, const uint8_t* end, plain_column_t* columns, size_t count, char delimiter, char point) noexcept nogil:
    cdef size_t row = 0
    cdef size_t i
    while p < end:
        for i in range(count):
            p = plain_field(p, end, &columns[i], row, delimiter, point)
            if p == NULL:
                return False
            if i + 1 < count:
                if p[0] != <uint8_t> delimiter:
                    return False
                p += 1
        p += p[0] == c'\r'
        if p == end or p[0] != c'\n':
            return False
        p += 1
        row += 1
    return True


def plain_columns(bytes block not None, str forms not None, str delimiter="," , str point=".") -> list | None:
    """Read the columns of a block of whole lines of which nothing needs a second look.

    Parameters
    ----------
    block : bytes
        Of ASCII, ending with a line feed.
    forms : str
        A letter for each column: ``i`` whole numbers of at most 18 digits; ``f`` decimals of at most 18 digits, whose value without
        the point is at most 2**53; ``w`` words of 1 to 32 characters, at most 64 different ones; ``-`` what is not read.
    delimiter, point : str
        One ASCII character each: between fields, and before decimals.

    Returns
    -------
    list or None
        By letter: an array of int64 or float64 (the float next to the decimal), or a pair of an array of int32 and the list of words that
        its numbers mean, in the order in which they came. None where a row has another number of fields or a field is something else,
        be it empty or in quotes; this is no error of the block.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    **Thread safety**: any thread; runs without the GIL.
    """
    cdef const uint8_t* data = block
    cdef size_t size = len(block)
    cdef size_t count = len(forms)
    cdef size_t rows = 0
    cdef size_t i
    cdef bytearray memory
    cdef plain_column_t* columns
    cdef char mark
    cdef char dot
    cdef bint plain
    if not 1 <= count <= 65_536 or set(forms) - set("ifw-"):
        raise ValueError(f"forms must be 1 to 65536 letters of i, f, w and -: forms={forms[:80]!r}")
    for name, text in (("delimiter", delimiter), ("point", point)):
        if len(text) != 1 or not text.isascii() or text in '"\r\n-0123456789' or delimiter == point:
            raise ValueError(f"{name} must be one ASCII character of its own: {name}={text!r}")
    if not size or data[size - 1] != c'\n' or b'"' in block or not block.isascii():
        return None
    with nogil:
        for i in range(size):
            rows += data[i] == c'\n'
    memory = bytearray(count * sizeof(plain_column_t))
    columns = <plain_column_t*> <char*> memory
    arrays = [None if form == "-" else np.empty(rows, {"i": np.int64, "f": np.float64, "w": np.int32}[form]) for form in forms]
    for i, form in enumerate(forms):
        columns[i].form = ord(form)
        if form != "-":
            columns[i].out = cnp.PyArray_DATA(arrays[i])
    mark, dot = ord(delimiter), ord(point)
    with nogil:
        plain = plain_rows(data, data + size, columns, count, mark, dot)
    if not plain:
        return None
    return [
        (array, [columns[i].texts[j][: columns[i].lengths[j]].decode("ascii") for j in range(columns[i].words)]) if form == "w" else array
        for i, (form, array) in enumerate(zip(forms, arrays)) if form != "-"
    ]
