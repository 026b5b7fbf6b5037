"""Contract of the queue models: what a book by level lets one think about the place of an own order.

A book by order needs none of this: places are exact there.
"""

cimport cython
from libc.stdint cimport int64_t


cdef enum:
    QUEUE_RISK_AVERSE   # whoever leaves without trading stood behind us, until the level is smaller than what we thought was ahead
    QUEUE_POWER         # a share f(back) / (f(back) + f(front)) of them did, f(x) = x^n
    QUEUE_LOG           # the same with f(x) = ln(1 + x)
    QUEUE_LOG_2         # f(back) / f(back + front) of them did
    QUEUE_FUNCTION

# The share of those who leave that stands behind an order, by the lots behind and ahead of it.
ctypedef double (*queue_function_t)(double back, double front, void* state) noexcept nogil

ctypedef struct queue_t:
    int model
    double exponent
    queue_function_t function
    void* state


# queue_shrunk of the other models; `part` is what the estimate is beyond whole lots, kept with the order.
cdef int64_t queue_share(const queue_t* q, int64_t ahead_lots, double* part, int64_t before_lots, int64_t after_lots) noexcept nogil


cdef inline int64_t queue_ahead(const queue_t* q, int64_t ahead_lots, int64_t shown_lots) noexcept nogil:
    """Lots ahead of an own order after its level has come to display `shown_lots`."""
    return ahead_lots if ahead_lots < shown_lots else shown_lots


cdef inline int64_t queue_shrunk(
    const queue_t* q, int64_t ahead_lots, double* part, int64_t before_lots, int64_t after_lots
) noexcept nogil:
    """Lots ahead of an own order after its level shrank from `before_lots` to `after_lots` without a trade."""
    if q.model == QUEUE_RISK_AVERSE:
        return queue_ahead(q, ahead_lots, after_lots)
    return queue_share(q, ahead_lots, part, before_lots, after_lots)


@cython.final
cdef class QueueModel:
    cdef queue_t _q
    cdef readonly str model
    cdef object _keep
