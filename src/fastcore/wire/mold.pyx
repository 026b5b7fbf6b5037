# cython: freethreading_compatible=True
"""MoldUDP64: packets of numbered messages to events and back, with gaps found and repeated messages dropped.

==================== ====== ======= ===================================================================================
downstream packet    offset length  meaning
==================== ====== ======= ===================================================================================
session              0      10      ASCII
sequence number      10     8       of the first message in the packet; messages are numbered one by one from 1
message count        18     2       0: a heartbeat, 65,535: end of session; both carry the number of the next message
message blocks       20             each a 2-byte length and the message
==================== ====== ======= ===================================================================================

A request for messages again is session 0:10, first sequence number 10:8, message count 18:2. Numbers are big-endian.

How packets become events:

- A message whose number was passed already is dropped and counted, so that the two lines (A and B) of a feed, or a repeated
  packet, may go into one decoder: a packet that overlaps what came before gives only what is new.
- A number beyond the expected one is a gap: an event ``gap`` stands before what follows (payload[0] = `seq` = first missing
  number, payload[1] = how many; `symbol_id` NO_SYMBOL, `exch_ns` that of the first event of the packet: before it nobody knows of
  the gap). Heartbeats and ends of session show gaps too, which have the time of the event before. A packet that comes late, behind the gap that it would have filled, is dropped as a repetition.
- Another session name begins a new session, whose first message has number 1. What comes again from the session before it is
  dropped and counted (`stale`); new messages of that session are delivered, with its own numbers.
- A packet with sequence number 0 (messages are numbered from 1; anonymised captures have it) is decoded as it is, and takes
  no part in all this; `seq` of its events is 0.

Source: NASDAQ MoldUDP64 Protocol Specification 1.00.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX
from libc.string cimport memcmp, memcpy, memset

cimport numpy as cnp

from fastcore._guard cimport alone, enter, leave
from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport as_int64, as_uint64
from fastcore.records cimport (
    KIND_GAP,
    NO_SYMBOL,
    RESULT_BAD_LENGTH,
    RESULT_CORRUPT,
    RESULT_FULL,
    RESULT_NO_MEMORY,
    RESULT_OK,
    RESULT_SHORT_BUFFER,
    be16,
    be64,
    put_be16,
    put_be64,
    unlikely,
)
from fastcore.wire.itch cimport itch_decode
from fastcore.wire.tally cimport _Decoder, tally_fail

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["END_OF_SESSION", "HEADER_SIZE", "MoldDecoder", "MoldEncoder", "parse_header", "request"]

HEADER_SIZE = 20
END_OF_SESSION = 65_535  # as the message count

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)


# ---- decoding ----

cdef int mold_begin(mold_decoder_t* m, const uint8_t* p, size_t length, uint64_t* missing) noexcept nogil:
    """Read the header into m.cursor: RESULT_OK, or what is malformed. Without messages to deliver, count is 0."""
    cdef mold_cursor_t* c = &m.cursor
    cdef uint64_t expected
    cdef uint64_t behind
    cdef uint8_t session[10]
    missing[0] = 0
    c.count = 0
    c.next = 0
    c.skip = 0
    c.at = MOLD_HEADER
    c.length = length
    if unlikely(length < MOLD_HEADER):
        return -tally_fail(&m.tally, 0, RESULT_SHORT_BUFFER, 0)
    c.sequence = be64(p + 10)
    c.count = be16(p + 18)
    # Numbers of this size are damage; with them the sums below could wrap.
    if unlikely(c.sequence >> 63):
        c.count = 0
        return -tally_fail(&m.tally, 10, RESULT_CORRUPT, 0)
    if unlikely(not m.has_session or memcmp(p, m.session, 10) != 0):
        if m.has_previous and memcmp(p, m.previous, 10) == 0:
            if c.sequence + (0 if c.count == MOLD_END_OF_SESSION else c.count) <= m.previous_sequence:
                m.stale += 1
                c.count = 0
                return RESULT_OK
            # The last packets of a session come late, or a damaged session name stood between: both numbers are kept.
            expected = m.previous_sequence
            m.previous_sequence = m.next_sequence
            m.next_sequence = expected
            memcpy(session, m.session, 10)
            memcpy(m.session, m.previous, 10)
            memcpy(m.previous, session, 10)
        else:
            if m.has_session:
                memcpy(m.previous, m.session, 10)
                m.previous_sequence = m.next_sequence
                m.has_previous = True
                m.next_sequence = 1
            memcpy(m.session, p, 10)
            m.has_session = True
            m.sessions += 1
        m.ended = False
    if c.count == 0:
        m.heartbeats += 1
    elif c.count == MOLD_END_OF_SESSION:
        m.ends += 1
        m.ended = True
        c.count = 0
    else:
        m.packets += 1
    if unlikely(c.sequence == 0):
        m.unsequenced += c.count > 0
        return RESULT_OK
    expected = m.next_sequence if m.next_sequence else c.sequence
    if c.sequence > expected:
        missing[0] = c.sequence - expected
        m.gaps += 1
        m.missing += missing[0]
        m.next_sequence = c.sequence
        return RESULT_OK
    m.next_sequence = expected
    behind = expected - c.sequence
    c.skip = c.count if behind > c.count else <uint16_t> behind
    m.duplicates += c.skip
    return RESULT_OK


cdef inline int mold_block(mold_decoder_t* m, const uint8_t* p, size_t length, size_t* size) noexcept nogil:
    """Size of the message block at the cursor."""
    if unlikely(length - m.cursor.at < 2):
        return -tally_fail(&m.tally, m.cursor.at, RESULT_SHORT_BUFFER, 0)
    size[0] = be16(p + m.cursor.at)
    if unlikely(length - m.cursor.at - 2 < size[0]):
        return -tally_fail(&m.tally, m.cursor.at, RESULT_SHORT_BUFFER, p[m.cursor.at + 2] if length - m.cursor.at > 2 else 0)
    return RESULT_OK


cdef inline void mold_advance(mold_decoder_t* m, size_t size) noexcept nogil:
    """The message at the cursor is done with."""
    if m.cursor.sequence and m.cursor.next >= m.cursor.skip:
        m.next_sequence = m.cursor.sequence + m.cursor.next + 1
    m.cursor.next += 1
    m.cursor.at += 2 + size


cdef int mold_finish(mold_decoder_t* m, size_t length) noexcept nogil:
    """Behind the last message nothing may follow."""
    cdef int code = RESULT_OK
    if unlikely(m.cursor.count and m.cursor.next == m.cursor.count and m.cursor.at != length):
        code = -tally_fail(&m.tally, m.cursor.at, RESULT_BAD_LENGTH, 0)
    m.cursor.active = False
    if unlikely(code != RESULT_OK and m.tally.strict):
        return code
    m.tally.position += length
    return RESULT_OK


cdef int mold_decode_packet(
    mold_decoder_t* m, itch_decoder_t* itch, const uint8_t* packet, size_t length, int64_t local_ns, event_t* out,
    size_t capacity, size_t* events
) noexcept nogil:
    cdef mold_cursor_t* c = &m.cursor
    cdef uint64_t missing = 0
    cdef uint64_t sequence
    cdef size_t size = 0
    cdef event_t* e
    cdef event_t* gap = NULL    # that waits for its time
    cdef int code
    cdef int n
    cdef int i
    # Where the caller did not come back with the packet that was interrupted, this is a new one.
    if not (c.active and c.length == length and be64(packet + 10) == c.sequence):
        c.active = False
        if capacity - events[0] < MOLD_ROOM + 1:
            return RESULT_FULL
        code = mold_begin(m, packet, length, &missing)
        if unlikely(code != RESULT_OK):
            if m.tally.strict:
                return code
            m.tally.position += length
            return RESULT_OK
        if unlikely(missing):
            e = &out[events[0]]
            memset(e, 0, sizeof(event_t))
            e.seq = c.sequence - missing
            e.exch_ns = m.last_ns
            e.local_ns = local_ns
            e.symbol_id = NO_SYMBOL
            e.kind = KIND_GAP
            e.payload[0] = <int64_t> e.seq
            e.payload[1] = <int64_t> missing
            events[0] += 1
            gap = e
        c.active = True
    while c.next < c.count:
        code = mold_block(m, packet, length, &size)
        if unlikely(code != RESULT_OK):
            c.active = False
            if m.tally.strict:
                return code
            m.tally.position += length
            return RESULT_OK
        if c.next >= c.skip:
            if unlikely(capacity - events[0] < MOLD_ROOM):
                return RESULT_FULL
            itch.tally.position = m.tally.position + c.at
            e = &out[events[0]]
            n = itch_decode(itch, packet + c.at + 2, size, length - c.at - 2, 0, e, MOLD_ROOM)
            if unlikely(n < 0):
                if n == -RESULT_NO_MEMORY:
                    return RESULT_NO_MEMORY
                if m.tally.strict or itch.tally.strict:
                    c.active = False
                    return -tally_fail(&m.tally, c.at, -n, packet[c.at + 2] if size else 0)
                n = 0
            sequence = c.sequence + c.next if c.sequence else 0
            for i in range(n):
                e[i].seq = sequence
                e[i].local_ns = local_ns
            if n:
                m.last_ns = e.exch_ns
                if unlikely(gap != NULL):
                    gap.exch_ns = e.exch_ns
                    gap = NULL
            events[0] += n
            m.messages += 1
        mold_advance(m, size)
    return mold_finish(m, length)


cdef int mold_extract_packet(
    mold_decoder_t* m, const uint8_t* packet, size_t length, uint8_t* out, size_t* written, uint64_t* sequences,
    size_t* messages
) noexcept nogil:
    cdef mold_cursor_t* c = &m.cursor
    cdef uint64_t missing = 0
    cdef size_t size = 0
    cdef int code = mold_begin(m, packet, length, &missing)
    c.active = False
    if unlikely(code != RESULT_OK):
        if m.tally.strict:
            return code
        m.tally.position += length
        return RESULT_OK
    while c.next < c.count:
        code = mold_block(m, packet, length, &size)
        if unlikely(code != RESULT_OK):
            if m.tally.strict:
                return code
            m.tally.position += length
            return RESULT_OK
        if c.next >= c.skip:
            memcpy(out + written[0], packet + c.at, size + 2)
            written[0] += size + 2
            sequences[messages[0]] = c.sequence + c.next if c.sequence else 0
            messages[0] += 1
            m.messages += 1
        mold_advance(m, size)
    return mold_finish(m, length)


# ---- Python ----

cdef bytes session_bytes(object session):
    raw = session.encode("ascii") if isinstance(session, str) else bytes(session)
    if len(raw) > 10:
        raise ValueError(f"session must have at most 10 characters: session={session!r}")
    return raw.ljust(10)


cdef uint64_t checked_sequence(object value) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t sequence = as_uint64(value)
    if sequence > <uint64_t> INT64_MAX:
        raise ValueError(f"a sequence number must be in 0..2**63-1: sequence={sequence}")
    return sequence


cdef cnp.ndarray check_int64(object array, str name):
    cdef cnp.ndarray a
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name} must be a NumPy array of int64: type={type(array).__name__}")
    a = array
    if cnp.PyArray_TYPE(a) != cnp.NPY_INT64 or a.ndim != 1 or not cnp.PyArray_ISCARRAY_RO(a):
        raise ValueError(f"{name} must be one-dimensional, contiguous int64: dtype={a.dtype} ndim={a.ndim}")
    return a


cdef int check_offsets(const int64_t* offsets, Py_ssize_t n, Py_ssize_t length) except -1:
    cdef Py_ssize_t i
    if n < 1:
        raise ValueError("offsets must have one entry more than there are packets: len=0")
    for i in range(n):
        if offsets[i] < 0 or offsets[i] > length or (i and offsets[i] < offsets[i - 1]):
            raise ValueError(f"offsets must rise within data: index={i} offset={offsets[i]} length={length}")
    return 0


def parse_header(packet):
    """Read the header of a packet.

    Parameters
    ----------
    packet : bytes-like
        A downstream packet or a request.

    Returns
    -------
    (session, sequence, count) : (bytes, int, int)
        The ten bytes of the session, the number of the first message, the message count.

    Raises
    ------
    CorruptDataError
        If the packet is shorter than 20 bytes.
    """
    cdef const uint8_t* p
    raw = bytes(memoryview(packet).cast("B")[:20])
    if len(raw) < 20:
        raise CorruptDataError(f"a MoldUDP64 packet must have at least 20 bytes: length={len(raw)}")
    p = <const uint8_t*> <const char*> raw
    return raw[:10], be64(p + 10), be16(p + 18)


def request(session, sequence, count):
    """Encode a request for messages again.

    Parameters
    ----------
    session : str or bytes
        Up to 10 characters; shorter ones are padded with spaces.
    sequence : int
        Number of the first message wanted, 0..2**63-1.
    count : int
        How many, 1..65534.

    Returns
    -------
    bytes
    """
    cdef uint8_t numbers[10]
    cdef int64_t n = as_int64(count)
    if not 1 <= n < 65_535:
        raise ValueError(f"count must be in 1..65534: count={count}")
    put_be64(numbers, checked_sequence(sequence))
    put_be16(numbers + 8, <uint16_t> n)
    return session_bytes(session) + (<const char*> numbers)[:10]


@cython.final
cdef class MoldDecoder(_Decoder):
    """MoldDecoder(itch=None, next_sequence=0, strict=False)\n--\n\n
    Decode MoldUDP64 packets of one stream of ITCH messages: one channel, both its lines.

    Parameters
    ----------
    itch : ItchDecoder, optional
        Decodes the messages and keeps their counts, errors and symbols; several streams may share it. Without one, only
        `extract` works.
    next_sequence : int, default 0
        Number of the first message expected, 0..2**63-1; 0 takes the first that comes.
    strict : bool, default False
        Raise at the first malformed packet or message, instead of counting it and going on.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of another type or out of range.

    Notes
    -----
    Malformed are: a packet shorter than its header (``short buffer``), a sequence number of 2**63 or more (``corrupt``), a
    message block that ends behind the packet (``short buffer``; the rest of the packet is lost and shows as a gap), and bytes
    behind the last message (``bad length``). They are counted in `errors` and the first 64 kept in `error_log` with their
    offset in all bytes of packets given so far; malformed ITCH messages are counted by the ITCH decoder, with the same offsets.

    **Thread safety**: one thread at a time, and with it the ItchDecoder; decoding releases the GIL.
    """

    def __cinit__(self, ItchDecoder itch=None, next_sequence=0, strict=False):
        self._tally = &self._m.tally
        self._rule = "MoldUDP64 packets must hold whole messages"
        self._items = "events"
        self._m.next_sequence = checked_sequence(next_sequence)
        self._m.tally.strict = strict
        self._itch = itch

    def decode(self, packet, out, local_ns=0):
        """Decode one packet.

        Parameters
        ----------
        packet : bytes-like
        out : ndarray of EVENT_DTYPE, shape (n,), writable
            Receives the events; 16 places and eight for each message always suffice.
        local_ns : int, default 0
            Receive time, ns since the UNIX epoch.

        Returns
        -------
        int
            Events written.

        Raises
        ------
        ValueError
            If `out` is too small; nothing was decoded.
        CorruptDataError
            As `decode_batch`.
        """
        raw = memoryview(packet).cast("B")
        room = 2 * MOLD_ROOM
        if len(raw) >= MOLD_HEADER:
            _, _, count = parse_header(raw)
            # A message that gives events has 12 bytes or more.
            room += MOLD_ROOM * min(count, (len(raw) - MOLD_HEADER) // 14)
        if len(out) < room:
            raise ValueError(f"out must have room for the whole packet: needed={room} len={len(out)}")
        offsets = np.array([0, len(raw)], np.int64)
        return self.decode_batch(raw, offsets, out, np.array([as_int64(local_ns)], np.int64))[0]

    def decode_batch(self, data, offsets, out, local_ns=None):
        """Decode many packets that lie one behind the other.

        Parameters
        ----------
        data : bytes-like
            The packets.
        offsets : ndarray of int64, shape (packets + 1,)
            Packet i is ``data[offsets[i]:offsets[i + 1]]``.
        out : ndarray of EVENT_DTYPE, shape (n,), writable
            Receives the events, at least 16 places. `seq` is the number of the message.
        local_ns : ndarray of int64, shape (packets,), optional
            Receive time of each packet, ns since the UNIX epoch; by default 0.

        Returns
        -------
        (events, packets) : (int, int)
            Events written, and packets that are done with. When `out` was full, fewer than given: pass the rest again, from
            ``offsets[packets:]`` on; of the packet there, what was delivered is remembered.

        Raises
        ------
        TypeError, ValueError
            If an array has another type, or offsets do not rise within `data`.
        CorruptDataError
            In strict mode (of this decoder or of the ItchDecoder), at the first malformed packet or message. Attributes
            `offset` (in all bytes given so far), `events` and `packets` (done before it).
        """
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef cnp.ndarray o = check_int64(offsets, "offsets")
        cdef const int64_t* at = <const int64_t*> cnp.PyArray_DATA(o)
        cdef cnp.ndarray times
        cdef const int64_t* local = NULL
        cdef event_t* events = events_data(a)
        cdef size_t capacity = a.shape[0]
        cdef size_t written = 0
        cdef Py_ssize_t n = o.shape[0] - 1
        cdef Py_ssize_t i = 0
        cdef int code = RESULT_OK
        cdef itch_decoder_t* itch
        cdef Py_buffer view
        cdef const uint8_t* bytes_
        if self._itch is None:
            raise ValueError("decoding to events needs an ItchDecoder: itch=None")
        if capacity < 2 * MOLD_ROOM:
            raise ValueError(f"out must have at least {2 * MOLD_ROOM} places: len={capacity}")
        itch = self._itch._d
        if local_ns is not None:
            times = check_int64(local_ns, "local_ns")
            if times.shape[0] != n:
                raise ValueError(f"local_ns must have one entry for each packet: len={times.shape[0]} packets={n}")
            local = <const int64_t*> cnp.PyArray_DATA(times)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        bytes_ = <const uint8_t*> view.buf
        try:
            check_offsets(at, n + 1, view.len)
            enter(&self._busy)
            try:
                self._itch._enter()
            except:
                leave(&self._busy)
                raise
            with nogil:
                while i < n:
                    code = mold_decode_packet(
                        &self._m, itch, bytes_ + at[i], at[i + 1] - at[i], local[i] if local != NULL else 0, events, capacity,
                        &written,
                    )
                    if code != RESULT_OK:
                        break
                    i += 1
                itch.tally.position = self._m.tally.position
            self._itch._leave()
            leave(&self._busy)
        finally:
            PyBuffer_Release(&view)
        if code == RESULT_NO_MEMORY:
            self._itch._settle()
        if code != RESULT_OK and code != RESULT_FULL:
            self._refuse(written, i)
        return written, i

    def extract(self, data, offsets):
        """Take the new messages out of many packets, without decoding them.

        Parameters
        ----------
        data, offsets
            As in `decode_batch`.

        Returns
        -------
        (stream, sequences) : (bytes, ndarray of uint64)
            The messages one behind the other, each behind its 2-byte length - what an ITCH file holds and
            `ItchDecoder.decode` takes - and the number of each. Gaps are counted, and visible in the numbers.

        Raises
        ------
        CorruptDataError
            As `decode_batch`.
        """
        cdef cnp.ndarray o = check_int64(offsets, "offsets")
        cdef const int64_t* at = <const int64_t*> cnp.PyArray_DATA(o)
        cdef Py_ssize_t n = o.shape[0] - 1
        cdef Py_ssize_t i = 0
        cdef size_t written = 0
        cdef size_t messages = 0
        cdef int code = RESULT_OK
        cdef Py_buffer view
        cdef const uint8_t* bytes_
        cdef uint8_t* out
        cdef uint64_t* numbers
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        bytes_ = <const uint8_t*> view.buf
        try:
            check_offsets(at, n + 1, view.len)
            stream = np.empty(at[n] - at[0], np.uint8)
            sequences = np.empty((at[n] - at[0]) // 2, np.uint64)
            out = <uint8_t*> cnp.PyArray_DATA(stream)
            numbers = <uint64_t*> cnp.PyArray_DATA(sequences)
            enter(&self._busy)
            with nogil:
                while i < n:
                    code = mold_extract_packet(
                        &self._m, bytes_ + at[i], at[i + 1] - at[i], out, &written, numbers, &messages
                    )
                    if code != RESULT_OK:
                        break
                    i += 1
            leave(&self._busy)
        finally:
            PyBuffer_Release(&view)
        if code != RESULT_OK:
            self._refuse(0, i)
        return stream[:written].tobytes(), sequences[:messages].copy()

    cdef int _refuse(self, size_t events, Py_ssize_t packets) except -1:
        try:
            self._raise_last(events)
        except CorruptDataError as error:
            error.packets = packets
            raise

    @property
    def session(self):
        """Ten bytes of the session at hand; None before the first packet."""
        alone(&self._busy)
        return (<const char*> self._m.session)[:10] if self._m.has_session else None

    @property
    def next_sequence(self):
        """Number of the next message expected; 0 before the first packet."""
        return self._m.next_sequence

    @property
    def ended(self):
        """Whether the end of the session was announced."""
        return bool(self._m.ended)

    @property
    def packets(self):
        """Packets with messages."""
        return self._m.packets

    @property
    def messages(self):
        """Messages that were new."""
        return self._m.messages

    @property
    def heartbeats(self):
        """Packets without messages."""
        return self._m.heartbeats

    @property
    def ends(self):
        """Packets that announce the end of a session."""
        return self._m.ends

    @property
    def sessions(self):
        """Sessions seen."""
        return self._m.sessions

    @property
    def gaps(self):
        """Gaps in the sequence numbers."""
        return self._m.gaps

    @property
    def missing(self):
        """Messages that were missing in all gaps."""
        return self._m.missing

    @property
    def duplicates(self):
        """Messages dropped because their number had been passed."""
        return self._m.duplicates

    @property
    def stale(self):
        """Packets dropped because they came late from the session before."""
        return self._m.stale

    @property
    def unsequenced(self):
        """Packets with messages and the sequence number 0."""
        return self._m.unsequenced

    @property
    def counts(self):
        """Well-formed packets: dict of str to int without zeros, ``packets`` those with messages, ``heartbeats`` and ``ends``."""
        alone(&self._busy)
        kinds = {"packets": self._m.packets, "heartbeats": self._m.heartbeats, "ends": self._m.ends}
        return {kind: count for kind, count in kinds.items() if count}

    def __repr__(self):
        alone(&self._busy)
        return (
            f"MoldDecoder(session={self.session}, next_sequence={self._m.next_sequence}, messages={self._m.messages}, "
            f"gaps={self._m.gaps}, errors={self.errors})"
        )


# ---- encoding ----

@cython.final
cdef class MoldEncoder:
    """MoldEncoder(session, sequence=1, max_size=1400)\n--\n\n
    Pack length-prefixed messages into packets.

    Parameters
    ----------
    session : str or bytes
        Up to 10 characters; shorter ones are padded with spaces.
    sequence : int, default 1
        Number of the first message, 0..2**63-1. With 0, every packet has the number 0.
    max_size : int, default 1400
        Largest packet, bytes, 22..65507; a message that is longer than that has a packet of its own if UDP can carry it.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of another type or out of range.

    Notes
    -----
    **Thread safety**: one thread at a time.
    """

    def __cinit__(self, session, sequence=1, max_size=1400):
        cdef bytes raw = session_bytes(session)
        cdef int64_t size = as_int64(max_size)
        if not 22 <= size <= 65_507:
            raise ValueError(f"max_size must be in 22..65507: max_size={max_size}")
        memcpy(self._session, <const char*> raw, 10)
        self._sequence = checked_sequence(sequence)
        self._max_size = size

    cdef void _header(self, uint8_t* p, uint16_t count) noexcept nogil:
        memcpy(p, self._session, 10)
        put_be64(p + 10, self._sequence)
        put_be16(p + 18, count)

    def encode(self, stream):
        """Pack messages, as many into each packet as fit.

        Parameters
        ----------
        stream : bytes-like
            Whole messages, each behind its 2-byte length (what `ItchEncoder.encode` gives).

        Returns
        -------
        (data, offsets) : (bytes, ndarray of int64)
            The packets one behind the other; packet i is ``data[offsets[i]:offsets[i + 1]]``.

        Raises
        ------
        CorruptDataError
            The stream ends inside a message.
        ValueError
            A message that no UDP packet can carry (more than 65,485 bytes).
        """
        cdef Py_buffer view
        cdef const uint8_t* bytes_
        cdef uint8_t* out
        cdef int64_t* ends
        cdef size_t length
        cdef size_t at = 0
        cdef size_t written = 0
        cdef size_t start = 0
        cdef size_t packets = 0
        cdef size_t messages = 0
        cdef size_t block = 0
        cdef uint64_t* sequence = &self._sequence
        cdef uint16_t count = 0
        PyObject_GetBuffer(stream, &view, PyBUF_SIMPLE)
        try:
            bytes_ = <const uint8_t*> view.buf
            length = view.len
            while length - at >= 2 and length - at - 2 >= be16(bytes_ + at) and be16(bytes_ + at) <= 65_485:
                block = be16(bytes_ + at) + <size_t> 2
                if count == 0 or written + block > self._max_size or count == MOLD_END_OF_SESSION - 1:
                    packets += 1
                    written = MOLD_HEADER
                    count = 0
                written += block
                count += 1
                at += block
                messages += 1
            if at != length:
                if length - at >= 2 and be16(bytes_ + at) > 65_485:
                    raise ValueError(f"a message must have at most 65485 bytes: length={be16(bytes_ + at)} offset={at}")
                raise CorruptDataError(f"a stream must hold whole messages: offset={at} remaining={length - at}")
            if self._sequence and messages > <uint64_t> INT64_MAX - self._sequence:
                raise ValueError(f"sequence numbers must stay below 2**63: sequence={self._sequence} messages={messages}")
            data = PyBytes_FromStringAndSize(NULL, length + MOLD_HEADER * packets)
            boundaries = np.zeros(packets + 1, np.int64)
            out = <uint8_t*> PyBytes_AS_STRING(data)
            ends = <int64_t*> cnp.PyArray_DATA(boundaries)
            written = packets = count = 0
            with nogil:
                at = 0
                while at < length:
                    block = be16(bytes_ + at) + <size_t> 2
                    if count and (written - start + block > self._max_size or count == MOLD_END_OF_SESSION - 1):
                        put_be16(out + start + 18, count)
                        packets += 1
                        ends[packets] = written
                        count = 0
                    if count == 0:
                        start = written
                        self._header(out + start, 0)
                        written += MOLD_HEADER
                    memcpy(out + written, bytes_ + at, block)
                    written += block
                    at += block
                    count += 1
                    if sequence[0]:
                        sequence[0] += 1
                if count:
                    put_be16(out + start + 18, count)
                    packets += 1
                    ends[packets] = written
        finally:
            PyBuffer_Release(&view)
        return data, boundaries

    def heartbeat(self):
        """Encode a heartbeat: the number of the next message and no message."""
        cdef uint8_t packet[MOLD_HEADER]
        self._header(packet, 0)
        return (<const char*> packet)[:MOLD_HEADER]

    def end_of_session(self):
        """Encode the announcement that the session is over."""
        cdef uint8_t packet[MOLD_HEADER]
        self._header(packet, MOLD_END_OF_SESSION)
        return (<const char*> packet)[:MOLD_HEADER]

    @property
    def session(self):
        """Ten bytes of the session."""
        return (<const char*> self._session)[:10]

    @property
    def sequence(self):
        """Number of the next message."""
        return self._sequence

    @property
    def max_size(self):
        """Largest packet, bytes."""
        return self._max_size

    def __repr__(self):
        return f"MoldEncoder(session={self.session}, sequence={self._sequence}, max_size={self._max_size})"
