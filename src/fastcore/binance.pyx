# cython: freethreading_compatible=True
"""Raw Binance WebSocket lines, ``<receive ns> <json>``, to 64-byte events.

One line is one message of a spot, USD-M or COIN-M market stream, alone or inside ``{"stream": ..., "data": ...}``, or a
REST snapshot of the book. The receive time (a whole number of ns and one space) may be missing. What becomes an event:

=========== ======== ====================================================================================================
message     kind     fields
=========== ======== ====================================================================================================
bookTicker  quote    seq = u; bid, ask, bid_size, ask_size = b, a, B, A; an empty side has NO_PRICE and size 0
trade       trade    side from m (m: the buyer rested, +1); price = p, size = q, match_id = t, payload[2] = 0
aggTrade    trade    as trade; match_id = a, payload[2] = f, the first trade that it sums up
depthUpdate level    one for each level: price, size (0 removes it), payload[2] = U, payload[3] = pu, or U - 1 on spot;
                     seq = u; all but the last of a message carry the flag continued
snapshot    clear,   of a REST answer with lastUpdateId, bids and asks: flag snapshot, seq = payload[2] = payload[3] =
            level    lastUpdateId; partial depth streams (``@depth5``, ``10``, ``20``) too
(a break)   gap      payload[0] = first missing update id, payload[1] = how many, -1 where ids are not consecutive (futures)
=========== ======== ====================================================================================================

``exch_ns`` is T (matching engine), else E (event time), in ms or us; a message without either (spot bookTicker and
snapshot) has the latest of its symbol, which is a lower bound, 0 before the first. ``local_ns`` is the receive time.
``symbol_id`` counts symbols in order of appearance unless `BinanceDecoder.set_symbol` says otherwise. A trade that was not
made in the book (X is there and not MARKET) has the flag not_printable; one without price or size is skipped and counted.
A capture of both ``trade`` and ``aggTrade`` streams has every trade twice.

Prices and sizes are decimal strings and become whole multiples of 10**-decimals, exactly: a digit below the last decimal
that is not zero, or a number beyond int64, makes the line malformed.

**The book.** The events can be applied to a book by level as they come. Of the previous id p of a diff (pu, or U - 1) and
the id L that the book is at (lastUpdateId of the image, then u of each diff): u <= L is stale and dropped; p <= L < u
follows; L < p is a break: a ``gap`` event, after which the book is stale until the next image. Diffs that come while
there is no image wait (at most `max_held` events, the oldest give way) and are delivered behind it with their own times,
so times step back there. A snapshot older than the book is dropped. Diffs without levels take part in the chain.
Partial depth images are delivered only for a symbol that has no diffs.

Lines that are no JSON (RFC 8259; escapes are not read, nesting to 64), that repeat a key that counts, or that lack a field or
have one of the wrong type, are counted with their offset and skipped. Other messages are counted as ``other``.

Sources: Binance API documentation, "Web Socket Streams" of spot, USD-M and COIN-M futures; "How to manage a local order
book correctly".
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, UINT32_MAX, int8_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport as_int64
from fastcore._types cimport (
    BUY,
    FLAG_CONTINUED,
    FLAG_NOT_PRINTABLE,
    FLAG_SNAPSHOT,
    KIND_CLEAR,
    KIND_GAP,
    KIND_LEVEL,
    KIND_QUOTE,
    KIND_TRADE,
    NO_PRICE,
    NO_SYMBOL,
    RESULT_BAD_PRICE,
    RESULT_BAD_SIZE,
    RESULT_CORRUPT,
    RESULT_NO_MEMORY,
    RESULT_SHORT_BUFFER,
    RESULT_UNKNOWN_SYMBOL,
    SELL,
    fc_alloc,
    fc_free,
    likely,
    unlikely,
)

from fastcore.errors import RESULTS, CorruptDataError
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["BinanceDecoder"]

cdef extern from "fc_json.h" nogil:
    cdef enum:
        JSON_STRING "FC_JSON_STRING"
        JSON_NUMBER "FC_JSON_NUMBER"
        JSON_TRUE "FC_JSON_TRUE"
        JSON_FALSE "FC_JSON_FALSE"
        JSON_ARRAY "FC_JSON_ARRAY"
        JSON_OBJECT "FC_JSON_OBJECT"
        DECIMAL_OK "FC_DECIMAL_OK"
        DECIMAL_SYNTAX "FC_DECIMAL_SYNTAX"
    uint64_t le64 "fc_le64"(const uint8_t*)
    const uint8_t* json_uint "fc_json_uint"(const uint8_t*, const uint8_t*, int64_t*)
    int json_decimal "fc_decimal"(const uint8_t**, const uint8_t*, int, int64_t*)
    const uint8_t* json_space "fc_json_space"(const uint8_t*, const uint8_t*)
    const uint8_t* json_value "fc_json_value"(const uint8_t*, const uint8_t*)
    const uint8_t* json_span "fc_json_span"(const uint8_t*, const uint8_t*, span_t*)

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
_RESULT_NAMES = {code: name for code, (name, _) in RESULTS.items()}
_TYPES = ("other", "bookTicker", "trade", "aggTrade", "depthUpdate", "snapshot")

# Below this a time is in ms, from it on in us: 2286 and 1970.
cdef int64_t FIRST_MICROSECOND = 10_000_000_000_000


# ---- keys and values ----

cdef inline bint same(const uint8_t* text, size_t length, const char* word, size_t size) noexcept nogil:
    return length == size and memcmp(text, word, size) == 0


cdef int key_of(const uint8_t* text, size_t length) noexcept nogil:
    """The number of a key, K_COUNT for one that means nothing."""
    cdef uint8_t c
    if length == 1:
        c = text[0]
        if c == c'e': return K_e
        if c == c'E': return K_E
        if c == c'T': return K_T
        if c == c's': return K_s
        if c == c'U': return K_U
        if c == c'u': return K_u
        if c == c'b': return K_b
        if c == c'a': return K_a
        if c == c'B': return K_B
        if c == c'A': return K_A
        if c == c'p': return K_p
        if c == c'q': return K_q
        if c == c't': return K_t
        if c == c'm': return K_m
        if c == c'X': return K_X
        if c == c'f': return K_f
        return K_COUNT
    if same(text, length, b"pu", 2): return K_pu
    if same(text, length, b"bids", 4): return K_bids
    if same(text, length, b"asks", 4): return K_asks
    if same(text, length, b"data", 4): return K_data
    if same(text, length, b"stream", 6): return K_stream
    if same(text, length, b"symbol", 6): return K_symbol
    if same(text, length, b"lastUpdateId", 12): return K_lastUpdateId
    return K_COUNT


cdef bint scan_object(const uint8_t* p, const uint8_t* end, span_t* spans, span_t* numbers, int* number_count) noexcept nogil:
    """The values of an object of valid JSON by key; numbers under other keys apart. False: a key that counts comes twice."""
    cdef span_t key, value
    cdef int k
    for k in range(<int> K_COUNT):
        spans[k].type = 0
    number_count[0] = 0
    p = json_space(p + 1, end)
    while p < end and p[0] != c'}':
        p = json_space(json_span(p, end, &key), end)
        p = json_space(json_span(p + 1, end, &value), end)
        k = key_of(key.at, key.length)
        if k != K_COUNT:
            if spans[k].type != 0:
                return False
            spans[k] = value
        elif value.type == JSON_NUMBER:
            if number_count[0] < BINANCE_SLOTS:
                numbers[number_count[0]] = value
            number_count[0] += 1
        if p < end and p[0] == c',':
            p = json_space(p + 1, end)
    return True


cdef inline bint whole_number(binance_decoder_t* d, int k) noexcept nogil:
    """Read the value of a key as a whole number."""
    cdef const uint8_t* end = d.spans[k].at + d.spans[k].length
    return d.spans[k].type == JSON_NUMBER and json_uint(d.spans[k].at, end, &d.v[k]) == end


cdef inline int decimal_of(const span_t* s, int decimals, int64_t* value, int code) noexcept nogil:
    """Read a decimal string: 0, or the negative result code."""
    cdef const uint8_t* p = s.at
    cdef const uint8_t* end = s.at + s.length
    cdef int result
    if s.type != JSON_STRING:
        return -RESULT_CORRUPT
    result = json_decimal(&p, end, decimals, value)
    if result == DECIMAL_SYNTAX or p != end:
        return -RESULT_CORRUPT
    return 0 if result == DECIMAL_OK else -code


cdef inline bint time_ns(int64_t value, int64_t* ns) noexcept nogil:
    if value < FIRST_MICROSECOND:
        if value > INT64_MAX // 1_000_000:
            return False
        ns[0] = value * 1_000_000
    else:
        if value > INT64_MAX // 1_000:
            return False
        ns[0] = value * 1_000
    return True


cdef ptrdiff_t read_levels(
    const span_t* s, int8_t side, int price_decimals, int size_decimals, event_t* out, size_t capacity
) noexcept nogil:
    """Levels of an array of valid JSON: how many; BINANCE_FULL, or a negative result code."""
    cdef const uint8_t* p = s.at
    cdef const uint8_t* end = s.at + s.length
    cdef size_t n = 0
    cdef span_t level, price, size
    cdef int result
    cdef bint full = False
    cdef int64_t price_ticks = 0, size_lots = 0
    if s.type != JSON_ARRAY:
        return -RESULT_CORRUPT
    p = json_space(p + 1, end)
    while p < end and p[0] != c']':
        p = json_space(json_span(p, end, &level), end)
        if level.type != JSON_ARRAY:
            return -RESULT_CORRUPT
        # Valid JSON: what follows stays inside the array even where the array is short.
        memset(&price, 0, sizeof(span_t))
        memset(&size, 0, sizeof(span_t))
        if json_space(level.at + 1, p)[0] != c']':
            level.at = json_space(json_span(level.at + 1, p, &price), p)
            if level.at[0] == c',':
                json_span(level.at + 1, p, &size)
        result = decimal_of(&price, price_decimals, &price_ticks, RESULT_BAD_PRICE)
        if result == 0 and price_ticks == 0:
            result = -RESULT_BAD_PRICE
        if result == 0:
            result = decimal_of(&size, size_decimals, &size_lots, RESULT_BAD_SIZE)
        if result < 0:
            return result
        if n < capacity:
            out[n].price = price_ticks
            out[n].size = size_lots
            out[n].side = side
            n += 1
        else:
            full = True  # the rest is still looked at: a malformed message never asks for room
        if p < end and p[0] == c',':
            p = json_space(p + 1, end)
    return BINANCE_FULL if full else <ptrdiff_t> n


# ---- symbols ----

cdef inline uint64_t hash_words(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    cdef uint64_t h = (a ^ (b << 29 | b >> 35) ^ (c << 51 | c >> 13)) * <uint64_t> 0x9E3779B97F4A7C15
    h ^= (b * <uint64_t> 0xC2B2AE3D27D4EB4F) ^ (c * <uint64_t> 0x165667B19E3779F9)
    h ^= h >> 32
    h *= <uint64_t> 0x9E3779B97F4A7C15
    return h ^ (h >> 29)


cdef uint32_t symbol_index(binance_decoder_t* d, const uint8_t* text, size_t length) noexcept nogil:
    """The index of a symbol, which is new if need be; NO_SYMBOL where it can be none."""
    cdef uint8_t name[BINANCE_NAME]
    cdef uint32_t at, i
    cdef uint32_t* table
    cdef binance_symbol_t* symbols
    if length == 0 or length > BINANCE_NAME:
        return NO_SYMBOL
    memset(name, 0, BINANCE_NAME)
    memcpy(name, text, length)
    at = <uint32_t> hash_words(le64(name), le64(name + 8), le64(name + 16) ^ (le64(name + 24) << 1)) & (d.table_size - 1)
    while d.table[at]:
        i = d.table[at] - 1
        if d.symbols[i].length == length and memcmp(d.symbols[i].name, name, BINANCE_NAME) == 0:
            return i
        at = (at + 1) & (d.table_size - 1)
    if d.symbol_count == BINANCE_MAX_SYMBOLS:
        return NO_SYMBOL
    if d.symbol_count == d.symbol_capacity:
        symbols = <binance_symbol_t*> fc_alloc(2 * d.symbol_capacity, sizeof(binance_symbol_t))
        table = <uint32_t*> fc_alloc(2 * d.table_size, sizeof(uint32_t))
        if symbols == NULL or table == NULL:
            fc_free(symbols)
            fc_free(table)
            d.no_memory = True
            return NO_SYMBOL
        memcpy(symbols, d.symbols, d.symbol_count * sizeof(binance_symbol_t))
        fc_free(d.symbols)
        fc_free(d.table)
        d.symbols = symbols
        d.table = table
        d.symbol_capacity *= 2
        d.table_size *= 2
        for i in range(d.symbol_count):
            at = symbol_hash(&symbols[i]) & (d.table_size - 1)
            while table[at]:
                at = (at + 1) & (d.table_size - 1)
            table[at] = i + 1
        at = <uint32_t> hash_words(le64(name), le64(name + 8), le64(name + 16) ^ (le64(name + 24) << 1)) & (d.table_size - 1)
        while table[at]:
            at = (at + 1) & (d.table_size - 1)
    i = d.symbol_count
    memcpy(d.symbols[i].name, name, BINANCE_NAME)
    d.symbols[i].length = <uint32_t> length
    d.symbols[i].symbol_id = i
    d.symbols[i].price_decimals = d.price_decimals
    d.symbols[i].size_decimals = d.size_decimals
    d.table[at] = i + 1
    d.symbol_count += 1
    return i


cdef inline uint32_t symbol_hash(const binance_symbol_t* s) noexcept nogil:
    return <uint32_t> hash_words(le64(s.name), le64(s.name + 8), le64(s.name + 16) ^ (le64(s.name + 24) << 1))


# ---- the book's chain of updates ----

cdef inline void set_head(
    event_t* e, binance_symbol_t* s, uint8_t kind, uint16_t flags, uint64_t seq, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    e.seq = seq
    e.exch_ns = exch_ns
    e.local_ns = local_ns
    e.symbol_id = s.symbol_id
    e.kind = kind
    e.flags = flags


cdef void finish_levels(
    event_t* e, size_t n, binance_symbol_t* s, uint16_t flags, int64_t seq, int64_t first, int64_t previous, int64_t exch_ns,
    int64_t local_ns
) noexcept nogil:
    """Fill in what all levels of a message share."""
    cdef size_t i
    for i in range(n):
        set_head(&e[i], s, KIND_LEVEL, flags | FLAG_CONTINUED, <uint64_t> seq, exch_ns, local_ns)
        e[i].payload[2] = first
        e[i].payload[3] = previous
    if n:
        e[n - 1].flags = flags


cdef bint hold(
    binance_decoder_t* d, binance_symbol_t* s, const event_t* levels, size_t n, int64_t u, int64_t first, int64_t previous,
    bint has_previous, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    """Keep a diff until an image comes; False: no memory."""
    cdef size_t room, cut
    cdef event_t* grown
    cdef event_t* head
    if n + 1 > d.max_held:
        d.dropped += 1
        return True
    if s.held_events + n + 1 > d.max_held:
        # The oldest go, half of them at least, so that this costs little for each diff.
        cut = 0
        while cut < s.held_events and (s.held_events - cut + n + 1 > d.max_held or s.held_events - cut > d.max_held // 2):
            cut += 1 + <size_t> s.held[cut].payload[0]
            d.dropped += 1
        memmove(s.held, s.held + cut, (s.held_events - cut) * sizeof(event_t))
        s.held_events -= cut
    if s.held_events + n + 1 > s.held_capacity:
        room = max(<size_t> 64, 2 * (s.held_events + n + 1))
        grown = <event_t*> fc_alloc(room, sizeof(event_t))
        if grown == NULL:
            d.no_memory = True
            return False
        if s.held_events:  # from no memory even nothing must not be copied
            memcpy(grown, s.held, s.held_events * sizeof(event_t))
        fc_free(s.held)
        s.held = grown
        s.held_capacity = room
    head = s.held + s.held_events
    memset(head, 0, sizeof(event_t))
    head.seq = <uint64_t> u
    head.exch_ns = exch_ns
    head.local_ns = local_ns
    head.payload[0] = <int64_t> n
    head.payload[1] = previous
    head.payload[2] = first
    head.payload[3] = has_previous
    if n:
        memcpy(head + 1, levels, n * sizeof(event_t))
    finish_levels(head + 1, n, s, 0, u, first, previous, exch_ns, local_ns)
    s.held_events += n + 1
    return True


cdef void write_gap(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, int64_t u, int64_t previous, bint has_previous, int64_t exch_ns,
    int64_t local_ns
) noexcept nogil:
    memset(out, 0, sizeof(event_t))
    set_head(out, s, KIND_GAP, 0, <uint64_t> u, exch_ns, local_ns)
    out.payload[0] = s.last + 1
    out.payload[1] = -1 if has_previous else previous - s.last
    s.live = False
    d.gaps += 1


cdef ptrdiff_t commit_diff(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, size_t n, bint has_previous, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    """Take a diff, whose n levels stand in `out`, into the chain: events to deliver, or a negative result code."""
    cdef int64_t u = d.v[K_u]
    cdef int64_t first = d.v[K_U]
    cdef int64_t previous = d.v[K_pu] if has_previous else first - 1
    if unlikely(u < first or u < previous):
        return -RESULT_CORRUPT
    s.chained = True
    s.exch_ns = exch_ns
    if unlikely(not s.live):
        hold(d, s, out, n, u, first, previous, has_previous, exch_ns, local_ns)
        return 0
    if unlikely(u <= s.last):
        d.stale += 1
        return 0
    if unlikely(previous > s.last):
        hold(d, s, out, n, u, first, previous, has_previous, exch_ns, local_ns)
        write_gap(d, s, out, u, previous, has_previous, exch_ns, local_ns)
        return 1
    s.last = u
    finish_levels(out, n, s, 0, u, first, previous, exch_ns, local_ns)
    return <ptrdiff_t> n


cdef void free_held(binance_symbol_t* s) noexcept nogil:
    fc_free(s.held)
    s.held = NULL
    s.held_events = 0
    s.held_capacity = 0
    s.next = 0


cdef size_t drain(binance_decoder_t* d, event_t* out, size_t capacity) noexcept nogil:
    """Deliver the diffs that waited for an image, as far as they fit."""
    cdef binance_symbol_t* s = &d.symbols[d.drained]
    cdef event_t* head
    cdef size_t n = 0
    cdef size_t levels
    while s.next < s.held_events:
        head = s.held + s.next
        levels = <size_t> head.payload[0]
        if <int64_t> head.seq <= s.last:
            d.stale += 1
        elif head.payload[1] > s.last:
            if n == capacity:
                d.needed = 1
                return n
            write_gap(d, s, out + n, <int64_t> head.seq, head.payload[1], head.payload[3] != 0, head.exch_ns, head.local_ns)
            n += 1
            break
        else:
            if capacity - n < levels:
                d.needed = levels
                return n
            memcpy(out + n, head + 1, levels * sizeof(event_t))
            n += levels
            s.last = <int64_t> head.seq
        s.next += levels + 1
    d.draining = False
    s.held_events -= s.next
    if s.held_events:
        memmove(s.held, s.held + s.next, s.held_events * sizeof(event_t))
        s.next = 0
    else:
        free_held(s)
    return n


# ---- a line, key by key ----

cdef int type_of(binance_decoder_t* d, bint partial) noexcept nogil:
    cdef span_t* e = &d.spans[K_e]
    if e.type == JSON_STRING:
        if same(e.at, e.length, b"bookTicker", 10):
            return TYPE_QUOTE
        if same(e.at, e.length, b"trade", 5):
            return TYPE_TRADE
        if same(e.at, e.length, b"aggTrade", 8):
            return TYPE_AGGREGATE
        if same(e.at, e.length, b"depthUpdate", 11):
            return TYPE_IMAGE if partial else TYPE_DIFF
        return TYPE_OTHER
    if e.type:
        return TYPE_OTHER
    if d.spans[K_lastUpdateId].type and d.spans[K_bids].type and d.spans[K_asks].type:
        return TYPE_IMAGE
    # bookTicker of spot says nothing of itself.
    if (d.spans[K_u].type and d.spans[K_s].type and d.spans[K_b].type and d.spans[K_B].type and d.spans[K_a].type
            and d.spans[K_A].type):
        return TYPE_QUOTE
    return TYPE_OTHER


cdef uint32_t image_symbol(binance_decoder_t* d, const span_t* stream) noexcept nogil:
    """The symbol of an image: s, symbol, the stream's name, what the caller has said, or the only one there is."""
    cdef uint8_t name[BINANCE_NAME]
    cdef size_t i
    cdef const span_t* s = &d.spans[K_s]
    if s.type != JSON_STRING:
        s = &d.spans[K_symbol]
    if s.type == JSON_STRING:
        return symbol_index(d, s.at, s.length)
    if stream.type == JSON_STRING:
        for i in range(stream.length):
            if stream.at[i] == c'@':
                return symbol_index(d, name, i)
            if i == BINANCE_NAME:
                return NO_SYMBOL
            name[i] = stream.at[i] - 32 if c'a' <= stream.at[i] <= c'z' else stream.at[i]
        return NO_SYMBOL
    if d.image_symbol != NO_SYMBOL:
        return d.image_symbol
    return 0 if d.symbol_count == 1 else NO_SYMBOL


cdef bint is_partial(const span_t* stream) noexcept nogil:
    """Whether a stream carries the best levels as images: ``@depth`` and a digit."""
    cdef size_t i
    if stream.type == JSON_STRING:
        for i in range(stream.length):
            if stream.at[i] == c'@':
                return (stream.length - i > 6 and memcmp(stream.at + i, b"@depth", 6) == 0
                        and c'0' <= stream.at[i + 6] <= c'9')
    return False


cdef inline void commit_quote(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    set_head(out, s, KIND_QUOTE, 0, <uint64_t> d.v[K_u], exch_ns, local_ns)
    out.side = 0
    out.bid = d.v[K_b]
    out.bid_size = d.v[K_B]
    out.ask = d.v[K_a]
    out.ask_size = d.v[K_A]
    if unlikely(out.bid == 0 or out.bid_size == 0):
        out.bid = NO_PRICE
        out.bid_size = 0
    if unlikely(out.ask == 0 or out.ask_size == 0):
        out.ask = NO_PRICE
        out.ask_size = 0
    s.exch_ns = exch_ns


cdef inline ptrdiff_t commit_trade(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, int type, uint16_t flags, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    s.exch_ns = exch_ns
    if unlikely(d.v[K_p] == 0 or d.v[K_q] == 0):
        d.skipped += 1
        return 0
    set_head(out, s, KIND_TRADE, flags, 0, exch_ns, local_ns)
    out.side = BUY if d.v[K_m] else SELL
    out.price = d.v[K_p]
    out.size = d.v[K_q]
    out.order_id = d.v[K_f] if type == TYPE_AGGREGATE else 0
    out.match_id = d.v[K_a] if type == TYPE_AGGREGATE else d.v[K_t]
    return 1


cdef ptrdiff_t read_image(
    binance_decoder_t* d, const span_t* stream, bint partial, event_t* out, size_t capacity, int64_t local_ns
) noexcept nogil:
    cdef int bids = K_bids
    cdef int asks = K_asks
    cdef int id_key = K_lastUpdateId
    cdef uint32_t index
    cdef binance_symbol_t* s
    cdef int64_t exch_ns
    cdef ptrdiff_t n, more
    cdef int64_t id_
    if d.spans[K_e].type:  # a partial depth message of a futures market
        bids = K_b
        asks = K_a
        id_key = K_u
    if not whole_number(d, id_key):
        return -RESULT_CORRUPT
    id_ = d.v[id_key]
    index = image_symbol(d, stream)
    if index == NO_SYMBOL:
        return -RESULT_UNKNOWN_SYMBOL
    s = &d.symbols[index]
    exch_ns = s.exch_ns
    if not message_time(d, &exch_ns):
        return -RESULT_CORRUPT
    n = read_levels(&d.spans[bids], BUY, s.price_decimals, s.size_decimals, out + 1, capacity - 1)
    if n < 0 and n != BINANCE_FULL:
        return n
    if n == BINANCE_FULL:
        more = read_levels(&d.spans[asks], SELL, s.price_decimals, s.size_decimals, out, 0)
        return more if more < 0 else BINANCE_FULL
    more = read_levels(&d.spans[asks], SELL, s.price_decimals, s.size_decimals, out + 1 + n, capacity - 1 - n)
    if more < 0:
        return more
    n += more
    s.exch_ns = exch_ns
    if partial and s.chained:
        d.counts[TYPE_OTHER] += 1
        return 0
    d.counts[TYPE_IMAGE] += 1
    if s.live and id_ < s.last:
        d.stale_images += 1
        return 0
    set_head(out, s, KIND_CLEAR, FLAG_SNAPSHOT | (FLAG_CONTINUED if n else 0), <uint64_t> id_, exch_ns, local_ns)
    out.side = 0
    out.payload[0] = 0
    out.payload[1] = 0
    out.payload[2] = id_
    out.payload[3] = id_
    finish_levels(out + 1, n, s, FLAG_SNAPSHOT, id_, id_, id_, exch_ns, local_ns)
    s.live = True
    s.last = id_
    if s.held_events:
        d.draining = True
        d.drained = index
        s.next = 0
    return n + 1


cdef inline bint message_time(binance_decoder_t* d, int64_t* exch_ns) noexcept nogil:
    """T, else E, else what is there; False: no time."""
    cdef int k = K_T if d.spans[K_T].type else K_E
    if not d.spans[k].type:
        return True
    return whole_number(d, k) and time_ns(d.v[k], exch_ns)


cdef ptrdiff_t read_line(
    binance_decoder_t* d, const uint8_t* line, const uint8_t* end, event_t* out, size_t capacity
) noexcept nogil:
    """A line without its '\\n': events, BINANCE_FULL, or a negative result code."""
    cdef const uint8_t* p = line
    cdef const uint8_t* json
    cdef span_t numbers[BINANCE_SLOTS]
    cdef span_t stream
    cdef int number_count
    cdef int64_t local_ns = 0
    cdef int64_t exch_ns
    cdef bint partial
    cdef bint has_previous
    cdef int type
    cdef int result
    cdef uint32_t index
    cdef binance_symbol_t* s
    cdef ptrdiff_t n, more
    cdef uint16_t flags = 0
    if end > p and (end - 1)[0] == c'\r':
        end -= 1
    if p == end:
        return 0
    if p[0] != c'{':
        p = json_uint(p, end, &local_ns)
        if p == NULL or p == end or p[0] != c' ':
            return -RESULT_CORRUPT
        p += 1
    if memchr(line, c'\\', end - line) != NULL:
        return -RESULT_CORRUPT
    json = json_space(p, end)
    if json == end or json[0] != c'{':
        return -RESULT_CORRUPT
    p = json_value(json, end)
    if p == NULL or json_space(p, end) != end:
        return -RESULT_CORRUPT
    if not scan_object(json, end, d.spans, numbers, &number_count):
        return -RESULT_CORRUPT
    memset(&stream, 0, sizeof(span_t))
    if d.spans[K_stream].type == JSON_STRING and d.spans[K_data].type:
        stream = d.spans[K_stream]
        if d.spans[K_data].type != JSON_OBJECT:
            d.counts[TYPE_OTHER] += 1
            return 0
        p = d.spans[K_data].at
        if not scan_object(p, p + d.spans[K_data].length, d.spans, numbers, &number_count):
            return -RESULT_CORRUPT
    partial = is_partial(&stream)
    type = type_of(d, partial)
    if type == TYPE_OTHER:
        d.counts[TYPE_OTHER] += 1
        return 0
    if type == TYPE_IMAGE:
        return read_image(d, &stream, partial, out, capacity, local_ns)

    if d.spans[K_s].type != JSON_STRING:
        return -RESULT_CORRUPT
    index = symbol_index(d, d.spans[K_s].at, d.spans[K_s].length)
    if index == NO_SYMBOL:
        return -RESULT_UNKNOWN_SYMBOL
    s = &d.symbols[index]
    exch_ns = s.exch_ns
    if not message_time(d, &exch_ns):
        return -RESULT_CORRUPT
    has_previous = False
    n = 0
    if type == TYPE_QUOTE:
        if not whole_number(d, K_u):
            return -RESULT_CORRUPT
        result = decimal_of(&d.spans[K_b], s.price_decimals, &d.v[K_b], RESULT_BAD_PRICE)
        if result == 0:
            result = decimal_of(&d.spans[K_B], s.size_decimals, &d.v[K_B], RESULT_BAD_SIZE)
        if result == 0:
            result = decimal_of(&d.spans[K_a], s.price_decimals, &d.v[K_a], RESULT_BAD_PRICE)
        if result == 0:
            result = decimal_of(&d.spans[K_A], s.size_decimals, &d.v[K_A], RESULT_BAD_SIZE)
        if result < 0:
            return result
        commit_quote(d, s, out, exch_ns, local_ns)
        n = 1
    elif type == TYPE_DIFF:
        has_previous = d.spans[K_pu].type != 0
        if not whole_number(d, K_U) or not whole_number(d, K_u) or (has_previous and not whole_number(d, K_pu)):
            return -RESULT_CORRUPT
        n = read_levels(&d.spans[K_b], BUY, s.price_decimals, s.size_decimals, out, capacity)
        if n < 0 and n != BINANCE_FULL:
            return n
        if n == BINANCE_FULL:
            more = read_levels(&d.spans[K_a], SELL, s.price_decimals, s.size_decimals, out, 0)
            return more if more < 0 else BINANCE_FULL
        more = read_levels(&d.spans[K_a], SELL, s.price_decimals, s.size_decimals, out + n, capacity - n)
        if more < 0:
            return more
        n = commit_diff(d, s, out, n + more, has_previous, exch_ns, local_ns)
        if n < 0:
            return n
    else:
        if type == TYPE_TRADE:
            if not whole_number(d, K_t):
                return -RESULT_CORRUPT
        elif not whole_number(d, K_a) or not whole_number(d, K_f):
            return -RESULT_CORRUPT
        result = decimal_of(&d.spans[K_p], s.price_decimals, &d.v[K_p], RESULT_BAD_PRICE)
        if result == 0:
            result = decimal_of(&d.spans[K_q], s.size_decimals, &d.v[K_q], RESULT_BAD_SIZE)
        if result < 0:
            return result
        if d.spans[K_m].type != JSON_TRUE and d.spans[K_m].type != JSON_FALSE:
            return -RESULT_CORRUPT
        d.v[K_m] = d.spans[K_m].type == JSON_TRUE
        if d.spans[K_X].type and not (
            d.spans[K_X].type == JSON_STRING and same(d.spans[K_X].at, d.spans[K_X].length, b"MARKET", 6)
        ):
            flags = FLAG_NOT_PRINTABLE
        n = commit_trade(d, s, out, type, flags, exch_ns, local_ns)
    d.counts[type] += 1
    if number_count <= BINANCE_SLOTS:
        learn(d, json, end, type, index, flags, has_previous, numbers, number_count)
    return n


# ---- a line by its form ----

cdef void learn(
    binance_decoder_t* d, const uint8_t* json, const uint8_t* end, int type, uint32_t index, uint16_t flags,
    bint has_previous, const span_t* numbers, int number_count
) noexcept nogil:
    """Keep the form of a line that was read key by key, for the lines like it that follow."""
    cdef span_t values[64]
    cdef int kinds[64]
    cdef int fields[64]
    cdef int n = 0
    cdef int i, k, kind
    cdef span_t value
    cdef binance_form_t* f
    cdef binance_form_t** place
    cdef binance_slot_t* slot
    cdef const uint8_t* p = json
    cdef size_t text = 0
    cdef size_t length
    for i in range(<int> K_COUNT + number_count):
        value = d.spans[i] if i < K_COUNT else numbers[i - K_COUNT]
        k = i if i < K_COUNT else 0
        if i >= K_COUNT:
            kind = SLOT_SKIP
        elif value.type == JSON_NUMBER:
            kind = SLOT_SKIP
            if k == K_T or (k == K_E and not d.spans[K_T].type):
                kind = SLOT_INTEGER
            elif type == TYPE_TRADE:
                if k == K_t: kind = SLOT_INTEGER
            elif type == TYPE_AGGREGATE:
                if k == K_a or k == K_f: kind = SLOT_INTEGER
            elif k == K_u or k == K_U or k == K_pu:
                kind = SLOT_INTEGER
        elif value.type == JSON_STRING and type == TYPE_QUOTE and (k == K_b or k == K_a):
            kind = SLOT_PRICE
        elif value.type == JSON_STRING and type == TYPE_QUOTE and (k == K_B or k == K_A):
            kind = SLOT_SIZE
        elif value.type == JSON_STRING and type != TYPE_QUOTE and type != TYPE_DIFF and k == K_p:
            kind = SLOT_PRICE
        elif value.type == JSON_STRING and type != TYPE_QUOTE and type != TYPE_DIFF and k == K_q:
            kind = SLOT_SIZE
        elif value.type == JSON_ARRAY and type == TYPE_DIFF and (k == K_b or k == K_a):
            kind = SLOT_LEVELS
        elif k == K_m and type != TYPE_QUOTE and type != TYPE_DIFF:
            kind = SLOT_FLAG
        else:
            continue
        if n == BINANCE_SLOTS - 1:
            return
        # In the order of the line.
        k = n
        while k > 0 and values[k - 1].at > value.at:
            values[k] = values[k - 1]
            kinds[k] = kinds[k - 1]
            fields[k] = fields[k - 1]
            k -= 1
        values[k] = value
        kinds[k] = kind
        fields[k] = i if i < K_COUNT else 0
        n += 1
    # The fixed text must fit, padded to words and with a word to spare.
    for i in range(n + 1):
        length = (values[i].at if i < n else end) - p
        text += (length & ~<size_t> 7) + 8
        if i < n:
            p = values[i].at + values[i].length
    if text > BINANCE_TEXT:
        return
    place = form_place(d, json, end)
    if place == NULL:
        place = &d.recent[d.recent_next & (BINANCE_RECENT - 1)]
        d.recent_next += 1
    if place[0] == NULL:
        place[0] = <binance_form_t*> fc_alloc(1, sizeof(binance_form_t))
        if place[0] == NULL:
            return  # lines are read key by key then
    f = place[0]
    memset(f, 0, sizeof(binance_form_t))
    f.symbol = index
    f.flags = flags
    f.type = <uint8_t> type
    f.time_field = K_T if d.spans[K_T].type else K_E if d.spans[K_E].type else K_COUNT
    f.has_previous = has_previous
    p = json
    text = 0
    for i in range(n + 1):
        slot = &f.slot[i]
        length = (values[i].at if i < n else end) - p
        slot.text = <uint16_t> text
        slot.length = <uint16_t> length
        slot.words = <uint16_t> (length >> 3)
        slot.mask = (<uint64_t> 1 << (8 * (length & 7))) - 1
        slot.kind = <uint8_t> kinds[i] if i < n else SLOT_END
        slot.field = <uint8_t> fields[i] if i < n else 0
        memcpy(f.text + text, p, length)
        text += (length & ~<size_t> 7) + 8
        if i < n:
            p = values[i].at + values[i].length
    f.slots = <uint8_t> (n + 1)


cdef inline binance_form_t** form_place(binance_decoder_t* d, const uint8_t* json, const uint8_t* end) noexcept nogil:
    """Where the form of a line of a combined stream belongs, NULL for another line."""
    cdef uint64_t h
    if end - json < 40 or le64(json) != le64(<const uint8_t*> b'{"stream'):
        return NULL
    h = hash_words(le64(json + 11), le64(json + 19), le64(json + 27))
    return &d.forms[h & (BINANCE_FORMS - 1)]


cdef const uint8_t* form_levels(
    const uint8_t* p, const uint8_t* end, int8_t side, int price_decimals, int size_decimals, event_t* out, size_t capacity,
    size_t* count
) noexcept nogil:
    """Levels written the way Binance writes them, added to `count`: the place behind, NULL otherwise or where they do not fit."""
    cdef size_t n = count[0]
    cdef int64_t price, size
    if end - p < 2 or p[0] != c'[':
        return NULL
    if p[1] == c']':
        return p + 2
    while True:
        p += 1
        if unlikely(end - p < 2 or p[0] != c'[' or p[1] != c'"' or n == capacity):
            return NULL
        p += 2
        if unlikely(json_decimal(&p, end, price_decimals, &price) != DECIMAL_OK):
            return NULL
        if unlikely(end - p < 3 or p[0] != c'"' or p[1] != c',' or p[2] != c'"' or price == 0):
            return NULL
        p += 3
        if unlikely(json_decimal(&p, end, size_decimals, &size) != DECIMAL_OK):
            return NULL
        if unlikely(end - p < 3 or p[0] != c'"' or p[1] != c']'):  # one byte more, which is looked at below
            return NULL
        out[n].price = price
        out[n].size = size
        out[n].side = side
        n += 1
        p += 2
        if p[0] != c',':
            break
    if unlikely(p[0] != c']'):
        return NULL
    count[0] = n
    return p + 1


cdef ptrdiff_t read_form(
    binance_decoder_t* d, const binance_form_t* f, const uint8_t* p, const uint8_t* end, event_t* out, size_t capacity,
    int64_t local_ns, const uint8_t** next
) noexcept nogil:
    """A line by its form: events, BINANCE_MISS where it differs in anything, or a negative result code."""
    cdef binance_symbol_t* s = &d.symbols[f.symbol]
    cdef const binance_slot_t* slot = &f.slot[0]
    cdef const uint8_t* text
    cdef int64_t exch_ns = s.exch_ns
    cdef int64_t ignored
    cdef size_t levels = 0
    cdef int words
    cdef ptrdiff_t n
    while True:
        text = f.text + slot.text
        # One word more than the text has, for the masked load.
        if unlikely(end - p < slot.length + 8):
            return BINANCE_MISS
        words = slot.words
        while words > 0:
            if unlikely(le64(p) != le64(text)):
                return BINANCE_MISS
            p += 8
            text += 8
            words -= 1
        if unlikely((le64(p) ^ le64(text)) & slot.mask):
            return BINANCE_MISS
        p += slot.length & 7
        if slot.kind == SLOT_PRICE:
            if unlikely(json_decimal(&p, end, s.price_decimals, &d.v[slot.field]) != DECIMAL_OK):
                return BINANCE_MISS
        elif slot.kind == SLOT_SIZE:
            if unlikely(json_decimal(&p, end, s.size_decimals, &d.v[slot.field]) != DECIMAL_OK):
                return BINANCE_MISS
        elif slot.kind == SLOT_INTEGER:
            p = json_uint(p, end, &d.v[slot.field])
            if unlikely(p == NULL):
                return BINANCE_MISS
        elif slot.kind == SLOT_SKIP:
            p = json_uint(p, end, &ignored)
            if unlikely(p == NULL):
                return BINANCE_MISS
        elif slot.kind == SLOT_FLAG:
            if end - p >= 5 and memcmp(p, b"true", 4) == 0:
                d.v[slot.field] = 1
                p += 4
            elif end - p >= 5 and memcmp(p, b"false", 5) == 0:
                d.v[slot.field] = 0
                p += 5
            else:
                return BINANCE_MISS
        elif slot.kind == SLOT_LEVELS:
            p = form_levels(p, end, BUY if slot.field == K_b else SELL, s.price_decimals, s.size_decimals, out, capacity, &levels)
            if unlikely(p == NULL):
                return BINANCE_MISS
        else:
            break
        slot += 1
    if unlikely(p >= end or p[0] != c'\n'):
        return BINANCE_MISS
    next[0] = p + 1
    if f.time_field != K_COUNT and unlikely(not time_ns(d.v[f.time_field], &exch_ns)):
        return BINANCE_MISS
    if f.type == TYPE_QUOTE:
        commit_quote(d, s, out, exch_ns, local_ns)
        n = 1
    elif f.type == TYPE_DIFF:
        n = commit_diff(d, s, out, levels, f.has_previous, exch_ns, local_ns)
        if unlikely(n < 0):
            return n
    else:
        n = commit_trade(d, s, out, f.type, f.flags, exch_ns, local_ns)
    d.counts[f.type] += 1
    return n


cdef inline ptrdiff_t read_quickly(
    binance_decoder_t* d, const uint8_t* p, const uint8_t* end, event_t* out, size_t capacity, const uint8_t** next
) noexcept nogil:
    cdef int64_t local_ns = 0
    cdef binance_form_t** place
    cdef ptrdiff_t n
    cdef int i
    if p[0] != c'{':
        p = json_uint(p, end, &local_ns)
        if unlikely(p == NULL or p == end or p[0] != c' '):
            return BINANCE_MISS
        p += 1
    place = form_place(d, p, end)
    if likely(place != NULL):
        if unlikely(place[0] == NULL):
            return BINANCE_MISS
        return read_form(d, place[0], p, end, out, capacity, local_ns, next)
    for i in range(BINANCE_RECENT):
        if d.recent[i] != NULL:
            n = read_form(d, d.recent[i], p, end, out, capacity, local_ns, next)
            if n != BINANCE_MISS:
                return n
    return BINANCE_MISS


# ---- batches ----

cdef void binance_fail(binance_decoder_t* d, uint64_t offset, int code) noexcept nogil:
    d.errors[code] += 1
    d.last.offset = d.position + offset
    d.last.code = code
    if d.total_errors < BINANCE_ERROR_LOG:
        d.log[d.total_errors] = d.last
    d.total_errors += 1


cdef size_t count_brackets(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """No fewer than the events of a line."""
    cdef size_t n = 0
    while p < end:
        n += p[0] == c'['
        p += 1
    return n


cdef ptrdiff_t binance_decode_batch(
    binance_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint final
) noexcept nogil:
    cdef const uint8_t* p = data
    cdef const uint8_t* end = data + length
    cdef const uint8_t* line_end
    cdef const uint8_t* next = NULL
    cdef size_t n = 0
    cdef ptrdiff_t result
    d.needed = 0
    if d.draining:
        n = drain(d, out, capacity)
    while not d.draining and p < end:
        if unlikely(n == capacity):
            d.needed = 1
            break
        result = read_quickly(d, p, end, out + n, capacity - n, &next)
        if unlikely(result == BINANCE_MISS):
            line_end = <const uint8_t*> memchr(p, c'\n', end - p)
            if line_end == NULL:
                if not final:
                    break
                line_end = end
            result = read_line(d, p, line_end, out + n, capacity - n)
            if result == BINANCE_FULL:
                d.needed = max(count_brackets(p, line_end), capacity - n + 1)
                break
            next = line_end + 1 if line_end < end else end
        if unlikely(d.no_memory):
            break
        if unlikely(result < 0):
            binance_fail(d, p - data, <int> -result)
            if d.strict:
                break
            result = 0
        n += <size_t> result
        p = next
        if unlikely(d.draining):
            n += drain(d, out + n, capacity - n)
    consumed[0] = p - data
    d.position += p - data
    return <ptrdiff_t> n


# ---- the Python face ----

cdef int checked_decimals(object value, str name) except -1:
    cdef int64_t decimals = as_int64(value)
    if not 0 <= decimals <= 18:
        raise ValueError(f"{name} must lie in 0..18: {name}={value}")
    return <int> decimals


cdef object raise_last(binance_decoder_t* d, Py_ssize_t events):
    error = CorruptDataError(
        f"{_RESULT_NAMES[d.last.code]}: a line must be a Binance message: offset={d.last.offset}"
    )
    error.offset = d.last.offset
    error.events = events
    raise error


@cython.final
cdef class BinanceDecoder:
    """Decode lines of Binance WebSocket captures into events.

    Parameters
    ----------
    price_decimals, size_decimals : int, default 8
        0..18: a tick is 10**-price_decimals of the quote currency, a lot 10**-size_decimals of the unit traded. Symbols may have
        their own (`set_symbol`).
    strict : bool, default False
        A malformed line raises.
    image_symbol : str, optional
        Whose the snapshots are that name no symbol (REST answers of spot and USD-M). By default the only symbol of the
        stream; where there are several, such a snapshot is an error (``unknown symbol``).
    max_held : int, default 65,536
        Events of a symbol that wait for its image, at most.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If an argument is out of range.

    Notes
    -----
    The first line of a kind is read key by key; its form (the text between its values) is kept, and lines of the same form are
    then compared and read in one pass. Any order of keys, unknown keys and a changed form are read key by key again.
    One decoder is for one market: the same symbol of spot and futures would be one book.

    **Thread safety**: one thread at a time; `decode` releases the GIL.
    """

    def __cinit__(self, price_decimals=8, size_decimals=8, strict=False, image_symbol=None, max_held=65_536):
        cdef binance_decoder_t* d
        cdef int64_t held = as_int64(max_held)
        if not 1 <= held <= 1 << 30:
            raise ValueError(f"max_held must lie in 1..2**30: max_held={max_held}")
        self._d = d = <binance_decoder_t*> fc_alloc(1, sizeof(binance_decoder_t))
        if d == NULL:
            raise MemoryError("no memory for a Binance decoder")
        d.price_decimals = checked_decimals(price_decimals, "price_decimals")
        d.size_decimals = checked_decimals(size_decimals, "size_decimals")
        d.strict = strict
        d.max_held = <size_t> held
        d.image_symbol = NO_SYMBOL
        d.symbol_capacity = 16
        d.table_size = 64
        d.symbols = <binance_symbol_t*> fc_alloc(d.symbol_capacity, sizeof(binance_symbol_t))
        d.table = <uint32_t*> fc_alloc(d.table_size, sizeof(uint32_t))
        d.forms = <binance_form_t**> fc_alloc(BINANCE_FORMS, sizeof(binance_form_t*))
        if d.symbols == NULL or d.table == NULL or d.forms == NULL:
            raise MemoryError("no memory for a Binance decoder")
        if image_symbol is not None:
            d.image_symbol = self._index(image_symbol)

    def __dealloc__(self):
        cdef uint32_t i
        cdef binance_decoder_t* d = self._d
        if d == NULL:
            return
        if d.symbols != NULL:
            for i in range(d.symbol_count):
                fc_free(d.symbols[i].held)
        if d.forms != NULL:
            for i in range(<uint32_t> BINANCE_FORMS):
                fc_free(d.forms[i])
        for i in range(<uint32_t> BINANCE_RECENT):
            fc_free(d.recent[i])
        fc_free(d.symbols)
        fc_free(d.table)
        fc_free(d.forms)
        fc_free(d)

    cdef uint32_t _index(self, object symbol) except? 0xFFFFFFFF:
        cdef bytes raw
        cdef uint32_t index
        if not isinstance(symbol, str):
            raise TypeError(f"symbol must be a str: type={type(symbol).__name__}")
        raw = symbol.encode()
        index = symbol_index(self._d, <const uint8_t*> <const char*> raw, len(raw))
        if index == NO_SYMBOL:
            if self._d.no_memory:
                raise MemoryError("no memory for the symbols of a Binance decoder")
            raise ValueError(f"symbol must have 1 to 32 bytes, and there are at most 65,536: symbol={symbol!r}")
        return index

    def set_symbol(self, symbol, symbol_id=None, price_decimals=None, size_decimals=None):
        """Say what a symbol has that differs from the default; before its first message.

        Parameters
        ----------
        symbol : str
        symbol_id : int, optional
            0..2**32-1; by default its number in order of appearance.
        price_decimals, size_decimals : int, optional
        """
        cdef uint32_t index = self._index(symbol)
        cdef binance_symbol_t* s = &self._d.symbols[index]
        cdef int price = s.price_decimals if price_decimals is None else checked_decimals(price_decimals, "price_decimals")
        cdef int size = s.size_decimals if size_decimals is None else checked_decimals(size_decimals, "size_decimals")
        cdef int64_t id_ = s.symbol_id if symbol_id is None else as_int64(symbol_id)
        if not 0 <= id_ <= UINT32_MAX:
            raise ValueError(f"symbol_id must lie in 0..2**32-1: symbol_id={symbol_id}")
        s.symbol_id = <uint32_t> id_
        s.price_decimals = price
        s.size_decimals = size

    def decode(self, data, out, final=False):
        """Decode lines.

        Parameters
        ----------
        data : bytes-like
            The stream, or what follows the bytes consumed so far; may be empty, to take what is `pending`.
        out : ndarray of EVENT_DTYPE, shape (n,), writable
            Receives the events; what lies behind them is unspecified. A message is never split: n must hold the largest
            one, of a snapshot with k levels k + 1 events (REST answers have up to 10,000 levels).
        final : bool, default False
            Nothing follows: what stands behind the last line end is a line too.

        Returns
        -------
        (events, consumed) : (int, int)
            Events written to `out`, and bytes of `data` that are done with. Fewer than len(data) when the next message does
            not fit or the last line has no end: pass the rest again. Diffs that waited for an image may still be `pending`
            when all bytes are consumed: call again, with an empty `out`.

        Raises
        ------
        ValueError
            If `out` is too small for one message; `needed` says how many events are enough. Nothing is lost.
        CorruptDataError
            In strict mode, at the first malformed line. Attributes `offset` (of the line in the whole stream) and `events`
            (written to `out` before it).
        """
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef event_t* events = events_data(a)
        cdef size_t capacity = a.shape[0]
        cdef size_t consumed = 0
        cdef ptrdiff_t n
        cdef binance_decoder_t* d = self._d
        cdef uint64_t failed = d.total_errors
        cdef bint at_end = final
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                n = binance_decode_batch(d, <const uint8_t*> view.buf, view.len, events, capacity, &consumed, at_end)
        finally:
            PyBuffer_Release(&view)
        if unlikely(d.no_memory):
            d.no_memory = False
            raise MemoryError("no memory for the symbols and waiting diffs of a Binance decoder")
        if unlikely(d.strict and d.total_errors != failed):
            raise_last(d, n)
        if unlikely(n == 0 and consumed == 0 and d.needed):
            raise ValueError(f"out must hold the events of one message: capacity={capacity} needed={d.needed}")
        return n, consumed

    @property
    def pending(self):
        """Events of diffs that waited for their image and did not fit into the last array."""
        cdef binance_symbol_t* s
        if not self._d.draining:
            return 0
        s = &self._d.symbols[self._d.drained]
        return s.held_events - s.next

    @property
    def needed(self):
        """Size that an array must have for the message that did not fit, about; 0 when all did."""
        return self._d.needed

    @property
    def strict(self):
        """Whether a malformed line raises."""
        return bool(self._d.strict)

    @property
    def position(self):
        """Bytes of the stream consumed so far."""
        return self._d.position

    @property
    def symbols(self):
        """Symbols so far: dict of symbol id to (name, price_decimals, size_decimals)."""
        cdef uint32_t i
        cdef binance_symbol_t* s
        names = {}
        for i in range(self._d.symbol_count):
            s = &self._d.symbols[i]
            names[s.symbol_id] = ((<bytes> s.name[:s.length]).decode("utf-8", "replace"), s.price_decimals, s.size_decimals)
        return names

    @property
    def counts(self):
        """Well-formed messages by type, ``other`` those that make no event: dict of str to int without zeros."""
        return {name: self._d.counts[i] for i, name in enumerate(_TYPES) if self._d.counts[i]}

    @property
    def errors(self):
        """Malformed lines by reason: dict of str to int without zeros."""
        return {name: self._d.errors[code] for code, name in _RESULT_NAMES.items() if self._d.errors[code]}

    @property
    def error_log(self):
        """The first 64 malformed lines: list of (offset of the line, reason)."""
        return [
            (self._d.log[i].offset, _RESULT_NAMES[self._d.log[i].code])
            for i in range(<int> min(self._d.total_errors, <uint64_t> BINANCE_ERROR_LOG))
        ]

    @property
    def skipped(self):
        """Trades without a price or a size."""
        return self._d.skipped

    @property
    def stale(self):
        """Diffs that were dropped because the book had them already."""
        return self._d.stale

    @property
    def stale_images(self):
        """Snapshots that were dropped because the book was newer."""
        return self._d.stale_images

    @property
    def held(self):
        """Events of diffs, and one for each diff, that wait for an image now."""
        cdef uint32_t i
        return sum(self._d.symbols[i].held_events - self._d.symbols[i].next for i in range(self._d.symbol_count))

    @property
    def dropped(self):
        """Diffs that waited for an image and gave way to newer ones."""
        return self._d.dropped

    @property
    def gaps(self):
        """Breaks in the chains of updates so far."""
        return self._d.gaps
