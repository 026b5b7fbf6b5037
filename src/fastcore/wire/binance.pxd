"""Raw Binance WebSocket lines to 64-byte events: the contract. Messages and rules in ``binance.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.wire._lines cimport _LineDecoder, line_symbol_t, lines_t, span_t
from fastcore.records cimport event_t

cdef enum:
    BINANCE_MISS = -1001        # outcome of a form: the line is not of it
    BINANCE_SLOTS = 32
    BINANCE_TEXT = 768          # bytes of the fixed text of a form, each piece padded to words
    BINANCE_FORMS = 1024        # forms of combined streams, by hash of the stream name
    BINANCE_RECENT = 4          # forms of lines without a stream name

# Keys of a message that mean something here, in the order of KEYS in binance.pyx; the values of one message by key.
cdef enum:
    K_e, K_E, K_T, K_s, K_U, K_u, K_b, K_a, K_B, K_A, K_p, K_q, K_t, K_m, K_X, K_f
    K_pu, K_bids, K_asks, K_data, K_stream, K_symbol, K_lastUpdateId, K_COUNT

cdef enum:
    TYPE_OTHER, TYPE_QUOTE, TYPE_TRADE, TYPE_AGGREGATE, TYPE_DIFF, TYPE_IMAGE, TYPE_COUNT

# What stands between two pieces of the fixed text of a form.
cdef enum:
    SLOT_END, SLOT_INTEGER, SLOT_SKIP, SLOT_PRICE, SLOT_SIZE, SLOT_FLAG, SLOT_LEVELS

ctypedef struct binance_slot_t:
    uint16_t text               # offset of the fixed text before the value
    uint16_t length             # of that text
    uint8_t kind
    uint8_t field               # key of the value
    uint16_t words              # whole words of the text
    uint64_t mask               # of the bytes of its last word

# One line of a stream with its variable values taken out. It is made from a line that was read key by key, so whatever
# agrees with it has the same structure, and its values are read by the same functions.
ctypedef struct binance_form_t:
    uint32_t symbol             # index
    uint16_t flags              # of the events
    uint8_t type
    uint8_t slots
    uint8_t time_field          # K_T, K_E or K_COUNT: none
    bint has_previous           # pu is there
    binance_slot_t slot[BINANCE_SLOTS]
    uint8_t text[BINANCE_TEXT]

ctypedef struct binance_symbol_t:
    line_symbol_t base
    bint live                   # an image is there and every diff since
    bint chained                # diffs were seen: images of a few levels would spoil the book
    int64_t last                # update id that the events delivered so far lead to
    # Diffs that wait for an image: a head (seq = u, payload = levels, previous id, first id, whether pu was there), its levels.
    event_t* held
    size_t held_events
    size_t held_capacity
    size_t next                 # head of the next one to deliver, while they are delivered

ctypedef struct binance_decoder_t:
    lines_t lines
    uint32_t image_symbol       # of images that name none, NO_SYMBOL: the only symbol there is
    size_t max_held
    bint draining               # diffs of symbols[drained] are being delivered
    uint32_t drained
    binance_form_t** forms
    binance_form_t* recent[BINANCE_RECENT]
    uint32_t recent_next
    uint64_t skipped            # trades without a price or a size
    uint64_t stale_images       # images older than the book
    uint64_t dropped            # diffs that waited for an image and gave way to newer ones
    int64_t v[32]               # values of the message at hand, by key
    span_t spans[32]            # their text, where it was read key by key


# Lines from `data` into `out`: events written; bytes of whole lines in `consumed`. Stops before a line that does not end
# in '\n' (unless `final`), before a message whose events do not fit, and in strict mode before a malformed line.
cdef ptrdiff_t binance_decode_batch(
    binance_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint final
) noexcept nogil


@cython.final
cdef class BinanceDecoder(_LineDecoder):
    cdef binance_decoder_t* _d
