# cython: freethreading_compatible=True
"""Latency histograms: bounded memory, bounded relative error, a record costs two additions.

The buckets, the percentiles and the encodings are those of HdrHistogram (hdrhistogram.org), so its tools read what is
exported here. Values are non-negative integers, nanoseconds by convention; with d significant digits, a recorded value is known
to one part in 10**d. Statistics are computed from the buckets: `min` is the lowest value of the first used bucket, `max` the
highest of the last, mean and standard deviation take the middle of each.

Encoding V2 (big endian)::

    outer   0   4  cookie 0x1c849314        inner   0   4  cookie 0x1c849313
            4   4  length of the rest               4   4  length of the counts in bytes
            8      the inner part, zlib             8   4  normalising index offset (0)
                                                    12  4  significant digits
                                                    16  8  lowest discernible value
                                                    24  8  highest trackable value
                                                    32  8  integer-to-double ratio (IEEE 754)
                                                    40     counts: zigzag LEB128 of up to 9 bytes; -n stands for n zeros

and base64 around the outer part. Text logs have a line ``Tag=T,start_s,length_s,max,encoding`` per interval.
"""

import base64
import binascii
import struct
import zlib
from math import isfinite

import numpy as np

cimport cython
cimport numpy as cnp

from libc.math cimport sqrt
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport as_int64, refuse_range
from fastcore.records cimport fc_alloc, fc_free

from fastcore.errors import CorruptDataError, range_error

cnp.import_array()

__all__ = ["Histogram", "hlog"]

cdef uint64_t _INNER_COOKIE = 0x1C849303
cdef uint64_t _OUTER_COOKIE = 0x1C849304
cdef object _INNER = struct.Struct(">IIIIQQd")
cdef object _OUTER = struct.Struct(">II")


cdef int64_t* int64_data(values, str name) except? NULL:
    # Checked by hand: a typed memoryview costs ten times as much per call.
    cdef cnp.ndarray array
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of int64: type={type(values).__name__}")
    array = values
    if not (cnp.PyArray_TYPE(array) == cnp.NPY_INT64 and cnp.PyArray_ISNOTSWAPPED(array)) and array.dtype != np.dtype(np.int64):
        raise TypeError(f"{name} must be a NumPy array of int64: dtype={array.dtype}")
    if cnp.PyArray_NDIM(array) != 1 or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError(f"{name} must be one-dimensional, C-contiguous and aligned: shape={values.shape} strides={values.strides}")
    return <int64_t*> cnp.PyArray_DATA(array)


cdef int64_t _lowest_equivalent(const histogram_t* h, int64_t value) noexcept nogil:
    cdef int shift = h.row_base - fc_leading_zeros(<uint64_t> value | h.mask) + h.unit_magnitude
    return value >> shift << shift


cdef int64_t _step(const histogram_t* h, int64_t value) noexcept nogil:
    # Width of the bucket of a value.
    return <int64_t> 1 << (h.row_base - fc_leading_zeros(<uint64_t> value | h.mask) + h.unit_magnitude)


@cython.final
cdef class Histogram:
    """Histogram(lowest=1, highest=3600000000000, digits=3)\n--\n\n
    Log-linear histogram of non-negative integers.

    Parameters
    ----------
    lowest : int, default 1
        Lowest value that must be told from 0, at least 1; rounded down to a power of 2, the unit of all buckets.
    highest : int, default 3_600_000_000_000
        Highest value that can be recorded (an hour in ns), at least twice `lowest`, below 2**62.
    digits : int, default 3
        Significant decimal digits that a recorded value keeps, 1 to 5.

    Attributes
    ----------
    lowest, highest, digits : int
        As given.
    count : int
        Values recorded.
    saturated, negative : int
        Values that compiled code recorded above `highest` (counted at `highest`) and below 0 (counted at 0). The methods here
        raise instead.
    min, max : int
        Lowest and highest value equivalent to the smallest and largest recorded; 0 when empty.
    mean, stddev : float
        Of the recorded values (population), to the resolution of the buckets; 0 when empty.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    MemoryError
        If the counters do not fit into memory.

    Notes
    -----
    Memory is fixed: 264 KiB for the default, 3.6 MiB for 4 digits and 26 MiB for 5.

    **Thread safety**: one thread records. Another may read at the same time and sees each bucket old or new.
    """

    def __cinit__(self, lowest=1, highest=3_600_000_000_000, digits=3):
        self._configure(as_int64(lowest), as_int64(highest), as_int64(digits))

    cdef int _configure(self, int64_t lowest, int64_t highest, int64_t digits) except -1:
        cdef histogram_t* h = &self._histogram
        cdef int64_t steps = 1, reach
        cdef int64_t rows = 1
        if not 1 <= digits <= 5:
            refuse_range("digits", digits, 1, 5)
        if lowest < 1:
            raise ValueError(f"lowest must be at least 1: lowest={lowest}")
        if highest >= <int64_t> 1 << 62 or highest // 2 < lowest:
            raise range_error("highest", highest, "2*lowest", 2**62 - 1, lowest=lowest)
        while steps < 2 * <int64_t> 10 ** digits:
            steps <<= 1
            h.half_magnitude += 1
        h.half_magnitude -= 1
        h.unit_magnitude = 63 - fc_leading_zeros(<uint64_t> lowest)
        if h.unit_magnitude + h.half_magnitude > 60:
            raise ValueError(f"lowest and digits together need more than 62 bits: lowest={lowest} digits={digits}")
        h.row_base = 64 - h.unit_magnitude - h.half_magnitude - 1
        h.mask = <uint64_t> (steps - 1) << h.unit_magnitude
        reach = steps << h.unit_magnitude
        while reach <= highest:
            reach <<= 1         # below 2**63: highest is below 2**62
            rows += 1
        h.counts_length = (rows + 1) << h.half_magnitude
        h.lowest, h.highest, h.digits = lowest, highest, <int> digits
        h.counts = <int64_t*> fc_alloc(<size_t> h.counts_length, sizeof(int64_t))
        if h.counts == NULL:
            raise MemoryError(f"the counters must fit into memory: bytes={8 * h.counts_length}")
        self._h = h
        return 0

    def __dealloc__(self):
        if self._histogram.counts != NULL:
            fc_free(self._histogram.counts)

    def __repr__(self):
        return (
            f"<Histogram count={self.count} min={self.min} p50={self.percentile(50.0)} p99={self.percentile(99.0)} max={self.max}>"
        )

    cdef int _add(self, int64_t value, int64_t count) except -1:
        # Count a value that is in range several times.
        if count > INT64_MAX - self._h.count:
            raise OverflowError(f"the number of values must stay below 2**63: count={self._h.count} added={count}")
        self._h.counts[histogram_index(self._h, value)] += count
        self._h.count += count
        return 0

    cdef int64_t _value_at(self, int64_t index) noexcept nogil:
        # Lowest value of a bucket.
        cdef histogram_t* h = self._h
        cdef int64_t row = (index >> h.half_magnitude) - 1
        cdef int64_t half = <int64_t> 1 << h.half_magnitude
        if row < 0:
            return index << h.unit_magnitude
        return ((index & (half - 1)) + half) << (row + h.unit_magnitude)

    @property
    def lowest(self):
        return self._h.lowest

    @property
    def highest(self):
        return self._h.highest

    @property
    def digits(self):
        return self._h.digits

    @property
    def count(self):
        return self._h.count

    @property
    def saturated(self):
        return self._h.saturated

    @property
    def negative(self):
        return self._h.negative

    def record(self, value):
        """Count a value.

        Parameters
        ----------
        value : int
            In [0, `highest`].

        Raises
        ------
        ValueError
            If the value is out of range; nothing is counted.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        alone(&self._busy)
        cdef int64_t v = as_int64(value)
        if unlikely(<uint64_t> v > <uint64_t> self._histogram.highest):
            refuse_range("value", v, 0, self._h.highest)
        histogram_record(&self._histogram, v)

    def record_count(self, value, count):
        """Count a value several times.

        Parameters
        ----------
        value : int
            In [0, `highest`].
        count : int
            Not negative.

        Raises
        ------
        ValueError
            If the value or the count is out of range; nothing is counted.
        OverflowError
            If the number of values would reach 2**63.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        alone(&self._busy)
        cdef int64_t v = as_int64(value)
        cdef int64_t n = as_int64(count)
        if <uint64_t> v > <uint64_t> self._h.highest:
            refuse_range("value", v, 0, self._h.highest)
        if n < 0:
            raise ValueError(f"count must not be negative: count={n}")
        self._add(v, n)

    def record_many(self, values not None, expected_interval=0):
        """Count every value of an array.

        Parameters
        ----------
        values : ndarray of int64, shape (n,), C-contiguous
            Each in [0, `highest`].
        expected_interval : int, default 0
            As in `record_corrected`; 0 corrects nothing.

        Raises
        ------
        TypeError
            If it is no array of int64.
        ValueError
            If the array is not one-dimensional and contiguous, or a value is out of range (with its index): nothing is counted then.

        Notes
        -----
        **Thread safety**: one thread at a time; the GIL is released meanwhile.
        """
        cdef int64_t* data = int64_data(values, "values")
        cdef Py_ssize_t i, n = cnp.PyArray_DIM(values, 0)
        cdef histogram_t* h = self._h
        cdef uint64_t worst = 0
        cdef int64_t interval = as_int64(expected_interval)
        if interval < 0:
            raise ValueError(f"expected_interval must not be negative: expected_interval={interval}")
        alone(&self._busy)
        with nogil:
            for i in range(n):      # negative values are the largest of all here
                worst = worst if <uint64_t> data[i] <= worst else <uint64_t> data[i]
        if worst > <uint64_t> h.highest:
            i = int(np.argmax(values.view(np.uint64) > np.uint64(h.highest)))
            raise range_error("value", data[i], 0, h.highest, index=i)
        if interval:
            for i in range(n):
                self._record_corrected(data[i], interval)
        else:
            enter(&self._busy)
            with nogil:
                for i in range(n):
                    histogram_record(h, data[i])
            leave(&self._busy)

    def record_corrected(self, value, expected_interval):
        """Count a value, and the ones that a stalled measurement omitted.

        A loop that should measure every `expected_interval` and meets a stall of `value` takes one sample where it should have
        taken several: the missing ones, value - interval, value - 2 interval, ... down to the interval, are counted too.

        Parameters
        ----------
        value : int
            In [0, `highest`].
        expected_interval : int
            Not negative, in the unit of the values; 0 corrects nothing.

        Returns
        -------
        int
            Values counted.

        Raises
        ------
        ValueError
            If an argument is out of range; nothing is counted.

        Notes
        -----
        The rule of HdrHistogram for Java and C. The Python package also adds one value below the interval.

        **Thread safety**: one thread at a time.
        """
        alone(&self._busy)
        cdef int64_t v = as_int64(value), interval = as_int64(expected_interval)
        if <uint64_t> v > <uint64_t> self._h.highest:
            refuse_range("value", v, 0, self._h.highest)
        if interval < 0:
            raise ValueError(f"expected_interval must not be negative: expected_interval={interval}")
        return self._record_corrected(v, interval)

    cdef int64_t _record_corrected(self, int64_t value, int64_t interval) except -1:
        # Both in range.
        cdef int64_t missing, left, run
        cdef int64_t total = value // interval if 0 < interval < value else 1
        if total > INT64_MAX - self._h.count:
            raise OverflowError(f"the number of values must stay below 2**63: count={self._h.count} added={total}")
        self._add(value, 1)
        missing, left = value - interval, total - 1
        while left > 0:     # a bucket at a time: a short interval must not take a loop of billions
            run = (missing - _lowest_equivalent(self._h, missing)) // interval + 1
            run = run if run < left else left
            self._add(missing, run)
            missing -= run * interval
            left -= run
        return total

    def count_at(self, value):
        """Return how many recorded values share the bucket of `value`.

        Parameters
        ----------
        value : int
            In [0, `highest`].

        Returns
        -------
        int
            Count.

        Raises
        ------
        ValueError
            If the value is out of range.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef int64_t v = as_int64(value)
        if <uint64_t> v > <uint64_t> self._h.highest:
            refuse_range("value", v, 0, self._h.highest)
        return self._h.counts[histogram_index(self._h, v)]

    def equivalent(self, value):
        """Return the range of values that the histogram cannot tell from `value`.

        Parameters
        ----------
        value : int
            In [0, `highest`].

        Returns
        -------
        tuple of (int, int)
            Lowest and highest, both included.

        Raises
        ------
        ValueError
            If the value is out of range.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef int64_t v = as_int64(value)
        cdef int64_t low
        if <uint64_t> v > <uint64_t> self._h.highest:
            refuse_range("value", v, 0, self._h.highest)
        low = _lowest_equivalent(self._h, v)
        return low, low + _step(self._h, low) - 1

    @property
    def min(self):
        cdef int64_t i
        for i in range(self._h.counts_length):
            if self._h.counts[i]:
                return self._value_at(i)
        return 0

    @property
    def max(self):
        cdef int64_t i, low
        for i in range(self._h.counts_length - 1, 0, -1):
            if self._h.counts[i]:
                low = self._value_at(i)
                return low + _step(self._h, low) - 1
        # Bucket 0 is [0, unit): whether anything but 0 went there is not known.
        return (<int64_t> 1 << self._h.unit_magnitude) - 1 if self._h.counts[0] else 0

    cdef double _mean(self) noexcept nogil:
        cdef double total = 0.0
        cdef int64_t i, low, n = 0
        for i in range(self._h.counts_length):
            if self._h.counts[i]:
                low = self._value_at(i)
                total += <double> self._h.counts[i] * <double> (low + (_step(self._h, low) >> 1))
                n += self._h.counts[i]
        return total / <double> n if n else 0.0

    @property
    def mean(self):
        return self._mean()

    @property
    def stddev(self):
        cdef double mean = self._mean(), total = 0.0, deviation
        cdef int64_t i, low, n = 0
        for i in range(self._h.counts_length):
            if self._h.counts[i]:
                low = self._value_at(i)
                deviation = <double> (low + (_step(self._h, low) >> 1)) - mean
                total += deviation * deviation * <double> self._h.counts[i]
                n += self._h.counts[i]
        return sqrt(total / <double> n) if n else 0.0

    def percentile(self, double p):
        """Return the value below or at which a share of the recorded values lies.

        Parameters
        ----------
        p : float
            Percent, in [0, 100].

        Returns
        -------
        int
            Highest value equivalent to the one at that rank (for 0: the lowest); 0 when nothing was recorded.

        Raises
        ------
        ValueError
            If `p` is NaN or out of range.

        Notes
        -----
        The rank is ``max(1, int(p * count / 100 + 0.5))``, as in HdrHistogram for C and Python.

        **Thread safety**: any thread.
        """
        cdef int64_t rank, total = 0, i, low
        if not 0.0 <= p <= 100.0:   # false for NaN too
            refuse_range("p", p, 0, 100)
        rank = <int64_t> (p * <double> self._h.count / 100.0 + 0.5)
        rank = rank if rank > 1 else 1
        for i in range(self._h.counts_length):
            total += self._h.counts[i]
            if total >= rank:
                low = self._value_at(i)
                return low + _step(self._h, low) - 1 if p > 0.0 else low
        return 0

    def percentiles(self, ps=(50.0, 90.0, 99.0, 99.9, 99.99, 100.0)):
        """Return several percentiles.

        Parameters
        ----------
        ps : sequence of float
            Percents, each in [0, 100].

        Returns
        -------
        dict of float to int
            Value by percent, as from `percentile`, in the order given.

        Raises
        ------
        ValueError
            If a percent is NaN or out of range.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return {float(p): self.percentile(p) for p in ps}

    def merge(self, Histogram other not None):
        """Add the counts of another histogram.

        Parameters
        ----------
        other : Histogram
            Of the same parameters: added exactly; of others: each bucket is added at its lowest value. It stays as it is.

        Raises
        ------
        ValueError
            If a recorded value of `other` is above `highest`; nothing is added.
        OverflowError
            If the number of values would reach 2**63.

        Notes
        -----
        **Thread safety**: one thread at a time for both.
        """
        alone(&self._busy)
        cdef histogram_t* h = self._h
        cdef histogram_t* o = other._h
        cdef int64_t i, last = o.counts_length - 1
        if o.count > INT64_MAX - h.count:
            raise OverflowError(f"the number of values must stay below 2**63: count={h.count} added={o.count}")
        while last > 0 and o.counts[last] == 0:
            last -= 1
        if h.unit_magnitude == o.unit_magnitude and h.half_magnitude == o.half_magnitude and last < h.counts_length:
            for i in range(last + 1):
                h.counts[i] += o.counts[i]
        else:
            if other._value_at(last) > h.highest:
                refuse_range("largest value of the other histogram", other._value_at(last), 0, h.highest)
            for i in range(last + 1):
                h.counts[histogram_index(h, other._value_at(i))] += o.counts[i]
        h.count += o.count
        h.saturated += o.saturated
        h.negative += o.negative

    def reset(self):
        """Forget every recorded value.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        alone(&self._busy)
        memset(self._h.counts, 0, <size_t> self._h.counts_length * sizeof(int64_t))
        self._h.count = self._h.saturated = self._h.negative = 0

    def to_numpy(self):
        """Return the used buckets.

        Returns
        -------
        values : ndarray of int64, shape (used,)
            Lowest value of each bucket that holds something, ascending.
        counts : ndarray of int64, shape (used,)
            Values recorded in it.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef int64_t i, j = 0, used = 0
        for i in range(self._h.counts_length):
            used += self._h.counts[i] != 0
        values, counts = np.empty(used, np.int64), np.empty(used, np.int64)
        cdef int64_t* v = <int64_t*> cnp.PyArray_DATA(values)
        cdef int64_t* c = <int64_t*> cnp.PyArray_DATA(counts)
        for i in range(self._h.counts_length):
            if self._h.counts[i] and j < used:
                v[j], c[j] = self._value_at(i), self._h.counts[i]
                j += 1
        return values[:j], counts[:j]

    def encode(self):
        """Encode all counts as HdrHistogram V2 in base64.

        Returns
        -------
        str
            ASCII, beginning with ``HISTFAAA``. The counts of saturated and negative values are not part of it.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef histogram_t* h = self._h
        cdef int64_t i = 0, length = h.counts_length, run, number
        cdef uint64_t z
        cdef uint8_t* out
        cdef Py_ssize_t n = 0
        while length > 0 and h.counts[length - 1] == 0:
            length -= 1
        buffer = bytearray(9 * length)
        out = buffer
        while i < length:
            number = h.counts[i]
            i += 1
            if number == 0:
                run = 1
                while i < length and h.counts[i] == 0:
                    run += 1
                    i += 1
                number = -run if run > 1 else 0
            z = (<uint64_t> number << 1) ^ <uint64_t> (number >> 63)
            for _ in range(8):
                if z < 0x80:
                    break
                out[n] = <uint8_t> (z | 0x80)
                n += 1
                z >>= 7
            out[n] = <uint8_t> z    # a ninth byte carries eight bits
            n += 1
        inner = zlib.compress(_INNER.pack(_INNER_COOKIE | 0x10, n, 0, h.digits, h.lowest, h.highest, 1.0) + buffer[:n])
        return base64.b64encode(_OUTER.pack(_OUTER_COOKIE | 0x10, len(inner)) + inner).decode("ascii")

    @staticmethod
    def decode(text):
        """Make a histogram from what `encode`, or another HdrHistogram, has written.

        Parameters
        ----------
        text : str or bytes
            HdrHistogram V2 encoding in base64.

        Returns
        -------
        Histogram
            With the parameters and counts of the encoding.

        Raises
        ------
        CorruptDataError
            If the text breaks the format (a `ValueError` as well).

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef int64_t i = 0, number
        cdef uint64_t z
        cdef int shift
        cdef uint8_t byte
        cdef Py_ssize_t at = 0, n
        cdef const uint8_t* data
        cdef Histogram histogram
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CorruptDataError(f"an encoded histogram must be base64: {error}") from None
        if len(raw) < 8:
            raise CorruptDataError(f"an encoded histogram must have 8 bytes of header: bytes={len(raw)}")
        cookie, length = _OUTER.unpack_from(raw)
        if cookie & 0xFFFFFF0F != _OUTER_COOKIE:
            raise CorruptDataError(f"an encoded histogram must begin with cookie {_OUTER_COOKIE:#x}: cookie={cookie:#x}")
        if length != len(raw) - 8:
            raise CorruptDataError(f"the stated length must be that of the data: stated={length} bytes={len(raw) - 8}")
        try:
            stream = zlib.decompressobj()
            inner = stream.decompress(raw[8:], 1 << 26)     # more than any valid one: 5 digits need 26 MiB
        except zlib.error as error:
            raise CorruptDataError(f"the counts must be a zlib stream: {error}") from None
        if not stream.eof:
            raise CorruptDataError(f"the zlib stream must be whole and below 64 MiB: decompressed={len(inner)}")
        if len(inner) < 40:
            raise CorruptDataError(f"the counts must have 40 bytes of header: bytes={len(inner)}")
        cookie, length, offset, digits, lowest, highest, ratio = _INNER.unpack_from(inner)
        if cookie & 0xFFFFFF0F != _INNER_COOKIE:
            raise CorruptDataError(f"the counts must begin with cookie {_INNER_COOKIE:#x}: cookie={cookie:#x}")
        if length != len(inner) - 40:
            raise CorruptDataError(f"the stated length must be that of the counts: stated={length} bytes={len(inner) - 40}")
        if offset != 0:
            raise CorruptDataError(f"the normalising index offset must be 0: offset={offset}")
        try:
            histogram = Histogram(lowest, highest, digits)
        except (ValueError, OverflowError) as error:
            raise CorruptDataError(f"the parameters must be those of a histogram: {error}") from None
        counts = inner[40:]
        data, n = counts, len(counts)
        while at < n:
            z, shift = 0, 0
            while True:
                if at >= n:
                    raise CorruptDataError(f"a count must end inside the data: bytes={n}")
                byte = data[at]
                at += 1
                if shift == 56:
                    z |= <uint64_t> byte << 56
                    break
                z |= <uint64_t> (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            number = <int64_t> (z >> 1) ^ -<int64_t> (z & 1)
            if number < 0:
                if number < i - histogram._h.counts_length:
                    raise CorruptDataError(f"counts must be at most {histogram._h.counts_length}: index={i} zeros={number}")
                i -= number
                continue
            if i >= histogram._h.counts_length:
                raise CorruptDataError(f"counts must be at most {histogram._h.counts_length}: index={i}")
            if number > INT64_MAX - histogram._h.count:
                raise CorruptDataError(f"the number of values must stay below 2**63: index={i} count={number}")
            histogram._h.counts[i] = number
            histogram._h.count += number
            i += 1
        return histogram


def hlog(intervals, double start_s=0.0, str comment=""):
    """Write histograms as an HdrHistogram log.

    Parameters
    ----------
    intervals : iterable of (tag, Histogram, begin_s, end_s)
        What was recorded between two times, in seconds since the UNIX epoch (or since any origin that `start_s` shares). `tag` names
        the series, for example a stage, without commas and white space; "" or None for none.
    start_s : float, default 0.0
        When the log began.
    comment : str, optional
        One line for the head.

    Returns
    -------
    str
        Format version 1.3, lines end in a newline. The largest value of each interval is given divided by 1e6: ms for values in ns.

    Raises
    ------
    ValueError
        If a time is not finite or an interval ends before it begins, or a tag or the comment would break its line.

    Notes
    -----
    **Thread safety**: as `Histogram.encode`.
    """
    if not isfinite(start_s) or start_s < 0.0:
        raise ValueError(f"start_s must be finite and not negative: start_s={start_s}")
    if len(comment.splitlines()) > 1:
        raise ValueError(f"comment must be one line: comment={comment!r}")
    lines = [f"#[{comment}]"] if comment else []
    lines.append("#[Histogram log format version 1.3]")
    lines.append(f"#[StartTime: {start_s:.3f} (seconds since epoch)]")
    lines.append('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"')
    for tag, histogram, begin_s, end_s in intervals:
        if tag and ("," in tag or tag.split() != [tag]):
            raise ValueError(f"tag must have no commas and no white space: tag={tag!r}")
        if not 0.0 <= begin_s <= end_s or not isfinite(end_s):
            raise ValueError(f"an interval must be finite and end after it begins: begin_s={begin_s} end_s={end_s}")
        head = f"Tag={tag}," if tag else ""
        lines.append(f"{head}{begin_s:.3f},{end_s - begin_s:.3f},{histogram.max / 1e6:.3f},{histogram.encode()}")
    return "\n".join(lines) + "\n"
