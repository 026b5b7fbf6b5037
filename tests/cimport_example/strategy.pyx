"""A strategy of somebody else, compiled: it takes quotes out of a ring, quotes itself, and never returns to Python between events."""

from libc.math cimport fabs
from libc.stdint cimport int64_t

from fastcore.records cimport KIND_QUOTE, event_t
from fastcore.avellaneda cimport Quoter, quote_t, quoter_quote
from fastcore.histogram cimport Histogram, histogram_record
from fastcore.ring cimport RingBuffer, ring_release, ring_try_peek
from fastcore.zscore cimport RollingZScore, rolling_update


def run(RingBuffer ring not None, Quoter quoter not None, RollingZScore zscore not None, Histogram sizes not None):
    """Drain the ring; return the events, the quotes made and the sum of their spreads."""
    cdef int64_t events = 0, quotes = 0
    cdef double mid, spreads = 0.0
    cdef quote_t quote
    cdef event_t* e
    with nogil:
        while True:
            e = <event_t*> ring_try_peek(ring._ring)
            if e == NULL:
                break
            events += 1
            if e.kind == KIND_QUOTE:
                histogram_record(sizes._h, e.bid_size)
                mid = 0.5e-4 * <double> (e.bid + e.ask)
                if fabs(rolling_update(&zscore._r, mid)) < 2.0:
                    quoter_quote(&quoter._q, mid, 0.0, 1.0, &quote)
                    spreads += quote.ask - quote.bid
                    quotes += 1
            ring_release(ring._ring)
    return events, quotes, spreads
