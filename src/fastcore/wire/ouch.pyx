# cython: freethreading_compatible=True
"""OUCH 5.0, NASDAQ order entry: messages of both directions to 64-byte events and back.

All numbers are big-endian, prices unsigned 64-bit in 1/10,000 USD (int64 ticks of that size), times of outbound messages
nanoseconds since midnight. An order is named by the client's user reference number (`ref`). Fields by offset:length:

==== === ============================ ====================================================================================
type len from the client              fields
==== === ============================ ====================================================================================
O    45  order                        ref 1:4, side 5:1, size 6:4, symbol 10:8, price 18:8, time in force 26:1, display 27:1,
                                      capacity 28:1, sweep 29:1, cross type 30:1, cl_ord_id 31:14
U    38  replace                      original ref 1:4, ref 5:4, size 9:4, price 13:8, time in force 21:1, display 22:1,
                                      sweep 23:1, cl_ord_id 24:14
X    9   pull                         ref 1:4, size 5:4 (the total that the order shall have; 0 takes all away)
M    10  replace, new id = old id     ref 1:4, side 5:1, size 6:4
C    17  notice (mass cancel)         ref 1:4, firm 5:4, symbol 9:8
D, E 9   notice (disable, enable)     ref 1:4, firm 5:4
Q    1   notice (account query)
==== === ============================ ====================================================================================

==== === ============================ ====================================================================================
type len from the venue               fields behind the time 1:8
==== === ============================ ====================================================================================
S    10  system                       event 9:1
A    62  ack                          ref 9:4, side 13:1, size 14:4, symbol 18:8, price 26:8, time in force 34:1, display 35:1,
                                      order reference 36:8, capacity 44:1, sweep 45:1, cross type 46:1, state 47:1,
                                      cl_ord_id 48:14
U    66  replace                      original ref 9:4, then as A, four bytes later
C    18  pulled                       ref 9:4, size 13:4 (taken off), reason 17:1
D    32  pulled (self-match)          ref 9:4, size 13:4, reason 17:1, prevented size 18:4, execution price 22:8,
                                      liquidity 30:1, strategy 31:1
E    34  fill                         ref 9:4, size 13:4, price 17:8, liquidity 25:1, match 26:8
B    36  break                        ref 9:4, match 13:8, reason 21:1, cl_ord_id 22:14
J    29  reject                       ref 9:4, reason 13:2, cl_ord_id 15:14
P, I 13  notice (cancel pending,      ref 9:4
         cancel rejected)
T    30  notice (priority update)     ref 9:4, price 13:8, display 21:1, order reference 22:8
M    18  replace, new id = old id     ref 9:4, side 13:1, size 14:4
R    14  notice (restated)            ref 9:4, reason 13:1
X    25  notice (mass cancel)         ref 9:4, firm 13:4, symbol 17:8
G, K 17  notice (disabled, enabled)   ref 9:4, firm 13:4
Q    13  notice (account query)       next ref 9:4
==== === ============================ ====================================================================================

Behind these stands the appendage: its length 2 and elements of length 1 (of all that follows it), tag 1, value. O, U, C, D and E
of the client and A, U, E, R, X, G and K of the venue always have it, the others may end without it, S never has it. An
appendage is checked for whole elements; unknown tags are kept.

What an event holds: flag ``own``; `seq` the SoupBinTCP number; `symbol_id` by the `SymbolMapper`, else NO_SYMBOL; `side` -1 for
all sorts of sells (S, T, E); payload = price, size, order_id, and as the fourth value the new id (replace), the venue's order
reference (ack), the match number (fill, break), the letter of the reason (pulled), 65,536 + the venue's reason (reject: other
rejects carry result codes below that). A price that a message has not is NO_PRICE, a size 0. ``system``: payload[0] is a
word of SESSION (S system_opens, E system_closes, else unknown, with the letter in payload[3]). ``notice``: payload[0] is the letter of the message, order_id the reference; of T also payload[1] = price and payload[3] =
order reference, of R payload[1] = letter of the reason. Inbound messages carry no time: `exch_ns` is 0.

What no event holds is in a row of OUCH_DTYPE beside it, so that `OuchEncoder.encode` gives back the same bytes.

Source: NASDAQ OUCH 5.0 Order Entry Specification (October 2025), sections 2 and 3, appendix A.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._guard cimport enter, leave
from fastcore._arrays cimport check_events, check_rows, events_data
from fastcore._integers cimport as_int64
from fastcore.records cimport (
    FLAG_OWN,
    KIND_ACK,
    KIND_BREAK,
    KIND_FILL,
    KIND_NOTICE,
    KIND_ORDER,
    KIND_PULL,
    KIND_PULLED,
    KIND_REJECT,
    KIND_REPLACE,
    KIND_SYSTEM,
    NO_PRICE,
    NO_SYMBOL,
    RESULT_BAD_LENGTH,
    RESULT_BAD_PRICE,
    RESULT_BAD_SIZE,
    RESULT_CORRUPT,
    RESULT_OK,
    RESULT_UNKNOWN_ORDER,
    RESULT_UNKNOWN_SYMBOL,
    RESULT_UNKNOWN_TYPE,
    SESSION_SYSTEM_CLOSES,
    SESSION_SYSTEM_OPENS,
    SESSION_UNKNOWN,
    be16,
    be32,
    be64,
    key8,
    put_be16,
    put_be32,
    put_be64,
    unlikely,
)
from fastcore.symbols cimport symbols_find_key
from fastcore.wire.soup cimport soup_packet_t
from fastcore.wire.tally cimport _Decoder, checked_midnight, tally_fail

import numpy as np

from fastcore.errors import raise_result
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE
from fastcore.wire.ouch_fields import OPTIONS, OUCH_DTYPE, details, pack_options, parse_options
from fastcore.wire.soup import SOUP_DTYPE

cnp.import_array()

__all__ = ["OPTIONS", "OUCH_DTYPE", "OuchDecoder", "OuchEncoder", "details", "pack_options", "parse_options"]

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
cdef tuple _OUCH_DTYPES = (OUCH_DTYPE,)
cdef tuple _SOUP_DTYPES = (SOUP_DTYPE,)

# A reject of the venue: its reason behind this, above all result codes.
cdef enum:
    VENUE_REASON = 65536


# ---- layouts ----

_ACCEPTED = "side size symbol price time_in_force display order_reference capacity sweep cross_type state cl_ord_id"
# Letter -> kind of event, whether an appendage may (1) or must (2) follow, fields behind the letter in order.
_CLIENT = {
    "O": (KIND_ORDER, 2, "reference side size symbol price time_in_force display capacity sweep cross_type cl_ord_id"),
    "U": (KIND_REPLACE, 2, "original reference size price time_in_force display sweep cl_ord_id"),
    "X": (KIND_PULL, 1, "reference size"),
    "M": (KIND_REPLACE, 1, "reference side size"),
    "C": (KIND_NOTICE, 2, "reference firm symbol"),
    **dict.fromkeys("DE", (KIND_NOTICE, 2, "reference firm")),
    "Q": (KIND_NOTICE, 1, ""),
}
_VENUE = {
    "S": (KIND_SYSTEM, 0, "time reason"),
    "A": (KIND_ACK, 2, "time reference " + _ACCEPTED),
    "U": (KIND_REPLACE, 2, "time original reference " + _ACCEPTED),
    "C": (KIND_PULLED, 1, "time reference size reason"),
    "D": (KIND_PULLED, 1, "time reference size reason prevented_size execution_price liquidity strategy"),
    "E": (KIND_FILL, 2, "time reference size price liquidity match"),
    "B": (KIND_BREAK, 1, "time reference match reason cl_ord_id"),
    "J": (KIND_REJECT, 1, "time reference reject_reason cl_ord_id"),
    **dict.fromkeys("PIQ", (KIND_NOTICE, 1, "time reference")),
    "T": (KIND_NOTICE, 1, "time reference price display order_reference"),
    "M": (KIND_REPLACE, 1, "time reference side size"),
    "R": (KIND_NOTICE, 2, "time reference reason"),
    "X": (KIND_NOTICE, 2, "time reference firm symbol"),
    **dict.fromkeys("GK", (KIND_NOTICE, 2, "time reference firm")),
}
# Bytes of each field, in the order of ouch_layout_t.
_WIDTHS = {
    **{"time": 8, "reference": 4, "original": 4, "side": 1, "size": 4, "price": 8, "symbol": 8},
    **dict.fromkeys("time_in_force display capacity sweep cross_type state liquidity strategy reason".split(), 1),
    **{"cl_ord_id": 14, "order_reference": 8, "match": 8, "reject_reason": 2, "firm": 4, "prevented_size": 4, "execution_price": 8},
}

cdef ouch_layout_t LAYOUTS[2][256]  # by direction (1: from the venue) and type


def _lay_out():
    # Made once, from the tables above.
    rows = np.zeros((2, 256), [(name, np.uint8) for name in ("length", "appendage", "kind", *_WIDTHS)])
    for outbound, messages in enumerate((_CLIENT, _VENUE)):
        for letter, (kind, appendage, fields) in messages.items():
            row, length = rows[outbound, ord(letter)], 1
            for name in fields.split():
                row[name] = length
                length += _WIDTHS[name]
            row["length"], row["appendage"], row["kind"] = length, appendage, kind
    if rows.nbytes != sizeof(LAYOUTS):
        raise AssertionError(f"fields must be those of ouch_layout_t: bytes={rows.nbytes}")
    memcpy(LAYOUTS, cnp.PyArray_DATA(rows), sizeof(LAYOUTS))


_lay_out()


# ---- decoding ----

cdef bint whole_elements(const uint8_t* p, size_t length) noexcept nogil:
    """Whether an appendage consists of elements of at least a tag."""
    cdef size_t at = 0
    while at < length:
        if p[at] == 0 or length - at - 1 < p[at]:
            return False
        at += 1 + <size_t> p[at]
    return True


cdef int ouch_decode(
    ouch_decoder_t* d, const uint8_t* message, size_t length, uint64_t offset, event_t* e, ouch_detail_t* t
) noexcept nogil:
    cdef const ouch_layout_t* l
    cdef uint8_t type
    cdef uint8_t letter
    cdef uint8_t reason
    cdef uint64_t number
    cdef int i
    cdef int64_t fourth = 0
    if unlikely(length == 0):
        return RESULT_BAD_LENGTH
    type = message[0]
    l = &d.layouts[type]
    if unlikely(l.length == 0):
        return RESULT_UNKNOWN_TYPE
    memset(t, 0, sizeof(ouch_detail_t))
    if length != l.length:
        if unlikely(length < <size_t> l.length + 2 or l.appendage == 0):
            return RESULT_BAD_LENGTH
        t.has_appendage = 1
        t.appendage_length = be16(message + l.length)
        t.appendage_offset = offset + l.length + 2
        if unlikely(<size_t> t.appendage_length + l.length + 2 != length):
            return RESULT_BAD_LENGTH
        if unlikely(not whole_elements(message + l.length + 2, t.appendage_length)):
            return RESULT_CORRUPT
    elif unlikely(l.appendage == 2):
        return RESULT_BAD_LENGTH
    e.exch_ns = 0
    e.symbol_id = NO_SYMBOL
    e.kind = l.kind
    e.side = 0
    e.flags = FLAG_OWN
    e.price = NO_PRICE
    e.size = 0
    e.order_id = 0
    t.type = type
    if l.time:
        number = be64(message + l.time)
        if unlikely(number >> 62):
            return RESULT_CORRUPT
        e.exch_ns = d.midnight_ns + <int64_t> number
    if l.reference:
        e.order_id = be32(message + l.reference)
    if l.side:
        letter = message[l.side]
        if letter == c'B':
            e.side = 1
        elif letter == c'S' or letter == c'T' or letter == c'E':
            e.side = -1
        else:
            return RESULT_CORRUPT
        t.side = letter
    if l.size:
        e.size = be32(message + l.size)
    if l.price:
        number = be64(message + l.price)
        if unlikely(number >> 63):
            return RESULT_BAD_PRICE
        e.price = <int64_t> number
    if l.symbol:
        memcpy(t.symbol, message + l.symbol, 8)
        if d.symbols != NULL:
            e.symbol_id = symbols_find_key(d.symbols, key8(message + l.symbol))
    for i in range(OUCH_LETTERS):
        if l.letters[i]:
            t.letters[i] = message[l.letters[i]]
    reason = t.letters[OUCH_REASON]
    if l.cl_ord_id:
        memcpy(t.cl_ord_id, message + l.cl_ord_id, 14)
    if l.order_reference:
        t.order_reference = be64(message + l.order_reference)
        fourth = <int64_t> t.order_reference
    if l.match:
        fourth = <int64_t> be64(message + l.match)
    if l.kind == KIND_PULLED:
        fourth = reason
    if l.reject_reason:
        fourth = <int64_t> be16(message + l.reject_reason) + VENUE_REASON
    if l.firm:
        memcpy(t.firm, message + l.firm, 4)
    if l.prevented_size:
        t.prevented_size = be32(message + l.prevented_size)
    if l.execution_price:
        t.execution_price = be64(message + l.execution_price)
    if l.kind == KIND_REPLACE:
        fourth = e.order_id
        if l.original:
            e.order_id = be32(message + l.original)
    elif l.kind == KIND_SYSTEM:
        e.price = SESSION_SYSTEM_OPENS if reason == c'S' else SESSION_SYSTEM_CLOSES if reason == c'E' else SESSION_UNKNOWN
        fourth = reason if e.price == SESSION_UNKNOWN else 0
    elif l.kind == KIND_NOTICE:
        e.size = e.price if l.price else reason
        e.price = type
    e.payload[3] = fourth
    return RESULT_OK


# ---- encoding ----

cdef uint8_t type_of(const event_t* e, bint outbound) noexcept nogil:
    """Letter of the message for a detail row without one; 0 where the event alone does not say it."""
    if e.kind == KIND_REPLACE:
        return c'M' if e.price == NO_PRICE else c'U'
    if outbound:
        if e.kind == KIND_ACK:
            return c'A'
        if e.kind == KIND_PULLED:
            return c'C'
        if e.kind == KIND_FILL:
            return c'E'
        if e.kind == KIND_BREAK:
            return c'B'
        if e.kind == KIND_REJECT:
            return c'J'
        if e.kind == KIND_SYSTEM:
            return c'S'
    else:
        if e.kind == KIND_ORDER:
            return c'O'
        if e.kind == KIND_PULL:
            return c'X'
    return <uint8_t> e.price if e.kind == KIND_NOTICE and 0 < e.price < 256 else 0


# The letter of a system event, beyond all letters where it has none.
cdef int64_t session_letter(const event_t* e) noexcept nogil:
    if e.price == SESSION_SYSTEM_OPENS:
        return c'S'
    if e.price == SESSION_SYSTEM_CLOSES:
        return c'E'
    return e.payload[3] if e.price == SESSION_UNKNOWN and e.payload[3] != c'S' and e.payload[3] != c'E' else -1


cdef inline bint put_reference(uint8_t* p, int64_t value) noexcept nogil:
    put_be32(p, <uint32_t> value)
    return 0 <= value <= UINT32_MAX


cdef int ouch_encode(
    bint outbound, int64_t midnight_ns, const event_t* e, const ouch_detail_t* t, const uint8_t* data, size_t length, uint8_t* out
) noexcept nogil:
    cdef uint8_t type = t.type if t.type else type_of(e, outbound)
    cdef const ouch_layout_t* l = &LAYOUTS[outbound][type]
    cdef int i
    cdef int64_t order_id = e.order_id
    cdef int64_t price = e.price
    cdef int64_t size = e.size
    cdef int64_t fourth = e.payload[3]
    cdef uint64_t time
    cdef uint8_t letter
    cdef size_t total
    if unlikely(l.length == 0 or l.kind != e.kind):
        return -RESULT_UNKNOWN_TYPE
    memset(out, 0, l.length)
    if l.time:
        # Unsigned: a time before midnight becomes huge.
        time = <uint64_t> e.exch_ns - <uint64_t> midnight_ns
        if unlikely(time >> 62):
            return -RESULT_CORRUPT
        put_be64(out + l.time, time)
    if l.kind == KIND_REPLACE:
        if l.original:
            if unlikely(not put_reference(out + l.original, order_id)):
                return -RESULT_UNKNOWN_ORDER
        elif unlikely(fourth != order_id):
            return -RESULT_UNKNOWN_ORDER
        order_id = fourth
    elif l.kind == KIND_NOTICE:
        if unlikely(price != type):
            return -RESULT_CORRUPT
        price = size
    if l.reference and unlikely(not put_reference(out + l.reference, order_id)):
        return -RESULT_UNKNOWN_ORDER
    if l.side:
        letter = t.side
        if letter == 0:
            letter = c'B' if e.side > 0 else c'S'
        if unlikely(e.side != (1 if letter == c'B' else -1 if letter == c'S' or letter == c'T' or letter == c'E' else 0)):
            return -RESULT_CORRUPT
        if unlikely(e.side == 0):
            return -RESULT_CORRUPT
        out[l.side] = letter
    if l.size:
        if unlikely(size < 0 or size > UINT32_MAX):
            return -RESULT_BAD_SIZE
        put_be32(out + l.size, <uint32_t> size)
    if l.price:
        if unlikely(price < 0):
            return -RESULT_BAD_PRICE
        put_be64(out + l.price, <uint64_t> price)
    if l.symbol:
        # Decoded rows are given back as they came; of rows that were made here, an order needs its symbol.
        if unlikely(t.type == 0 and l.price and (t.symbol[0] == 0 or t.symbol[0] == c' ')):
            return -RESULT_UNKNOWN_SYMBOL
        memcpy(out + l.symbol, t.symbol, 8)
    for i in range(OUCH_LETTERS):
        out[l.letters[i]] = t.letters[i]  # one that the message has not goes to 0
    out[0] = type
    if l.cl_ord_id:
        memcpy(out + l.cl_ord_id, t.cl_ord_id, 14)
    if l.order_reference:
        put_be64(out + l.order_reference, <uint64_t> fourth if l.kind != KIND_REPLACE else t.order_reference)
    if l.match:
        put_be64(out + l.match, <uint64_t> fourth)
    if l.letters[OUCH_REASON] and (l.kind == KIND_PULLED or l.kind == KIND_SYSTEM or l.kind == KIND_NOTICE):
        fourth = fourth if l.kind == KIND_PULLED else session_letter(e) if l.kind == KIND_SYSTEM else e.size
        if unlikely(<uint64_t> fourth > 0xFF):
            return -RESULT_CORRUPT
        out[l.letters[OUCH_REASON]] = <uint8_t> fourth
    if l.reject_reason:
        if unlikely(<uint64_t> fourth - VENUE_REASON > 0xFFFF):
            return -RESULT_CORRUPT
        put_be16(out + l.reject_reason, <uint16_t> (fourth - VENUE_REASON))
    if l.firm:
        memcpy(out + l.firm, t.firm, 4)
    if l.prevented_size:
        put_be32(out + l.prevented_size, t.prevented_size)
    if l.execution_price:
        put_be64(out + l.execution_price, t.execution_price)
    if l.appendage == 0:
        return -RESULT_BAD_LENGTH if unlikely(t.appendage_length) else l.length
    if l.appendage == 1 and t.has_appendage == 0 and t.appendage_length == 0:
        return l.length
    total = <size_t> l.length + 2 + t.appendage_length
    if unlikely(total > OUCH_MAX_MESSAGE):
        return -RESULT_BAD_LENGTH
    put_be16(out + l.length, t.appendage_length)
    if t.appendage_length:
        if unlikely(t.appendage_offset > length or length - t.appendage_offset < t.appendage_length):
            return -RESULT_BAD_LENGTH
        if unlikely(not whole_elements(data + t.appendage_offset, t.appendage_length)):
            return -RESULT_CORRUPT
        memcpy(out + l.length + 2, data + t.appendage_offset, t.appendage_length)
    return <int> total


# ---- Python ----

@cython.final
cdef class OuchDecoder(_Decoder):
    """OuchDecoder(outbound, symbols=None, midnight_ns=0, strict=False)\n--\n\n
    Decode the OUCH 5.0 messages of one direction of a connection.

    Parameters
    ----------
    outbound : bool
        True for what the venue sends, False for what the client sends.
    symbols : SymbolMapper, optional
        Gives `symbol_id`; without one, and for messages without a symbol, it is NO_SYMBOL.
    midnight_ns : int, default 0
        Midnight of the day, ns since the UNIX epoch, added to the times. In -2**62..2**62.
    strict : bool, default False
        Raise at the first malformed message, instead of counting it and going on with the next one.

    Attributes
    ----------
    outbound : bool

    Raises
    ------
    TypeError, ValueError
        If midnight_ns is no whole number or out of range.

    Notes
    -----
    Malformed are: an unknown type, a length that the type cannot have, an appendage whose length or elements do not fit
    (``corrupt``), a side that is not B, S, T or E, a price of 2**63 or more, a time of 2**62 or more. Each is counted (`errors`)
    and the first 64 are kept with their offset (`error_log`).

    **Thread safety**: one thread at a time; `decode` releases the GIL.
    """

    def __cinit__(self, outbound, SymbolMapper symbols=None, midnight_ns=0, strict=False):
        self._tally = &self._d.tally
        self._rule = "OUCH messages must be those of version 5.0"
        self._items = "events"
        self.outbound = outbound
        self._symbols = symbols
        self._d.symbols = symbols._s if symbols is not None else NULL
        self._d.midnight_ns = checked_midnight(midnight_ns)
        self._d.tally.strict = strict
        self._d.layouts = LAYOUTS[self.outbound]

    def decode(self, data, rows, out, details, local_ns=0, offset=0):
        """Decode the messages that SoupBinTCP packets carry.

        Parameters
        ----------
        data : bytes-like
            What the rows refer to.
        rows : ndarray of SOUP_DTYPE, shape (packets,)
            From `SoupDecoder`; packets other than S and U are passed over.
        out : ndarray of EVENT_DTYPE, writable
            Receives an event for each message; at least as long as `rows`.
        details : ndarray of OUCH_DTYPE, writable
            Receives what the event does not hold, row for row; at least as long as `rows`. `appendage_offset` refers to `data`.
        local_ns : int, default 0
            Receive time, ns since the UNIX epoch.
        offset : int, default 0
            Of `data` in the stream, for the offsets of errors.

        Returns
        -------
        int
            Events written.

        Raises
        ------
        ValueError
            A row outside `data`, or an array that is too short.
        CorruptDataError
            In strict mode, at the first malformed message. Attributes `offset` (of the message) and `events`.
        """
        cdef cnp.ndarray r = check_rows(rows, "rows", _SOUP_DTYPES, "SOUP_DTYPE", False)
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef cnp.ndarray t = check_rows(details, "details", _OUCH_DTYPES, "OUCH_DTYPE", True)
        cdef const soup_packet_t* row = <const soup_packet_t*> cnp.PyArray_DATA(r)
        cdef event_t* events = events_data(a)
        cdef ouch_detail_t* rest = <ouch_detail_t*> cnp.PyArray_DATA(t)
        cdef Py_ssize_t n = r.shape[0]
        cdef Py_ssize_t i
        cdef Py_ssize_t written = 0
        cdef int64_t local = as_int64(local_ns)
        cdef int code = RESULT_OK
        cdef Py_buffer view
        cdef const uint8_t* bytes_
        cdef size_t length
        cdef ouch_decoder_t* d = &self._d
        cdef int64_t start = as_int64(offset)
        if a.shape[0] < n or t.shape[0] < n:
            raise ValueError(f"out and details must be as long as rows: rows={n} out={a.shape[0]} details={t.shape[0]}")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            bytes_ = <const uint8_t*> view.buf
            length = view.len
            for i in range(n):
                if row[i].offset > length or length - row[i].offset < row[i].length:
                    raise ValueError(f"a row must lie within data: index={i} row={rows[i]} data={length}")
            enter(&self._busy)
            d.tally.position = start
            with nogil:
                for i in range(n):
                    if row[i].type != c'S' and row[i].type != c'U':
                        continue
                    code = ouch_decode(
                        &self._d, bytes_ + row[i].offset, row[i].length, row[i].offset, &events[written], &rest[written]
                    )
                    if unlikely(code != RESULT_OK):
                        tally_fail(&d.tally, row[i].offset, code, bytes_[row[i].offset] if row[i].length else 0)
                        if d.tally.strict:
                            break
                        code = RESULT_OK
                        continue
                    d.tally.counts[rest[written].type] += 1
                    events[written].seq = row[i].sequence
                    events[written].local_ns = local
                    written += 1
            leave(&self._busy)
        finally:
            PyBuffer_Release(&view)
        if code != RESULT_OK:
            self._raise_last(written)
        d.tally.position += length
        return written

    @property
    def midnight_ns(self):
        """Midnight of the day, ns since the UNIX epoch."""
        return self._d.midnight_ns

    def __repr__(self):
        return f"OuchDecoder(outbound={bool(self.outbound)}, counts={self.counts}, errors={self.errors})"


@cython.final
cdef class OuchEncoder:
    """OuchEncoder(outbound, midnight_ns=0)\n--\n\n
    Encode events as the OUCH 5.0 messages of one direction.

    Parameters
    ----------
    outbound : bool
        True for what the venue sends, False for what the client sends.
    midnight_ns : int, default 0
        Midnight of the day, subtracted from `exch_ns`. In -2**62..2**62.

    Attributes
    ----------
    outbound : bool

    Notes
    -----
    **Thread safety**: any number of threads; `encode` releases the GIL.
    """

    def __cinit__(self, outbound, midnight_ns=0):
        self.outbound = outbound
        self._midnight_ns = checked_midnight(midnight_ns)

    def encode(self, events, details, data=b""):
        """Encode events.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        details : ndarray of OUCH_DTYPE, shape (n,), contiguous
            From `OuchDecoder.decode` or `fastcore.wire.ouch.details`.
        data : bytes-like, default b""
            Where the appendages are.

        Returns
        -------
        (stream, rows) : (bytes, ndarray of SOUP_DTYPE)
            The messages one behind the other, and where they are, of type S (outbound) or U: what `fastcore.wire.soup.encode` takes.

        Raises
        ------
        ValueError
            A price below 0 or a size outside 0..2**32-1.
        CorruptDataError
            A kind or type that has no message, a time outside 2**62 ns of the day, a side that is missing, a reason that is none
            of the venue, an appendage outside `data` or with elements that are not whole.
        UnknownSymbolError
            A symbol that is missing.
        BookError
            An order id outside 0..2**32-1.
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef cnp.ndarray t = check_rows(details, "details", _OUCH_DTYPES, "OUCH_DTYPE", False)
        cdef const event_t* e = events_data(a)
        cdef const ouch_detail_t* rest = <const ouch_detail_t*> cnp.PyArray_DATA(t)
        cdef Py_ssize_t n = a.shape[0]
        cdef Py_ssize_t i = 0
        cdef size_t total = 0
        cdef size_t at = 0
        cdef int written = 0
        cdef Py_buffer view
        cdef const uint8_t* bytes_
        cdef size_t length
        cdef uint8_t* out
        cdef soup_packet_t* row
        if t.shape[0] != n:
            raise ValueError(f"details must be as long as events: events={n} details={t.shape[0]}")
        for i in range(n):
            total += 70 + <size_t> rest[i].appendage_length
        buffer = np.empty(total, np.uint8)
        rows = np.zeros(n, SOUP_DTYPE)
        out = <uint8_t*> cnp.PyArray_DATA(buffer)
        row = <soup_packet_t*> cnp.PyArray_DATA(rows)
        i = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            bytes_ = <const uint8_t*> view.buf
            length = view.len
            with nogil:
                while i < n:
                    written = ouch_encode(
                        self.outbound, self._midnight_ns, &e[i], &rest[i], bytes_, length, out + at
                    )
                    if unlikely(written < 0):
                        break
                    row[i].offset = at
                    row[i].length = <uint32_t> written
                    row[i].type = c'S' if self.outbound else c'U'
                    at += written
                    i += 1
        finally:
            PyBuffer_Release(&view)
        if written < 0:
            raise_result(-written, f"event must fit its OUCH message: index={i} event={events[i]} type={details[i]['type']}")
        return buffer[:at].tobytes(), rows

    @property
    def midnight_ns(self):
        """Midnight of the day, ns since the UNIX epoch."""
        return self._midnight_ns

    def __repr__(self):
        return f"OuchEncoder(outbound={bool(self.outbound)}, midnight_ns={self._midnight_ns})"
