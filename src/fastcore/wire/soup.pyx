# cython: freethreading_compatible=True
"""SoupBinTCP: a TCP stream as logical packets, and back.

A packet is a 2-byte big-endian length (of all that follows it), a type letter and a payload:

==== ================= ======== ======================================================================================
type packet            sender   payload (offset:length behind the type letter)
==== ================= ======== ======================================================================================
`+`  debug             either   text
A    login accepted    server   session 0:10, number of the next sequenced message 10:20
J    login rejected    server   reason 0:1 (A not authorised, S session not available)
S    sequenced data    server   one message; its number is not sent but counted
U    unsequenced data  client   one message; a server may send it from version 4.00 on
H    heartbeat         server   none
Z    end of session    server   none
L    login request     client   user name 0:6, password 6:10, session 16:10 (blank: the current one), number of the first
                                sequenced message wanted 26:20 (0: only new ones), and from version 4.10 on the time
                                without a heartbeat that the client asks for 46:5, milliseconds
R    heartbeat         client   none
O    logout request    client   none
==== ================= ======== ======================================================================================

Numbers are ASCII digits, padded with spaces on the left (on the right is accepted). Version 4.00 differs from 3.00 in the
unsequenced packets of the server alone, so one decoder reads all versions. A payload has at most 65,534 bytes.

Source: NASDAQ SoupBinTCP 3.00 (2017-02-22), 4.00 (2010) and 4.10 (2012) specifications, section 2.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._guard cimport alone
from fastcore._arrays cimport check_rows
from fastcore._integers cimport as_uint64
from fastcore.records cimport (
    RESULT_BAD_LENGTH,
    RESULT_CORRUPT,
    RESULT_OK,
    RESULT_UNKNOWN_TYPE,
    be16,
    put_be16,
    unlikely,
)
from fastcore.wire.tally cimport _Decoder, tally_cut, tally_fail

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.wire.soup_packets import (
    MAX_PAYLOAD,
    SOUP_DTYPE,
    debug,
    end_of_session,
    heartbeat,
    login_accepted,
    login_rejected,
    login_request,
    logout_request,
    parse_login_accepted,
    parse_login_request,
    sequenced,
    unsequenced,
)

cnp.import_array()

__all__ = [
    "MAX_PAYLOAD", "SOUP_DTYPE", "SoupDecoder", "debug", "encode", "end_of_session", "heartbeat", "login_accepted",
    "login_rejected", "login_request", "logout_request", "parse_login_accepted", "parse_login_request", "sequenced", "unsequenced",
]

cdef tuple _SOUP_DTYPES = (SOUP_DTYPE,)


# ---- decoding ----

cdef bint soup_number(const uint8_t* text, size_t length, uint64_t* value) noexcept nogil:
    """Digits with spaces before or behind them, below 2**64."""
    cdef size_t i = 0
    cdef uint64_t n = 0
    cdef uint64_t digit
    cdef bint any_digit = False
    while i < length and text[i] == c' ':
        i += 1
    while i < length and c'0' <= text[i] <= c'9':
        digit = text[i] - <uint8_t> c'0'
        if n > (~<uint64_t> 0 - digit) // 10:
            return False
        n = n * 10 + digit
        any_digit = True
        i += 1
    while i < length and text[i] == c' ':
        i += 1
    value[0] = n
    return any_digit and i == length


cdef int soup_check(soup_decoder_t* d, uint8_t type, const uint8_t* payload, size_t length) noexcept nogil:
    """Result code of a packet; a login that was accepted sets the number of the next sequenced message."""
    cdef uint64_t number = 0
    if type == c'S' or type == c'U' or type == c'+':
        return RESULT_OK
    if type == c'H' or type == c'R' or type == c'Z' or type == c'O':
        return RESULT_OK if length == 0 else RESULT_BAD_LENGTH
    if type == c'A':
        if length != 30:
            return RESULT_BAD_LENGTH
        if not soup_number(payload + 10, 20, &number):
            return RESULT_CORRUPT
        d.next_sequence = number
        return RESULT_OK
    if type == c'L':
        return RESULT_OK if length == 46 or length == 51 else RESULT_BAD_LENGTH
    if type == c'J':
        return RESULT_OK if length == 1 else RESULT_BAD_LENGTH
    return RESULT_UNKNOWN_TYPE


cdef size_t soup_decode_batch(
    soup_decoder_t* d, const uint8_t* data, size_t length, soup_packet_t* out, size_t capacity, size_t* consumed
) noexcept nogil:
    cdef size_t at = 0
    cdef size_t packets = 0
    cdef size_t size
    cdef uint8_t type
    cdef int code
    while packets < capacity and length - at >= 2:
        size = be16(data + at)
        if length - at - 2 < size:
            break
        type = data[at + 2] if size else 0
        code = soup_check(d, type, data + at + 3, size - 1) if size else RESULT_BAD_LENGTH
        if unlikely(code != RESULT_OK):
            tally_fail(&d.tally, at, code, type)
            if d.tally.strict:
                break
        else:
            d.tally.counts[type] += 1
            out[packets].offset = at + 3
            out[packets].sequence = 0
            out[packets].length = <uint32_t> (size - 1)
            out[packets].type = type
            memset(out[packets].pad, 0, 3)
            if type == c'S':
                out[packets].sequence = d.next_sequence
                d.next_sequence += 1
            packets += 1
        at += 2 + size
    d.tally.position += at
    consumed[0] = at
    return packets


cdef size_t soup_count(const uint8_t* data, size_t length) noexcept nogil:
    """Whole packets at the start of `data`."""
    cdef size_t at = 0
    cdef size_t n = 0
    while length - at >= 2 and length - at - 2 >= be16(data + at):
        at += be16(data + at) + <size_t> 2
        n += 1
    return n


# ---- Python ----

@cython.final
cdef class SoupDecoder(_Decoder):
    """SoupDecoder(next_sequence=1, strict=False)\n--\n\n
    Split one direction of a connection into packets, and count the numbers of the sequenced ones.

    Parameters
    ----------
    next_sequence : int, default 1
        Number of the next sequenced message, 0..2**64-1; a login accepted packet sets it anew.
    strict : bool, default False
        Raise at the first malformed packet, instead of counting it and going on with the next one.

    Raises
    ------
    TypeError, OverflowError
        If next_sequence is not a whole number of 64 bits.

    Notes
    -----
    Malformed are: an unknown type, a length of 0, a payload whose length is not that of its type, a login accepted packet
    without a number, and a stream that ends inside a packet. Each is counted (`errors`) and the first 64 are kept with their
    offset (`error_log`); no row is made of it.

    **Thread safety**: one thread at a time; `decode` and `push` release the GIL.
    """

    def __cinit__(self, next_sequence=1, strict=False):
        self._tally = &self._d.tally
        self._rule = "SoupBinTCP stream must hold whole packets of known types"
        self._items = "packets"
        self._d.next_sequence = as_uint64(next_sequence)
        self._d.tally.strict = strict
        self._rest = b""

    def decode(self, data, out, final=False):
        """Find the packets in bytes that start at a packet.

        Parameters
        ----------
        data : bytes-like
            bytes, memoryview, mmap or contiguous ndarray.
        out : ndarray of SOUP_DTYPE, shape (n,), writable
            Receives a row for each packet: `offset` and `length` of the payload in `data`, `type`, `sequence`.
        final : bool, default False
            Nothing follows: a packet that is not whole at the end is an error (``short buffer``) and is consumed.

        Returns
        -------
        (packets, consumed) : (int, int)
            Rows written, and bytes of `data` that are done with: fewer than len(data) when `out` is full or when the last
            packet is not whole. Pass the rest again, with what follows it.

        Raises
        ------
        CorruptDataError
            In strict mode, at the first malformed packet. Attributes `offset` (in the whole stream) and `packets` (rows
            written before it).
        """
        cdef cnp.ndarray a = check_rows(out, "out", _SOUP_DTYPES, "SOUP_DTYPE", True)
        return self._decode(data, cnp.PyArray_DATA(a), NULL, a.shape[0], final)

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, void* out, void* beside, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        cdef uint64_t failed = self._d.tally.total
        cdef size_t packets = soup_decode_batch(&self._d, data, length, <soup_packet_t*> out, capacity, consumed)
        if final and not (self._d.tally.strict and self._d.tally.total != failed):
            tally_cut(&self._d.tally, data, length, consumed)
        return packets

    def push(self, chunk):
        """Take the next bytes of the stream, cut anywhere, and give the packets that are whole now.

        Parameters
        ----------
        chunk : bytes-like
            Any number of bytes. What is left behind its last whole packet is kept: at most 65,536 bytes.

        Returns
        -------
        (data, rows) : (memoryview, ndarray of SOUP_DTYPE)
            The rows refer to `data`, which is `chunk` itself unless a packet began in an earlier one.

        Raises
        ------
        CorruptDataError
            As `decode`; attributes `data` and `rows` hold the packets before it. The bytes from it on are kept, so that
            the next call raises again.
        """
        cdef Py_buffer view
        cdef size_t packets
        cdef size_t consumed
        data = memoryview(chunk).cast("B")
        if self._rest:
            data = memoryview(self._rest + bytes(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                packets = soup_count(<const uint8_t*> view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        rows = np.zeros(packets, SOUP_DTYPE)
        before = self._d.tally.position
        try:
            packets, consumed = self.decode(data, rows)
        except CorruptDataError as error:
            consumed = error.offset - before
            self._rest = bytes(data[consumed:])
            error.data, error.rows = data[:consumed], rows[: error.packets]
            raise
        self._rest = bytes(data[consumed:])
        return data[:consumed], rows[:packets]

    @property
    def pending(self):
        """Bytes of a packet that is not whole yet, kept by `push`."""
        alone(&self._busy)
        return len(self._rest)

    @property
    def next_sequence(self):
        """Number that the next sequenced packet will have."""
        return self._d.next_sequence

    def __repr__(self):
        return f"SoupDecoder(next_sequence={self._d.next_sequence}, position={self.position}, counts={self.counts}, errors={self.errors})"


# ---- encoding ----

def encode(data, rows):
    """Encode packets, many at once: the inverse of `SoupDecoder.decode`.

    Parameters
    ----------
    data : bytes-like
        Where the payloads are.
    rows : ndarray of SOUP_DTYPE, shape (n,), contiguous
        `offset`, `length` and `type` of each; `sequence` is not sent.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        A payload that lies outside `data` or is longer than 65,534 bytes.
    """
    cdef cnp.ndarray a = check_rows(rows, "rows", _SOUP_DTYPES, "SOUP_DTYPE", False)
    cdef const soup_packet_t* r = <const soup_packet_t*> cnp.PyArray_DATA(a)
    cdef Py_ssize_t n = a.shape[0]
    cdef Py_ssize_t i = 0
    cdef size_t total = 0
    cdef size_t at = 0
    cdef size_t length
    cdef Py_buffer view
    cdef const uint8_t* bytes_
    cdef uint8_t* out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        bytes_ = <const uint8_t*> view.buf
        length = view.len
        while i < n and r[i].length <= SOUP_MAX_PACKET - 3 and r[i].offset <= length and length - r[i].offset >= r[i].length:
            total += r[i].length + <size_t> 3
            i += 1
        if i < n:
            raise ValueError(
                f"a payload must lie within data and have at most {MAX_PAYLOAD} bytes: index={i} row={rows[i]} data={length}"
            )
        result = PyBytes_FromStringAndSize(NULL, total)
        out = <uint8_t*> PyBytes_AS_STRING(result)
        with nogil:
            for i in range(n):
                put_be16(out + at, <uint16_t> (r[i].length + 1))
                out[at + 2] = r[i].type
                memcpy(out + at + 3, bytes_ + r[i].offset, r[i].length)
                at += r[i].length + <size_t> 3
    finally:
        PyBuffer_Release(&view)
    return result
