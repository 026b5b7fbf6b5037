# cython: freethreading_compatible=True
"""Raw captures of Kraken's book channel, ``<receive time>: <json>``, to 64-byte events, every checksum verified.

The lines are those of cryptofeed's raw data files: the receive time in seconds, a colon, a space, one WebSocket message.
Lines of the capture itself (``configuration``, ``wss``, ``http``) and messages of other channels are counted as ``other``.
Both versions of the protocol are read:

* v1: ``[channel, {"as": [..], "bs": [..]}, "book-10", "XBT/USD"]`` is an image, ``{"a": [..], "c": ".."}`` and ``{"b": ..}``
  (one or two objects) a change; a level is ``[price, volume, time]``, with ``"r"`` behind it where it is published again.
* v2: ``{"channel": "book", "type": "snapshot" or "update", "data": [{"symbol": .., "bids": [{"price": .., "qty": ..}], "asks":
  .., "checksum": .., "timestamp": ..}]}``.

An image becomes ``clear`` and ``level``s with the flag snapshot, a change ``level``s; all but the last of a message carry
continued. Price and size are whole multiples of 10**-decimals; the decimals of a symbol are those that its first image has,
because the checksum is made of the digits as they are published. payload[2] of a level is 1 where it was published
again, and 2 where it fell out of the book: a level beyond the subscribed depth is not deleted by the exchange, so the decoder
adds its removal to the message that pushed it out. payload[3] is the checksum of the message, -1 without one.
``exch_ns`` is the latest time among the levels (v1) or the message's time (v2), else the latest of the symbol; ``seq`` is 0.

**Checksum**: of the ten best asks, then the ten best bids, after the message and the cut to the depth: CRC-32 of the digits of
price and size without point and leading zeros, which are those of the two integers. Where it does not agree, a ``gap`` event
follows the levels (payload[0] = 0, payload[1] = -1, payload[2] = computed, payload[3] = published): the book is stale, and
changes are dropped and counted until the next image.

Sources: Kraken API documentation, "Book checksum" of WebSocket v1 and v2; "book" channel of v1 and v2.
"""

cimport cython
from libc.stdint cimport UINT32_MAX, int8_t, uint16_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from fastcore._integers cimport int64_in
from fastcore.wire._json cimport (
    DECIMAL_OK,
    JSON_ARRAY,
    JSON_NUMBER,
    JSON_OBJECT,
    JSON_STRING,
    any_decimal,
    decimal_of,
    elements,
    json_decimal,
    json_uint,
    next_member,
    next_value,
    same,
    shape_for,
    span_t,
    whole_json,
)
from fastcore.wire._lines cimport LINES_FULL, set_head, symbol_index, symbol_known
from fastcore.wire.tally cimport tally_fail
from fastcore.records cimport (
    BUY,
    FLAG_CONTINUED,
    FLAG_SNAPSHOT,
    KIND_CLEAR,
    KIND_GAP,
    KIND_LEVEL,
    NO_SYMBOL,
    RESULT_BAD_PRICE,
    RESULT_BAD_SIZE,
    RESULT_CORRUPT,
    RESULT_UNKNOWN_SYMBOL,
    SELL,
    event_t,
    fc_alloc,
    fc_free,
    unlikely,
)

__all__ = ["KrakenDecoder"]

cdef extern from "fc_crc32.h" nogil:
    void crc32_init "fc_crc32_init"(crc32_table_t*)
    uint32_t crc32 "fc_crc32"(const crc32_table_t*, uint32_t, const uint8_t*, size_t)
    int put_digits "fc_put_digits"(uint8_t*, uint64_t)

_TYPES = ("other", "snapshot", "update")

cdef enum:
    COUNT_OTHER, COUNT_IMAGE, COUNT_UPDATE

cdef enum:
    KRAKEN_MISS = -1001         # outcome of a line that is no usual change

# What a level says of itself (payload[2]).
cdef enum:
    PLAIN, REPUBLISHED, PUSHED_OUT

# A message of either version, as spans of its text.
ctypedef struct message_t:
    bint image
    bint second     # version of the protocol
    int depth       # 0: not said
    span_t name
    span_t asks     # type 0: none
    span_t bids
    span_t checksum
    span_t timestamp


cdef inline kraken_symbol_t* symbol_of(const kraken_decoder_t* d, uint32_t index) noexcept nogil:
    return <kraken_symbol_t*> d.lines.symbols + index


# ---- values ----

# The value of a key of an object of valid JSON, of equal keys the last; `value` stays where there is none.
cdef void member(const span_t* object_, const char* key, size_t size, span_t* value) noexcept nogil:
    cdef const uint8_t* p = object_.at + 1
    cdef span_t name, found
    while next_member(&p, object_.at + object_.length, &name, &found):
        if same(&name, key, size):
            value[0] = found


# The number that `count` digits spell, -1 where one is none.
cdef int digits_at(const uint8_t* p, int count) noexcept nogil:
    cdef int i
    cdef int value = 0
    for i in range(count):
        if not c'0' <= p[i] <= c'9':
            return -1
        value = value * 10 + (p[i] - c'0')
    return value


# ``2023-10-06T17:35:55.440295Z``: ns since the epoch.
cdef bint iso_time(const span_t* s, int64_t* ns) noexcept nogil:
    cdef const uint8_t* p = s.at
    cdef const uint8_t* q
    cdef int year, month, day, hour, minute, leap, month_days
    cdef int64_t days, seconds
    if s.type != JSON_STRING or s.length < 20 or s.at[s.length - 1] != c'Z':
        return False
    if p[4] != c'-' or p[7] != c'-' or p[10] != c'T' or p[13] != c':' or p[16] != c':':
        return False
    year = digits_at(p, 4)
    month = digits_at(p + 5, 2)
    day = digits_at(p + 8, 2)
    hour = digits_at(p + 11, 2)
    minute = digits_at(p + 14, 2)
    if year < 1970 or year > 2200 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    month_days = 28 + leap if month == 2 else 30 + ((month + month // 8) & 1)
    if day > month_days:
        return False
    # Seconds and their fraction are one decimal, of two digits before the point.
    if digits_at(p + 17, 2) < 0 or digits_at(p + 17, 2) > 59 or (p[19] != c'.' and s.length != 20):
        return False
    q = p + 17
    if any_decimal(&q, s.at + s.length - 1, 9, &seconds) != DECIMAL_OK or q != s.at + s.length - 1:
        return False
    # Years from March on, so that the leap day is the last; their months repeat with 153 days in five.
    if month <= 2:
        year -= 1
        month += 12
    days = year
    days = days * 365 + days // 4 - days // 100 + days // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
    ns[0] = ((days * 24 + hour) * 60 + minute) * <int64_t> 60_000_000_000 + seconds
    return True


# Digits behind the point of a string or number.
cdef int places_of(const span_t* s) noexcept nogil:
    cdef size_t i
    if s.type != JSON_STRING and s.type != JSON_NUMBER:
        return 0
    for i in range(s.length):
        if s.at[i] == c'.':
            return <int> (s.length - i - 1)
    return 0


# Take a level apart; False: it is none.
cdef bint level_fields(const message_t* m, const span_t* level, span_t* price, span_t* size, span_t* time, bint* again) noexcept nogil:
    cdef span_t parts[4]
    cdef int n
    memset(price, 0, sizeof(span_t))
    memset(size, 0, sizeof(span_t))
    memset(time, 0, sizeof(span_t))
    again[0] = False
    if m.second:
        if level.type != JSON_OBJECT:
            return False
        member(level, b"price", 5, price)
        member(level, b"qty", 3, size)
        return price.type != 0 and size.type != 0
    if level.type != JSON_ARRAY:
        return False
    n = elements(level, parts, 4)
    if n < 3:
        return False
    price[0] = parts[0]
    size[0] = parts[1]
    time[0] = parts[2]
    again[0] = n > 3 and same(&parts[3], b"r", 1)
    return True


# As many decimals as the image has.
cdef void learn_decimals(kraken_symbol_t* s, const message_t* m) noexcept nogil:
    cdef const span_t* array
    cdef span_t level, price, size, time
    cdef bint again
    cdef int i
    cdef int most_price = 0
    cdef int most_size = 0
    cdef const uint8_t* p
    for i in range(2):
        array = &m.asks if i == 0 else &m.bids
        if array.type != JSON_ARRAY:
            continue
        p = array.at + 1
        while next_value(&p, array.at + array.length, &level):
            if level_fields(m, &level, &price, &size, &time, &again):
                most_price = max(most_price, places_of(&price))
                most_size = max(most_size, places_of(&size))
    if s.base.price_decimals < 0:
        s.base.price_decimals = min(most_price, 18)
    if s.base.size_decimals < 0:
        s.base.size_decimals = min(most_size, 18)


# Levels of an array: how many, or a negative result code. `out` has room.
cdef ptrdiff_t read_levels(
    const message_t* m, const span_t* array, int8_t side, int price_decimals, int size_decimals, event_t* out, int64_t* latest
) noexcept nogil:
    cdef const uint8_t* p = array.at + 1
    cdef size_t n = 0
    cdef span_t level, price, size, time
    cdef bint again
    cdef int result
    cdef int type = JSON_NUMBER if m.second else JSON_STRING
    cdef int64_t ns = 0
    if array.type == 0:
        return 0
    if array.type != JSON_ARRAY:
        return -RESULT_CORRUPT
    while next_value(&p, array.at + array.length, &level):
        if not level_fields(m, &level, &price, &size, &time, &again):
            return -RESULT_CORRUPT
        result = decimal_of(&price, type, price_decimals, &out[n].price, RESULT_BAD_PRICE)
        if result == 0 and out[n].price == 0:
            result = -RESULT_BAD_PRICE
        if result == 0:
            result = decimal_of(&size, type, size_decimals, &out[n].size, RESULT_BAD_SIZE)
        if result == 0 and not m.second:
            result = decimal_of(&time, JSON_STRING, 9, &ns, RESULT_CORRUPT)
            if ns > latest[0]:
                latest[0] = ns
        if result < 0:
            return result
        out[n].side = side
        out[n].payload[2] = REPUBLISHED if again else PLAIN
        n += 1
    return <ptrdiff_t> n


# ---- books ----

# Set or remove (size 0) a level; `sign` is +1 for bids. False: no memory.
cdef bint set_level(kraken_side_t* side, int sign, int64_t price, int64_t size) noexcept nogil:
    cdef int low = 0
    cdef int high = side.count
    cdef int middle
    cdef kraken_level_t* grown
    # The best level is last: bids ascend, asks descend.
    while low < high:
        middle = (low + high) >> 1
        if (side.levels[middle].price < price) if sign > 0 else (side.levels[middle].price > price):
            low = middle + 1
        else:
            high = middle
    if low < side.count and side.levels[low].price == price:
        if size:
            side.levels[low].size = size
        else:
            side.count -= 1
            memmove(side.levels + low, side.levels + low + 1, (side.count - low) * sizeof(kraken_level_t))
        return True
    if size == 0:
        return True
    if side.count == side.capacity:
        grown = <kraken_level_t*> fc_alloc(max(32, 2 * side.capacity), sizeof(kraken_level_t))
        if grown == NULL:
            return False
        if side.count:  # from no memory even nothing must not be copied
            memcpy(grown, side.levels, side.count * sizeof(kraken_level_t))
        fc_free(side.levels)
        side.levels = grown
        side.capacity = max(32, 2 * side.capacity)
    memmove(side.levels + low + 1, side.levels + low, (side.count - low) * sizeof(kraken_level_t))
    side.levels[low].price = price
    side.levels[low].size = size
    side.count += 1
    return True


# Remove the levels beyond the depth, worst first, with an event for each.
cdef size_t cut_side(kraken_side_t* side, int8_t sign, int depth, event_t* out) noexcept nogil:
    cdef int over = side.count - depth
    cdef int i
    if over <= 0:
        return 0
    for i in range(over):
        out[i].price = side.levels[i].price
        out[i].size = 0
        out[i].side = sign
        out[i].payload[2] = PUSHED_OUT
    memmove(side.levels, side.levels + over, depth * sizeof(kraken_level_t))
    side.count = depth
    return over


# CRC-32 of the digits of the ten best asks and bids.
cdef uint32_t book_checksum(const crc32_table_t* table, const kraken_side_t* asks, const kraken_side_t* bids) noexcept nogil:
    cdef uint8_t text[2 * KRAKEN_CHECKED * 48]
    cdef int at = 0
    cdef int i
    for i in range(min(asks.count, <int> KRAKEN_CHECKED)):
        at += put_digits(text + at, <uint64_t> asks.levels[asks.count - 1 - i].price)
        at += put_digits(text + at, <uint64_t> asks.levels[asks.count - 1 - i].size)
    for i in range(min(bids.count, <int> KRAKEN_CHECKED)):
        at += put_digits(text + at, <uint64_t> bids.levels[bids.count - 1 - i].price)
        at += put_digits(text + at, <uint64_t> bids.levels[bids.count - 1 - i].size)
    return crc32(table, 0, text, at)


# ---- messages ----

# A message of v1: 1 a book, 0 another one, or a negative result code.
cdef int take_first(const span_t* message, message_t* m) noexcept nogil:
    cdef span_t parts[8]
    cdef span_t empty
    cdef int n = elements(message, parts, 8)
    cdef int i
    cdef int64_t depth = 10
    cdef const uint8_t* end
    cdef span_t image_asks, image_bids
    memset(&empty, 0, sizeof(span_t))
    if n < 4 or n > 8 or parts[n - 1].type != JSON_STRING or parts[n - 2].type != JSON_STRING:
        return 0
    if parts[n - 2].length < 4 or memcmp(parts[n - 2].at, b"book", 4) != 0:
        return 0
    if parts[n - 2].length > 4:
        end = parts[n - 2].at + parts[n - 2].length
        if parts[n - 2].at[4] != c'-' or json_uint(parts[n - 2].at + 5, end, &depth) != end or depth < 1 or depth > 1_000_000:
            return -RESULT_CORRUPT
    m.depth = <int> depth
    m.name = parts[n - 1]
    image_asks = image_bids = empty
    for i in range(1, n - 2):
        if parts[i].type != JSON_OBJECT:
            return -RESULT_CORRUPT
        member(&parts[i], b"as", 2, &image_asks)
        member(&parts[i], b"bs", 2, &image_bids)
        member(&parts[i], b"a", 1, &m.asks)
        member(&parts[i], b"b", 1, &m.bids)
        member(&parts[i], b"c", 1, &m.checksum)
    if image_asks.type or image_bids.type:
        if m.asks.type or m.bids.type or not image_asks.type or not image_bids.type:
            return -RESULT_CORRUPT
        m.asks = image_asks
        m.bids = image_bids
        m.image = True
    elif not m.asks.type and not m.bids.type:
        return -RESULT_CORRUPT
    return 1


# A message of v2, as above.
cdef int take_second(const span_t* message, message_t* m) noexcept nogil:
    cdef span_t channel, type, data
    cdef span_t book[1]
    memset(&channel, 0, sizeof(span_t))
    memset(&type, 0, sizeof(span_t))
    memset(&data, 0, sizeof(span_t))
    member(message, b"channel", 7, &channel)
    if not same(&channel, b"book", 4):
        return 0
    member(message, b"type", 4, &type)
    member(message, b"data", 4, &data)
    if same(&type, b"snapshot", 8):
        m.image = True
    elif not same(&type, b"update", 6):
        return 0
    if data.type != JSON_ARRAY or elements(&data, book, 1) != 1 or book[0].type != JSON_OBJECT:
        return -RESULT_CORRUPT
    m.second = True
    member(&book[0], b"symbol", 6, &m.name)
    member(&book[0], b"asks", 4, &m.asks)
    member(&book[0], b"bids", 4, &m.bids)
    member(&book[0], b"checksum", 8, &m.checksum)
    member(&book[0], b"timestamp", 9, &m.timestamp)
    if m.name.type != JSON_STRING or (m.image and (not m.asks.type or not m.bids.type)):
        return -RESULT_CORRUPT
    return 1


# The depth that can be subscribed to (v2) and holds so many levels of a side.
cdef inline int depth_of(ptrdiff_t levels) noexcept nogil:
    if levels <= 10:
        return 10
    if levels <= 25:
        return 25
    if levels <= 100:
        return 100
    return 500 if levels <= 500 else 1000 if levels <= 1000 else <int> levels


# Take the levels of a message, asks first, behind room for the clear of an image: events.
cdef ptrdiff_t take_levels(
    kraken_decoder_t* d, kraken_symbol_t* s, bint image, int depth, event_t* out, ptrdiff_t asks, ptrdiff_t bids, int64_t latest,
    int64_t given, int64_t local_ns, uint64_t offset
) noexcept nogil:
    cdef event_t* levels = out + 1 if image else out
    cdef uint16_t flags = FLAG_SNAPSHOT if image else 0
    cdef int64_t computed = 0
    cdef size_t n, i
    cdef bint deliver
    cdef bint wrong = False
    n = asks + bids
    if latest:
        s.base.exch_ns = latest
    if image:
        s.asks.count = 0
        s.bids.count = 0
        s.depth = d.depth if d.depth else depth if depth else depth_of(max(asks, bids))
        s.live = True
        d.lines.tally.counts[COUNT_IMAGE] += 1
    else:
        d.lines.tally.counts[COUNT_UPDATE] += 1
    deliver = s.live
    for i in range(n):
        if not set_level(&s.bids if levels[i].side > 0 else &s.asks, levels[i].side, levels[i].price, levels[i].size):
            d.lines.no_memory = True
            return 0
    n += cut_side(&s.asks, SELL, s.depth, levels + n)
    n += cut_side(&s.bids, BUY, s.depth, levels + n)
    if given >= 0:
        computed = book_checksum(&d.crc, &s.asks, &s.bids)
        if d.checked == d.matched and computed != given:
            d.first_mismatch = offset
        d.checked += 1
        d.matched += computed == given
        wrong = computed != given
    if not deliver:
        d.lines.stale += 1
        return 0
    for i in range(n):
        set_head(&levels[i], &s.base, KIND_LEVEL, flags | FLAG_CONTINUED, 0, s.base.exch_ns, local_ns)
        levels[i].payload[3] = given
    if n:
        levels[n - 1].flags = flags
    if image:
        set_head(out, &s.base, KIND_CLEAR, flags | (FLAG_CONTINUED if n else 0), 0, s.base.exch_ns, local_ns)
        out.side = 0
        out.payload[0] = 0
        out.payload[1] = 0
        out.payload[2] = 0
        out.payload[3] = given
        n += 1
    if wrong:
        s.live = False
        d.lines.gaps += 1
        set_head(out + n, &s.base, KIND_GAP, 0, 0, s.base.exch_ns, local_ns)
        out[n].side = 0
        out[n].payload[0] = 0
        out[n].payload[1] = -1
        out[n].payload[2] = computed
        out[n].payload[3] = given
        n += 1
    return <ptrdiff_t> n


# Take a message of the book channel: events, LINES_FULL, or a negative result code.
cdef ptrdiff_t read_book(
    kraken_decoder_t* d, const message_t* m, event_t* out, size_t capacity, size_t needed, int64_t local_ns, uint64_t offset
) noexcept nogil:
    cdef uint32_t index
    cdef kraken_symbol_t* s
    cdef const uint8_t* end
    cdef int64_t given = -1
    cdef int64_t latest = 0
    cdef event_t* levels = out + 1 if m.image else out
    cdef ptrdiff_t asks, bids
    # Before anything changes: every level, as many that they push out, clear and gap.
    if capacity < needed:
        d.lines.tally.needed = needed
        return LINES_FULL
    index = symbol_index(&d.lines, m.name.at, m.name.length)
    if index == NO_SYMBOL:
        return -RESULT_UNKNOWN_SYMBOL
    s = symbol_of(d, index)
    if m.checksum.type:
        end = m.checksum.at + m.checksum.length
        if m.checksum.type != (JSON_NUMBER if m.second else JSON_STRING):
            return -RESULT_CORRUPT
        if json_uint(m.checksum.at, end, &given) != end or given > UINT32_MAX:
            return -RESULT_CORRUPT
    if m.timestamp.type and not iso_time(&m.timestamp, &latest):
        return -RESULT_CORRUPT
    if m.image:
        learn_decimals(s, m)
    elif s.depth == 0 or (m.depth and d.depth == 0 and m.depth != s.depth):
        # No image yet; or the same pair at another depth, which is another book.
        d.lines.tally.counts[COUNT_UPDATE] += 1
        d.lines.stale += 1
        return 0
    asks = read_levels(m, &m.asks, SELL, s.base.price_decimals, s.base.size_decimals, levels, &latest)
    if asks < 0:
        return asks
    bids = read_levels(m, &m.bids, BUY, s.base.price_decimals, s.base.size_decimals, levels + asks, &latest)
    if bids < 0:
        return bids
    return take_levels(d, s, m.image, m.depth, out, asks, bids, latest, given, local_ns, offset)


# A line without its '\\n': events, LINES_FULL, or a negative result code.
cdef ptrdiff_t read_line(
    kraken_decoder_t* d, const uint8_t* line, const uint8_t* end, event_t* out, size_t capacity, uint64_t offset
) noexcept nogil:
    cdef const uint8_t* p = line
    cdef span_t message
    cdef message_t m
    cdef int64_t local_ns = 0
    cdef int result
    cdef size_t needed = 2
    if end > p and (end - 1)[0] == c'\r':
        end -= 1
    if p == end:
        return 0
    if (end - p >= 3 and memcmp(p, b"wss", 3) == 0) or (end - p >= 4 and memcmp(p, b"http", 4) == 0) or (
        end - p >= 14 and memcmp(p, b"configuration:", 14) == 0
    ):
        d.lines.tally.counts[COUNT_OTHER] += 1
        return 0
    if p[0] != c'{' and p[0] != c'[':
        # A receive time beyond ns or int64 is no time.
        if any_decimal(&p, end, 9, &local_ns) != DECIMAL_OK or end - p < 2 or p[0] != c':' or p[1] != c' ':
            return -RESULT_CORRUPT
        p += 2
    if not whole_json(p, end, &message):
        return -RESULT_CORRUPT
    memset(&m, 0, sizeof(message_t))
    if message.type == JSON_ARRAY:
        result = take_first(&message, &m)
    elif message.type == JSON_OBJECT:
        result = take_second(&message, &m)
    else:
        return -RESULT_CORRUPT
    if result < 0:
        return result
    if result == 0:
        d.lines.tally.counts[COUNT_OTHER] += 1
        return 0
    while p < end:
        needed += 2 * (p[0] == c'[' or p[0] == c'{')
        p += 1
    return read_book(d, &m, out, capacity, needed, local_ns, offset)


# ---- a usual change ----

# Whether a text is here; the place moves behind it.
cdef inline bint passed(const uint8_t** at, const uint8_t* end, const char* text, ptrdiff_t length) noexcept nogil:
    if end - at[0] < length or memcmp(at[0], text, length) != 0:
        return False
    at[0] += length
    return True


# A number without a sign, as JSON has it; False where it is none.
cdef inline bint passed_uint(const uint8_t** at, const uint8_t* end, int64_t* value) noexcept nogil:
    cdef const uint8_t* p = json_uint(at[0], end, value)
    if p == NULL:
        return False
    at[0] = p
    return True


# Levels ``["5541.2","1.5","1534614248.456738"],..]`` from behind their bracket to behind the last one; -1 where they differ in anything.
cdef ptrdiff_t quick_levels(
    kraken_decoder_t* d, const kraken_symbol_t* s, const uint8_t** at, const uint8_t* end, int8_t side, event_t* out, size_t capacity,
    int64_t* latest
) noexcept nogil:
    cdef const uint8_t* p = at[0]
    cdef size_t n = 0
    cdef int64_t ns = 0
    while n < capacity and passed(&p, end, b'["', 2):
        p = json_decimal(p, end, False, s.base.price_decimals, &d.price, &out[n].price)
        if p == NULL or out[n].price == 0 or not passed(&p, end, b'","', 3):
            return -1
        p = json_decimal(p, end, True, s.base.size_decimals, &d.size, &out[n].size)
        if p == NULL or not passed(&p, end, b'","', 3) or any_decimal(&p, end, 9, &ns) != DECIMAL_OK or not passed(&p, end, b'"', 1):
            return -1
        out[n].payload[2] = REPUBLISHED if passed(&p, end, b',"r"', 4) else PLAIN
        out[n].side = side
        latest[0] = max(latest[0], ns)
        n += 1
        if passed(&p, end, b"],", 2):
            continue
        if not passed(&p, end, b"]]", 2):
            return -1
        at[0] = p
        return <ptrdiff_t> n
    return -1


# A change of v1 as it is usually written, in one pass: ``receive time: [336,{"a":[..]},{"b":[..],"c":".."},"book-10","XBT/USD"]``.
# Events, or KRAKEN_MISS where it differs in anything: then nothing has been changed.
cdef ptrdiff_t read_change(
    kraken_decoder_t* d, const uint8_t* line, const uint8_t* end, event_t* out, size_t capacity, uint64_t offset
) noexcept nogil:
    cdef const uint8_t* p = line
    cdef const uint8_t* name = end - 2
    cdef kraken_symbol_t* s
    cdef uint32_t index
    cdef int64_t local_ns = 0
    cdef int64_t channel = 0
    cdef int64_t depth = 0
    cdef int64_t latest = 0
    cdef int64_t given = -1
    cdef ptrdiff_t asks = 0
    cdef ptrdiff_t bids = 0
    if end - line < 40 or memcmp(end - 2, b'"]', 2) != 0 or any_decimal(&p, end, 9, &local_ns) != DECIMAL_OK:
        return KRAKEN_MISS
    if not passed(&p, end, b": [", 3) or not passed_uint(&p, end, &channel) or not passed(&p, end, b',{"', 3):
        return KRAKEN_MISS
    while name > p and (name - 1)[0] != c'"':
        name -= 1
    index = symbol_known(&d.lines, name, end - 2 - name)
    if index == NO_SYMBOL:
        return KRAKEN_MISS
    s = symbol_of(d, index)
    shape_for(&d.price, s.base.price_decimals)
    shape_for(&d.size, s.base.size_decimals)
    # Room for every level, as many that they push out, and a gap.
    if passed(&p, end, b'a":[', 4):
        asks = quick_levels(d, s, &p, end, SELL, out, capacity // 2, &latest)
        if asks < 0:
            return KRAKEN_MISS
        if passed(&p, end, b'},{"b":[', 8):
            bids = quick_levels(d, s, &p, end, BUY, out + asks, capacity // 2 - asks, &latest)
    elif passed(&p, end, b'b":[', 4):
        bids = quick_levels(d, s, &p, end, BUY, out, capacity // 2, &latest)
    if bids < 0 or asks + bids == 0 or <size_t> (2 * (asks + bids) + 2) > capacity:
        return KRAKEN_MISS
    if passed(&p, end, b',"c":"', 6) and (not passed_uint(&p, end, &given) or given > UINT32_MAX or not passed(&p, end, b'"', 1)):
        return KRAKEN_MISS
    if not passed(&p, end, b'},"book-', 8) or not passed_uint(&p, end, &depth) or not passed(&p, end, b'","', 3) or p != name:
        return KRAKEN_MISS
    if depth < 1 or depth > 1_000_000 or s.depth == 0 or (d.depth == 0 and depth != s.depth):
        return KRAKEN_MISS
    return take_levels(d, s, False, <int> depth, out, asks, bids, latest, given, local_ns, offset)


# ---- batches ----

cdef ptrdiff_t kraken_decode_batch(
    kraken_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint final
) noexcept nogil:
    cdef const uint8_t* p = data
    cdef const uint8_t* end = data + length
    cdef const uint8_t* line_end
    cdef size_t n = 0
    cdef ptrdiff_t result
    d.lines.tally.needed = 0
    while p < end:
        line_end = <const uint8_t*> memchr(p, c'\n', end - p)
        if line_end == NULL:
            if not final:
                break
            line_end = end
        result = read_change(d, p, line_end, out + n, capacity - n, d.lines.tally.position + (p - data))
        if result == KRAKEN_MISS:
            result = read_line(d, p, line_end, out + n, capacity - n, d.lines.tally.position + (p - data))
        if result == LINES_FULL or unlikely(d.lines.no_memory):
            break
        if unlikely(result < 0):
            tally_fail(&d.lines.tally, p - data, <int> -result, 0)
            if d.lines.tally.strict:
                break
            result = 0
        n += <size_t> result
        p = line_end + 1 if line_end < end else end
    consumed[0] = p - data
    d.lines.tally.position += p - data
    return <ptrdiff_t> n


# ---- the Python face ----

@cython.final
cdef class KrakenDecoder(_LineDecoder):
    """KrakenDecoder(price_decimals=None, size_decimals=None, depth=None, strict=False)\n--\n\n
    Decode lines of captures of Kraken's book channel into events.

    Parameters
    ----------
    price_decimals, size_decimals : int, optional
        0..18, of all symbols that have not their own (`set_symbol`); by default those of a symbol's first image. They must be
        the published ones for the checksums to agree.
    depth : int, optional
        Levels of a side that were subscribed to. By default the channel's name says it (v1), or the smallest depth that
        can be subscribed to and holds the image (v2).
    strict : bool, default False
        A malformed line raises. A checksum that does not agree is no malformed line.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If an argument is out of range.

    Notes
    -----
    A message takes room for twice its levels and a few more: 4,100 events are enough for an image of 1,000 levels a side.

    **Thread safety**: one thread at a time; `decode` releases the GIL.
    """

    def __cinit__(self, price_decimals=None, size_decimals=None, depth=None, strict=False):
        cdef kraken_decoder_t* d
        cdef int64_t levels = 0 if depth is None else int64_in(depth, "depth", 1, 1_000_000)
        self._d = d = <kraken_decoder_t*> fc_alloc(1, sizeof(kraken_decoder_t))
        self._open(<lines_t*> d, sizeof(kraken_symbol_t), price_decimals, size_decimals, strict, "Kraken", _TYPES)
        d.depth = <int> levels
        crc32_init(&d.crc)

    def __dealloc__(self):
        cdef uint32_t i
        cdef kraken_decoder_t* d = self._d
        if d == NULL:
            return
        for i in range(d.lines.symbol_count):
            fc_free(symbol_of(d, i).bids.levels)
            fc_free(symbol_of(d, i).asks.levels)

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, void* out, void* beside, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        return kraken_decode_batch(self._d, data, length, <event_t*> out, capacity, consumed, final)

    def book(self, symbol):
        """Return the book as it is now: (bids, asks), each a list of (price, size) in ticks and lots, best first."""
        cdef kraken_symbol_t* s = symbol_of(self._d, self._index(symbol))
        cdef int i
        return (
            [(s.bids.levels[i].price, s.bids.levels[i].size) for i in range(s.bids.count - 1, -1, -1)],
            [(s.asks.levels[i].price, s.asks.levels[i].size) for i in range(s.asks.count - 1, -1, -1)],
        )

    def checksum(self, symbol):
        """Return the checksum of the book as it is now."""
        cdef kraken_symbol_t* s = symbol_of(self._d, self._index(symbol))
        return book_checksum(&self._d.crc, &s.asks, &s.bids)

    @property
    def checked(self):
        """Messages with a checksum that was compared."""
        return self._d.checked

    @property
    def matched(self):
        """Messages whose checksum agreed."""
        return self._d.matched

    @property
    def first_mismatch(self):
        """Offset of the first line whose checksum did not agree; None where all did."""
        return None if self._d.checked == self._d.matched else self._d.first_mismatch
