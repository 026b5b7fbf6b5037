# cython: freethreading_compatible=True
"""Databento Binary Encoding: the records that come by the million - mbo, trades, mbp-1 - to 64-byte events.

A record starts with its length in words of four bytes, its type, publisher u16, instrument u32 and ts_event u64 (ns); all
numbers are little-endian. ``name@offset:bytes``; a record may carry ts_out behind its end:

====== ==== ====== ==================================================================================================
type   code length fields
====== ==== ====== ==================================================================================================
mbo    160  56     order_id@16:8 price@24:8 size@32:4 flags@36:1 channel@37:1 action@38:1 side@39:1 ts_recv@40:8
                   delta@48:4 sequence@52:4
trades 0    48     price@16:8 size@24:4 action@28:1 side@29:1 flags@30:1 depth@31:1 ts_recv@32:8 delta@40:4 sequence@44:4
mbp-1  1    80     as trades; bid price@48:8 ask price@56:8 bid size@64:4 ask size@68:4 bid count@72:4 ask count@76:4
====== ==== ====== ==================================================================================================

Events: mbo A add, C cancel (what is taken off), M replace with the same reference, R clear, T trade, F and N notice (letter,
size, order_id, price); trades trade; mbp-1 quote, and behind it a trade where the action is T. Side B is +1, A is -1, and the
other way round for trades, whose side is DBN's aggressor and the event's resting order. Prices are 1e-9, the undefined one
is NO_PRICE and its size in a quote 0; an undefined time is 0. Flag 32 (snapshot) is the event's. A record without
flag 128 (last) and 32 whose successor has its type, publisher, instrument and time is ``continued``, but for trades.

**Executions.** An F says what of an order has traded, and a C or M of that order behind it in the same venue event takes that off
the book. There the F is the execute, the C a cancel of what is left of it, or else a notice (``C``, its size, order_id, price), and an M
stays as it is, since it gives the new size. A T is a trade of what its Fs do not account for, or else a notice like theirs.

**Best prices as orders** (flag 64): an A or M is a replace of the one order of its side, whose reference is -1 - 2 * symbol_id for
bids and one less for asks; without a price it is a clear of the side.

**Publishers.** An instrument of another publisher is another instrument. References of orders are those of the first publisher; those of
another one have the two numbers of the publishers in their upper 16 bits, by exclusive or, so that they do not meet.

Other types, and records that break these rules, are the caller's: decoding stops before them (`DbnDecoder.blocked`), before a
record of an instrument without a symbol id (`DbnDecoder.unknown`), and before one outside the time for which the symbol ids hold
(`DbnDecoder.outside`).

Source: DBN specification, version 3; these three layouts are those of versions 1 and 2 as well.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, UINT64_MAX, int8_t, int32_t, uint16_t

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport as_int64, as_uint64, int64_in
from fastcore.records cimport (
    FLAG_CONTINUED,
    FLAG_SNAPSHOT,
    KIND_ADD,
    KIND_CANCEL,
    KIND_CLEAR,
    KIND_EXECUTE,
    KIND_NONE,
    KIND_NOTICE,
    KIND_QUOTE,
    KIND_REPLACE,
    KIND_TRADE,
    NO_PRICE,
    NO_SYMBOL,
    RESULT_OK,
    fc_alloc,
    fc_free,
    key8,
    prefetch,
    unlikely,
)
from fastcore.symbols cimport keys_add, keys_find, keys_free, keys_open, keys_reserve

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["LENGTHS", "DbnDecoder", "join_fills"]

# Length of the records that are decoded here, by type code, without ts_out.
LENGTHS = {160: 56, 0: 48, 1: 80}

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
cdef tuple _TYPE_NAMES = ("mbo", "trades", "mbp-1")

cdef enum:
    TYPE_MBO = 0
    TYPE_TRADES = 1
    TYPE_QUOTES = 2
    F_LAST = 128
    F_TOP = 64
    F_SNAPSHOT = 32
    HEADER = 16
    NO_SIGN = 2

cdef uint64_t KEY_MARK = <uint64_t> 1 << 48


cdef inline int64_t price_of(uint64_t raw) noexcept nogil:
    return NO_PRICE if unlikely(raw == <uint64_t> INT64_MAX) else <int64_t> raw


cdef inline int64_t time_of(uint64_t raw) noexcept nogil:
    return 0 if unlikely(raw == UINT64_MAX) else <int64_t> raw


# Kind of event by mbo action, and sign by side: tables, because actions come in no order that a processor could foresee.
cdef uint8_t[256] _kinds
cdef int8_t[256] _signs


cdef void fill_tables() noexcept:
    cdef int i
    for i in range(256):
        _kinds[i] = KIND_NONE
        _signs[i] = NO_SIGN
    _kinds[<uint8_t> c"A"] = KIND_ADD
    _kinds[<uint8_t> c"C"] = KIND_CANCEL
    _kinds[<uint8_t> c"M"] = KIND_REPLACE
    _kinds[<uint8_t> c"T"] = KIND_TRADE
    _kinds[<uint8_t> c"R"] = KIND_CLEAR
    _kinds[<uint8_t> c"F"] = KIND_NOTICE
    _kinds[<uint8_t> c"N"] = KIND_NOTICE
    _signs[<uint8_t> c"B"] = 1
    _signs[<uint8_t> c"A"] = -1
    _signs[<uint8_t> c"N"] = 0


fill_tables()


# What an event of any record has; `received` is where its receive time is, and behind it the delta and the sequence.
cdef inline void set_head(event_t* e, const uint8_t* r, const uint8_t* received, uint32_t symbol_id, uint8_t kind) noexcept nogil:
    e.seq = key8(received + 8) >> 32
    e.exch_ns = time_of(key8(r + 8))
    e.local_ns = time_of(key8(received))
    e.symbol_id = symbol_id
    e.kind = kind


# A notice of what happened at a price, which has it last.
cdef inline void make_notice(event_t* e, uint8_t action) noexcept nogil:
    e.kind = KIND_NOTICE
    e.payload[3] = e.price
    e.payload[0] = action


cdef inline void write_mbo(
    event_t* e, const uint8_t* r, uint32_t symbol_id, uint8_t kind, uint8_t action, int8_t side, uint8_t flags, uint64_t mark
) noexcept nogil:
    cdef uint64_t order_id = key8(r + 16) ^ mark
    set_head(e, r, r + 40, symbol_id, kind)
    e.side = side
    e.flags = FLAG_SNAPSHOT if flags & F_SNAPSHOT else 0
    e.price = price_of(key8(r + 24))
    e.size = <int64_t> <uint32_t> key8(r + 32)
    e.order_id = <int64_t> order_id
    # Without a branch: modifies are too many to be foreseen and too few to be usual.
    e.new_order_id = <int64_t> (order_id & -<uint64_t> (kind == KIND_REPLACE))
    if kind == KIND_TRADE:
        e.side = -side
    elif kind == KIND_NOTICE:
        make_notice(e, action)
    elif unlikely(flags & F_TOP and kind != KIND_CLEAR):
        e.order_id = -1 - 2 * <int64_t> symbol_id - (side < 0)
        if kind != KIND_CANCEL:
            e.kind = KIND_CLEAR if e.price == NO_PRICE else KIND_REPLACE
            e.new_order_id = e.order_id


cdef inline bint is_fill(const event_t* e) noexcept nogil:
    return e.kind == KIND_NOTICE and e.payload[0] == c"F"


# The events of a message in which orders were filled: executions and what is left besides, as said above.
cdef void join_message(event_t* start, event_t* end) noexcept nogil:
    cdef event_t* e = start
    cdef event_t* fill = start      # before it none is open
    cdef event_t* trade = NULL
    cdef event_t* f
    cdef int64_t size, left
    cdef int64_t filled = 0
    while e < end:
        if e.kind == KIND_CANCEL or e.kind == KIND_REPLACE:
            while fill < e and not is_fill(fill):
                fill += 1
            f = fill
            size = left = e.size
            while f < e and left > 0:
                if is_fill(f) and f.order_id == e.order_id and f.size > 0:
                    f.kind = KIND_EXECUTE
                    f.price = f.payload[3]
                    f.payload[3] = 0
                    if e.kind == KIND_CANCEL:
                        f.size = min(f.size, left)
                        left -= f.size
                f += 1
            if left == 0 and size > 0:
                make_notice(e, c"C")
            elif e.kind == KIND_CANCEL:
                e.size = left
        e += 1
    e = start
    while True:
        if e == end or e.kind == KIND_TRADE:
            if filled and filled >= trade.size:
                make_notice(trade, c"T")
            elif filled:
                trade.size -= filled
            if e == end:
                break
            trade = e
            filled = 0
        elif e.kind == KIND_EXECUTE and trade != NULL:
            filled += e.size
        e += 1


# Of a record of trades, or of quotes whose action is a trade: they start alike.
cdef inline void write_trade(event_t* e, const uint8_t* r, uint32_t symbol_id, int8_t side) noexcept nogil:
    set_head(e, r, r + 32, symbol_id, KIND_TRADE)
    e.side = -side
    e.flags = 0
    e.price = price_of(key8(r + 16))
    e.size = <int64_t> <uint32_t> key8(r + 24)
    e.order_id = 0
    e.match_id = 0


cdef inline void write_quote(event_t* e, const uint8_t* r, uint32_t symbol_id, uint8_t flags) noexcept nogil:
    set_head(e, r, r + 32, symbol_id, KIND_QUOTE)
    e.side = 0
    e.flags = FLAG_SNAPSHOT if flags & F_SNAPSHOT else 0
    e.bid, e.ask = price_of(key8(r + 48)), price_of(key8(r + 56))
    e.bid_size = 0 if e.bid == NO_PRICE else <int64_t> <uint32_t> key8(r + 64)
    e.ask_size = 0 if e.ask == NO_PRICE else <int64_t> (key8(r + 64) >> 32)


cdef ptrdiff_t dbn_decode_batch(
    dbn_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, bint final, size_t* consumed
) noexcept nogil:
    cdef size_t at = 0
    cdef size_t n = 0
    cdef size_t whole_at = 0     # behind the last message that is whole
    cdef size_t whole_n = 0
    cdef size_t size
    cdef const uint8_t* r
    cdef event_t* e
    cdef uint64_t head, packed, key, received
    cdef uint8_t rtype, kind, action, letter, flags
    cdef int8_t side
    cdef int type_
    cdef bint open_ = False      # the last message may go on
    cdef bint more = False       # the next record decides, and it is not here yet
    cdef bint fills = False      # in the last message
    d.blocked = d.outside = False
    d.unknown = 0
    while length - at >= HEADER:
        r = data + at
        prefetch(r + 2048)  # the processor's own stops at the end of a page
        head = key8(r)
        rtype = <uint8_t> (head >> 8)
        if rtype == 160:
            type_, size = TYPE_MBO, 56
        elif rtype == 0:
            type_, size = TYPE_TRADES, 48
        elif rtype == 1:
            type_, size = TYPE_QUOTES, 80
        else:
            d.blocked = True
            break
        size += d.extra
        if unlikely(<size_t> <uint8_t> head * 4 != size):
            d.blocked = True
            break
        if length - at < size:
            more = True
            break
        # size u32, then flags, channel, action, side (mbo) or action, side, flags, depth
        if type_ == TYPE_MBO:
            packed = key8(r + 32)
            flags, action, letter = <uint8_t> (packed >> 32), <uint8_t> (packed >> 48), <uint8_t> (packed >> 56)
            received = key8(r + 40)
        else:
            packed = key8(r + 24)
            action, letter, flags = <uint8_t> (packed >> 32), <uint8_t> (packed >> 40), <uint8_t> (packed >> 48)
            received = key8(r + 32)
        kind = _kinds[action]
        side = _signs[letter]
        if unlikely(kind == KIND_NONE or side == NO_SIGN):
            d.blocked = True
            break
        if unlikely(received - d.from_ns >= d.for_ns):
            if received == UINT64_MAX:
                received = key8(r + 8)
            if received != UINT64_MAX and received - d.from_ns >= d.for_ns:
                d.outside = True
                break
        key = head >> 16 | KEY_MARK
        if unlikely(key != d.last):
            d.last_id = keys_find(&d.ids, key)
            if d.last_id == NO_SYMBOL:
                d.last, d.unknown = 0, key
                break
            d.last = key
            if d.publisher < 0:
                d.publisher = <int32_t> (key & 0xFFFF)
            d.mark = ((key ^ <uint64_t> d.publisher) & 0xFFFF) << 48
        if d.last_id == <uint32_t> DBN_PASSED:
            d.counts[type_][action] += 1
            at += size
            whole_at = at
            continue
        if n + 1 + (type_ == TYPE_QUOTES and kind == KIND_TRADE) > capacity:
            break
        e = &out[n]
        if type_ == TYPE_MBO:
            write_mbo(e, r, d.last_id, kind, action, side, flags, d.mark)
            fills |= action == c"F"
        elif type_ == TYPE_TRADES:
            write_trade(e, r, d.last_id, side)
        else:
            write_quote(e, r, d.last_id, flags)
            if kind == KIND_TRADE:
                e.flags |= FLAG_CONTINUED
                n += 1
                e = &out[n]
                write_trade(e, r, d.last_id, side)
        d.counts[type_][action] += 1
        n += 1
        at += size
        open_ = False
        if d.joined and type_ != TYPE_TRADES and flags & (F_LAST | F_SNAPSHOT) == 0:
            if length - at < HEADER:
                more = True
                open_ = True
                break
            open_ = key8(data + at) >> 8 == head >> 8 and key8(data + at + 8) == key8(r + 8)
            if open_:
                e.flags |= FLAG_CONTINUED
        if not open_:
            if unlikely(fills):
                join_message(out + whole_n, out + n)
                fills = False
            whole_at, whole_n = at, n
    else:
        more = at < length
    if whole_n < n:
        # The message at the end is not whole. What follows will tell, unless nothing can follow here.
        if final or d.blocked or d.outside or (whole_n == 0 and n + 2 > capacity) or n - whole_n >= DBN_WAIT:
            out[n - 1].flags &= <uint16_t> ~FLAG_CONTINUED
            join_message(out + whole_n, out + n)
            whole_at, whole_n = at, n
        else:
            # They come again: uncount them.
            at = whole_at
            while n > whole_n:
                type_ = TYPE_MBO if data[at + 1] == 160 else TYPE_QUOTES
                action = data[at + 38] if type_ == TYPE_MBO else data[at + 28]
                d.counts[type_][action] -= 1
                n -= 2 if type_ == TYPE_QUOTES and action == c"T" else 1
                at += <size_t> data[at] * 4
            d.blocked = False
    consumed[0] = whole_at
    return <ptrdiff_t> whole_n


def join_fills(events):
    """Make executions of the fills among events that say as DBN does what happens to orders.

    Parameters
    ----------
    events : ndarray of EVENT_DTYPE, shape (n,), contiguous, writable
        Notices ``F`` (letter, size, order_id, price), cancels, replaces and trades. What follows each other with one symbol and
        time is one venue event.
    """
    cdef cnp.ndarray a = check_events(events, "events", True, _EVENT_DTYPES)
    cdef event_t* e = events_data(a)
    cdef event_t* end = e + a.shape[0]
    cdef event_t* start
    cdef bint fills
    with nogil:
        while e < end:
            start = e
            fills = False
            while e < end and e.exch_ns == start.exch_ns and e.symbol_id == start.symbol_id:
                fills |= is_fill(e)
                e += 1
            if fills:
                join_message(start, e)


@cython.final
cdef class DbnDecoder:
    """DbnDecoder(ts_out=False, joined=True)\n--\n\n
    Decode runs of mbo, trades and mbp-1 records into events.

    Parameters
    ----------
    ts_out : bool, default False
        Each record carries eight bytes more behind its end.
    joined : bool, default True
        Records of one venue event are one message (``continued``); for schemas whose records have no flag LAST, say False.

    Notes
    -----
    **Thread safety**: one thread at a time; `decode` releases the GIL.
    """

    def __cinit__(self, ts_out=False, joined=True):
        self._d = <dbn_decoder_t*> fc_alloc(1, sizeof(dbn_decoder_t))
        if self._d == NULL:
            raise MemoryError("no memory for a DBN decoder")
        if keys_open(&self._d.ids) != RESULT_OK:
            raise MemoryError("no memory for the instruments of a DBN decoder")
        self._d.extra = 8 if ts_out else 0
        self._d.joined = joined
        self._d.publisher = -1
        self._d.for_ns = UINT64_MAX

    def __dealloc__(self):
        if self._d != NULL:
            keys_free(&self._d.ids)
            fc_free(self._d)

    def decode(self, data, out, final=False):
        """Decode records.

        Parameters
        ----------
        data : bytes-like
            Records, or what follows the bytes consumed so far.
        out : ndarray of EVENT_DTYPE, shape (n,), n >= 2, writable
            Receives the events; every field is written.
        final : bool, default False
            Nothing follows: the last message ends here.

        Returns
        -------
        (events, consumed) : (int, int)
            Events written to `out`, and bytes of `data` that are done with. Fewer than len(data) when `out` is full, when the
            next record is of an instrument without a symbol id (`unknown`), of another time (`outside`) or not for this decoder
            (`blocked`), or when the last message is not whole: pass the rest again, with what follows it.

        Raises
        ------
        ValueError
            If `out` has no room for two events.
        """
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef event_t* events = events_data(a)
        cdef size_t capacity = a.shape[0]
        cdef size_t consumed = 0
        cdef ptrdiff_t n
        cdef bint at_end = final
        cdef Py_buffer view
        if capacity < 2:
            raise ValueError(f"out must have room for two events: size={capacity}")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            enter(&self._busy)
            with nogil:
                n = dbn_decode_batch(self._d, <const uint8_t*> view.buf, view.len, events, capacity, at_end, &consumed)
            leave(&self._busy)
        finally:
            PyBuffer_Release(&view)
        return n, consumed

    def set_symbol_id(self, publisher, instrument, symbol_id):
        """Say which symbol id the events of an instrument have.

        Parameters
        ----------
        publisher : int
            0..2**16-1, as the records have it.
        instrument : int
            0..2**32-1. One that has a symbol id keeps it, until `hold`.
        symbol_id : int or None
            0..2**32-3; None for an instrument whose records are counted and make no event.

        Raises
        ------
        ValueError
            If a number is out of range, or if the instrument has another symbol id.
        """
        cdef uint64_t key
        cdef uint32_t known
        cdef uint32_t number = DBN_PASSED
        if symbol_id is not None:
            if not 0 <= as_int64(symbol_id) <= 0xFFFFFFFD:
                raise ValueError(f"symbol_id must be in 0..2**32-3: symbol_id={symbol_id}")
            number = symbol_id
        key = (
            <uint64_t> int64_in(instrument, "instrument", 0, 0xFFFFFFFF) << 16
            | <uint64_t> int64_in(publisher, "publisher", 0, 0xFFFF) | KEY_MARK
        )
        alone(&self._busy)
        known = keys_find(&self._d.ids, key)
        if known == NO_SYMBOL:
            if keys_reserve(&self._d.ids) != RESULT_OK:
                raise MemoryError("no memory for the instruments of a DBN decoder")
            keys_add(&self._d.ids, key, number)
        elif known != number:
            raise ValueError(f"an instrument must keep its symbol id: instrument={instrument}, known={known}, symbol_id={symbol_id}")

    def hold(self, from_ns=0, until_ns=None):
        """Forget all symbol ids, and say for which time those to come hold.

        Parameters
        ----------
        from_ns : int, default 0
            Of the receive time of the records, or of their event time where that is undefined.
        until_ns : int, optional
            The first time that does not belong to it.
        """
        cdef uint64_t start = as_uint64(from_ns)
        cdef uint64_t end = UINT64_MAX if until_ns is None else as_uint64(until_ns)
        alone(&self._busy)
        if end <= start:
            raise ValueError(f"until_ns must be behind from_ns: from_ns={from_ns} until_ns={until_ns}")
        keys_free(&self._d.ids)
        if keys_open(&self._d.ids) != RESULT_OK:
            raise MemoryError("no memory for the instruments of a DBN decoder")
        self._d.last = 0
        self._d.from_ns, self._d.for_ns = start, end - start

    @property
    def publisher(self):
        """int or None: the publisher whose orders keep their references; by default that of the first record."""
        return self._d.publisher if self._d.publisher >= 0 else None

    @publisher.setter
    def publisher(self, number):
        self._d.publisher = -1 if number is None else <int> int64_in(number, "publisher", 0, 0xFFFF)
        self._d.last = 0

    @property
    def unknown(self):
        """(int, int) or None: publisher and instrument before whose record the last call stopped, for want of a symbol id."""
        if self._d.unknown == 0:
            return None
        return <uint16_t> self._d.unknown, <uint32_t> (self._d.unknown >> 16)

    @property
    def outside(self):
        """Whether the last call stopped before a record outside the time that `hold` was given."""
        return bool(self._d.outside)

    @property
    def blocked(self):
        """Whether the last call stopped before a record of another type or length, or with an unknown action or side."""
        return bool(self._d.blocked)

    @property
    def counts(self):
        """Records by type and action: dict of str to int without zeros, for example ``{"mbo A": 3}``."""
        alone(&self._busy)
        cdef int i, j
        return {
            f"{_TYPE_NAMES[i]} {chr(j)}": self._d.counts[i][j]
            for i in range(DBN_TYPES) for j in range(256) if self._d.counts[i][j]
        }

    def __repr__(self):
        return f"DbnDecoder(counts={self.counts}, blocked={self.blocked})"
