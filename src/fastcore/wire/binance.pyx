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
from libc.stdint cimport INT64_MAX, uint8_t, uint16_t
from libc.string cimport memchr, memcmp, memset

from fastcore._guard cimport alone
from fastcore._integers cimport as_int64, int64_in
from fastcore.records cimport (
    BUY,
    FLAG_NOT_PRINTABLE,
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
    unlikely,
)
from fastcore.wire._chain cimport chain_change, chain_drain, chain_image, update_t
from fastcore.wire._forms cimport (
    FORM_BEHIND,
    FORM_LINE,
    FORM_SLOTS,
    SLOT_FLAG,
    SLOT_INTEGER,
    SLOT_LEVELS,
    SLOT_PRICE,
    SLOT_SIZE,
    SLOT_SKIP,
    form_copy,
    form_learn,
    form_levels,
    form_read,
    form_t,
    form_value_t,
    forms_close,
    forms_open,
)
from fastcore.wire._json cimport (
    JSON_ARRAY,
    JSON_FALSE,
    JSON_NUMBER,
    JSON_OBJECT,
    JSON_STRING,
    JSON_TRUE,
    decimal_of,
    elements,
    json_uint,
    json_uint_like,
    le64,
    next_member,
    next_value,
    same,
    span_t,
    whole_json,
)
from fastcore.wire._lines cimport LINES_FULL, LINES_NAME, hash_words, set_head, symbol_index
from fastcore.wire.tally cimport tally_fail

__all__ = ["BinanceDecoder"]

_TYPES = ("other", "bookTicker", "trade", "aggTrade", "depthUpdate", "snapshot")

# Below this a time is in ms, from it on in us: 2286 and 1970.
cdef int64_t FIRST_MICROSECOND = 10_000_000_000_000


cdef inline binance_symbol_t* symbol_of(const binance_decoder_t* d, uint32_t index) noexcept nogil:
    return <binance_symbol_t*> d.lines.symbols + index


# ---- keys and values ----

# The number of a key, K_COUNT for one that means nothing.
cdef int key_of(const span_t* key) noexcept nogil:
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


# The values of an object of valid JSON by key; numbers under other keys apart. False: a key that counts comes twice.
cdef bint scan_object(const uint8_t* p, const uint8_t* end, span_t* spans, span_t* numbers, int* number_count) noexcept nogil:
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
            if number_count[0] < FORM_SLOTS:
                numbers[number_count[0]] = value
            number_count[0] += 1
    return True


# Read the value of a key as a whole number.
cdef inline bint whole_number(binance_decoder_t* d, int k) noexcept nogil:
    cdef const uint8_t* end = d.spans[k].at + d.spans[k].length
    return d.spans[k].type == JSON_NUMBER and json_uint(d.spans[k].at, end, &d.v[k]) == end


# Read the value of a key as a decimal in a string: 0, or the negative result code.
cdef inline int decimal_value(binance_decoder_t* d, int k, int decimals, int code) noexcept nogil:
    return decimal_of(&d.spans[k], JSON_STRING, decimals, &d.v[k], code)


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


# Levels of an array of valid JSON: how many; LINES_FULL, or a negative result code.
cdef ptrdiff_t read_levels(
    binance_decoder_t* d, const span_t* array, const line_symbol_t* s, event_t* out, size_t capacity
) noexcept nogil:
    cdef const uint8_t* p = array.at + 1
    cdef size_t n = 0
    cdef span_t level
    cdef span_t parts[2]
    cdef int result
    cdef bint full = False
    cdef int64_t price_ticks = 0
    cdef int64_t size_lots = 0
    cdef int64_t count = 0
    if array.type != JSON_ARRAY:
        return -RESULT_CORRUPT
    if form_levels(array.at, array.at + array.length, s, &d.levels, out, capacity, &count) == array.at + array.length:
        return LINES_FULL if <size_t> count > capacity else <ptrdiff_t> count
    while next_value(&p, array.at + array.length, &level):
        if level.type != JSON_ARRAY:
            return -RESULT_CORRUPT
        memset(parts, 0, sizeof(parts))
        elements(&level, parts, 2)
        result = decimal_of(&parts[0], JSON_STRING, s.price_decimals, &price_ticks, RESULT_BAD_PRICE)
        if result == 0 and price_ticks == 0:
            result = -RESULT_BAD_PRICE
        if result == 0:
            result = decimal_of(&parts[1], JSON_STRING, s.size_decimals, &size_lots, RESULT_BAD_SIZE)
        if result < 0:
            return result
        if n < capacity:
            out[n].price = price_ticks
            out[n].size = size_lots
            n += 1
        else:
            full = True  # the rest is still looked at: a malformed message never asks for room
    return LINES_FULL if full else <ptrdiff_t> n


# Levels of both sides, their numbers as the values of the two keys: 0, LINES_FULL, or a negative result code.
cdef ptrdiff_t read_sides(
    binance_decoder_t* d, int bids, int asks, const line_symbol_t* s, event_t* out, size_t capacity
) noexcept nogil:
    cdef ptrdiff_t n = read_levels(d, &d.spans[bids], s, out, capacity)
    cdef ptrdiff_t more
    if n < 0 and n != LINES_FULL:
        return n
    if n == LINES_FULL:
        more = read_levels(d, &d.spans[asks], s, out, 0)
        return more if more < 0 else LINES_FULL
    more = read_levels(d, &d.spans[asks], s, out + n, capacity - n)
    if more < 0:
        return more
    d.v[bids] = n
    d.v[asks] = more
    return 0


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


# The symbol of an image: s, symbol, the stream's name, what the caller has said, or the only one there is.
cdef uint32_t image_symbol(binance_decoder_t* d, const span_t* stream) noexcept nogil:
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


# Whether a stream carries the best levels as images: ``@depth`` and a digit.
cdef bint is_partial(const span_t* stream) noexcept nogil:
    cdef size_t i
    if stream.type == JSON_STRING:
        for i in range(stream.length):
            if stream.at[i] == c'@':
                return (stream.length - i > 6 and memcmp(stream.at + i, b"@depth", 6) == 0
                        and c'0' <= stream.at[i + 6] <= c'9')
    return False


cdef inline ptrdiff_t commit_quote(
    const binance_decoder_t* d, binance_symbol_t* s, event_t* out, int64_t exch_ns, int64_t local_ns
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
    return 1


cdef inline ptrdiff_t commit_trade(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, int type, uint16_t flags, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    s.base.exch_ns = exch_ns
    if unlikely(d.v[K_p] == 0 or d.v[K_q] == 0):
        d.lines.tally.skipped += 1
        return 0
    set_head(out, &s.base, KIND_TRADE, flags, 0, exch_ns, local_ns)
    out.side = BUY if d.v[K_m] else SELL
    out.price = d.v[K_p]
    out.size = d.v[K_q]
    out.order_id = d.v[K_f] if type == TYPE_AGGREGATE else 0
    out.match_id = d.v[K_a] if type == TYPE_AGGREGATE else d.v[K_t]
    return 1


cdef inline ptrdiff_t commit_diff(
    binance_decoder_t* d, binance_symbol_t* s, event_t* out, bint has_previous, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    cdef update_t u
    u.id = d.v[K_u]
    u.first = d.v[K_U]
    u.previous = d.v[K_pu] if has_previous else u.first - 1
    u.consecutive = not has_previous
    u.exch_ns = exch_ns
    u.local_ns = local_ns
    u.bids = <size_t> d.v[K_b]
    u.levels = <size_t> (d.v[K_b] + d.v[K_a])
    return chain_change(&d.chains, &d.lines, s, &u, out)


# Take a message whose values are read: events, or a negative result code.
cdef inline ptrdiff_t commit(
    binance_decoder_t* d, binance_symbol_t* s, int type, uint16_t flags, bint has_previous, event_t* out, int64_t exch_ns,
    int64_t local_ns
) noexcept nogil:
    cdef ptrdiff_t n
    if type == TYPE_QUOTE:
        n = commit_quote(d, s, out, exch_ns, local_ns)
    elif type == TYPE_DIFF:
        n = commit_diff(d, s, out, has_previous, exch_ns, local_ns)
    else:
        n = commit_trade(d, s, out, type, flags, exch_ns, local_ns)
    d.lines.tally.counts[type] += n >= 0
    return n


# An image: events, LINES_FULL, or a negative result code.
cdef ptrdiff_t read_image(
    binance_decoder_t* d, const span_t* stream, bint partial, event_t* out, size_t capacity, int64_t local_ns
) noexcept nogil:
    cdef int bids = K_bids
    cdef int asks = K_asks
    cdef int id_key = K_lastUpdateId
    cdef uint32_t index
    cdef binance_symbol_t* s
    cdef update_t u
    cdef ptrdiff_t result
    if d.spans[K_e].type:  # a partial depth message of a futures market
        bids = K_b
        asks = K_a
        id_key = K_u
    if not whole_number(d, id_key):
        return -RESULT_CORRUPT
    u.id = u.first = u.previous = d.v[id_key]
    u.consecutive = False
    u.local_ns = local_ns
    index = image_symbol(d, stream)
    if index == NO_SYMBOL:
        return -RESULT_UNKNOWN_SYMBOL
    s = symbol_of(d, index)
    u.exch_ns = s.base.exch_ns
    if not message_time(d, &u.exch_ns):
        return -RESULT_CORRUPT
    result = read_sides(d, bids, asks, &s.base, out + 1, capacity - 1)
    if result < 0:
        return result
    u.bids = <size_t> d.v[bids]
    u.levels = <size_t> (d.v[bids] + d.v[asks])
    s.base.exch_ns = u.exch_ns
    if partial and s.chained:
        d.lines.tally.counts[TYPE_OTHER] += 1
        return 0
    d.lines.tally.counts[TYPE_IMAGE] += 1
    d.chains.drained = index
    return chain_image(&d.chains, &d.lines, s, &u, out)


# T, else E, else what is there; False: no time.
cdef inline bint message_time(binance_decoder_t* d, int64_t* exch_ns) noexcept nogil:
    cdef int k = K_T if d.spans[K_T].type else K_E
    if not d.spans[k].type:
        return True
    return whole_number(d, k) and time_ns(d.v[k], exch_ns)


# A line without its '\\n': events, LINES_FULL, or a negative result code.
cdef ptrdiff_t read_line(
    binance_decoder_t* d, const uint8_t* line, const uint8_t* end, event_t* out, size_t capacity
) noexcept nogil:
    cdef const uint8_t* p = line
    cdef const uint8_t* json
    cdef span_t numbers[FORM_SLOTS]
    cdef span_t message, stream
    cdef int number_count
    cdef int64_t local_ns = 0
    cdef int64_t exch_ns
    cdef bint partial
    cdef bint has_previous
    cdef int type
    cdef uint32_t index
    cdef binance_symbol_t* s
    cdef ptrdiff_t n
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
            d.lines.tally.counts[TYPE_OTHER] += 1
            return 0
        p = d.spans[K_data].at
        if not scan_object(p, p + d.spans[K_data].length, d.spans, numbers, &number_count):
            return -RESULT_CORRUPT
    partial = is_partial(&stream)
    type = type_of(d, partial)
    if type == TYPE_OTHER:
        d.lines.tally.counts[TYPE_OTHER] += 1
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
    if type == TYPE_QUOTE:
        if not whole_number(d, K_u):
            return -RESULT_CORRUPT
        n = decimal_value(d, K_b, s.base.price_decimals, RESULT_BAD_PRICE)
        if n == 0:
            n = decimal_value(d, K_B, s.base.size_decimals, RESULT_BAD_SIZE)
        if n == 0:
            n = decimal_value(d, K_a, s.base.price_decimals, RESULT_BAD_PRICE)
        if n == 0:
            n = decimal_value(d, K_A, s.base.size_decimals, RESULT_BAD_SIZE)
    elif type == TYPE_DIFF:
        has_previous = d.spans[K_pu].type != 0
        if not whole_number(d, K_U) or not whole_number(d, K_u) or (has_previous and not whole_number(d, K_pu)):
            return -RESULT_CORRUPT
        n = read_sides(d, K_b, K_a, &s.base, out, capacity)
    else:
        if type == TYPE_TRADE:
            if not whole_number(d, K_t):
                return -RESULT_CORRUPT
        elif not whole_number(d, K_a) or not whole_number(d, K_f):
            return -RESULT_CORRUPT
        n = decimal_value(d, K_p, s.base.price_decimals, RESULT_BAD_PRICE)
        if n == 0:
            n = decimal_value(d, K_q, s.base.size_decimals, RESULT_BAD_SIZE)
        if n == 0 and d.spans[K_m].type != JSON_TRUE and d.spans[K_m].type != JSON_FALSE:
            return -RESULT_CORRUPT
        d.v[K_m] = d.spans[K_m].type == JSON_TRUE
        if d.spans[K_X].type and not same(&d.spans[K_X], b"MARKET", 6):
            flags = FLAG_NOT_PRINTABLE
    if n < 0:
        return n
    n = commit(d, s, type, flags, has_previous, out, exch_ns, local_ns)
    if n >= 0 and number_count <= FORM_SLOTS:
        learn(d, json, end, type, index, flags, numbers, number_count)
    return n


# ---- a line by its form ----

# Where the form of a line belongs: lines of combined streams by the name of their stream, 0 for others.
cdef inline uint64_t form_key(const uint8_t* json, const uint8_t* end) noexcept nogil:
    if end - json < 40 or le64(json) != le64(<const uint8_t*> b'{"stream'):
        return 0
    return hash_words(le64(json + 11), le64(json + 19), le64(json + 27)) | <uint64_t> 1 << 63


# How the value of a key is read in the lines of a form, -1: not at all, it is the same in all of them.
cdef int slot_of(const binance_decoder_t* d, int type, int k) noexcept nogil:
    cdef int value = d.spans[k].type
    if value == JSON_NUMBER:
        if k == K_T or (k == K_E and not d.spans[K_T].type):
            return SLOT_INTEGER
        if type == TYPE_TRADE:
            return SLOT_INTEGER if k == K_t else SLOT_SKIP
        if type == TYPE_AGGREGATE:
            return SLOT_INTEGER if k == K_a or k == K_f else SLOT_SKIP
        return SLOT_INTEGER if k == K_u or k == K_U or k == K_pu else SLOT_SKIP
    if type == TYPE_DIFF:
        return SLOT_LEVELS if value == JSON_ARRAY and (k == K_b or k == K_a) else -1
    if type == TYPE_QUOTE:
        if value != JSON_STRING:
            return -1
        return SLOT_PRICE if k == K_b or k == K_a else SLOT_SIZE if k == K_B or k == K_A else -1
    if k == K_m:
        return SLOT_FLAG
    if value != JSON_STRING:
        return -1
    return SLOT_PRICE if k == K_p else SLOT_SIZE if k == K_q else -1


# Keep the form of a line that was read key by key.
cdef void learn(
    binance_decoder_t* d, const uint8_t* json, const uint8_t* end, int type, uint32_t index, uint16_t flags, const span_t* numbers,
    int number_count
) noexcept nogil:
    cdef form_value_t values[K_COUNT + FORM_SLOTS]
    cdef form_t* f
    cdef int n = 0
    cdef int k, kind
    if type == TYPE_DIFF and d.spans[K_b].at > d.spans[K_a].at:
        return  # levels are read in the order of the line, and bids come first
    for k in range(<int> K_COUNT):
        kind = slot_of(d, type, k) if d.spans[k].type else -1
        if kind >= 0:
            values[n].span, values[n].kind, values[n].field = d.spans[k], kind, k
            n += 1
    for k in range(number_count):
        values[n].span, values[n].kind, values[n].field = numbers[k], SLOT_SKIP, 0
        n += 1
    f = form_learn(&d.forms, form_key(json, end), json, end, values, n)
    if f != NULL:
        f.symbol = index
        f.flags = flags
        f.type = <uint8_t> type
        f.time_field = K_T if d.spans[K_T].type else K_E if d.spans[K_E].type else K_COUNT
        f.has_previous = d.spans[K_pu].type != 0


# A line by its form: events, BINANCE_MISS where it differs in anything, or a negative result code.
cdef inline ptrdiff_t read_quickly(
    binance_decoder_t* d, const uint8_t* p, const uint8_t* end, event_t* out, size_t capacity, const uint8_t** next
) noexcept nogil:
    cdef int64_t local_ns = 0
    cdef int64_t exch_ns
    cdef const form_t* f
    cdef binance_symbol_t* s
    if p[0] != c"{":
        p = json_uint_like(p, end, &d.head_digits, &local_ns)
        if unlikely(p == NULL or p == end or p[0] != c" "):
            return BINANCE_MISS
        p += 1
    f = form_read(&d.forms, form_key(p, end), &d.lines, p, end, d.v, out, capacity, next)
    if unlikely(f == NULL):
        return BINANCE_MISS
    s = symbol_of(d, f.symbol)
    exch_ns = s.base.exch_ns
    if f.time_field != K_COUNT and unlikely(not time_ns(d.v[f.time_field], &exch_ns)):
        return BINANCE_MISS
    if f.type == TYPE_DIFF and unlikely(<size_t> (d.v[K_b] + d.v[K_a]) > capacity):
        return LINES_FULL
    return commit(d, s, f.type, f.flags, f.has_previous, out, exch_ns, local_ns)


# ---- batches ----

cdef inline size_t drain(binance_decoder_t* d, event_t* out, size_t capacity) noexcept nogil:
    return chain_drain(&d.chains, &d.lines, symbol_of(d, d.chains.drained), out, capacity)


# No fewer than the events of a line.
cdef size_t count_brackets(const uint8_t* p, const uint8_t* end) noexcept nogil:
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
    cdef const uint8_t* next = end
    cdef const uint8_t* copy
    cdef size_t n = 0
    cdef ptrdiff_t result
    d.lines.tally.needed = 0
    if d.chains.draining:
        n = drain(d, out, capacity)
    while not d.chains.draining and p < end:
        if unlikely(n == capacity):
            d.lines.tally.needed = 1
            break
        line_end = NULL
        if unlikely(end - p <= FORM_LINE):
            line_end = <const uint8_t*> memchr(p, c"\n", end - p)
            if line_end == NULL:
                if not final:
                    break
                line_end = end
        if unlikely(line_end != NULL and end - line_end <= 1):
            copy = form_copy(&d.forms, p, line_end - p)
            result = read_quickly(d, copy, copy + (line_end - p) + FORM_BEHIND, out + n, capacity - n, &next)
            next = end
        else:
            result = read_quickly(d, p, end, out + n, capacity - n, &next)
        if unlikely(result == BINANCE_MISS):
            if line_end == NULL:
                line_end = <const uint8_t*> memchr(p, c"\n", end - p)
                if line_end == NULL:
                    if not final:
                        break
                    line_end = end
            next = line_end + 1 if line_end < end else end
            result = read_line(d, p, line_end, out + n, capacity - n)
        if unlikely(result == LINES_FULL):
            d.lines.tally.needed = max(count_brackets(p, next), capacity - n + 1)
            break
        if unlikely(d.lines.no_memory):
            break
        if unlikely(result < 0):
            tally_fail(&d.lines.tally, p - data, <int> -result, 0)
            if d.lines.tally.strict:
                break
            result = 0
        n += <size_t> result
        p = next
        if unlikely(d.chains.draining):
            n += drain(d, out + n, capacity - n)
    consumed[0] = p - data
    d.lines.tally.position += p - data
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
        cdef int64_t held = int64_in(max_held, "max_held", 1, 1 << 30)
        self._d = d = <binance_decoder_t*> fc_alloc(1, sizeof(binance_decoder_t))
        self._open(<lines_t*> d, sizeof(binance_symbol_t), as_int64(price_decimals), as_int64(size_decimals), strict, "Binance", _TYPES)
        d.chains.max_held = <size_t> held
        d.image_symbol = NO_SYMBOL
        if not forms_open(&d.forms):
            raise MemoryError("no memory for a Binance decoder")
        if image_symbol is not None:
            d.image_symbol = self._index(image_symbol)

    def __dealloc__(self):
        cdef uint32_t i
        if self._d != NULL:
            for i in range(self._d.lines.symbol_count):
                fc_free(symbol_of(self._d, i).held)
            forms_close(&self._d.forms)

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, void* out, void* beside, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        return binance_decode_batch(self._d, data, length, <event_t*> out, capacity, consumed, final)

    @property
    def pending(self):
        """Events of diffs that waited for their image and did not fit into the last array."""
        alone(&self._busy)
        cdef binance_symbol_t* s
        if not self._d.chains.draining:
            return 0
        s = symbol_of(self._d, self._d.chains.drained)
        return s.held_events - s.next

    @property
    def skipped(self):
        """Trades without a price or a size."""
        return self._d.lines.tally.skipped

    @property
    def stale_images(self):
        """Snapshots that were dropped because the book was newer."""
        return self._d.chains.stale_images

    @property
    def held(self):
        """Events of diffs, and one for each diff, that wait for an image now."""
        alone(&self._busy)
        cdef uint32_t i
        return sum(symbol_of(self._d, i).held_events - symbol_of(self._d, i).next for i in range(self._d.lines.symbol_count))

    @property
    def dropped(self):
        """Diffs that waited for an image and gave way to newer ones."""
        return self._d.chains.dropped
