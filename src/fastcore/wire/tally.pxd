"""Contract of what every decoder counts: bytes, messages by type, errors by rule, and where the first ones were."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.records cimport RESULT_SHORT_BUFFER, RESULT_UNKNOWN_TYPE, be16

cdef enum:
    TALLY_LOG = 64      # errors that are kept with their offset

ctypedef struct tally_error_t:
    uint64_t offset     # of the message in the stream
    int code            # result code
    uint8_t type        # first byte of the message, 0 for none

# What any decoder starts with.
ctypedef struct tally_t:
    uint64_t position       # bytes of the stream that were consumed before this message or batch
    uint64_t counts[256]    # well-formed messages by type: its letter, or its number
    uint64_t unknown[256]   # messages of unknown types, by letter
    uint64_t errors[32]     # malformed messages by result code
    uint64_t total          # of them
    uint64_t skipped        # messages of symbols that nobody wants
    size_t needed           # items of the message that did not fit; 0: all did
    tally_error_t log[TALLY_LOG]    # the first errors
    tally_error_t last      # the latest error
    bint strict             # a batch stops at the first malformed message


cdef inline int tally_fail(tally_t* t, uint64_t offset, int code, uint8_t type) noexcept nogil:
    """Count an error at `offset` bytes behind t.position; returns -code."""
    t.errors[code] += 1
    if code == RESULT_UNKNOWN_TYPE:
        t.unknown[type] += 1
    t.last.offset = t.position + offset
    t.last.code = code
    t.last.type = type
    if t.total < TALLY_LOG:
        t.log[t.total] = t.last
    t.total += 1
    return -code


cdef inline void tally_cut(tally_t* t, const uint8_t* data, size_t length, size_t* consumed) noexcept nogil:
    """A stream that ends inside a message behind a 2-byte length: an error, and done with unless that is fatal."""
    cdef size_t rest = length - consumed[0]
    if rest and (rest < 2 or rest - 2 < be16(data + consumed[0])):
        tally_fail(t, 0, RESULT_SHORT_BUFFER, data[consumed[0] + 2] if rest > 2 else 0)
        if not t.strict:
            t.position += rest
            consumed[0] = length


# Midnight of a day in ns, as an argument.
cdef int64_t checked_midnight(object value) except? -1


# The Python face of all decoders. A subclass sets the first four in __cinit__, and has `_batch` if it decodes a stream.
cdef class _Decoder:
    cdef uint64_t _busy     # a batch is inside: see _guard
    cdef tally_t* _tally
    cdef str _rule          # what input must be, for the message of an error
    cdef str _items         # attribute of an error: how many of what were written before it
    cdef tuple _types       # names of the types by number; None: they are letters
    # Whole messages from `data` into `out` (and, where a subclass has such rows, `beside`): items written; bytes done with in
    # `consumed`, by which position has grown. Stops before a message that is not whole (with `final` that is an error),
    # before one whose items do not fit (`needed` says how many they are), and in strict mode before a malformed one.
    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, void* out, void* beside, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil
    # What is to be said of a batch before its errors: no memory.
    cdef int _settle(self) except -1
    # Before and after a batch; a subclass that works on other objects too takes them along.
    cdef int _enter(self) except -1
    cdef void _leave(self) noexcept
    cdef tally_t* _idle(self) except NULL
    # One call of decode: (items written, bytes consumed), or what `_batch` says as an exception.
    cdef tuple _decode(self, object data, void* out, void* beside, size_t capacity, bint final)
    cdef int _raise_last(self, size_t items) except -1
