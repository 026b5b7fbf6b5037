"""Forms of lines: the text of a line with its values taken out. A line of a known form is compared and read in one pass.

A form is made from a line that was read key by key, so whatever agrees with its text has the same structure. What does not
agree in anything is a miss, and is read key by key again: the form decides how fast a line is read, never what it means.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.wire._json cimport shape_t, span_t
from fastcore.wire._lines cimport line_symbol_t, lines_t

cdef enum:
    FORM_SLOTS = 32
    FORM_TEXT = 768             # bytes of the fixed text of a form, each piece padded to words
    FORM_PLACES = 1024          # forms by key
    FORM_RECENT = 4             # forms of lines without a key
    FORM_LINE = 65536           # bytes of the longest last line of a buffer that is read by its form
    FORM_BEHIND = 128           # bytes that can be read behind it

# What stands between two pieces of the fixed text.
cdef enum:
    SLOT_END
    SLOT_INTEGER                # a whole number
    SLOT_SKIP                   # a whole number that means nothing
    SLOT_PRICE                  # a string of a decimal
    SLOT_SIZE
    SLOT_FLAG                   # true or false
    SLOT_LEVELS                 # [["price","size"],...]; the value is how many

ctypedef struct slot_t:
    uint16_t text               # offset of the fixed text before the value
    uint16_t words              # whole words of the text
    uint16_t rest               # bytes of its last word
    uint16_t reach              # bytes that must be there to compare the text and to read a number behind it
    uint64_t mask               # of the bytes of the last word
    uint8_t kind
    uint8_t field               # of the value
    uint8_t digits              # of a whole number, in the line before
    shape_t price               # of the decimals in the line before
    shape_t size

# What it costs to read a line key by key again is hundreds of ns; the decoder's notes say what else was found there.
ctypedef struct form_t:
    uint32_t symbol             # index
    uint16_t flags              # of the events
    uint8_t type                # of the message
    uint8_t time_field
    bint has_previous
    slot_t slot[FORM_SLOTS]
    uint8_t text[FORM_TEXT]

# A value of a line that was read key by key; of a string its text without the quotes.
ctypedef struct form_value_t:
    span_t span
    int kind
    int field

ctypedef struct forms_t:
    form_t** places
    form_t* recent[FORM_RECENT]
    uint32_t recent_next
    uint8_t* copy               # of a last line


# False: no memory.
cdef bint forms_open(forms_t* forms) noexcept nogil
cdef void forms_close(forms_t* forms) noexcept nogil

# Keep the form of a line, of `n` values in any order (which are sorted): the form, whose notes are to be filled in; NULL where it
# has too many values or too much text. `key` says where it belongs, 0 among those of the latest lines without one.
cdef form_t* form_learn(
    forms_t* forms, uint64_t key, const uint8_t* line, const uint8_t* end, form_value_t* values, int n
) noexcept nogil

# Levels written the way Binance writes them, to `out` (price and size alone): the place behind them, NULL otherwise. Those beyond the
# capacity are counted. The slot remembers their shapes.
cdef const uint8_t* form_levels(
    const uint8_t* p, const uint8_t* end, const line_symbol_t* s, slot_t* slot, event_t* out, size_t capacity, int64_t* count
) noexcept nogil

# The last line of a buffer, of at most FORM_LINE bytes without its end, where numbers can be read in words: a copy with FORM_BEHIND bytes
# behind it, the first of which is the end of the line.
cdef const uint8_t* form_copy(forms_t* forms, const uint8_t* line, size_t length) noexcept nogil

# Read a line: the form that it has, NULL where it has none of those that are kept. The values are in `values` by field, the levels
# in `out` (price and size alone), as far as they fit, and `next` is the next line.
cdef form_t* form_read(
    forms_t* forms, uint64_t key, const lines_t* lines, const uint8_t* line, const uint8_t* end, int64_t* values, event_t* out,
    size_t capacity, const uint8_t** next
) noexcept nogil
