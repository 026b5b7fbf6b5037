# cython: freethreading_compatible=True
"""Learning the form of a line, and reading the lines that have it."""

from libc.string cimport memcmp, memcpy, memset

from fastcore.records cimport fc_alloc, fc_free, likely, unlikely
from fastcore.wire._json cimport (
    BETWEEN, BETWEEN_SPACED, NEXT_LEVEL, NEXT_SPACED, NUMBER_SLACK, begins, json_decimal, json_level, json_uint_like, le64, shape_for,
)
from fastcore.wire._lines cimport line_symbol_t, symbol_at

__all__ = []


cdef bint forms_open(forms_t* forms) noexcept nogil:
    forms.places = <form_t**> fc_alloc(FORM_PLACES, sizeof(form_t*))
    forms.copy = <uint8_t*> fc_alloc(FORM_LINE + FORM_BEHIND, 1)
    return forms.places != NULL and forms.copy != NULL


cdef void forms_close(forms_t* forms) noexcept nogil:
    cdef int i
    for i in range(<int> FORM_RECENT):
        fc_free(forms.recent[i])
    if forms.places != NULL:
        for i in range(<int> FORM_PLACES):
            fc_free(forms.places[i])
    fc_free(forms.places)
    fc_free(forms.copy)


cdef form_t* form_learn(
    forms_t* forms, uint64_t key, const uint8_t* line, const uint8_t* end, form_value_t* values, int n
) noexcept nogil:
    cdef form_value_t value
    cdef form_t** place
    cdef form_t* f
    cdef slot_t* slot
    cdef const uint8_t* p = line
    cdef size_t text = 0
    cdef size_t length
    cdef int i, k
    if n >= FORM_SLOTS:
        return NULL
    # In the order of the line.
    for i in range(1, n):
        value = values[i]
        k = i
        while k > 0 and values[k - 1].span.at > value.span.at:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value
    # Each piece of the fixed text is padded to words, with a word to spare.
    for i in range(n + 1):
        text += (((values[i].span.at if i < n else end) - p) & ~<size_t> 7) + 8
        p = values[i].span.at + values[i].span.length if i < n else line
    if text > FORM_TEXT:
        return NULL
    place = &forms.places[key & (FORM_PLACES - 1)]
    if key == 0:
        place = &forms.recent[forms.recent_next & (FORM_RECENT - 1)]
        forms.recent_next += 1
    if place[0] == NULL:
        place[0] = <form_t*> fc_alloc(1, sizeof(form_t))
        if place[0] == NULL:
            return NULL  # lines are read key by key then
    f = place[0]
    memset(f, 0, sizeof(form_t))
    text = 0
    for i in range(n + 1):
        length = (values[i].span.at if i < n else end) - p
        slot = &f.slot[i]
        slot.text = <uint16_t> text
        slot.words = <uint16_t> (length >> 3)
        slot.rest = <uint16_t> (length & 7)
        slot.reach = <uint16_t> (length + 8 + (NUMBER_SLACK if i < n else 0))
        slot.mask = (<uint64_t> 1 << (8 * slot.rest)) - 1
        slot.kind = <uint8_t> (values[i].kind if i < n else SLOT_END)
        memcpy(f.text + text, p, length)
        text += (length & ~<size_t> 7) + 8
        if i < n:
            slot.field = <uint8_t> values[i].field
            p = values[i].span.at + values[i].span.length
    return f


cdef const uint8_t* form_levels(
    const uint8_t* p, const uint8_t* end, const line_symbol_t* s, slot_t* slot, event_t* out, size_t capacity, int64_t* count
) noexcept nogil:
    cdef shape_t price_shape = slot.price
    cdef shape_t size_shape = slot.size
    cdef const uint8_t* q
    cdef size_t n = 0
    cdef event_t beyond
    cdef event_t* e
    count[0] = 0
    if end - p < 8:
        return NULL
    if memcmp(p, b"[]", 2) == 0:
        return p + 2
    if memcmp(p, b'[["', 3) != 0:
        return NULL
    p += 3
    shape_for(&price_shape, s.price_decimals)
    shape_for(&size_shape, s.size_decimals)
    while True:
        e = &out[n] if likely(n < capacity) else &beyond
        q = json_level(p, &price_shape, &size_shape, &e.price, &e.size) if likely(end - p >= 2 * NUMBER_SLACK) else NULL
        if unlikely(q == NULL):
            q = json_decimal(p, end, False, s.price_decimals, &price_shape, &e.price)
            if q == NULL or end - q < 8:
                return NULL
            if begins(q, BETWEEN_SPACED, 4):
                q += 1
            elif not begins(q, BETWEEN, 3):
                return NULL
            q = json_decimal(q + 3, end, True, s.size_decimals, &size_shape, &e.size)
            if q == NULL or end - q < 3:
                return NULL
            if end - q < 8 and e.price:  # the last level
                n += 1
                break
        if unlikely(e.price == 0):
            return NULL
        n += 1
        if likely(begins(q, NEXT_LEVEL, 5)):
            p = q + 5
        elif begins(q, NEXT_SPACED, 6):
            p = q + 6
        else:
            break
    slot.price = price_shape
    slot.size = size_shape
    count[0] = <int64_t> n
    return q + 3 if memcmp(q, b'"]]', 3) == 0 else NULL


# A line of this form: the place behind it, NULL where it differs in anything.
cdef const uint8_t* read_line(
    form_t* f, const lines_t* lines, const uint8_t* p, const uint8_t* end, int64_t* values, event_t* out, size_t capacity
) noexcept nogil:
    cdef const line_symbol_t* s = symbol_at(lines, f.symbol)
    cdef slot_t* slot = &f.slot[0]
    cdef const uint8_t* text
    cdef int64_t ignored
    cdef int64_t levels = 0
    cdef int words
    while True:
        text = f.text + slot.text
        if unlikely(end - p < slot.reach):
            return NULL
        words = slot.words
        while words > 0:
            if unlikely(le64(p) != le64(text)):
                return NULL
            p += 8
            text += 8
            words -= 1
        if unlikely((le64(p) ^ le64(text)) & slot.mask):
            return NULL
        p += slot.rest
        if slot.kind == SLOT_INTEGER:
            p = json_uint_like(p, end, &slot.digits, &values[slot.field])
        elif slot.kind == SLOT_PRICE:
            shape_for(&slot.price, s.price_decimals)
            p = json_decimal(p, end, False, s.price_decimals, &slot.price, &values[slot.field])
        elif slot.kind == SLOT_SIZE:
            shape_for(&slot.size, s.size_decimals)
            p = json_decimal(p, end, True, s.size_decimals, &slot.size, &values[slot.field])
        elif slot.kind == SLOT_SKIP:
            p = json_uint_like(p, end, &slot.digits, &ignored)
        elif slot.kind == SLOT_FLAG:
            values[slot.field] = memcmp(p, b"true", 4) == 0
            if values[slot.field]:
                p += 4
            else:
                p = p + 5 if memcmp(p, b"false", 5) == 0 else NULL
        elif slot.kind == SLOT_LEVELS:
            p = form_levels(p, end, s, slot, out, capacity, &levels)
            values[slot.field] = levels
            levels = min(levels, <int64_t> capacity)
            out += levels
            capacity -= <size_t> levels
        else:
            return p + 1 if p < end and p[0] == c"\n" else NULL
        if unlikely(p == NULL):
            return NULL
        slot += 1


cdef const uint8_t* form_copy(forms_t* forms, const uint8_t* line, size_t length) noexcept nogil:
    memcpy(forms.copy, line, length)
    forms.copy[length] = c"\n"
    memset(forms.copy + length + 1, 0, FORM_BEHIND - 1)
    return forms.copy


cdef form_t* form_read(
    forms_t* forms, uint64_t key, const lines_t* lines, const uint8_t* line, const uint8_t* end, int64_t* values, event_t* out,
    size_t capacity, const uint8_t** next
) noexcept nogil:
    cdef form_t* f
    cdef int i
    if key:
        f = forms.places[key & (FORM_PLACES - 1)]
        if f != NULL:
            next[0] = read_line(f, lines, line, end, values, out, capacity)
            if next[0] != NULL:
                return f
        return NULL
    for i in range(<int> FORM_RECENT):
        f = forms.recent[i]
        if f != NULL:
            next[0] = read_line(f, lines, line, end, values, out, capacity)
            if next[0] != NULL:
                return f
    return NULL
