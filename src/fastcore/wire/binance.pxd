"""Raw Binance WebSocket lines to 64-byte events: the contract. Messages and rules in ``binance.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.wire._chain cimport chained_symbol_t, chains_t
from fastcore.wire._forms cimport forms_t, slot_t
from fastcore.wire._json cimport span_t
from fastcore.wire._lines cimport _LineDecoder, line_symbol_t, lines_t

cdef enum:
    BINANCE_MISS = -1001        # outcome of a line that has none of the known forms

ctypedef chained_symbol_t binance_symbol_t

# Keys of a message that mean something here; the values of one message by key.
cdef enum:
    K_e, K_E, K_T, K_s, K_U, K_u, K_b, K_a, K_B, K_A, K_p, K_q, K_t, K_m, K_X, K_f
    K_pu, K_bids, K_asks, K_data, K_stream, K_symbol, K_lastUpdateId, K_COUNT

cdef enum:
    TYPE_OTHER, TYPE_QUOTE, TYPE_TRADE, TYPE_AGGREGATE, TYPE_DIFF, TYPE_IMAGE, TYPE_COUNT

ctypedef struct binance_decoder_t:
    lines_t lines
    chains_t chains
    forms_t forms
    slot_t levels               # how those of a line that is read key by key are written
    uint32_t image_symbol       # of images that name none, NO_SYMBOL: the only symbol there is
    uint8_t head_digits         # of the receive time of the line before
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
