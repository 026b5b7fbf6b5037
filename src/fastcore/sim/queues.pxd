"""Contract of the queue models: what a book by level lets one think about the place of an own order.

A book by order needs none of this: places are exact there.
"""

from libc.stdint cimport int64_t


cdef enum:
    # Whoever leaves without trading stood behind us, until the level is smaller than what we thought was ahead.
    QUEUE_RISK_AVERSE

ctypedef struct queue_t:
    int model


cdef inline int64_t queue_ahead(const queue_t* q, int64_t ahead_lots, int64_t shown_lots) noexcept nogil:
    """Lots ahead of an own order after its level has come to display `shown_lots`."""
    return ahead_lots if ahead_lots < shown_lots else shown_lots
