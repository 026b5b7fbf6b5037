"""Contract of a gateway: the way out. What comes of an order comes back through the source, as events."""

from libc.stdint cimport int64_t

from fastcore.records cimport event_t


cdef struct gateway_t

# RESULT_OK, or RESULT_FULL: not taken, nothing has happened.
ctypedef int (*gateway_send_t)(gateway_t* gateway, const event_t* message, int64_t now_ns) noexcept nogil

# An order that the desk refused comes back like what the venue says, in the order in which both happened.
ctypedef int (*gateway_refuse_t)(gateway_t* gateway, const event_t* reject, int64_t now_ns) noexcept nogil

# The head of every gateway: its own state follows in memory.
cdef struct gateway_t:
    gateway_send_t send
    gateway_refuse_t refuse
