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
from libc.stdint cimport INT64_MAX, int8_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from fastcore._integers cimport as_int64
from fastcore.wire._lines cimport (
    DECIMAL_OK,
    JSON_ARRAY,
    JSON_FALSE,
    JSON_NUMBER,
    JSON_OBJECT,
    JSON_STRING,
    JSON_TRUE,
    LINES_FULL,
    LINES_NAME,
    decimal_of,
    elements,
    hash_words,
    json_decimal,
    json_uint,
    le64,
    lines_fail,
    next_member,
    next_value,
    same,
    set_head,
    symbol_index,
    whole_json,
)
from fastcore.records cimport (
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
    RESULT_UNKNOWN_SYMBOL,
    SELL,
    fc_alloc,
    fc_free,
    likely,
    unlikely,
)

__all__ = ["BinanceDecoder"]

_TYPES = ("other", "bookTicker", "trade", "aggTrade", "depthUpdate", "snapshot")

# Below this a time is in ms, from it on in us: 2286 and 1970.
cdef int64_t FIRST_MICROSECOND = 10_000_000_000_000


cdef inline binance_symbol_t* symbol_of(const binance_decoder_t* d, uint32_t index) noexcept nogil:
    return <binance_symbol_t*> d.lines.symbols + index


# ---- keys and values ----

cdef int key_of(const span_t* key) noexcept nogil:
    """The number of a key, K_COUNT for one that means nothing."""
    cdef uint8_t c
    if key.length == 1:
        c = key.at[0]
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
    if same(key, b"pu", 2): return K_pu
    if same(key, b"bids", 4): return K_bids
    if same(key, b"asks", 4): return K_asks
    if same(key, b"data", 4): return K_data
    if same(key, b"stream", 6): return K_stream
    if same(key, b"symbol", 6): return K_symbol
    if same(key, b"lastUpdateId", 12): return K_lastUpdateId
    return K_COUNT


cdef bint scan_object(const uint8_t* p, const uint8_t* end, span_t* spans, span_t* numbers, int* number_count) noexcept nogil:
    """The values of an object of valid JSON by key; numbers under other keys apart. False: a key that counts comes twice."""
    cdef span_t key, value
    cdef int k
    for k in range(<int> K_COUNT):
        spans[k].type = 0
    number_count[0] = 0
    p += 1
    while next_member(&p, end, &key, &value):
        k = key_of(&key)
        if k != K_COUNT:
            if spans[k].type != 0:
                return False
            spans[k] = value
        elif value.type == JSON_NUMBER:
            if number_count[0] < BINANCE_SLOTS:
                numbers[number_count[0]] = value
            number_count[0] += 1
    return True


cdef inline bint whole_number(binance_decoder_t* d, int k) noexcept nogil:
    """Read the value of a key as a whole number."""
    cdef const uint8_t* end = d.spans[k].at + d.spans[k].length
    return d.spans[k].type == JSON_NUMBER and json_uint(d.spans[k].at, end, &d.v[k]) == end


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
    """Levels of an array of valid JSON: how many; LINES_FULL, or a negative result code."""
    cdef const uint8_t* p = s.at + 1
    cdef size_t n = 0
    cdef span_t level
    cdef span_t parts[2]
    cdef int result
    cdef bint full = False
    cdef int64_t price_ticks = 0, size_lots = 0
    if s.type != JSON_ARRAY:
        return -RESULT_CORRUPT
    while next_value(&p, s.at + s.length, &level):
        if level.type != JSON_ARRAY:
            return -RESULT_CORRUPT
        memset(parts, 0, sizeof(parts))
        elements(&level, parts, 2)
        result = decimal_of(&parts[0], JSON_STRING, price_decimals, &price_ticks, RESULT_BAD_PRICE)
        if result == 0 and price_ticks == 0:
            result = -RESULT_BAD_PRICE
        if result == 0:
            result = decimal_of(&parts[1], JSON_STRING, size_decimals, &size_lots, RESULT_BAD_SIZE)
        if result < 0:
            return result
        if n < capacity:
            out[n].price = price_ticks
            out[n].size = size_lots
            out[n].side = side
            n += 1
        else:
            full = True  # the rest is still looked at: a malformed message never asks for room
    return LINES_FULL if full else <ptrdiff_t> n


# ---- the book's chain of updates ----

cdef void finish_levels(
    event_t* e, size_t n, binance_symbol_t* s, uint16_t flags, int64_t seq, int64_t first, int64_t previous, int64_t exch_ns,
    int64_t local_ns
) noexcept nogil:
    """Fill in what all levels of a message share."""
    cdef size_t i
    for i in range(n):
        set_head(&e[i], &s.base, KIND_LEVEL, flags | FLAG_CONTINUED, <uint64_t> seq, exch_ns, local_ns)
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
            d.lines.no_memory = True
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
    set_head(out, &s.base, KIND_GAP, 0, <uint64_t> u, exch_ns, local_ns)
    out.payload[0] = s.last + 1
    out.payload[1] = -1 if has_previous else previous - s.last
    s.live = False
    d.lines.gaps += 1


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
    s.base.exch_ns = exch_ns
    if unlikely(not s.live):
        hold(d, s, out, n, u, first, previous, has_previous, exch_ns, local_ns)
        return 0
    if unlikely(u <= s.last):
        d.lines.stale += 1
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
    cdef binance_symbol_t* s = symbol_of(d, d.drained)
    cdef event_t* head
    cdef size_t n = 0
    cdef size_t levels
    while s.next < s.held_events:
        head = s.held + s.next
        levels = <size_t> head.payload[0]
        if <int64_t> head.seq <= s.last:
            d.lines.stale += 1
        elif head.payload[1] > s.last:
            if n == capacity:
                d.lines.needed = 1
                return n
            write_gap(d, s, out + n, <int64_t> head.seq, head.payload[1], head.payload[3] != 0, head.exch_ns, head.local_ns)
            n += 1
            break
        else:
            if capacity - n < levels:
                d.lines.needed = levels
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
    if same(e, b"bookTicker", 10):
        return TYPE_QUOTE
    if same(e, b"trade", 5):
        return TYPE_TRADE
    if same(e, b"aggTrade", 8):
        return TYPE_AGGREGATE
    if same(e, b"depthUpdate", 11):
        return TYPE_IMAGE if partial else TYPE_DIFF
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
    cdef uint8_t name[LINES_NAME]
    cdef size_t i
    cdef const span_t* s = &d.spans[K_s]
    if s.type != JSON_STRING:
        s = &d.spans[K_symbol]
    if s.type == JSON_STRING:
        return symbol_index(&d.lines, s.at, s.length)
    if stream.type == JSON_STRING:
        for i in range(stream.length):
            if stream.at[i] == c'@':
                return symbol_index(&d.lines, name, i)
            if i == LINES_NAME:
                return NO_SYMBOL
            name[i] = stream.at[i] - 32 if c'a' <= stream.at[i] <= c'z' else stream.at[i]
        return NO_SYMBOL
    if d.image_symbol != NO_SYMBOL:
        return d.image_symbol
    return 0 if d.lines.symbol_count == 1 else NO_SYMBOL


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
    set_head(out, &s.base, KIND_QUOTE, 0, <uint64_t> d.v[K_u], exch_ns, local_ns)
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
    s.base.exch_ns = exch_ns


cdef inline ptrdiff_t commit_trade(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, int type, uint16_t flags, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    s.base.exch_ns = exch_ns
    if unlikely(d.v[K_p] == 0 or d.v[K_q] == 0):
        d.skipped += 1
        return 0
    set_head(out, &s.base, KIND_TRADE, flags, 0, exch_ns, local_ns)
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
    s = symbol_of(d, index)
    exch_ns = s.base.exch_ns
    if not message_time(d, &exch_ns):
        return -RESULT_CORRUPT
    n = read_levels(&d.spans[bids], BUY, s.base.price_decimals, s.base.size_decimals, out + 1, capacity - 1)
    if n < 0 and n != LINES_FULL:
        return n
    if n == LINES_FULL:
        more = read_levels(&d.spans[asks], SELL, s.base.price_decimals, s.base.size_decimals, out, 0)
        return more if more < 0 else LINES_FULL
    more = read_levels(&d.spans[asks], SELL, s.base.price_decimals, s.base.size_decimals, out + 1 + n, capacity - 1 - n)
    if more < 0:
        return more
    n += more
    s.base.exch_ns = exch_ns
    if partial and s.chained:
        d.lines.counts[TYPE_OTHER] += 1
        return 0
    d.lines.counts[TYPE_IMAGE] += 1
    if s.live and id_ < s.last:
        d.stale_images += 1
        return 0
    set_head(out, &s.base, KIND_CLEAR, FLAG_SNAPSHOT | (FLAG_CONTINUED if n else 0), <uint64_t> id_, exch_ns, local_ns)
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
    """A line without its '\\n': events, LINES_FULL, or a negative result code."""
    cdef const uint8_t* p = line
    cdef const uint8_t* json
    cdef span_t numbers[BINANCE_SLOTS]
    cdef span_t message, stream
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
    if not whole_json(p, end, &message) or message.type != JSON_OBJECT:
        return -RESULT_CORRUPT
    json = message.at
    if not scan_object(json, end, d.spans, numbers, &number_count):
        return -RESULT_CORRUPT
    memset(&stream, 0, sizeof(span_t))
    if d.spans[K_stream].type == JSON_STRING and d.spans[K_data].type:
        stream = d.spans[K_stream]
        if d.spans[K_data].type != JSON_OBJECT:
            d.lines.counts[TYPE_OTHER] += 1
            return 0
        p = d.spans[K_data].at
        if not scan_object(p, p + d.spans[K_data].length, d.spans, numbers, &number_count):
            return -RESULT_CORRUPT
    partial = is_partial(&stream)
    type = type_of(d, partial)
    if type == TYPE_OTHER:
        d.lines.counts[TYPE_OTHER] += 1
        return 0
    if type == TYPE_IMAGE:
        return read_image(d, &stream, partial, out, capacity, local_ns)

    if d.spans[K_s].type != JSON_STRING:
        return -RESULT_CORRUPT
    index = symbol_index(&d.lines, d.spans[K_s].at, d.spans[K_s].length)
    if index == NO_SYMBOL:
        return -RESULT_UNKNOWN_SYMBOL
    s = symbol_of(d, index)
    exch_ns = s.base.exch_ns
    if not message_time(d, &exch_ns):
        return -RESULT_CORRUPT
    has_previous = False
    n = 0
    if type == TYPE_QUOTE:
        if not whole_number(d, K_u):
            return -RESULT_CORRUPT
        result = decimal_of(&d.spans[K_b], JSON_STRING, s.base.price_decimals, &d.v[K_b], RESULT_BAD_PRICE)
        if result == 0:
            result = decimal_of(&d.spans[K_B], JSON_STRING, s.base.size_decimals, &d.v[K_B], RESULT_BAD_SIZE)
        if result == 0:
            result = decimal_of(&d.spans[K_a], JSON_STRING, s.base.price_decimals, &d.v[K_a], RESULT_BAD_PRICE)
        if result == 0:
            result = decimal_of(&d.spans[K_A], JSON_STRING, s.base.size_decimals, &d.v[K_A], RESULT_BAD_SIZE)
        if result < 0:
            return result
        commit_quote(d, s, out, exch_ns, local_ns)
        n = 1
    elif type == TYPE_DIFF:
        has_previous = d.spans[K_pu].type != 0
        if not whole_number(d, K_U) or not whole_number(d, K_u) or (has_previous and not whole_number(d, K_pu)):
            return -RESULT_CORRUPT
        n = read_levels(&d.spans[K_b], BUY, s.base.price_decimals, s.base.size_decimals, out, capacity)
        if n < 0 and n != LINES_FULL:
            return n
        if n == LINES_FULL:
            more = read_levels(&d.spans[K_a], SELL, s.base.price_decimals, s.base.size_decimals, out, 0)
            return more if more < 0 else LINES_FULL
        more = read_levels(&d.spans[K_a], SELL, s.base.price_decimals, s.base.size_decimals, out + n, capacity - n)
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
        result = decimal_of(&d.spans[K_p], JSON_STRING, s.base.price_decimals, &d.v[K_p], RESULT_BAD_PRICE)
        if result == 0:
            result = decimal_of(&d.spans[K_q], JSON_STRING, s.base.size_decimals, &d.v[K_q], RESULT_BAD_SIZE)
        if result < 0:
            return result
        if d.spans[K_m].type != JSON_TRUE and d.spans[K_m].type != JSON_FALSE:
            return -RESULT_CORRUPT
        d.v[K_m] = d.spans[K_m].type == JSON_TRUE
        if d.spans[K_X].type and not same(&d.spans[K_X], b"MARKET", 6):
            flags = FLAG_NOT_PRINTABLE
        n = commit_trade(d, s, out, type, flags, exch_ns, local_ns)
    d.lines.counts[type] += 1
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
    cdef binance_symbol_t* s = symbol_of(d, f.symbol)
    cdef const binance_slot_t* slot = &f.slot[0]
    cdef const uint8_t* text
    cdef int64_t exch_ns = s.base.exch_ns
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
            if unlikely(json_decimal(&p, end, s.base.price_decimals, &d.v[slot.field]) != DECIMAL_OK):
                return BINANCE_MISS
        elif slot.kind == SLOT_SIZE:
            if unlikely(json_decimal(&p, end, s.base.size_decimals, &d.v[slot.field]) != DECIMAL_OK):
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
            p = form_levels(p, end, BUY if slot.field == K_b else SELL, s.base.price_decimals, s.base.size_decimals, out, capacity, &levels)
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
    d.lines.counts[f.type] += 1
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
    d.lines.needed = 0
    if d.draining:
        n = drain(d, out, capacity)
    while not d.draining and p < end:
        if unlikely(n == capacity):
            d.lines.needed = 1
            break
        result = read_quickly(d, p, end, out + n, capacity - n, &next)
        if unlikely(result == BINANCE_MISS):
            line_end = <const uint8_t*> memchr(p, c'\n', end - p)
            if line_end == NULL:
                if not final:
                    break
                line_end = end
            result = read_line(d, p, line_end, out + n, capacity - n)
            if result == LINES_FULL:
                d.lines.needed = max(count_brackets(p, line_end), capacity - n + 1)
                break
            next = line_end + 1 if line_end < end else end
        if unlikely(d.lines.no_memory):
            break
        if unlikely(result < 0):
            lines_fail(&d.lines, p - data, <int> -result)
            if d.lines.strict:
                break
            result = 0
        n += <size_t> result
        p = next
        if unlikely(d.draining):
            n += drain(d, out + n, capacity - n)
    consumed[0] = p - data
    d.lines.position += p - data
    return <ptrdiff_t> n


# ---- the Python face ----

@cython.final
cdef class BinanceDecoder(_LineDecoder):
    """BinanceDecoder(price_decimals=8, size_decimals=8, strict=False, image_symbol=None, max_held=65536)\n--\n\n
    Decode lines of Binance WebSocket captures into events.

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
    A snapshot of k levels takes k + 1 events (REST answers have up to 10,000 levels). Diffs that waited for an image may still be
    `pending` when all bytes are consumed: call `decode` again, with no bytes and the events so far taken.
    One decoder is for one market: the same symbol of spot and futures would be one book.

    **Thread safety**: one thread at a time; `decode` releases the GIL.
    """

    def __cinit__(self, price_decimals=8, size_decimals=8, strict=False, image_symbol=None, max_held=65_536):
        cdef binance_decoder_t* d
        cdef int64_t held = as_int64(max_held)
        if not 1 <= held <= 1 << 30:
            raise ValueError(f"max_held must lie in 1..2**30: max_held={max_held}")
        self._d = d = <binance_decoder_t*> fc_alloc(1, sizeof(binance_decoder_t))
        self._open(<lines_t*> d, sizeof(binance_symbol_t), as_int64(price_decimals), as_int64(size_decimals), strict, "Binance", _TYPES)
        d.max_held = <size_t> held
        d.image_symbol = NO_SYMBOL
        d.forms = <binance_form_t**> fc_alloc(BINANCE_FORMS, sizeof(binance_form_t*))
        if d.forms == NULL:
            raise MemoryError("no memory for a Binance decoder")
        if image_symbol is not None:
            d.image_symbol = self._index(image_symbol)

    def __dealloc__(self):
        cdef uint32_t i
        cdef binance_decoder_t* d = self._d
        if d == NULL:
            return
        for i in range(d.lines.symbol_count):
            fc_free(symbol_of(d, i).held)
        if d.forms != NULL:
            for i in range(<uint32_t> BINANCE_FORMS):
                fc_free(d.forms[i])
        for i in range(<uint32_t> BINANCE_RECENT):
            fc_free(d.recent[i])
        fc_free(d.forms)

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        return binance_decode_batch(self._d, data, length, out, capacity, consumed, final)

    @property
    def pending(self):
        """Events of diffs that waited for their image and did not fit into the last array."""
        cdef binance_symbol_t* s
        if not self._d.draining:
            return 0
        s = symbol_of(self._d, self._d.drained)
        return s.held_events - s.next

    @property
    def skipped(self):
        """Trades without a price or a size."""
        return self._d.skipped

    @property
    def stale_images(self):
        """Snapshots that were dropped because the book was newer."""
        return self._d.stale_images

    @property
    def held(self):
        """Events of diffs, and one for each diff, that wait for an image now."""
        cdef uint32_t i
        return sum(symbol_of(self._d, i).held_events - symbol_of(self._d, i).next for i in range(self._d.lines.symbol_count))

    @property
    def dropped(self):
        """Diffs that waited for an image and gave way to newer ones."""
        return self._d.dropped
