"""Log-linear histogram with the bucket layout of HdrHistogram: contract and hot path.

Values share a bucket when they agree in the chosen number of significant decimal digits. Row 0 of the counts covers the first
2 * half units one by one, row r > 0 covers [half << r, half << (r + 1)) units in `half` steps of 2^r::

    index = (row << half_magnitude) + (value >> (row + unit_magnitude)),  row from the highest set bit of the value
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.records cimport likely, unlikely


cdef extern from "fc_checked.h" nogil:
    bint fc_sub_overflow(int64_t a, int64_t b, int64_t* result)
    int fc_leading_zeros(uint64_t value)


ctypedef struct histogram_t:
    int64_t* counts         # counts_length counters
    int64_t count           # sum of counts
    uint64_t mask           # highest value of row 0; makes small values share a row
    int64_t highest         # largest value that is recorded as itself
    int row_base            # 64 - unit_magnitude - half_magnitude - 1
    int unit_magnitude      # log2 of the lowest discernible value, rounded down
    int half_magnitude      # log2 of the steps in a row
    int64_t saturated       # values above highest, recorded as highest
    int64_t negative        # values below 0, recorded as 0
    int64_t counts_length
    int64_t lowest          # as configured
    int digits              # significant decimal digits, 1 to 5


cdef inline int64_t histogram_index(const histogram_t* h, int64_t value) noexcept nogil:
    """Bucket of a value in [0, highest]."""
    cdef int row = h.row_base - fc_leading_zeros(<uint64_t> value | h.mask)
    return (<int64_t> row << h.half_magnitude) + (value >> (row + h.unit_magnitude))


cdef inline void histogram_record(histogram_t* h, int64_t value) noexcept nogil:
    """Count a value; one out of range is recorded at the nearest bound and counted in `saturated` or `negative`."""
    if unlikely(<uint64_t> value > <uint64_t> h.highest):
        if value < 0:
            h.negative += 1
            value = 0
        else:
            h.saturated += 1
            value = h.highest
    h.counts[histogram_index(h, value)] += 1
    h.count += 1


cdef class Histogram:
    cdef uint64_t _busy
    cdef histogram_t* _h
    cdef histogram_t _histogram
    cdef int _configure(self, int64_t lowest, int64_t highest, int64_t digits) except -1
    cdef int64_t _record_corrected(self, int64_t value, int64_t interval) except -1
    cdef int _add(self, int64_t value, int64_t count) except -1
    cdef int64_t _value_at(self, int64_t index) noexcept nogil
    cdef double _mean(self) noexcept nogil


cdef int64_t* int64_data(values, str name) except? NULL  # of an array, checked
