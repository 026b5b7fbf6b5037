"""Contract of the simulator: history, venue and lines as source and gateway in one. It knows time, and no rule of fills.

    history.next -> market_apply -> venue_apply -> report line --.
         orders -> order line -> venue_message -> report line ---+-> batches of instants

At the venue the events of a time come first, then our messages of that time; what they cause reaches us in the same instant as the
events, or in the next one of that time. Both lines have latency 0 here.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from fastcore.book cimport book_change_t
from fastcore.gateway cimport gateway_t
from fastcore.market cimport Market, market_t
from fastcore.sim.lines cimport line_t
from fastcore.sim.venue cimport venue_t
from fastcore.source cimport Source, batch_t, source_t, wanted_t


cdef enum:
    SIM_CHANGES = 256       # events that a batch holds at most
    SIM_LINE = 1 << 14      # messages in flight on a line
    SIM_VENUES = 4096       # instruments that orders are let in for
    SIM_ROUNDS = 1000       # of one time: more are an error

cdef struct sim_t

ctypedef struct sim_gateway_t:
    gateway_t base
    sim_t* sim

cdef struct sim_t:
    source_t base
    sim_gateway_t gateway
    source_t* history
    market_t* market        # of the venue
    bint shared             # it is ours too
    bint by_message         # each message is an instant, and our messages take effect at once
    bint ended              # the history has no more
    bint inside             # the last event handed out is continued, or its time may go on
    bint waiting            # a part of an instant in which something happened was handed out, its end not yet
    const wanted_t* wanted
    venue_t** venues        # by dense id; NULL: nothing of ours can be there
    uint32_t capacity
    venue_t* opened[SIM_VENUES]
    uint32_t opened_count
    batch_t batch           # of the history
    uint32_t at             # its first event that was not applied
    book_change_t* changes
    int64_t now_ns          # time at the venue
    int64_t our_ns          # our clock: the same, or by message the time that the message says
    int64_t rounds          # of this time
    line_t up               # our messages to the venue
    line_t down             # its reports to us


@cython.final
cdef class Simulator(Source):
    cdef sim_t _s
    cdef readonly Market market
    cdef readonly Source history
    cdef readonly str instant
    cdef readonly dict venues
    cdef Market _venue_market
