"""Contract of the simulator: history, venue and lines as source and gateway in one. It knows time, and no rule of fills.

    history.next -> market_apply -> venue_apply -> report line --.
         orders -> order line -> venue_message -> report line ---+-> batches of instants

At the venue the events of a time come first, then our messages of that time. What reaches us at one time is an instant: reports, then
events of the market; what we send reaches the venue after all events of that time at the earliest.

One market serves two clocks while no event takes longer to us than any report: what we see then is the venue `feed_ns` later, and the
venue is never ahead of what we may answer (*shared*). Otherwise the venue has a market of its own and runs ahead, and its events wait
on a line until we learn of them (*two*).
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore.book cimport book_change_t, top_t
from fastcore.gateway cimport gateway_t
from fastcore.market cimport Market, market_t
from fastcore.sim.latency cimport Latency
from fastcore.sim.lines cimport line_t
from fastcore.sim.markouts cimport Markouts, markouts_t
from fastcore.sim.queues cimport QueueModel
from fastcore.sim.venue cimport venue_t
from fastcore.source cimport Source, batch_t, source_t, wanted_t


cdef enum:
    SIM_CHANGES = 256       # events that a batch holds at most
    SIM_LINE = 1 << 12      # messages in flight on a line, at first
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
    int over                # SOURCE_OK while the history goes on, else why it does not
    bint inside             # the time of the last event handed out may go on
    bint waiting            # a part of an instant in which something happened was handed out, its end not yet
    bint failed             # no memory
    const wanted_t* wanted
    venue_t** venues        # by dense id; NULL: nothing of ours can be there
    uint32_t capacity
    venue_t* opened[SIM_VENUES]
    uint32_t opened_count
    batch_t batch           # of the history
    uint32_t at             # its first event that was not applied
    uint32_t looked         # with which `far` is to be asked for anew
    bint far                # bookset_far of the market
    book_change_t* changes
    int64_t now_ns          # time at the venue
    int64_t rounds          # of this time
    int64_t refusals        # rounds of this time in which we refused orders ourselves
    int64_t expiry_ns       # no own order expires before
    int64_t feed_ns         # from the venue to us, for events
    line_t up               # our messages to the venue, in its time
    line_t down             # its reports to us, in our time
    line_t refused          # our own refusals
    markouts_t* markouts    # never NULL
    bint two                # a market for each clock; what follows is for that
    bint recorded           # when we learn of an event is its local_ns, moved by offset_ns
    int64_t offset_ns
    int64_t learnt_ns       # when we learn of the last event on the line
    line_t feed             # events that we have not learnt of
    uint64_t clamped        # events whose two clocks say that we learnt of them before they happened
    uint64_t unstamped      # events without local_ns
    top_t* before           # for mark-outs, by dense id: best prices before the time of the instrument's last event; else NULL
    int64_t* before_ns      # that time


@cython.final
cdef class Simulator(Source):
    cdef sim_t _s
    cdef readonly Market market
    cdef readonly Source history
    cdef readonly int64_t feed_ns
    cdef readonly object local_offset_ns
    cdef readonly Latency order, response
    cdef readonly QueueModel queue
    cdef readonly bint details
    cdef readonly Markouts markouts
    cdef dict _venues           # by id: the loop knows their places in memory
    cdef Market _venue_market
