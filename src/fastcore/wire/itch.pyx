# cython: freethreading_compatible=True
"""NASDAQ TotalView-ITCH 5.0: wire messages to 64-byte events and back, all 23 types.

A stream is a sequence of messages, each behind a 2-byte big-endian length. All numbers are big-endian; prices are
unsigned 32-bit in 1/10,000 USD and become int64 ticks of that size; times are nanoseconds since midnight. Every message
starts with ``type@0:1 locate@1:2 tracking@3:2 time@5:6``; `symbol_id` is the stock locate, or the id in a table of
instruments. Below: field, offset:length in bytes; letters are events' numbers by ASCII code.

==== ====== ========= ===================================================================================================
type length kind      fields
==== ====== ========= ===================================================================================================
A    36     add       order_id 11:8, side 19:1 (B, S), size 20:4, symbol 24:8, price 32:4
F    40     add       as A; attribution 36:4 as a number in match_id (0 in A)
E    31     execute   order_id 11:8, size 19:4, match_id 23:8; price is NO_PRICE (the order's own)
C    36     execute   as E; printable 31:1 (N sets the flag not_printable), price 32:4
X    23     cancel    order_id 11:8, size 19:4 (taken off); price is NO_PRICE
D    19     delete    order_id 11:8; price is NO_PRICE, size 0
U    35     replace   order_id 11:8, new_order_id 19:8, size 27:4, price 31:4
P    44     trade     order_id 11:8, side 19:1, size 20:4, symbol 24:8, price 32:4, match_id 36:8; flag hidden
Q    40     cross     size 11:8, symbol 19:8, price 27:4, match_id 31:8, cross type 39:1 (its letter in order_id)
B    19     break     match_id 11:8; price is NO_PRICE, size and order_id 0
R    39     listing   symbol 11:8 (payload[0]), round lot 21:4 (payload[1]); market 19:1, status 20:1, lots only 25:1,
                      class 26:1, subtype 27:2, authenticity 29:1, threshold 30:1 (payload[2], first byte lowest);
                      IPO 31:1, LULD tier 32:1, ETP 33:1, leverage 34:4, inverse 38:1 (payload[3], first byte lowest)
H    25     status    symbol 11:8, state 19:1 (a word of TRADING in payload[0]), reserved 20:1 (payload[2]), reason 21:4
                      (payload[1])
S    12     system    event 11:1 (a word of SESSION in payload[0])
I    50     imbalance paired 11:8, imbalance 19:8, direction 27:1, symbol 28:8, far 36:4, near 40:4, reference 44:4,
                      cross type 48:1, variation 49:1: two events, see below
==== ====== ========= ===================================================================================================

States: H halted, P paused, Q quotation, T trading. Events: O messages begin, S system opens, Q market opens, M market closes,
E system closes, C messages end. Another letter is the word ``unknown``, and itself in payload[3].

The two events of an imbalance; `side` of both is +1 where the direction is B (more to buy), -1 where it is S, else 0:

- payload: reference price, imbalance (`size`), paired shares, cross type; flag continued
- payload: far price, near price, direction, variation

All other types are of kind ``notice``; payload[0] of each event is the letter of the type:

==== ====== ================================ ================================================================================
type length what                             payload[1], payload[2], payload[3]
==== ====== ================================ ================================================================================
Y    20     short sale price test            action 19:1
L    26     position of a market participant MPID 11:4 as a number; primary 23:1, mode 24:1, state 25:1 (first byte lowest)
V    35     levels of the market-wide halt   level 1 11:8, level 2 19:8, level 3 27:8, in 1e-8
W    12     a level was breached             level 11:1
K    28     IPO quotation                    release 19:4 (seconds since midnight, 0 none), qualifier 23:1, price 24:4
J    35     collars of a volatility auction  reference 19:4, upper 23:4, lower 27:4; continued: extensions 31:4
h    21     halt of one market               market 19:1, action 20:1
N    20     retail price improvement         interest 19:1
O    48     direct listing with a price      eligible 19:1, near price 28:4, near time 32:8 (ns since midnight, bit pattern);
                                             continued: lowest 20:4, highest price 24:4; continued: lower collar 40:4,
                                             upper collar 44:4
==== ====== ================================ ================================================================================

(symbol 11:8 in Y, K, J, h, N and O, 15:8 in L.) ``h`` is no ``status``: it halts one market of several, and a consumer that
follows the trading state must not take it for the exchange's own. In the types of the second table and in I the venue writes
a price of 0 for none: it becomes NO_PRICE. Elsewhere a price of 0 stays 0. Payload that is not named is 0.

What is malformed: an unknown type, a length other than that of the type, a side of A, F or P that is neither B nor S (corrupt),
shares of Q or I (size outside range) or levels of V (price outside range) from 2**63 up. All other letters are data: they go
into the events as they are, known to the specification or not, because the exchange adds to them between versions; in C every
letter but N is printable.

An event stream encodes to the messages that it came from, but for the tracking numbers, which become 0. That needs the
listings of all locates, since events have no symbol, and locates as symbol ids. With an array of `WIRE_DTYPE` beside the events
(argument `wire` of `decode` and `encode`, one row for each event) every well-formed message comes back byte for byte, listed or
not, whatever its tracking number, its MPID or its letters are. Only those who ask for it pay for it.

`seq` of an event is left alone: it belongs to whoever publishes it.

Source: NASDAQ TotalView-ITCH 5.0 specification, sections 1 (data types) and 4 (messages).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, UINT32_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, check_rows, events_data
from fastcore._guard cimport alone, enter, leave, occupy, refuse_second
from fastcore._integers cimport int64_in
from fastcore.instruments cimport Instruments, instrument_t, instruments_add
from fastcore.records cimport (
    FLAG_CONTINUED,
    FLAG_HIDDEN,
    FLAG_NOT_PRINTABLE,
    KIND_ADD,
    KIND_BREAK,
    KIND_CANCEL,
    KIND_CROSS,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_IMBALANCE,
    KIND_LISTING,
    KIND_NOTICE,
    KIND_REPLACE,
    KIND_STATUS,
    KIND_SYSTEM,
    KIND_TRADE,
    NO_PRICE,
    NO_SYMBOL,
    RESULT_BAD_LENGTH,
    RESULT_BAD_PRICE,
    RESULT_BAD_SIZE,
    RESULT_CORRUPT,
    RESULT_FULL,
    RESULT_NO_MEMORY,
    RESULT_OK,
    RESULT_UNKNOWN_SYMBOL,
    RESULT_UNKNOWN_TYPE,
    SESSION_UNKNOWN,
    TRADING_UNKNOWN,
    fc_alloc,
    fc_free,
    key8,
    prefetch,
    put_be16,
    put_be32,
    put_be48,
    put_be64,
)
from fastcore.symbols cimport keys_add, keys_find, keys_free, keys_open, keys_reserve
from fastcore.wire.tally cimport checked_midnight, tally_cut, tally_fail

import numpy as np

from fastcore.errors import raise_result
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE
from fastcore.symbols import key_symbol, wire_key

cnp.import_array()

__all__ = ["LENGTHS", "LISTING_DTYPE", "MAX_EVENTS", "UNITS", "WIRE_DTYPE", "ItchDecoder", "ItchEncoder", "whole_messages"]

# Exact length of every message type of version 5.0, without the length prefix.
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40, "E": 31, "C": 36,
    "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}

# What the integers mean, as fields of an Instrument: prices in 0.0001 USD, quoted in cents from 1 USD on.
UNITS = {"tick_size": 0.0001, "lot_size": 1.0, "increment_ticks": 100, "low_increment_ticks": 1, "low_below_ticks": 10_000, "currency": "USD"}

# Most events that one message makes: an array with this much room always receives the next message.
MAX_EVENTS = ITCH_MAX_EVENTS

# What a message says and its events do not; `printable` is the letter of C.
WIRE_DTYPE = np.dtype(
    {
        "names": ["symbol", "locate", "tracking", "type", "printable"],
        "formats": ["S8", "=u2", "=u2", "S1", "S1"],
        "offsets": [0, 8, 10, 12, 13],
        "itemsize": 16,
    }
)

# The stock directory; letters are those of the specification.
LISTING_DTYPE = np.dtype(
    [
        ("symbol", "S8"),
        ("symbol_id", "=u4"),
        ("round_lot", "=u4"),
        ("leverage", "=u4"),
        ("locate", "=u2"),
        ("market", "S1"),
        ("status", "S1"),
        ("lots_only", "S1"),
        ("class", "S1"),
        ("subtype", "S2"),
        ("authenticity", "S1"),
        ("threshold", "S1"),
        ("ipo", "S1"),
        ("luld_tier", "S1"),
        ("etp", "S1"),
        ("inverse", "S1"),
    ]
)

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
cdef tuple _WIRE_DTYPES = (WIRE_DTYPE,)


cdef enum:
    NO_SIDE_LETTER = 0x40000000  # among what `sides` has

# The letters of the words of TRADING and SESSION, by number; the first is `unknown`.
cdef const char* TRADING_LETTERS = b"\0HPQT"
cdef const char* SESSION_LETTERS = b"\0OSQMEC"


# ---- decoding ----

# An order message; -1 for a field that it has not.
cdef void set_order(
    itch_decoder_t* d, char type, uint8_t length, uint8_t kind, int size, int price, int match, uint64_t match_mask, bint sided
) noexcept nogil:
    cdef itch_layout_t* l = &d.layouts[<uint8_t> type]
    l.length = length
    l.order_length = length
    l.head = kind
    l.size = size if size >= 0 else 0
    l.size_mask = 0xFFFFFFFF if size >= 0 else 0
    l.price = price if price >= 0 else 0
    l.price_mask = 0xFFFFFFFF if price >= 0 else 0
    l.no_price = 0 if price >= 0 else NO_PRICE
    l.match = match if match >= 0 else 0
    l.match_mask = match_mask if match >= 0 else 0
    l.side_mask = NO_SIDE_LETTER | 0xFF00 if sided else 0
    l.symbol = 24 if sided else 0


# A message that is decoded field by field.
cdef void set_rare(itch_decoder_t* d, char type, uint8_t length, uint8_t kind, uint8_t symbol, uint8_t events) noexcept nogil:
    cdef itch_layout_t* l = &d.layouts[<uint8_t> type]
    l.length = length
    l.head = kind
    l.symbol = symbol
    l.rare = events


cdef int itch_decoder_init(itch_decoder_t* d, int64_t midnight_ns, bint strict) noexcept nogil:
    cdef uint64_t all_bits = ~<uint64_t> 0
    cdef int i
    memset(d, 0, sizeof(itch_decoder_t))
    d.midnight_ns = midnight_ns
    d.tally.strict = strict
    for i in range(256):
        d.sides[i] = NO_SIDE_LETTER
        d.layouts[i].order_length = 0xFFFF
    d.sides[<uint8_t> c'B'] = 0x0100
    d.sides[<uint8_t> c'S'] = 0xFF00
    set_order(d, c'A', 36, KIND_ADD, 20, 32, -1, 0, True)
    set_order(d, c'F', 40, KIND_ADD, 20, 32, 32, 0xFFFFFFFF, True)
    set_order(d, c'E', 31, KIND_EXECUTE, 19, -1, 23, all_bits, False)
    set_order(d, c'X', 23, KIND_CANCEL, 19, -1, -1, 0, False)
    set_order(d, c'D', 19, KIND_DELETE, -1, -1, -1, 0, False)
    set_order(d, c'U', 35, KIND_REPLACE, 27, 31, 19, all_bits, False)
    set_order(d, c'P', 44, KIND_TRADE, 20, 32, 36, all_bits, True)
    d.layouts[<uint8_t> c'P'].head |= FLAG_HIDDEN << 16
    set_rare(d, c'C', 36, KIND_EXECUTE, 0, 1)
    set_rare(d, c'S', 12, KIND_SYSTEM, 0, 1)
    set_rare(d, c'R', 39, KIND_LISTING, 11, 1)
    set_rare(d, c'H', 25, KIND_STATUS, 11, 1)
    set_rare(d, c'Q', 40, KIND_CROSS, 19, 1)
    set_rare(d, c'B', 19, KIND_BREAK, 0, 1)
    set_rare(d, c'I', 50, KIND_IMBALANCE, 28, 2)
    set_rare(d, c'Y', 20, KIND_NOTICE, 11, 1)
    set_rare(d, c'L', 26, KIND_NOTICE, 15, 1)
    set_rare(d, c'V', 35, KIND_NOTICE, 0, 1)
    set_rare(d, c'W', 12, KIND_NOTICE, 0, 1)
    set_rare(d, c'K', 28, KIND_NOTICE, 11, 1)
    set_rare(d, c'J', 35, KIND_NOTICE, 11, 2)
    set_rare(d, c'h', 21, KIND_NOTICE, 11, 1)
    set_rare(d, c'N', 20, KIND_NOTICE, 11, 1)
    set_rare(d, c'O', 48, KIND_NOTICE, 11, 3)
    d.symbols = <uint64_t*> fc_alloc(ITCH_LOCATES, sizeof(uint64_t))
    # Not fc_alloc, which touches every page: only those of listed locates are ever needed.
    d.listings = <itch_listing_t*> calloc(ITCH_LOCATES, sizeof(itch_listing_t))
    return RESULT_OK if d.symbols != NULL and d.listings != NULL else RESULT_NO_MEMORY


cdef void itch_decoder_free(itch_decoder_t* d) noexcept nogil:
    fc_free(d.symbols)
    fc_free(d.ids)
    keys_free(&d.wanted)
    free(d.listings)
    d.symbols = NULL
    d.ids = NULL
    d.listings = NULL


# The id of a message's symbol, or ITCH_UNWANTED, or ITCH_UNNAMED where the instruments have no room. A locate is named by its
# listing, which may come again on another day, and else by the first message with a symbol.
cdef uint32_t named_id(itch_decoder_t* d, const uint8_t* message, const itch_layout_t* l) noexcept nogil:
    cdef uint16_t locate = be16(message + 1)
    cdef uint32_t symbol_id = locate if d.ids == NULL else d.ids[locate]
    cdef uint64_t key = 0
    if d.ids == NULL or locate == 0 or (symbol_id != <uint32_t> ITCH_UNNAMED and message[0] != c'R'):
        return symbol_id
    if l.symbol:
        key = key8(message + l.symbol)
    if key == 0:
        if symbol_id != <uint32_t> ITCH_UNNAMED:
            return symbol_id
        # Of an order that came before its symbol was known, and so of one that no book has.
        return NO_SYMBOL if d.wanted.table == 0 else <uint32_t> ITCH_UNWANTED
    if d.wanted.table and keys_find(&d.wanted, key) == NO_SYMBOL:
        symbol_id = <uint32_t> ITCH_UNWANTED
    elif d.instruments == NULL:
        symbol_id = locate
    else:
        symbol_id = instruments_add(d.instruments, key, &d.fields)
        if symbol_id == NO_SYMBOL:
            d.full = True
            return <uint32_t> ITCH_UNNAMED
    d.ids[locate] = symbol_id
    return symbol_id


cdef inline int64_t price_or_none(const uint8_t* p) noexcept nogil:
    """A price that the venue writes as 0 where it has none."""
    cdef uint32_t price = be32(p)
    return price if price else NO_PRICE


# The word of a letter, `unknown` where it is none.
cdef int word_of(const char* words, int count, uint8_t letter) noexcept nogil:
    cdef int word
    for word in range(1, count):
        if <uint8_t> words[word] == letter:
            return word
    return 0


cdef inline int trading_word(uint8_t letter) noexcept nogil:
    return word_of(TRADING_LETTERS, 5, letter)


cdef inline int session_word(uint8_t letter) noexcept nogil:
    return word_of(SESSION_LETTERS, 7, letter)


# The letter of a word, of an unknown one what `letter` says; -1 where there is none.
cdef int letter_of(const char* words, int count, int64_t word, int64_t letter) noexcept nogil:
    if 0 < word < count:
        return <uint8_t> words[word]
    return <int> letter if word == 0 and 0 <= letter <= 0xFF and word_of(words, count, <uint8_t> letter) == 0 else -1


cdef inline int64_t letters(const uint8_t* p, int count) noexcept nogil:
    """The bytes as a number, the first one lowest."""
    cdef uint64_t packed = 0
    cdef int i
    for i in range(count):
        packed |= <uint64_t> p[i] << (8 * i)
    return <int64_t> packed


cdef int itch_decode_careful(
    itch_decoder_t* d, const uint8_t* message, size_t length, uint64_t offset, event_t* out, size_t room
) noexcept nogil:
    cdef uint8_t type = message[0] if length else 0
    cdef const itch_layout_t* l = &d.layouts[type]
    cdef uint8_t window[ITCH_WINDOW]
    cdef uint32_t symbol_id
    if length == 0 or l.length != length:
        return tally_fail(&d.tally, offset, RESULT_UNKNOWN_TYPE if length and l.length == 0 else RESULT_BAD_LENGTH, type)
    if room < l.rare:
        return -RESULT_FULL
    symbol_id = named_id(d, message, l)
    if symbol_id == <uint32_t> ITCH_UNWANTED:
        d.tally.skipped += 1
        return 0
    if symbol_id == <uint32_t> ITCH_UNNAMED:
        return -RESULT_NO_MEMORY
    if l.rare:
        return decode_rare(d, l, message, symbol_id, offset, out)
    memset(window, 0, ITCH_WINDOW)
    memcpy(window, message, length)
    return 1 if itch_order(d, l, window, symbol_id, out) else tally_fail(&d.tally, offset, RESULT_CORRUPT, type)


# A message that is no order message, whose length was checked.
cdef int decode_rare(
    itch_decoder_t* d, const itch_layout_t* l, const uint8_t* message, uint32_t symbol_id, uint64_t offset, event_t* out
) noexcept nogil:
    cdef uint8_t type = message[0]
    cdef uint16_t locate = be16(message + 1)
    cdef int events = l.rare
    cdef int i
    if type == c'Q' and be64(message + 11) >> 63:
        return tally_fail(&d.tally, offset, RESULT_BAD_SIZE, type)
    if type == c'I' and (be64(message + 11) | be64(message + 19)) >> 63:
        return tally_fail(&d.tally, offset, RESULT_BAD_SIZE, type)
    if type == c'V' and (be64(message + 11) | be64(message + 19) | be64(message + 27)) >> 63:
        return tally_fail(&d.tally, offset, RESULT_BAD_PRICE, type)
    for i in range(events):
        out[i].exch_ns = d.midnight_ns + <int64_t> be48(message + 5)
        out[i].local_ns = 0
        out[i].symbol_id = symbol_id
        out[i].kind = <uint8_t> l.head
        out[i].side = 0
        out[i].flags = FLAG_CONTINUED if i + 1 < events else 0
        out[i].payload[0] = type
        out[i].payload[1] = 0
        out[i].payload[2] = 0
        out[i].payload[3] = 0
    if type == c'C':
        out.flags = FLAG_NOT_PRINTABLE if message[31] == c'N' else 0
        out.price = be32(message + 32)
        out.size = be32(message + 19)
        out.order_id = <int64_t> be64(message + 11)
        out.match_id = <int64_t> be64(message + 23)
    elif type == c'R':
        out.payload[0] = <int64_t> key8(message + 11)
        out.payload[1] = be32(message + 21)
        out.payload[2] = letters(message + 19, 2) | (letters(message + 25, 6) << 16)
        out.payload[3] = letters(message + 31, 8)
        d.symbols[locate] = key8(message + 11)
        memcpy(&d.listings[locate], &out.payload[1], sizeof(itch_listing_t))
    elif type == c'H':
        out.payload[0] = trading_word(message[19])
        out.payload[1] = be32(message + 21)
        out.payload[2] = message[20]
        out.payload[3] = message[19] if out.payload[0] == TRADING_UNKNOWN else 0
    elif type == c'S':
        out.payload[0] = session_word(message[11])
        out.payload[3] = message[11] if out.payload[0] == SESSION_UNKNOWN else 0
    elif type == c'Q':
        out.size = <int64_t> be64(message + 11)
        out.price = be32(message + 27)
        out.payload[2] = message[39]
        out.match_id = <int64_t> be64(message + 31)
    elif type == c'B':
        out.price = NO_PRICE
        out.match_id = <int64_t> be64(message + 11)
    elif type == c'I':
        out[0].side = 1 if message[27] == c'B' else -1 if message[27] == c'S' else 0
        out[0].price = price_or_none(message + 44)
        out[0].size = <int64_t> be64(message + 19)
        out[0].payload[2] = <int64_t> be64(message + 11)
        out[0].payload[3] = message[48]
        out[1].side = out[0].side
        out[1].payload[0] = price_or_none(message + 36)
        out[1].payload[1] = price_or_none(message + 40)
        out[1].payload[2] = message[27]
        out[1].payload[3] = message[49]
    elif type == c'Y' or type == c'N':
        out.payload[1] = message[19]
    elif type == c'L':
        out.payload[1] = be32(message + 11)
        out.payload[2] = letters(message + 23, 3)
    elif type == c'V':
        for i in range(3):
            out.payload[1 + i] = <int64_t> be64(message + 11 + 8 * i)
            if out.payload[1 + i] == 0:
                out.payload[1 + i] = NO_PRICE
    elif type == c'W':
        out.payload[1] = message[11]
    elif type == c'K':
        out.payload[1] = be32(message + 19)
        out.payload[2] = message[23]
        out.payload[3] = price_or_none(message + 24)
    elif type == c'J':
        out[0].payload[1] = price_or_none(message + 19)
        out[0].payload[2] = price_or_none(message + 23)
        out[0].payload[3] = price_or_none(message + 27)
        out[1].payload[1] = be32(message + 31)
    elif type == c'h':
        out.payload[1] = message[19]
        out.payload[2] = message[20]
    else:  # O
        out[0].payload[1] = message[19]
        out[0].payload[2] = price_or_none(message + 28)
        out[0].payload[3] = <int64_t> be64(message + 32)
        out[1].payload[1] = price_or_none(message + 20)
        out[1].payload[2] = price_or_none(message + 24)
        out[2].payload[1] = price_or_none(message + 40)
        out[2].payload[2] = price_or_none(message + 44)
    d.tally.counts[type] += 1
    return events


cdef void keep_wire(const itch_decoder_t* d, const uint8_t* message, itch_wire_t* wire, ptrdiff_t events) noexcept nogil:
    cdef const itch_layout_t* l = &d.layouts[message[0]]
    cdef ptrdiff_t i
    wire.symbol = 0
    if l.symbol:
        memcpy(&wire.symbol, message + l.symbol, 8)
    wire.locate = be16(message + 1)
    wire.tracking = be16(message + 3)
    wire.type = message[0]
    wire.printable = message[31] if message[0] == c'C' else 0
    wire.pad = 0
    for i in range(1, events):
        wire[i] = wire[0]


# itch_decode_batch; `mapped` is a constant: whether there is a table of ids.
cdef inline ptrdiff_t decode_batch(
    itch_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint mapped
) noexcept nogil:
    cdef const uint8_t* p = data
    cdef const uint8_t* end = data + length
    cdef const uint8_t* close = end - min(length, <size_t> (ITCH_WINDOW + 2))  # behind it a message may end outside
    cdef event_t* e = out
    cdef event_t* full = out + capacity
    cdef const uint32_t* ids = d.ids
    cdef const itch_layout_t* l
    cdef size_t size
    cdef uint64_t skipped = 0
    cdef uint32_t symbol_id
    cdef int result
    d.tally.needed = 0
    while e < full:
        if likely(p < close):
            prefetch(p + 1024)  # the processor's own stops at the end of a page
            # From message to message the way is as short as can be: one byte, whose meaning is checked beside it.
            size = p[1]
            l = &d.layouts[p[2]]
            if likely(size == l.order_length and p[0] == 0):
                symbol_id = be16(p + 3)
                if mapped:
                    symbol_id = ids[symbol_id]
                    if symbol_id == <uint32_t> ITCH_UNWANTED:
                        skipped += 1
                        p += size + 2
                        continue
                if likely((not mapped or symbol_id < <uint32_t> ITCH_UNNAMED) and itch_order(d, l, p + 2, symbol_id, e)):
                    e += 1
                    p += size + 2
                    continue
        elif end - p < 2:
            break
        size = be16(p)
        if <size_t> (end - p) - 2 < size:
            break
        result = itch_decode_careful(d, p + 2, size, p - data, e, <size_t> (full - e))
        if unlikely(result < 0):
            if result == -RESULT_FULL:
                d.tally.needed = d.layouts[p[2]].rare
                break
            if result == -RESULT_NO_MEMORY or d.tally.strict:
                break
            result = 0
        e += result
        p += size + 2
    d.tally.skipped += skipped
    consumed[0] = p - data
    d.tally.position += consumed[0]
    return e - out


cdef ptrdiff_t itch_decode_batch(
    itch_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed
) noexcept nogil:
    if d.ids == NULL:
        return decode_batch(d, data, length, out, capacity, consumed, False)
    return decode_batch(d, data, length, out, capacity, consumed, True)


cdef ptrdiff_t itch_decode_wire(
    itch_decoder_t* d, const uint8_t* data, size_t length, event_t* out, itch_wire_t* wire, size_t capacity, size_t* consumed
) noexcept nogil:
    # Message by message through the other loop, which must not grow for this one.
    cdef size_t at = 0
    cdef size_t events = 0
    cdef size_t size
    cdef size_t used
    cdef ptrdiff_t n
    while events < capacity and length - at >= 2:
        size = be16(data + at) + <size_t> 2
        if length - at < size:
            break
        n = itch_decode_batch(d, data + at, size, &out[events], capacity - events, &used)
        if used == 0:
            break
        if n:
            keep_wire(d, data + at + 2, &wire[events], n)
        events += n
        at += size
    consumed[0] = at
    return <ptrdiff_t> events


# ---- encoding ----

cdef int itch_encoder_init(itch_encoder_t* c, int64_t midnight_ns) noexcept nogil:
    c.midnight_ns = midnight_ns
    memset(c.types, 0, sizeof(c.types))
    c.types[<int> KIND_ADD] = c'A'
    c.types[<int> KIND_EXECUTE] = c'E'
    c.types[<int> KIND_CANCEL] = c'X'
    c.types[<int> KIND_DELETE] = c'D'
    c.types[<int> KIND_REPLACE] = c'U'
    c.types[<int> KIND_TRADE] = c'P'
    c.types[<int> KIND_CROSS] = c'Q'
    c.types[<int> KIND_BREAK] = c'B'
    c.types[<int> KIND_LISTING] = c'R'
    c.types[<int> KIND_STATUS] = c'H'
    c.types[<int> KIND_SYSTEM] = c'S'
    c.types[<int> KIND_IMBALANCE] = c'I'
    c.types[<int> KIND_NOTICE] = c'Y'
    c.symbols = <uint64_t*> fc_alloc(ITCH_LOCATES, sizeof(uint64_t))
    return RESULT_OK if c.symbols != NULL else RESULT_NO_MEMORY


cdef void itch_encoder_free(itch_encoder_t* c) noexcept nogil:
    fc_free(c.symbols)
    c.symbols = NULL


cdef inline void put_letters(uint8_t* p, uint64_t packed, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        p[i] = <uint8_t> (packed >> (8 * i))


cdef inline bint is_letter(int64_t value) noexcept nogil:
    return <uint64_t> value <= 0xFF


cdef inline bint is_price(int64_t value, int64_t most) noexcept nogil:
    """A price that is written as 0 where there is none."""
    return value == NO_PRICE or 0 <= value <= most


cdef inline void put_price(uint8_t* p, int64_t value) noexcept nogil:
    put_be32(p, 0 if value == NO_PRICE else <uint32_t> value)


cdef inline char type_of(const itch_encoder_t* c, const event_t* e, const itch_wire_t* wire) noexcept nogil:
    """The message of an event, 0 for none. By table: a branch for each kind would be missed once more in `encode_order`."""
    cdef char type = c.types[e.kind]
    cdef int64_t letter
    if type == c'A':
        # A and F without an attribution differ on the wire alone.
        return c'A' if e.match_id == 0 and (wire == NULL or wire.type != c'F') else c'F'
    if type == c'E':
        return c'E' if e.price == NO_PRICE else c'C'
    if unlikely(type == c'Y'):
        letter = e.payload[0]
        if not (
            letter == c'Y' or letter == c'L' or letter == c'V' or letter == c'W' or letter == c'K' or letter == c'J'
            or letter == c'h' or letter == c'N' or letter == c'O'
        ):
            return 0
        return <char> letter
    return type


cdef inline bint belong_together(const event_t* e, size_t events) noexcept nogil:
    cdef size_t i
    if ((e.flags & FLAG_CONTINUED) != 0) != (events > 1):
        return False
    for i in range(1, events):
        if (
            e[i].kind != e.kind or e[i].symbol_id != e.symbol_id or e[i].exch_ns != e.exch_ns
            or ((e[i].flags & FLAG_CONTINUED) != 0) != (i + 1 < events)
            or (e.kind == KIND_NOTICE and e[i].payload[0] != e.payload[0])
        ):
            return False
    return True


cdef inline int encode_order(const event_t* e, char type, uint64_t symbol, uint8_t printable, uint8_t* m) noexcept nogil:
    """A, F, E, C, X, D, U, P: the length of the message, or -result code."""
    cdef bint entry = type == c'A' or type == c'F' or type == c'P'
    put_be64(m + 11, <uint64_t> e.order_id)
    if type == c'D':
        return 19
    if unlikely(e.size < 0 or e.size > UINT32_MAX):
        return -RESULT_BAD_SIZE
    if type == c'X':
        put_be32(m + 19, <uint32_t> e.size)
        return 23
    if type == c'E':
        put_be32(m + 19, <uint32_t> e.size)
        put_be64(m + 23, <uint64_t> e.match_id)
        return 31
    if unlikely(e.price < 0 or e.price > UINT32_MAX):
        return -RESULT_BAD_PRICE
    if type == c'C':
        put_be32(m + 19, <uint32_t> e.size)
        put_be64(m + 23, <uint64_t> e.match_id)
        m[31] = printable
        put_be32(m + 32, <uint32_t> e.price)
        return 36
    if type == c'U':
        put_be64(m + 19, <uint64_t> e.new_order_id)
        put_be32(m + 27, <uint32_t> e.size)
        put_be32(m + 31, <uint32_t> e.price)
        return 35
    if unlikely(e.side != 1 and e.side != -1):
        return -RESULT_CORRUPT
    m[19] = c'B' if e.side > 0 else c'S'
    put_be32(m + 20, <uint32_t> e.size)
    put_letters(m + 24, symbol, 8)
    put_be32(m + 32, <uint32_t> e.price)
    if type == c'A':
        return 36
    if type == c'P':
        put_be64(m + 36, <uint64_t> e.match_id)
        return 44
    if unlikely(<uint64_t> e.match_id >> 32):
        return -RESULT_CORRUPT
    put_be32(m + 36, <uint32_t> e.match_id)
    return 40


cdef int encode_session(const event_t* e, char type, uint64_t symbol, uint8_t* m) noexcept nogil:
    """S, R, H, Q, B, I: the length of the message, or -result code."""
    cdef int letter
    if type == c'B':
        put_be64(m + 11, <uint64_t> e.match_id)
        return 19
    if type == c'S':
        letter = letter_of(SESSION_LETTERS, 7, e.payload[0], e.payload[3])
        if unlikely(letter < 0):
            return -RESULT_CORRUPT
        m[11] = <uint8_t> letter
        return 12
    if type == c'R':
        if unlikely(<uint64_t> e.payload[1] > UINT32_MAX):
            return -RESULT_BAD_SIZE
        put_letters(m + 11, <uint64_t> e.payload[0], 8)
        put_letters(m + 19, <uint64_t> e.payload[2], 2)
        put_be32(m + 21, <uint32_t> e.payload[1])
        put_letters(m + 25, <uint64_t> e.payload[2] >> 16, 6)
        put_letters(m + 31, <uint64_t> e.payload[3], 8)
        return 39
    if type == c'H':
        letter = letter_of(TRADING_LETTERS, 5, e.payload[0], e.payload[3])
        if unlikely(letter < 0 or <uint64_t> e.payload[1] > UINT32_MAX or not is_letter(e.payload[2])):
            return -RESULT_CORRUPT
        put_letters(m + 11, symbol, 8)
        m[19] = <uint8_t> letter
        m[20] = <uint8_t> e.payload[2]
        put_be32(m + 21, <uint32_t> e.payload[1])
        return 25
    if unlikely(e.size < 0):
        return -RESULT_BAD_SIZE
    if type == c'Q':
        if unlikely(e.price < 0 or e.price > UINT32_MAX):
            return -RESULT_BAD_PRICE
        if unlikely(not is_letter(e.payload[2])):
            return -RESULT_CORRUPT
        put_be64(m + 11, <uint64_t> e.size)
        put_letters(m + 19, symbol, 8)
        put_be32(m + 27, <uint32_t> e.price)
        put_be64(m + 31, <uint64_t> e.match_id)
        m[39] = <uint8_t> e.payload[2]
        return 40
    # I
    if unlikely(e.payload[2] < 0):
        return -RESULT_BAD_SIZE
    if unlikely(
        not is_price(e.price, UINT32_MAX) or not is_price(e[1].payload[0], UINT32_MAX) or not is_price(e[1].payload[1], UINT32_MAX)
    ):
        return -RESULT_BAD_PRICE
    if unlikely(not is_letter(e.payload[3]) or not is_letter(e[1].payload[2]) or not is_letter(e[1].payload[3])):
        return -RESULT_CORRUPT
    put_be64(m + 11, <uint64_t> e.payload[2])
    put_be64(m + 19, <uint64_t> e.size)
    m[27] = <uint8_t> e[1].payload[2]
    put_letters(m + 28, symbol, 8)
    put_price(m + 36, e[1].payload[0])
    put_price(m + 40, e[1].payload[1])
    put_price(m + 44, e.price)
    m[48] = <uint8_t> e.payload[3]
    m[49] = <uint8_t> e[1].payload[3]
    return 50


cdef int encode_notice(const event_t* e, char type, uint64_t symbol, uint8_t* m) noexcept nogil:
    """Y, L, V, W, K, J, h, N, O: the length of the message, or -result code."""
    cdef const int64_t* p = &e.payload[0]
    cdef int i
    if type == c'V':
        for i in range(3):
            if unlikely(not is_price(p[1 + i], INT64_MAX)):
                return -RESULT_BAD_PRICE
            put_be64(m + 11 + 8 * i, 0 if p[1 + i] == NO_PRICE else <uint64_t> p[1 + i])
        return 35
    if type == c'L':
        if unlikely(<uint64_t> p[1] > UINT32_MAX or <uint64_t> p[2] >> 24):
            return -RESULT_CORRUPT
        put_be32(m + 11, <uint32_t> p[1])
        put_letters(m + 15, symbol, 8)
        put_letters(m + 23, <uint64_t> p[2], 3)
        return 26
    if type == c'W':
        if unlikely(not is_letter(p[1])):
            return -RESULT_CORRUPT
        m[11] = <uint8_t> p[1]
        return 12
    put_letters(m + 11, symbol, 8)
    if type == c'K':
        if unlikely(<uint64_t> p[1] > UINT32_MAX or not is_letter(p[2])):
            return -RESULT_CORRUPT
        if unlikely(not is_price(p[3], UINT32_MAX)):
            return -RESULT_BAD_PRICE
        put_be32(m + 19, <uint32_t> p[1])
        m[23] = <uint8_t> p[2]
        put_price(m + 24, p[3])
        return 28
    if type == c'J':
        if unlikely(<uint64_t> e[1].payload[1] > UINT32_MAX):
            return -RESULT_CORRUPT
        for i in range(3):
            if unlikely(not is_price(p[1 + i], UINT32_MAX)):
                return -RESULT_BAD_PRICE
            put_price(m + 19 + 4 * i, p[1 + i])
        put_be32(m + 31, <uint32_t> e[1].payload[1])
        return 35
    if unlikely(not is_letter(p[1])):
        return -RESULT_CORRUPT
    m[19] = <uint8_t> p[1]
    if type == c'Y' or type == c'N':
        return 20
    if type == c'h':
        if unlikely(not is_letter(p[2])):
            return -RESULT_CORRUPT
        m[20] = <uint8_t> p[2]
        return 21
    # O
    if unlikely(not is_price(p[2], UINT32_MAX)):
        return -RESULT_BAD_PRICE
    for i in range(1, 3):
        if unlikely(not is_price(e[i].payload[1], UINT32_MAX) or not is_price(e[i].payload[2], UINT32_MAX)):
            return -RESULT_BAD_PRICE
    put_price(m + 20, e[1].payload[1])
    put_price(m + 24, e[1].payload[2])
    put_price(m + 28, p[2])
    put_be64(m + 32, <uint64_t> p[3])
    put_price(m + 40, e[2].payload[1])
    put_price(m + 44, e[2].payload[2])
    return 48


cdef inline bint is_order(const event_t* e) noexcept nogil:
    return KIND_TRADE <= e.kind <= KIND_REPLACE  # trade, add, execute, cancel, delete, replace


cdef inline int put_head(uint8_t* out, char type, int length, uint16_t locate, uint16_t tracking, uint64_t time) noexcept nogil:
    """Length prefix and header; returns the bytes of the whole frame."""
    put_be16(out, <uint16_t> length)
    out[2] = <uint8_t> type
    put_be16(out + 3, locate)
    put_be16(out + 5, tracking)
    put_be48(out + 7, time)
    return length + 2


cdef int itch_encode(
    itch_encoder_t* c, const event_t* e, size_t count, const itch_wire_t* wire, uint8_t* out, size_t* used
) noexcept nogil:
    cdef char type
    cdef uint64_t symbol
    cdef uint64_t time
    cdef int length
    if unlikely(not is_order(e) or wire != NULL):
        return itch_encode_rare(c, e, count, wire, out, used)
    used[0] = 1
    type = type_of(c, e, NULL)
    # Unsigned: a time before midnight becomes huge.
    time = <uint64_t> e.exch_ns - <uint64_t> c.midnight_ns
    if unlikely(time >> 48 or e.flags & FLAG_CONTINUED):
        return -RESULT_CORRUPT
    if unlikely(e.symbol_id >= ITCH_LOCATES):
        return -RESULT_UNKNOWN_SYMBOL
    symbol = c.symbols[e.symbol_id]
    if unlikely(symbol == 0 and (type == c'A' or type == c'F' or type == c'P')):
        return -RESULT_UNKNOWN_SYMBOL
    length = encode_order(e, type, symbol, c'N' if e.flags & FLAG_NOT_PRINTABLE else c'Y', out + 2)
    if unlikely(length < 0):
        return length
    return put_head(out, type, length, <uint16_t> e.symbol_id, 0, time)


cdef int itch_encode_rare(
    itch_encoder_t* c, const event_t* e, size_t count, const itch_wire_t* wire, uint8_t* out, size_t* used
) noexcept nogil:
    cdef uint8_t* m = out + 2
    cdef char type = type_of(c, e, wire)
    cdef uint8_t printable = c'N' if e.flags & FLAG_NOT_PRINTABLE else c'Y'
    cdef uint16_t locate = <uint16_t> e.symbol_id
    cdef uint16_t tracking = 0
    cdef uint64_t symbol = 0
    cdef uint64_t time
    cdef size_t events = 1
    cdef bint order = is_order(e)
    cdef bint named
    cdef int length
    used[0] = 1
    if order:
        named = type == c'A' or type == c'F' or type == c'P'
        if unlikely(e.flags & FLAG_CONTINUED):
            return -RESULT_CORRUPT
    else:
        if type == 0:
            return -RESULT_UNKNOWN_TYPE
        named = type != c'S' and type != c'B' and type != c'V' and type != c'W'
        events = 2 if type == c'I' or type == c'J' else 3 if type == c'O' else 1
        if count < events or not belong_together(e, events):
            return -RESULT_CORRUPT
    time = <uint64_t> e.exch_ns - <uint64_t> c.midnight_ns
    if unlikely(time >> 48):
        return -RESULT_CORRUPT
    if wire != NULL:
        if unlikely(wire.type != <uint8_t> type or (type == c'C' and (wire.printable == c'N') != (printable == c'N'))):
            return -RESULT_CORRUPT
        locate = wire.locate
        tracking = wire.tracking
        printable = wire.printable
        memcpy(&symbol, &wire.symbol, 8)
        symbol = key8(<const uint8_t*> &symbol)
    else:
        if unlikely(e.symbol_id >= ITCH_LOCATES):
            return -RESULT_UNKNOWN_SYMBOL
        symbol = <uint64_t> e.payload[0] if type == c'R' else c.symbols[e.symbol_id]
        if unlikely(named and symbol == 0):
            return -RESULT_UNKNOWN_SYMBOL
    if order:
        length = encode_order(e, type, symbol, printable, m)
    elif e.kind == KIND_NOTICE:
        length = encode_notice(e, type, symbol, m)
    else:
        length = encode_session(e, type, symbol, m)
    if unlikely(length < 0):
        return length
    if type == c'R':
        c.symbols[locate] = <uint64_t> e.payload[0]
    used[0] = events
    return put_head(out, type, length, locate, tracking, time)


# ---- Python ----

cdef int checked_locate(object value) except -1:
    return <int> int64_in(value, "locate", 0, ITCH_LOCATES - 1)


cdef str symbol_name(uint64_t key):
    return (<uint64_t> key).to_bytes(8, "little").decode("latin-1").rstrip(" ")


cdef cnp.ndarray check_wire(object wire, Py_ssize_t least, Py_ssize_t most, bint writable):
    """Return `wire` as an array that C may walk through, or raise."""
    cdef cnp.ndarray a = check_rows(wire, "wire", _WIRE_DTYPES, "WIRE_DTYPE", writable)
    if not least <= a.shape[0] <= most:
        raise ValueError(f"wire must have a row for each event: rows={a.shape[0]} events={least}")
    return a


def _table(rows):
    """The stock directory; `rows`: locate, symbol id, and the payload of the listing."""
    table = np.zeros(len(rows), LISTING_DTYPE)
    raw = rows.view(np.uint8)
    table["locate"] = rows[:, 0]
    table["symbol_id"] = rows[:, 1]
    table["round_lot"] = rows[:, 3]
    for at, name in (
        (16, "symbol"), (32, "market"), (33, "status"), (34, "lots_only"), (35, "class"), (36, "subtype"), (38, "authenticity"),
        (39, "threshold"), (40, "ipo"), (41, "luld_tier"), (42, "etp"), (47, "inverse"),
    ):
        size = table.dtype[name].itemsize
        text = np.ascontiguousarray(raw[:, at : at + size]).view(f"S{size}").ravel()
        table[name] = np.char.rstrip(text, b" ") if size > 1 else text
    table["leverage"] = np.ascontiguousarray(raw[:, 43:47]).view(">u4").ravel()
    return table


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


@cython.final
cdef class ItchDecoder(_Decoder):
    """ItchDecoder(midnight_ns=0, strict=False, *, instruments=None, wanted=None)\n--\n\n
    ItchDecoder(midnight_ns=0, strict=False, *, instruments=None, wanted=None)\n--\n
    Decode TotalView-ITCH 5.0 messages into events.

    Parameters
    ----------
    midnight_ns : int, default 0
        Midnight of the day, ns since the UNIX epoch: added to each time of day to give `exch_ns`. In -2**62..2**62.
    strict : bool, default False
        Raise at the first malformed message, instead of counting it and going on with the next one.
    instruments : Instruments, optional
        Gives `symbol_id`, and receives the symbols that it does not know, with `UNITS`. Without it `symbol_id` is the stock locate.
    wanted : iterable of str or bytes, optional
        Symbols whose messages are decoded; those of others are skipped and counted (`skipped`). By default all.

    Attributes
    ----------
    instruments : Instruments or None
    wanted : frozenset of str, or None

    Raises
    ------
    TypeError, ValueError
        If midnight_ns is out of range, or a wanted symbol is no symbol of up to eight bytes.

    Notes
    -----
    What is malformed is said above; so is a stream that ends inside a message. Each case is counted (`errors`) and passed over
    (the length prefix says how far), and the first 64 are kept with their offset (`error_log`).

    A locate gets its id or is skipped from its listing on, or from the first message that has its symbol. Before that, messages
    without a symbol (E, C, X, D, U, B) are of orders that nobody has seen: their `symbol_id` is NO_SYMBOL, and with `wanted` they
    are skipped. With `instruments`, messages of locate 0 concern the whole market, and their `symbol_id` is NO_SYMBOL too.

    **Thread safety**: one thread at a time, and with it whoever adds to the instruments; `decode` releases the GIL.
    """

    def __cinit__(self, midnight_ns=0, strict=False, *, Instruments instruments=None, wanted=None):
        cdef uint32_t locate
        cdef uint32_t unnamed = <uint32_t> ITCH_UNNAMED
        cdef instrument_t* fields
        cdef Instruments own
        self._d = <itch_decoder_t*> fc_alloc(1, sizeof(itch_decoder_t))
        if self._d == NULL or itch_decoder_init(self._d, checked_midnight(midnight_ns), strict) != RESULT_OK:
            raise MemoryError("no memory for the symbols of an ITCH decoder")
        self._tally = &self._d.tally
        self._rule = "ITCH stream must hold whole messages of version 5.0"
        self._items = "events"
        if instruments is not None:
            self.instruments = instruments
            self._d.instruments = instruments._t
            own = Instruments(capacity=1, **UNITS)
            fields = &self._d.fields
            fields[0] = instruments._t.defaults
            fields.tick_size, fields.tick_num, fields.tick_den = own._t.defaults.tick_size, own._t.defaults.tick_num, own._t.defaults.tick_den
            fields.lot_size, fields.increment_ticks = own._t.defaults.lot_size, own._t.defaults.increment_ticks
            fields.low_increment_ticks, fields.low_below_ticks = own._t.defaults.low_increment_ticks, own._t.defaults.low_below_ticks
            memcpy(fields.currency, own._t.defaults.currency, sizeof(fields.currency))
        if wanted is not None:
            if isinstance(wanted, (str, bytes)):
                raise TypeError(f"wanted must be an iterable of symbols, not one: wanted={wanted!r}")
            keys = {wire_key(symbol) for symbol in wanted}
            self.wanted = frozenset(map(key_symbol, keys))
            if keys_open(&self._d.wanted) != RESULT_OK:
                raise MemoryError("no memory for the wanted symbols of an ITCH decoder")
            for key in keys:
                if keys_reserve(&self._d.wanted) != RESULT_OK:
                    raise MemoryError("no memory for the wanted symbols of an ITCH decoder")
                keys_add(&self._d.wanted, key, 0)
        if instruments is not None or wanted is not None:
            self._d.ids = <uint32_t*> fc_alloc(ITCH_LOCATES, sizeof(uint32_t))
            if self._d.ids == NULL:
                raise MemoryError("no memory for the symbol ids of an ITCH decoder")
            for locate in range(<uint32_t> ITCH_LOCATES):
                self._d.ids[locate] = unnamed
            self._d.ids[0] = 0 if instruments is None else NO_SYMBOL

    def __dealloc__(self):
        if self._d != NULL:
            itch_decoder_free(self._d)
            fc_free(self._d)

    def decode(self, data, out, final=False, wire=None):
        """Decode length-prefixed messages.

        Parameters
        ----------
        data : bytes-like
            The stream, or what follows the bytes consumed so far: bytes, memoryview, mmap, contiguous ndarray.
        out : ndarray of EVENT_DTYPE, shape (n,), writable
            Receives the events; `seq` is left alone. With n >= MAX_EVENTS every whole message finds room.
        final : bool, default False
            Nothing follows: a message that is not whole at the end is an error (``short buffer``) and is consumed.
        wire : ndarray of WIRE_DTYPE, shape (m,), m >= n, writable, optional
            Receives, for each event, what its message says besides: with it `ItchEncoder.encode` gives the same bytes.

        Returns
        -------
        (events, consumed) : (int, int)
            Events written to `out`, and bytes of `data` that are done with. Fewer than len(data) when the events of the next
            message do not all fit into `out` (they are never split) or when the last message is not whole: pass the rest
            again, with what follows it.

        Raises
        ------
        CorruptDataError
            In strict mode, at the first malformed message. Attributes `offset` (in the whole stream, of the length
            prefix) and `events` (written to `out` before it).
        ValueError
            If `out` is not empty and too small for the one message at the head of `data`.
        """
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef cnp.ndarray w
        cdef itch_wire_t* rows = NULL
        if wire is not None:
            w = check_wire(wire, a.shape[0], <Py_ssize_t> INT64_MAX, True)
            rows = <itch_wire_t*> cnp.PyArray_DATA(w)
        return self._decode(data, events_data(a), rows, a.shape[0], final)

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, void* out, void* beside, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        cdef itch_decoder_t* d = self._d
        cdef uint64_t failed = d.tally.total
        cdef ptrdiff_t n
        if beside == NULL:
            n = itch_decode_batch(d, data, length, <event_t*> out, capacity, consumed)
        else:
            n = itch_decode_wire(d, data, length, <event_t*> out, <itch_wire_t*> beside, capacity, consumed)
        if final and not (d.tally.strict and d.tally.total != failed):
            tally_cut(&d.tally, data, length, consumed)
        return n

    cdef int _enter(self) except -1:
        enter(&self._busy)
        if self.instruments is not None and not occupy(&self.instruments._busy):
            leave(&self._busy)
            refuse_second()
        return 0

    cdef void _leave(self) noexcept:
        if self.instruments is not None:
            leave(&self.instruments._busy)
        leave(&self._busy)

    cdef int _settle(self) except -1:
        if unlikely(self._d.full):
            self._d.full = False
            raise OverflowError(f"capacity must hold every instrument: capacity={self.instruments.capacity}")
        return 0

    @property
    def listings(self):
        """The stock directory so far: array of LISTING_DTYPE, one row for each listed locate in ascending order."""
        alone(&self._busy)
        cdef int locate
        cdef uint32_t symbol_id
        cdef const itch_decoder_t* d = self._d
        rows = []
        for locate in range(ITCH_LOCATES):
            if d.symbols[locate]:
                symbol_id = locate if d.ids == NULL else d.ids[locate]
                rows.append((
                    locate, symbol_id if symbol_id < <uint32_t> ITCH_UNNAMED else NO_SYMBOL, <int64_t> d.symbols[locate],
                    d.listings[locate].payload[0], d.listings[locate].payload[1], d.listings[locate].payload[2],
                ))
        return _table(np.array(rows, "<i8").reshape(-1, 6))

    def symbol(self, locate):
        """Return the symbol that was listed under a locate (0..65535), None where none was."""
        alone(&self._busy)
        cdef uint64_t key = self._d.symbols[checked_locate(locate)]
        return symbol_name(key) if key else None

    @property
    def symbol_ids(self):
        """Symbol ids by locate, of those that were listed or named by a message and are wanted: a dict, empty without instruments."""
        if self._d.instruments == NULL:
            return {}
        return {i: self._d.ids[i] for i in range(1, ITCH_LOCATES) if self._d.ids[i] < <uint32_t> ITCH_UNNAMED}

    @property
    def symbols(self):
        """Symbols listed so far: dict of locate to name."""
        alone(&self._busy)
        return {i: symbol_name(self._d.symbols[i]) for i in range(ITCH_LOCATES) if self._d.symbols[i]}

    @property
    def midnight_ns(self):
        """Midnight of the day, ns since the UNIX epoch."""
        return self._d.midnight_ns

    def __repr__(self):
        return f"ItchDecoder(symbols={len(self.symbols)}, position={self.position}, counts={self.counts}, errors={self.errors})"


@cython.final
cdef class ItchEncoder:
    """ItchEncoder(midnight_ns=0)\n--\n\n
    Encode events as TotalView-ITCH 5.0 messages.

    Parameters
    ----------
    midnight_ns : int, default 0
        Midnight of the day, subtracted from `exch_ns`. In -2**62..2**62.

    Notes
    -----
    Symbols come from listing events, which must precede the first event of a locate whose message carries a symbol, or from
    `set_symbol`. An add with a match_id becomes F, an execute with a price C. Tracking numbers are 0. Payload that the message
    has no field for is not looked at.

    **Thread safety**: one thread at a time; `encode` releases the GIL.
    """

    def __cinit__(self, midnight_ns=0):
        if itch_encoder_init(&self._c, checked_midnight(midnight_ns)) != RESULT_OK:
            raise MemoryError("no memory for the symbols of an ITCH encoder")

    def __dealloc__(self):
        itch_encoder_free(&self._c)

    def set_symbol(self, locate, symbol):
        """Name a locate (0..65535): 1 to 8 latin-1 characters, padded with spaces on the wire."""
        alone(&self._busy)
        cdef int at = checked_locate(locate)
        raw = symbol.encode("latin-1") if isinstance(symbol, str) else bytes(symbol)
        if not 1 <= len(raw.rstrip(b" ")) <= 8:
            raise ValueError(f"symbol must have 1 to 8 characters: symbol={symbol!r}")
        self._c.symbols[at] = int.from_bytes(raw.rstrip(b" ").ljust(8), "little")

    def encode(self, events, wire=None):
        """Encode events, each message behind its 2-byte length.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
            With all events of each message.
        wire : ndarray of WIRE_DTYPE, shape (n,), optional
            From `ItchDecoder.decode`: the locate, the tracking number, the symbol, F with no attribution, and the printable letter
            come from there; `symbol_id` is not looked at.

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            A price or size outside 0..2**32-1 (a cross, an imbalance: size outside 0..2**63-1; V: outside 0..2**63-1).
        CorruptDataError
            A kind or notice that ITCH has no message for, a time outside the day (2**48 ns), a side that is missing, a field
            beyond its bytes, events of one message that do not follow each other, or a row of `wire` of another type.
        UnknownSymbolError
            A symbol_id beyond 65,535 or without a symbol.
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef cnp.ndarray w
        cdef const event_t* e = events_data(a)
        cdef const itch_wire_t* rows = NULL
        cdef size_t n = a.shape[0]
        cdef size_t i = 0
        cdef size_t at = 0
        cdef size_t used = 0
        cdef int written = 0
        buffer = np.empty(n * ITCH_MAX_FRAME, np.uint8)
        cdef uint8_t* out = <uint8_t*> cnp.PyArray_DATA(buffer)
        if wire is not None:
            w = check_wire(wire, a.shape[0], a.shape[0], False)
            rows = <const itch_wire_t*> cnp.PyArray_DATA(w)
        enter(&self._busy)
        with nogil:
            while i < n:
                written = itch_encode(&self._c, &e[i], n - i, rows + i if rows != NULL else NULL, out + at, &used)
                if unlikely(written < 0):
                    break
                at += written
                i += used
        leave(&self._busy)
        if written < 0:
            raise_result(-written, f"event must fit its ITCH message: index={i} event={events[i]}")
        return buffer[:at].tobytes()

    def __repr__(self):
        return f"ItchEncoder(midnight_ns={self._c.midnight_ns})"
