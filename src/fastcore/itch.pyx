# cython: freethreading_compatible=True
"""NASDAQ TotalView-ITCH 5.0: wire messages to 64-byte events and back.

A stream is a sequence of messages, each behind a 2-byte big-endian length. All numbers are big-endian; prices are
unsigned 32-bit in 1/10,000 USD and become int64 ticks of that size; times are nanoseconds since midnight. Every message
starts with ``type@0:1 locate@1:2 tracking@3:2 time@5:6``. What becomes an event (offset:length in bytes):

==== ====== ========= ===================================================================================================
type length kind      fields
==== ====== ========= ===================================================================================================
A    36     add       order_id 11:8, side 19:1 (B, S), size 20:4, symbol 24:8, price 32:4
F    40     add       as A; attribution 36:4 as a number in match_id
E    31     execute   order_id 11:8, size 19:4, match_id 23:8; price is NO_PRICE (the order's own)
C    36     execute   as E; printable 31:1 (N sets the flag not_printable), price 32:4
X    23     cancel    order_id 11:8, size 19:4 (taken off); price is NO_PRICE
D    19     delete    order_id 11:8; price is NO_PRICE, size 0
U    35     replace   order_id 11:8, new_order_id 19:8, size 27:4, price 31:4
P    44     trade     order_id 11:8, side 19:1, size 20:4, symbol 24:8, price 32:4, match_id 36:8; flag hidden
Q    40     cross     size 11:8, symbol 19:8, price 27:4, match_id 31:8, cross type 39:1 (its letter in order_id)
R    39     listing   symbol 11:8 (payload[0]), round lot 21:4 (payload[1]); market 19:1, status 20:1, lots only 25:1,
                      class 26:1, subtype 27:2, authenticity 29:1, threshold 30:1 (payload[2], first byte lowest);
                      IPO 31:1, LULD tier 32:1, ETP 33:1, leverage 34:4, inverse 38:1 (payload[3])
H    25     status    symbol 11:8, state 19:1 (letter, payload[0]), reserved 20:1 (payload[2]), reason 21:4 (payload[1])
S    12     system    event 11:1 (letter, payload[0])
==== ====== ========= ===================================================================================================

The remaining types of version 5.0 (Y 20, L 26, V 35, W 12, K 28, J 35, h 21, B 19, I 50, N 20, O 48) are checked,
counted and skipped. ``symbol_id`` is the stock locate (0..65535), or what `ItchDecoder.set_symbol_id` maps it to.
``seq`` of an event is left alone: it belongs to whoever publishes it. The tracking number is not kept.

Source: NASDAQ TotalView-ITCH 5.0 specification, section 4.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT32_MAX
from libc.string cimport memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._types cimport (
    FLAG_HIDDEN,
    KIND_ADD,
    KIND_CANCEL,
    KIND_CROSS,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_LISTING,
    KIND_REPLACE,
    KIND_STATUS,
    KIND_SYSTEM,
    KIND_TRADE,
    RESULT_BAD_PRICE,
    RESULT_BAD_SIZE,
    RESULT_NO_MEMORY,
    RESULT_SHORT_BUFFER,
    RESULT_UNKNOWN_SYMBOL,
    fc_alloc,
    fc_free,
    key8,
    put_be16,
    put_be32,
    put_be48,
    put_be64,
)

import numpy as np

from fastcore.errors import RESULTS, CorruptDataError, raise_result
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["LENGTHS", "ItchDecoder", "ItchEncoder", "whole_messages"]

# Exact length of every message type of version 5.0, without the length prefix.
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40, "E": 31, "C": 36,
    "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
_RESULT_NAMES = {code: name for code, (name, _) in RESULTS.items()}
_MAX_MIDNIGHT_NS = 2**62


# ---- decoding ----

cdef void set_layout(
    itch_decoder_t* d, char type, uint16_t length, uint8_t kind, int size, int price, int match, uint64_t match_mask, int side
) noexcept nogil:
    """An order message; -1 for a field that it has not."""
    cdef itch_layout_t* l = &d.layouts[<uint8_t> type]
    l.length = length
    l.kind = kind
    l.size = size if size >= 0 else 0
    l.size_mask = 0xFFFFFFFF if size >= 0 else 0
    l.price = price if price >= 0 else 0
    l.price_mask = 0xFFFFFFFF if price >= 0 else 0
    l.no_price = 0 if price >= 0 else NO_PRICE
    l.match = match if match >= 0 else 0
    l.match_mask = match_mask if match >= 0 else 0
    l.side = side if side >= 0 else 0
    l.side_mask = 0xFF if side >= 0 else 0
    l.side_free = side < 0


cdef void set_rare(itch_decoder_t* d, char type, uint16_t length, uint8_t kind) noexcept nogil:
    """A message that is decoded field by field, or (kind 0) skipped."""
    d.layouts[<uint8_t> type].length = length
    d.layouts[<uint8_t> type].kind = kind
    d.layouts[<uint8_t> type].rare = 1


cdef int itch_decoder_init(itch_decoder_t* d, int64_t midnight_ns, bint strict) noexcept nogil:
    cdef uint64_t all_bits = ~<uint64_t> 0
    memset(d, 0, sizeof(itch_decoder_t))
    d.midnight_ns = midnight_ns
    d.strict = strict
    d.sides[<uint8_t> c'B'] = 1
    d.sides[<uint8_t> c'S'] = -1
    set_layout(d, c'A', 36, KIND_ADD, 20, 32, -1, 0, 19)
    set_layout(d, c'F', 40, KIND_ADD, 20, 32, 32, 0xFFFFFFFF, 19)
    set_layout(d, c'E', 31, KIND_EXECUTE, 19, -1, 23, all_bits, -1)
    set_layout(d, c'C', 36, KIND_EXECUTE, 19, 32, 23, all_bits, -1)
    set_layout(d, c'X', 23, KIND_CANCEL, 19, -1, -1, 0, -1)
    set_layout(d, c'D', 19, KIND_DELETE, -1, -1, -1, 0, -1)
    set_layout(d, c'U', 35, KIND_REPLACE, 27, 31, 19, all_bits, -1)
    set_layout(d, c'P', 44, KIND_TRADE, 20, 32, 36, all_bits, 19)
    d.layouts[<uint8_t> c'C'].printable = 31
    d.layouts[<uint8_t> c'C'].printable_mask = 0xFF
    d.layouts[<uint8_t> c'P'].flags = FLAG_HIDDEN
    set_rare(d, c'S', 12, KIND_SYSTEM)
    set_rare(d, c'R', 39, KIND_LISTING)
    set_rare(d, c'H', 25, KIND_STATUS)
    set_rare(d, c'Q', 40, KIND_CROSS)
    set_rare(d, c'Y', 20, 0)
    set_rare(d, c'L', 26, 0)
    set_rare(d, c'V', 35, 0)
    set_rare(d, c'W', 12, 0)
    set_rare(d, c'K', 28, 0)
    set_rare(d, c'J', 35, 0)
    set_rare(d, c'h', 21, 0)
    set_rare(d, c'B', 19, 0)
    set_rare(d, c'I', 50, 0)
    set_rare(d, c'N', 20, 0)
    set_rare(d, c'O', 48, 0)
    d.symbols = <uint64_t*> fc_alloc(ITCH_LOCATES, sizeof(uint64_t))
    return RESULT_OK if d.symbols != NULL else RESULT_NO_MEMORY


cdef void itch_decoder_free(itch_decoder_t* d) noexcept nogil:
    fc_free(d.symbols)
    fc_free(d.symbol_ids)
    d.symbols = NULL
    d.symbol_ids = NULL


cdef int itch_fail(itch_decoder_t* d, uint64_t offset, int code, int type) noexcept nogil:
    d.errors[code] += 1
    if code == RESULT_UNKNOWN_TYPE:
        d.unknown[type] += 1
    d.last.offset = d.position + offset
    d.last.code = code
    d.last.type = <uint8_t> type
    if d.total_errors < ITCH_ERROR_LOG:
        d.log[d.total_errors] = d.last
    d.total_errors += 1
    return -code


cdef int itch_decode_rare(itch_decoder_t* d, const uint8_t* message, uint64_t offset, event_t* out) noexcept nogil:
    cdef uint8_t type = message[0]
    cdef uint16_t locate = be16(message + 1)
    if type == c'Q' and be64(message + 11) >> 63:
        return itch_fail(d, offset, RESULT_BAD_SIZE, type)
    out.exch_ns = d.midnight_ns + <int64_t> be48(message + 5)
    out.local_ns = 0
    out.symbol_id = locate if d.symbol_ids == NULL else d.symbol_ids[locate]
    out.kind = d.layouts[type].kind
    out.side = 0
    out.flags = 0
    if type == c'R':
        d.symbols[locate] = key8(message + 11)
        out.payload[0] = <int64_t> key8(message + 11)
        out.payload[1] = be32(message + 21)
        out.payload[2] = <int64_t> (
            message[19] | (<uint64_t> message[20] << 8) | (<uint64_t> message[25] << 16) | (<uint64_t> message[26] << 24)
            | (<uint64_t> message[27] << 32) | (<uint64_t> message[28] << 40) | (<uint64_t> message[29] << 48)
            | (<uint64_t> message[30] << 56)
        )
        out.payload[3] = <int64_t> key8(message + 31)
    elif type == c'H':
        out.payload[0] = message[19]
        out.payload[1] = be32(message + 21)
        out.payload[2] = message[20]
        out.payload[3] = 0
    elif type == c'Q':
        out.size = <int64_t> be64(message + 11)
        out.price = be32(message + 27)
        out.payload[2] = message[39]
        out.match_id = <int64_t> be64(message + 31)
    else:
        out.payload[0] = message[11]
        out.payload[1] = 0
        out.payload[2] = 0
        out.payload[3] = 0
    d.counts[type] += 1
    return 1


cdef ptrdiff_t itch_decode_batch(
    itch_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed
) noexcept nogil:
    cdef size_t at = 0
    cdef size_t events = 0
    cdef size_t size
    cdef int result
    while events < capacity and length - at >= 2:
        size = be16(data + at)
        if length - at - 2 < size:
            break
        result = itch_decode_at(d, data + at + 2, size, at, &out[events])
        if unlikely(result < 0 and d.strict):
            break
        events += result > 0
        at += 2 + size
    d.position += at
    consumed[0] = at
    return <ptrdiff_t> events


# ---- encoding ----

cdef int itch_encoder_init(itch_encoder_t* c, int64_t midnight_ns) noexcept nogil:
    c.midnight_ns = midnight_ns
    c.symbols = <uint64_t*> fc_alloc(ITCH_LOCATES, sizeof(uint64_t))
    return RESULT_OK if c.symbols != NULL else RESULT_NO_MEMORY


cdef void itch_encoder_free(itch_encoder_t* c) noexcept nogil:
    fc_free(c.symbols)
    c.symbols = NULL


cdef inline void put_key8(uint8_t* p, uint64_t key) noexcept nogil:
    cdef int i
    for i in range(8):
        p[i] = <uint8_t> (key >> (8 * i))


cdef inline int put_head(uint8_t* out, char type, int length, const event_t* e, uint64_t time) noexcept nogil:
    """Length prefix and header; returns the bytes of the whole frame."""
    put_be16(out, <uint16_t> length)
    out[2] = <uint8_t> type
    put_be16(out + 3, <uint16_t> e.symbol_id)
    put_be16(out + 5, 0)
    put_be48(out + 7, time)
    return length + 2


cdef int itch_encode(itch_encoder_t* c, const event_t* e, uint8_t* out) noexcept nogil:
    cdef uint8_t* m = out + 2
    cdef uint8_t kind = e.kind
    cdef uint64_t time
    cdef uint64_t symbol
    cdef uint64_t packed
    cdef int frame
    if unlikely(e.symbol_id >= ITCH_LOCATES):
        return -RESULT_UNKNOWN_SYMBOL
    # Unsigned: a time before midnight becomes huge.
    time = <uint64_t> e.exch_ns - <uint64_t> c.midnight_ns
    if unlikely(time >> 48):
        return -RESULT_CORRUPT
    symbol = c.symbols[e.symbol_id]
    if kind == KIND_ADD or kind == KIND_TRADE or kind == KIND_EXECUTE or kind == KIND_CANCEL or kind == KIND_REPLACE:
        if unlikely(e.size < 0 or e.size > UINT32_MAX):
            return -RESULT_BAD_SIZE
    if kind == KIND_ADD or kind == KIND_TRADE or kind == KIND_REPLACE or kind == KIND_CROSS or (
        kind == KIND_EXECUTE and e.price != NO_PRICE
    ):
        if unlikely(e.price < 0 or e.price > UINT32_MAX):
            return -RESULT_BAD_PRICE
    if kind == KIND_ADD or kind == KIND_TRADE or kind == KIND_CROSS or kind == KIND_STATUS:
        if unlikely(symbol == 0):
            return -RESULT_UNKNOWN_SYMBOL
    if kind == KIND_ADD or kind == KIND_TRADE:
        if unlikely(e.side != 1 and e.side != -1):
            return -RESULT_CORRUPT
        if kind == KIND_TRADE:
            frame = put_head(out, c'P', 44, e, time)
            put_be64(m + 36, <uint64_t> e.match_id)
        elif e.match_id == 0:
            frame = put_head(out, c'A', 36, e, time)
        else:
            if unlikely(<uint64_t> e.match_id >> 32):
                return -RESULT_CORRUPT
            frame = put_head(out, c'F', 40, e, time)
            put_be32(m + 36, <uint32_t> e.match_id)
        put_be64(m + 11, <uint64_t> e.order_id)
        m[19] = c'B' if e.side > 0 else c'S'
        put_be32(m + 20, <uint32_t> e.size)
        put_key8(m + 24, symbol)
        put_be32(m + 32, <uint32_t> e.price)
    elif kind == KIND_EXECUTE:
        if e.price == NO_PRICE:
            frame = put_head(out, c'E', 31, e, time)
        else:
            frame = put_head(out, c'C', 36, e, time)
            m[31] = c'N' if e.flags & FLAG_NOT_PRINTABLE else c'Y'
            put_be32(m + 32, <uint32_t> e.price)
        put_be64(m + 11, <uint64_t> e.order_id)
        put_be32(m + 19, <uint32_t> e.size)
        put_be64(m + 23, <uint64_t> e.match_id)
    elif kind == KIND_CANCEL:
        frame = put_head(out, c'X', 23, e, time)
        put_be64(m + 11, <uint64_t> e.order_id)
        put_be32(m + 19, <uint32_t> e.size)
    elif kind == KIND_DELETE:
        frame = put_head(out, c'D', 19, e, time)
        put_be64(m + 11, <uint64_t> e.order_id)
    elif kind == KIND_REPLACE:
        frame = put_head(out, c'U', 35, e, time)
        put_be64(m + 11, <uint64_t> e.order_id)
        put_be64(m + 19, <uint64_t> e.new_order_id)
        put_be32(m + 27, <uint32_t> e.size)
        put_be32(m + 31, <uint32_t> e.price)
    elif kind == KIND_CROSS:
        if unlikely(e.size < 0):
            return -RESULT_BAD_SIZE
        if unlikely(<uint64_t> e.payload[2] > 0xFF):
            return -RESULT_CORRUPT
        frame = put_head(out, c'Q', 40, e, time)
        put_be64(m + 11, <uint64_t> e.size)
        put_key8(m + 19, symbol)
        put_be32(m + 27, <uint32_t> e.price)
        put_be64(m + 31, <uint64_t> e.match_id)
        m[39] = <uint8_t> e.payload[2]
    elif kind == KIND_LISTING:
        if unlikely(e.payload[0] == 0):
            return -RESULT_UNKNOWN_SYMBOL
        if unlikely(<uint64_t> e.payload[1] > UINT32_MAX):
            return -RESULT_BAD_SIZE
        frame = put_head(out, c'R', 39, e, time)
        c.symbols[e.symbol_id] = <uint64_t> e.payload[0]
        packed = <uint64_t> e.payload[2]
        put_key8(m + 11, <uint64_t> e.payload[0])
        m[19] = <uint8_t> packed
        m[20] = <uint8_t> (packed >> 8)
        put_be32(m + 21, <uint32_t> e.payload[1])
        m[25] = <uint8_t> (packed >> 16)
        m[26] = <uint8_t> (packed >> 24)
        m[27] = <uint8_t> (packed >> 32)
        m[28] = <uint8_t> (packed >> 40)
        m[29] = <uint8_t> (packed >> 48)
        m[30] = <uint8_t> (packed >> 56)
        put_key8(m + 31, <uint64_t> e.payload[3])
    elif kind == KIND_STATUS:
        if unlikely(<uint64_t> e.payload[0] > 0xFF or <uint64_t> e.payload[1] > UINT32_MAX or <uint64_t> e.payload[2] > 0xFF):
            return -RESULT_CORRUPT
        frame = put_head(out, c'H', 25, e, time)
        put_key8(m + 11, symbol)
        m[19] = <uint8_t> e.payload[0]
        m[20] = <uint8_t> e.payload[2]
        put_be32(m + 21, <uint32_t> e.payload[1])
    elif kind == KIND_SYSTEM:
        if unlikely(<uint64_t> e.payload[0] > 0xFF):
            return -RESULT_CORRUPT
        frame = put_head(out, c'S', 12, e, time)
        m[11] = <uint8_t> e.payload[0]
    else:
        return -RESULT_UNKNOWN_TYPE
    return frame


# ---- Python ----

cdef int64_t checked_midnight(object value) except? -1:
    if not -_MAX_MIDNIGHT_NS <= value <= _MAX_MIDNIGHT_NS:
        raise ValueError(f"midnight_ns must lie within +-2**62: midnight_ns={value}")
    return value


cdef int checked_locate(object value) except -1:
    if not 0 <= value < ITCH_LOCATES:
        raise ValueError(f"locate must lie in 0..65535: locate={value}")
    return value


cdef str symbol_name(uint64_t key):
    return (<uint64_t> key).to_bytes(8, "little").decode("latin-1").rstrip(" ")


cdef dict named_counts(const uint64_t* counts):
    return {chr(i): counts[i] for i in range(256) if counts[i]}


def whole_messages(data):
    """Return how many bytes at the start of `data` are whole length-prefixed messages.

    Parameters
    ----------
    data : bytes-like
        A stream that starts at the length prefix of a message.

    Returns
    -------
    (length, messages) : (int, int)
        The rest, ``data[length:]``, is the beginning of one more message, or empty.
    """
    cdef Py_buffer view
    cdef const uint8_t* bytes_
    cdef size_t at = 0
    cdef size_t length
    cdef size_t messages = 0
    cdef size_t size
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    bytes_ = <const uint8_t*> view.buf
    length = view.len
    with nogil:
        while length - at >= 2:
            size = be16(bytes_ + at) + <size_t> 2
            if length - at < size:
                break
            at += size
            messages += 1
    PyBuffer_Release(&view)
    return at, messages


cdef int raise_last(const itch_decoder_t* d, ptrdiff_t events) except -1:
    cdef const itch_error_t* entry = &d.last
    error = CorruptDataError(
        f"ITCH stream must hold whole messages of version 5.0: {_RESULT_NAMES[entry.code]} "
        f"type={chr(entry.type)!r} offset={entry.offset}"
    )
    error.offset = entry.offset
    error.events = events
    raise error


@cython.final
cdef class ItchDecoder:
    """Decode TotalView-ITCH 5.0 messages into events.

    Parameters
    ----------
    midnight_ns : int, default 0
        Midnight of the day, ns since the UNIX epoch: added to each time of day to give `exch_ns`. Within +-2**62.
    strict : bool, default False
        Raise at the first malformed message, instead of counting it and going on with the next one.

    Raises
    ------
    ValueError
        If midnight_ns is out of range.

    Notes
    -----
    Malformed are: an unknown type, a length other than that of the type (the length prefix says how far to skip), a side
    that is neither B nor S, a cross of more than 2**63-1 shares, and a stream that ends inside a message. Each is counted
    (`errors`) and the first 64 are kept with their offset (`error_log`).

    **Thread safety**: one thread at a time; `decode` releases the GIL.
    """

    def __cinit__(self, midnight_ns=0, strict=False):
        self._d = <itch_decoder_t*> fc_alloc(1, sizeof(itch_decoder_t))
        if self._d == NULL or itch_decoder_init(self._d, checked_midnight(midnight_ns), strict) != RESULT_OK:
            raise MemoryError("no memory for the symbols of an ITCH decoder")

    def __dealloc__(self):
        if self._d != NULL:
            itch_decoder_free(self._d)
            fc_free(self._d)

    def decode(self, data, out, final=False):
        """Decode length-prefixed messages.

        Parameters
        ----------
        data : bytes-like
            The stream, or what follows the bytes consumed so far: bytes, memoryview, mmap, contiguous ndarray.
        out : ndarray of EVENT_DTYPE, shape (n,), writable
            Receives the events; `seq` is left alone.
        final : bool, default False
            Nothing follows: a message that is not whole at the end is an error (``short buffer``) and is consumed.

        Returns
        -------
        (events, consumed) : (int, int)
            Events written to `out`, and bytes of `data` that are done with. Fewer than len(data) when `out` is full or
            when the last message is not whole: pass the rest again, with what follows it.

        Raises
        ------
        CorruptDataError
            In strict mode, at the first malformed message. Attributes `offset` (in the whole stream, of the length
            prefix) and `events` (written to `out` before it).
        """
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef event_t* events = events_data(a)
        cdef size_t capacity = a.shape[0]
        cdef size_t consumed = 0
        cdef ptrdiff_t n
        cdef uint64_t failed = self._d.total_errors
        cdef bint at_end = final
        cdef size_t rest
        cdef itch_decoder_t* d = self._d
        cdef Py_buffer view
        cdef const uint8_t* bytes_
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        bytes_ = <const uint8_t*> view.buf
        try:
            with nogil:
                n = itch_decode_batch(d, bytes_, view.len, events, capacity, &consumed)
                rest = view.len - consumed
                if at_end and rest and not (d.strict and d.total_errors != failed) and (
                    rest < 2 or rest - 2 < be16(bytes_ + consumed)
                ):
                    itch_fail(d, 0, RESULT_SHORT_BUFFER, bytes_[consumed + 2] if rest > 2 else 0)
                    if not d.strict:
                        d.position += rest
                        consumed += rest
        finally:
            PyBuffer_Release(&view)
        if d.strict and d.total_errors != failed:
            raise_last(d, n)
        return n, consumed

    def set_symbol_id(self, locate, symbol_id):
        """Map a stock locate (0..65535) to a symbol id (0..2**32-1) of your own; without a mapping it is the locate."""
        cdef uint32_t i
        cdef int at = checked_locate(locate)
        if not 0 <= symbol_id <= 0xFFFFFFFF:
            raise ValueError(f"symbol_id must lie in 0..2**32-1: symbol_id={symbol_id}")
        if self._d.symbol_ids == NULL:
            self._d.symbol_ids = <uint32_t*> fc_alloc(ITCH_LOCATES, sizeof(uint32_t))
            if self._d.symbol_ids == NULL:
                raise MemoryError("no memory for the symbol ids of an ITCH decoder")
            for i in range(<uint32_t> ITCH_LOCATES):
                self._d.symbol_ids[i] = i
        self._d.symbol_ids[at] = symbol_id

    def symbol(self, locate):
        """Return the symbol that was listed under a locate (0..65535), None where none was."""
        cdef uint64_t key = self._d.symbols[checked_locate(locate)]
        return symbol_name(key) if key else None

    @property
    def symbols(self):
        """Symbols listed so far: dict of locate to name."""
        return {i: symbol_name(self._d.symbols[i]) for i in range(ITCH_LOCATES) if self._d.symbols[i]}

    @property
    def midnight_ns(self):
        """Midnight of the day, ns since the UNIX epoch."""
        return self._d.midnight_ns

    @property
    def strict(self):
        """Whether a malformed message raises."""
        return bool(self._d.strict)

    @property
    def position(self):
        """Bytes of the stream consumed so far."""
        return self._d.position

    @property
    def counts(self):
        """Well-formed messages by type letter, skipped types included: dict of str to int without zeros."""
        return named_counts(self._d.counts)

    @property
    def skipped(self):
        """Well-formed messages of types that make no event."""
        return self._d.skipped

    @property
    def unknown(self):
        """Messages of unknown types, by first byte as a latin-1 letter."""
        return named_counts(self._d.unknown)

    @property
    def errors(self):
        """Malformed messages by reason: dict of str to int without zeros."""
        return {name: self._d.errors[code] for code, name in _RESULT_NAMES.items() if self._d.errors[code]}

    @property
    def error_log(self):
        """The first 64 malformed messages: list of (offset of the length prefix, type letter, reason)."""
        return [
            (self._d.log[i].offset, chr(self._d.log[i].type), _RESULT_NAMES[self._d.log[i].code])
            for i in range(<int> min(self._d.total_errors, <uint64_t> ITCH_ERROR_LOG))
        ]


@cython.final
cdef class ItchEncoder:
    """Encode events as TotalView-ITCH 5.0 messages.

    Parameters
    ----------
    midnight_ns : int, default 0
        Midnight of the day, subtracted from `exch_ns`. Within +-2**62.

    Notes
    -----
    Symbols come from listing events, which must precede the first add, trade, cross or status event of a locate, or from
    `set_symbol`. An add with a match_id becomes F, an execute with a price C. Tracking numbers are 0.

    **Thread safety**: one thread at a time; `encode` releases the GIL.
    """

    def __cinit__(self, midnight_ns=0):
        if itch_encoder_init(&self._c, checked_midnight(midnight_ns)) != RESULT_OK:
            raise MemoryError("no memory for the symbols of an ITCH encoder")

    def __dealloc__(self):
        itch_encoder_free(&self._c)

    def set_symbol(self, locate, symbol):
        """Name a locate (0..65535): 1 to 8 latin-1 characters, padded with spaces on the wire."""
        cdef int at = checked_locate(locate)
        raw = symbol.encode("latin-1") if isinstance(symbol, str) else bytes(symbol)
        if not 1 <= len(raw.rstrip(b" ")) <= 8:
            raise ValueError(f"symbol must have 1 to 8 characters: symbol={symbol!r}")
        self._c.symbols[at] = int.from_bytes(raw.rstrip(b" ").ljust(8), "little")

    def encode(self, events):
        """Encode events, each behind its 2-byte length.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            A price or size outside 0..2**32-1 (a cross: size outside 0..2**63-1).
        CorruptDataError
            A kind that ITCH has no message for, a time outside the day (2**48 ns), a side that is missing, or a field
            beyond its bytes.
        UnknownSymbolError
            A symbol_id beyond 65,535 or without a symbol.
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef const event_t* e = events_data(a)
        cdef Py_ssize_t n = a.shape[0]
        cdef Py_ssize_t i = 0
        cdef size_t at = 0
        cdef int written = 0
        buffer = np.empty(n * ITCH_MAX_FRAME, np.uint8)
        cdef uint8_t* out = <uint8_t*> cnp.PyArray_DATA(buffer)
        with nogil:
            while i < n:
                written = itch_encode(&self._c, &e[i], out + at)
                if unlikely(written < 0):
                    break
                at += written
                i += 1
        if written < 0:
            raise_result(-written, f"event must fit its ITCH message: index={i} event={events[i]}")
        return buffer[:at].tobytes()
