"""The chain of a book by level: an image, then each change that follows the one before; what a break and a late image do.

Of the previous id p of a change and the id L that the book is at (that of the image, then of each change), an id u <= L is stale
and dropped; p <= L < u follows; L < p is a break: a gap, after which the book is stale until the next image. Changes that come
while there is no image wait and are delivered behind it, with their own times.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.wire._lines cimport line_symbol_t, lines_t

ctypedef struct chained_symbol_t:
    line_symbol_t base
    bint live                   # an image is there and every change since
    bint chained                # changes were seen: images of a few levels would spoil the book
    int64_t last                # update id that the events delivered so far lead to
    # Changes that wait for an image: a head (seq = id, payload = levels, previous id, first id, whether consecutive), its levels.
    event_t* held
    size_t held_events
    size_t held_capacity
    size_t next                 # head of the next one to deliver, while they are delivered

# What the chains of a decoder share.
ctypedef struct chains_t:
    size_t max_held             # events of a symbol that wait, at most
    bint draining               # changes that waited are being delivered, those of the symbol with the index `drained`
    uint32_t drained
    uint64_t stale_images       # images older than the book
    uint64_t dropped            # changes that waited and gave way to newer ones

# What all levels of a message share.
ctypedef struct update_t:
    int64_t id
    int64_t first               # update id from which on it changes the book
    int64_t previous            # update id that it follows
    bint consecutive            # ids are numbered one by one
    int64_t exch_ns
    int64_t local_ns
    size_t bids                 # levels before the asks
    size_t levels


# A change, whose levels stand in `out` (price and size alone): events to deliver, or a negative result code.
cdef ptrdiff_t chain_change(
    chains_t* chains, lines_t* lines, chained_symbol_t* s, const update_t* u, event_t* out
) noexcept nogil

# An image, whose levels stand behind the first event of `out`: events to deliver. Then those that waited are to be drained.
cdef ptrdiff_t chain_image(
    chains_t* chains, lines_t* lines, chained_symbol_t* s, const update_t* u, event_t* out
) noexcept nogil

# Deliver the changes that waited for the image of a symbol, as far as they fit.
cdef size_t chain_drain(chains_t* chains, lines_t* lines, chained_symbol_t* s, event_t* out, size_t capacity) noexcept nogil
