"""Contract of the engine: one compiled loop from wire bytes to profit, without the GIL, allocation or system calls.

    bytes -> decode -+-> ring -> book of its symbol -> (chosen symbol) venue -> store -> strategy -> limits -> venue
    events ----------+

Everything that the loop needs room for is checked before an event is taken from the ring; the loop returns to its cold
caller to grow it. So a run that was interrupted for room continues exactly where it was, and the size of the chunks in
which the bytes arrive changes nothing but time.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.avellaneda cimport Quoter, quoter_t
from fastcore.flow cimport EwmaVolatility, ewma_t
from fastcore.book cimport book_change_t, book_t
from fastcore.bookset cimport BookSet, bookset_t
from fastcore.sim.venue cimport Venue, venue_t
from fastcore.histogram cimport histogram_t
from fastcore.wire.itch cimport ItchDecoder, itch_decoder_t
from fastcore.portfolio cimport Position, position_t
from fastcore._slots cimport ring_t
from fastcore.ring cimport RingBuffer
from fastcore.risk cimport RiskLimits, risk_gate_t
from fastcore.tickstore cimport TickStore, store_t


cdef enum:
    STAGE_DECODE
    STAGE_BOOK
    STAGE_VENUE
    STAGE_STORE
    STAGE_STRATEGY
    STAGE_RISK
    STAGE_TOTAL
    STAGES

# Why the loop returned.
cdef enum:
    RUN_DONE        # every whole message is through
    RUN_ROOM        # reports, curve or store must grow
    RUN_CORRUPT     # a malformed message, and the decoder is strict
    RUN_MEMORY
    RUN_STORE       # the store refused a tick
    RUN_STOPPED     # the loss limit: own orders are out, nothing more is done
    RUN_ACCOUNT     # a fill does not fit into the accounts

cdef enum:
    ENGINE_LOCATES = 65536
    ENGINE_BATCH = 128  # events decoded before they are worked on
    ENGINE_NEAR = 32    # so many books stay in the caches: looking ahead would only cost


# One row of the curve: CURVE_DTYPE of NumPy.
ctypedef struct curve_point_t:
    int64_t exch_ns
    int64_t mid_ticks       # rounded down; NO_PRICE before the first
    int64_t position_lots
    int64_t profit          # ticks * lots, after fees, marked at mid_ticks; NO_PRICE where there is no mark

# What the strategy has at the venue on one side.
ctypedef struct working_t:
    int64_t wanted_ticks    # rounded quote that was last acted upon; NO_PRICE for none
    int64_t order_id        # of the resting order; 0 none
    bint retry              # a fill changed what the limits allow, or the order is gone: send again at the same price

ctypedef struct engine_t:
    itch_decoder_t* decoder
    ring_t* ring
    bookset_t* books        # of all symbols, by stock locate or symbol id
    # The chosen symbol
    uint64_t symbol_key     # eight bytes, space padded, in memory order
    book_t* book            # NULL until it is listed
    uint32_t symbol_id      # its locate
    bint trading            # last status of the symbol; false until the venue says that it trades
    bint session            # market hours; true until a system message says otherwise
    bint dirty              # the quotes must be thought over
    uint64_t rare           # kinds that touch no book, one bit each
    bint inside             # the event before said that this one carries more of its message
    bint stopped
    bint overflowed         # a fill did not fit into the accounts
    # Parts of the chosen symbol
    venue_t* venue
    position_t* position
    quoter_t* quoter        # NULL: no strategy
    ewma_t* volatility      # NULL: the quoter keeps its own sigma
    risk_gate_t* gate
    store_t* store          # NULL: nothing is stored
    working_t working[2]    # buy, sell
    int64_t order_lots
    double time_left
    double ticks_per_price
    int64_t mid_ticks       # last middle of an uncrossed book, rounded down; NO_PRICE before
    int64_t max_loss        # ticks * lots; < 0: no limit
    int64_t maker_fee       # ticks per lot
    int64_t taker_fee
    # The curve
    curve_point_t* curve
    int64_t curve_count
    int64_t curve_capacity
    int64_t curve_interval_ns
    int64_t curve_next_ns
    # Sampling of latencies
    histogram_t* stages[STAGES]
    int64_t sample_every    # 0: never
    int64_t until_sample    # messages until the next sampled one
    uint64_t timed_seq      # sequence number of the sampled event; 0 none
    uint64_t timed_decode   # clock ticks that decoding it took
    uint64_t risk_ticks     # of the sampled event, spent inside the strategy stage
    uint64_t venue_ticks
    bint timing             # the current event is sampled
    book_change_t change    # what the last event did to its book
    # Counters
    int64_t events          # taken from the ring
    int64_t given           # events that came as such, not as bytes
    int64_t book_errors     # events that a book refused
    uint64_t first_error_seq
    int64_t quotes          # times that the model was asked
    int64_t orders_sent     # accepted by the limits and sent, replacements included
    int64_t risk_rejects
    int64_t fills
    int64_t traded_lots     # recorded executions of the chosen symbol
    int64_t loop_ns         # spent inside the loop
    int64_t last_ns         # exchange time of the last event


cdef class Engine:
    cdef engine_t _g
    cdef readonly ItchDecoder decoder
    cdef readonly BookSet books
    cdef readonly Venue venue
    cdef readonly Position position
    cdef readonly object quoter, volatility, limits, store
    cdef readonly str symbol
    cdef readonly dict latency
    cdef RingBuffer _ring
    cdef list _histograms
    cdef int _make_room(self) except -1
    cdef int _raise(self, int status) except -1
