"""Loops that only the benchmarks and stress tests need: empty calls to compare with, and both ends of a queue in C.

Not part of the public interface.
"""

cimport cython
cimport numpy as cnp
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastcore._arrays cimport check_events, events_data
from fastcore.records cimport (
    be16,
    be32,
    be48,
    be64,
    BUY,
    cpu_pause,
    event_t,
    load_acquire,
    KIND_ADD,
    KIND_CANCEL,
    KIND_EXECUTE,
    NO_PRICE,
    prefetch,
    RESULT_OK,
    store_release,
    tick_t,
)
from fastcore.avellaneda cimport quote_t, Quoter, quoter_quote
from fastcore.book cimport (
    AHEAD_RECORDS, book_apply, book_best_ask, book_best_bid, book_change_t, book_far, book_ahead,
    book_find_level, book_level_size, book_next_price, book_t, book_worst_price, level_t, OrderBook, orders_bytes, _Book,
)
from fastcore.correlation cimport correlation_update, RollingCorrelation
from fastcore.clock cimport clock_monotonic_ns, clock_ticks, clock_ticks_to_ns, clock_wall_ns
from fastcore.sim.venue cimport Venue, venue_apply, venue_cancel, venue_submit
from fastcore.histogram cimport Histogram, histogram_record
from fastcore.wire.itch cimport ITCH_MAX_EVENTS, itch_decode, ItchDecoder
from fastcore.money cimport money_object, money_t
from fastcore.portfolio cimport position_fill, position_net, position_t
from fastcore._slots cimport cursor_t, ring_closed, ring_t
from fastcore.broadcast cimport (
    broadcast_skip, broadcast_try_pop_batch, broadcast_try_push_batch, BroadcastConsumer, BroadcastRing,
)
from fastcore.ring cimport (
    ring_commit,
    ring_commit_batch,
    ring_release,
    ring_release_batch,
    ring_try_claim,
    ring_try_claim_batch,
    ring_try_peek,
    ring_try_peek_batch,
    RingBuffer,
)
from fastcore.risk cimport RiskLimits, risk_bounds, risk_order, risk_seen, risk_symbol_t
from fastcore.symbols cimport SymbolMapper, symbols_find_key
from fastcore.tickstore cimport (
    store_append,
    store_append_record,
    store_append_records,
    store_claim,
    store_commit,
    store_grow,
    store_t,
    TickStore,
)
from fastcore.zscore cimport rolling_update, RollingZScore

import numpy as np

from fastcore.records import EVENT_DTYPE as _EVENT_DTYPE

cnp.import_array()


cdef extern from *:
    """
    #ifndef FC_BUILD_FLAGS
    #define FC_BUILD_FLAGS ""
    #endif
    #if defined(_MSC_VER)
    #define FC_COMPILER "MSVC"
    #elif defined(__clang__)
    #define FC_COMPILER "clang " __clang_version__
    #else
    #define FC_COMPILER "gcc " __VERSION__
    #endif
    """
    const char* FC_COMPILER
    const char* FC_BUILD_FLAGS


def build():
    """Return the compiler and the flags that built the core."""
    return f"{FC_COMPILER.decode()} {FC_BUILD_FLAGS.decode()}"


@cython.final
cdef class Empty:
    """Empty()\n--\n\n
    Methods that do nothing: the price of the call itself, with the arguments of the calls they stand for."""

    def none(self):
        return None

    def one_float(self, double a):
        return True

    def two_ints(self, long long a, long long b):
        return None

    def int_float_int(self, long long a, double b, long long c):
        return None

    def int_int_float_float(self, long long a, long long b, double c, double d):
        return True

    def four_floats(self, double a, double b, double c, double d):
        return None


# ---- zscore


cdef extern from "fc_rolling.h" nogil:
    void rolling_sliding "fc_rolling_sliding"(const double* x, double* out, size_t window, size_t count)


def zscore_stream(RollingZScore r not None, const double[::1] x not None):
    """Update a streaming z-score with every value of `x` from a compiled loop; return the sum of the last ten."""
    cdef Py_ssize_t i, n = x.shape[0]
    cdef double total = 0.0, z
    with nogil:
        for i in range(n):
            z = rolling_update(&r._r, x[i])
            if i >= n - 10:
                total += z
    return total


def zscore_sliding(const double[::1] x not None, size_t window, double[::1] out not None):
    """Write the z-scores of the textbook loop in C: sums about the first point, one added and one taken off, for the floor."""
    rolling_sliding(&x[0], &out[0], window, <size_t> x.shape[0] - window + 1)


def correlation_stream(RollingCorrelation c not None, const double[:, ::1] x not None):
    """Update a rolling correlation with every row of `x` from a compiled loop."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            correlation_update(&c._c, &x[i, 0])


# ---- itch, book


def itch_add_orders(const uint8_t[::1] data not None, uint8_t[::1] out not None):
    """Decode a stream of nothing but add orders (A) without any check: the floor. Returns the messages."""
    cdef Py_ssize_t n = data.shape[0] // 38
    cdef Py_ssize_t i
    cdef const uint8_t* m
    cdef event_t* e
    if out.shape[0] < n * <Py_ssize_t> sizeof(event_t) or n == 0:
        raise ValueError(f"out must hold 64 bytes for each message: messages={n} bytes={out.shape[0]}")
    cdef const uint8_t* first = &data[0]
    cdef event_t* rows = <event_t*> &out[0]
    with nogil:
        for i in range(n):
            m = first + 38 * i + 2
            e = rows + i
            e.exch_ns = <int64_t> be48(m + 5)
            e.local_ns = 0
            e.symbol_id = be16(m + 1)
            e.kind = KIND_ADD
            e.side = 1 if m[19] == c'B' else -1
            e.flags = 0
            e.price = be32(m + 32)
            e.size = be32(m + 20)
            e.order_id = <int64_t> be64(m + 11)
            e.match_id = 0
    return n


def itch_to_book(ItchDecoder decoder not None, OrderBook book not None, const uint8_t[::1] data not None):
    """Decode a stream and apply every event at once, in one loop. Returns (events, results that were not ok)."""
    cdef const uint8_t* p = &data[0] if data.shape[0] else NULL
    cdef size_t length = data.shape[0]
    cdef size_t at = 0
    cdef size_t size
    cdef uint64_t events = 0
    cdef uint64_t failed = 0
    cdef event_t[ITCH_MAX_EVENTS] e
    cdef int i
    cdef int n
    cdef book_change_t change
    with nogil:
        while length - at >= 2:
            size = be16(p + at)
            if length - at - 2 < size:
                break
            n = itch_decode(decoder._d, p + at + 2, size, length - at - 2, at, &e[0], ITCH_MAX_EVENTS)
            for i in range(n):
                events += 1
                failed += book_apply(book._b, &e[i], &change) != RESULT_OK
            at += 2 + size
    return events, failed


def book_tops(_Book book not None, events not None):
    """Apply events to a book and look at each top that has changed: (changes, sum of 3 bid + ask modulo 2^64)."""
    cdef cnp.ndarray a = check_events(events, "events", False, (_EVENT_DTYPE,))
    cdef const event_t* e = events_data(a)
    cdef Py_ssize_t i
    cdef Py_ssize_t n = a.shape[0]
    cdef book_t* b = book._b
    cdef book_change_t change
    cdef int64_t bid, ask
    cdef uint64_t touches = 0
    cdef uint64_t check = 0
    cdef bint far = book_far(orders_bytes(b.orders))
    with nogil:
        for i in range(n):
            prefetch(e + i + AHEAD_RECORDS)
            book_ahead(b, far, e, i, n)
            book_apply(b, e + i, &change)
            if change.top_changed:
                bid = book_best_bid(b)
                ask = book_best_ask(b)
                if bid != NO_PRICE and ask != NO_PRICE:
                    touches += 1
                    check += 3 * <uint64_t> bid + <uint64_t> ask
    return touches, check


def book_walk(_Book book not None, int8_t side, int64_t price):
    """What the accessors of the contract show of a side: (worst price, [(price, size, size at that price) behind `price`])."""
    cdef book_t* b = book._b
    cdef level_t* l
    rows = []
    price = book_next_price(b, side, price)
    while price != NO_PRICE:
        l = book_find_level(b, side, price)
        rows.append((price, l.size if l != NULL else None, book_level_size(b, side, price)))
        price = book_next_price(b, side, price)
    return book_worst_price(b, side), rows


# ---- the loop on level events in plain C, for the floor


cdef extern from "fc_bench_l2.h" nogil:
    ctypedef struct l2_result_t "fc_bench_l2_result_t":
        int64_t touches
        int64_t requotes
        int64_t orders
        int64_t fills
        int64_t position
        int64_t cash
        uint64_t check
    uint64_t l2_make "fc_bench_l2_make"(event_t* out, uint64_t n, uint64_t seed)
    bint l2_run "fc_bench_l2_run"(int row, const event_t* events, uint64_t n, l2_result_t* out)


def l2_events(n, seed=1):
    """Return at most n level and trade events of one made market, ten levels a side, as EVENT_DTYPE."""
    rows = np.zeros(n, _EVENT_DTYPE)
    return rows[: l2_make(<event_t*> cnp.PyArray_DATA(rows), n, seed)]


def l2_floor(str row not None, events not None):
    """Run row "a" (book and top of book), "b" (from a source in batches) or "c" (and a maker) of the floor over events of `l2_events`.

    Returns a dict: touches and check as `book_tops` gives them, then requotes, orders, fills, position and cash of the maker.
    """
    cdef cnp.ndarray a = check_events(events, "events", False, (_EVENT_DTYPE,))
    cdef const event_t* e = events_data(a)
    cdef uint64_t n = a.shape[0]
    cdef int which = ord(row)
    cdef l2_result_t result
    cdef bint done
    with nogil:
        done = l2_run(which, e, n, &result)
    if not done:
        raise MemoryError("no memory for the levels of the floor")
    return result


# ---- ring: both ends of a ring as compiled loops without the GIL, and the same in plain C


cdef extern from "fc_shm.h" nogil:
    int64_t ring_now_ns "fc_wait_now_ns"()
    void ring_yield "fc_wait_yield"()


cdef extern from "fc_bench_ring.h" nogil:
    int64_t ring_c_run "fc_bench_ring_run"(uint64_t count, int batch, uint64_t* errors)
    int ring_c_trip "fc_bench_ring_trip"(uint64_t count, int64_t* out)


cdef inline void ring_spin(uint32_t* spins) noexcept nogil:
    spins[0] += 1
    if spins[0] & 0xff:
        cpu_pause()
    else:
        ring_yield()  # tests and continuous integration share cores


cdef inline void ring_fill(event_t* e, uint64_t i) noexcept nogil:
    e.exch_ns = i
    e.local_ns = 0
    e.symbol_id = 7
    e.kind = KIND_ADD
    e.side = BUY
    e.flags = 0
    e.price = i
    e.size = 100
    e.order_id = 1
    e.match_id = 2


cdef void ring_produce_one(ring_t* r, uint64_t first, uint64_t count) noexcept nogil:
    cdef uint64_t i = first
    cdef uint32_t spins = 0
    cdef void* slot
    while i < first + count:
        slot = ring_try_claim(r)
        if slot == NULL:
            if ring_closed(r):
                return
            ring_spin(&spins)
            continue
        ring_fill(<event_t*> slot, i)
        ring_commit(r)
        i += 1


cdef void ring_produce_batch(ring_t* r, uint64_t first, uint64_t count, size_t batch) noexcept nogil:
    cdef uint64_t i = first
    cdef uint64_t left
    cdef uint32_t spins = 0
    cdef size_t got, k
    cdef event_t* slot
    while i < first + count:
        left = first + count - i
        slot = <event_t*> ring_try_claim_batch(r, batch if batch < left else left, &got)
        if slot == NULL:
            if ring_closed(r):
                return
            ring_spin(&spins)
            continue
        for k in range(got):
            ring_fill(slot + k, i + k)
        ring_commit_batch(r, got)
        i += got


cdef uint64_t ring_consume_one(ring_t* r, uint64_t first, uint64_t count, int64_t* elapsed) noexcept nogil:
    cdef uint64_t i = first
    cdef uint64_t errors = 0
    cdef int64_t start = 0
    cdef uint32_t spins = 0
    cdef event_t* e
    while i < first + count:
        e = <event_t*> ring_try_peek(r)
        if e == NULL:
            if ring_closed(r) and ring_try_peek(r) == NULL:
                errors += first + count - i
                break
            ring_spin(&spins)
            continue
        if i == first:
            start = ring_now_ns()
        errors += e.price != <int64_t> i or e.exch_ns != <int64_t> i
        ring_release(r)
        i += 1
    elapsed[0] = ring_now_ns() - start
    return errors


cdef uint64_t ring_consume_batch(ring_t* r, uint64_t first, uint64_t count, size_t batch, int64_t* elapsed) noexcept nogil:
    cdef uint64_t i = first
    cdef uint64_t errors = 0
    cdef int64_t start = 0
    cdef uint32_t spins = 0
    cdef size_t got, k
    cdef event_t* e
    while i < first + count:
        e = <event_t*> ring_try_peek_batch(r, batch, &got)
        if e == NULL:
            if ring_closed(r) and ring_try_peek(r) == NULL:
                errors += first + count - i
                break
            ring_spin(&spins)
            continue
        if i == first:
            start = ring_now_ns()
        for k in range(got):
            errors += e[k].price != <int64_t> (i + k) or e[k].exch_ns != <int64_t> (i + k)
        ring_release_batch(r, got)
        i += got
    elapsed[0] = ring_now_ns() - start
    return errors


def ring_produce(RingBuffer ring not None, uint64_t count, size_t batch=1, uint64_t first=0):
    """Publish `count` events numbered from `first`, in batches, spinning; return when all are published or the ring closes."""
    if not ring._producer or ring._ring.size != 64:
        raise ValueError(f"ring must be the producer of events: size={ring._ring.size}")
    with nogil:
        if batch <= 1:
            ring_produce_one(ring._ring, first, count)
        else:
            ring_produce_batch(ring._ring, first, count, batch)


def ring_consume(RingBuffer ring not None, uint64_t count, size_t batch=1, uint64_t first=0):
    """Take `count` events and check their order; return (ns from the first to the last, events out of order or missing)."""
    cdef int64_t elapsed = 0
    cdef uint64_t errors
    if not ring._consumer or ring._ring.size != 64:
        raise ValueError(f"ring must be the consumer of events: size={ring._ring.size}")
    with nogil:
        if batch <= 1:
            errors = ring_consume_one(ring._ring, first, count, &elapsed)
        else:
            errors = ring_consume_batch(ring._ring, first, count, batch, &elapsed)
    return elapsed, errors


def ring_c(uint64_t count, int batch=1):
    """The same with two POSIX threads in plain C: (ns, errors), or None where this platform has none."""
    cdef uint64_t errors = 0
    cdef int64_t elapsed
    with nogil:
        elapsed = ring_c_run(count, batch, &errors)
    return None if elapsed < 0 else (elapsed, errors)


cdef inline void ring_send(ring_t* r, uint64_t i) noexcept nogil:
    cdef void* slot
    cdef uint32_t spins = 0
    while True:
        slot = ring_try_claim(r)
        if slot != NULL:
            break
        ring_spin(&spins)
    ring_fill(<event_t*> slot, i)
    ring_commit(r)


cdef inline void ring_receive(ring_t* r) noexcept nogil:
    cdef uint32_t spins = 0
    while ring_try_peek(r) == NULL:
        ring_spin(&spins)
    ring_release(r)


def ring_echo(RingBuffer there not None, RingBuffer back not None, uint64_t count):
    """Send every event of `there` back."""
    cdef uint64_t i
    with nogil:
        for i in range(count):
            ring_receive(there._ring)
            ring_send(back._ring, i)


def ring_trip(RingBuffer there not None, RingBuffer back not None, int64_t[::1] out not None):
    """Measure round trips, ns each, into `out`, while another thread runs `ring_echo`."""
    cdef Py_ssize_t i
    cdef int64_t start
    with nogil:
        for i in range(out.shape[0]):
            start = ring_now_ns()
            ring_send(there._ring, i)
            ring_receive(back._ring)
            out[i] = ring_now_ns() - start


def line_echo(uint64_t[::1] words not None, uint64_t count):
    """Answer each number in word 0 in word 16, two cache lines on: what any exchange between two cores costs."""
    cdef uint64_t i
    cdef uint32_t spins = 0
    with nogil:
        for i in range(1, count + 1):
            while load_acquire(&words[0]) != i:
                ring_spin(&spins)
            store_release(&words[16], i)


def line_trip(uint64_t[::1] words not None, int64_t[::1] out not None):
    """Measure round trips, ns each, into `out`, while another process runs `line_echo`."""
    cdef Py_ssize_t i
    cdef int64_t start
    cdef uint64_t first = words[0]
    cdef uint32_t spins = 0
    with nogil:
        for i in range(out.shape[0]):
            start = ring_now_ns()
            store_release(&words[0], first + i + 1)
            while load_acquire(&words[16]) != first + i + 1:
                ring_spin(&spins)
            out[i] = ring_now_ns() - start


def ring_trip_c(int64_t[::1] out not None):
    """The same in plain C; False where this platform has none."""
    cdef int code
    if out.shape[0] == 0:
        return True
    with nogil:
        code = ring_c_trip(out.shape[0], &out[0])
    return code == 0


cdef inline bint ring_whole(const event_t* e) noexcept nogil:
    # An event as ring_fill made it and `seq` counted it: every word of the payload says the same number.
    return e.seq == <uint64_t> e.price + 1 and e.exch_ns == e.price and e.size == e.price and e.order_id == e.price


def broadcast_produce(BroadcastRing ring not None, uint64_t count, size_t batch=1):
    """Publish `count` events, every word of which says the same number; spin while a slow consumer is waited for."""
    cdef event_t events[64]
    cdef ring_t* r = ring._ring
    cdef uint64_t i = 0
    cdef uint64_t first = r.memory.head
    cdef uint32_t spins = 0
    cdef size_t k, n, done
    if not ring._producer or r.size != 64 or not 1 <= batch <= 64:
        raise ValueError(f"ring must be the producer of events and batch 1 to 64: size={r.size}, batch={batch}")
    with nogil:
        while i < count:
            n = batch if batch < count - i else count - i
            for k in range(n):
                ring_fill(&events[k], first + i + k)
                events[k].size = events[k].order_id = first + i + k
            done = 0
            while done < n:
                done += broadcast_try_push_batch(r, &events[done], n - done)
                if done < n:
                    if ring_closed(r):
                        break
                    ring_spin(&spins)
            if done < n:
                break
            i += n
    return i


def broadcast_consume(BroadcastConsumer consumer not None, size_t batch=1):
    """Take events until the ring is closed and read, going on after overruns.

    Returns (events, torn or disordered ones, overruns, lost, ns from the first to the last).
    """
    cdef event_t events[64]
    cdef ring_t* r = consumer._ring
    cdef cursor_t* c = consumer._seat
    cdef uint64_t count = 0
    cdef uint64_t bad = 0
    cdef uint64_t overruns = 0
    cdef uint64_t expected = c.position + 1
    cdef int64_t start = 0
    cdef uint32_t spins = 0
    cdef size_t k, n
    cdef bint overrun, closed
    if r.size != 64 or not 1 <= batch <= 64:
        raise ValueError(f"ring must hold events and batch be 1 to 64: size={r.size}, batch={batch}")
    with nogil:
        while True:
            closed = ring_closed(r)
            n = broadcast_try_pop_batch(r, c, events, batch, &overrun)
            if n == 0 and overrun:
                overruns += 1
                broadcast_skip(r, c, (r.mask + 1) >> 1)
                expected = c.position + 1
                continue
            if n == 0:
                if closed:
                    break
                ring_spin(&spins)
                continue
            if count == 0:
                start = ring_now_ns()
            for k in range(n):
                bad += events[k].seq != expected or not ring_whole(&events[k])
                expected += 1
            count += n
    return count, bad, overruns, c.lost, ring_now_ns() - start


# ---- tickstore


cdef extern from "fc_store.h" nogil:
    ctypedef uint32_t (*store_checksum_t "fc_store_checksum_t")(uint32_t, const void*, size_t) noexcept nogil

    ctypedef struct open_store_t "fc_store_t":
        unsigned char* cursor
        uint64_t* word
        uint64_t count
        uint64_t* published
        store_checksum_t checksum
        uint32_t crc, in_block, block_records

    uint64_t fc_store_commit_word(uint64_t records, uint32_t crc)
    void fc_store_open_block(open_store_t* s)


cdef inline void store_number(uint64_t i, tick_t* tick) noexcept nogil:
    # Tick number i: every field tells the number, so that a torn one shows.
    tick.timestamp_ns = i
    tick.symbol_id = <uint32_t> (i & 0x7FFFFFFF)
    tick.pad = 0
    tick.price = <double> i * 0.5
    tick.volume = <double> i


def store_append_loop(TickStore store, uint64_t first, uint64_t n):
    """Append ticks number first..first+n-1 one by one, growing as needed; returns how many were accepted."""
    cdef uint64_t i
    cdef tick_t tick
    cdef store_t* s = store._s
    with nogil:
        for i in range(n):
            store_number(first + i, &tick)
            if store_append(s, &tick) != RESULT_OK:
                if store_grow(s) != RESULT_OK or store_append(s, &tick) != RESULT_OK:
                    break
        else:
            i = n
    return i


def store_append_bytes(TickStore store, const unsigned char[::1] records not None):
    """Append one record of any size, or several in one call; returns the result code."""
    cdef size_t n = records.shape[0] // store._s.record_size
    if not n or records.shape[0] % store._s.record_size:
        raise ValueError(f"a record has record_size bytes: bytes={records.shape[0]}, record_size={store._s.record_size}")
    return store_append_record(store._s, &records[0]) if n == 1 else store_append_records(store._s, &records[0], n)


def store_crash_writer(TickStore store, uint64_t[::1] acknowledged not None, uint64_t n, int pause, bint publish_first):
    """Append ticks slowly, half by half, and tell ``acknowledged[0]`` how many are in: made to be killed.

    With `publish_first` the count is published before the bytes are written: the defect that the crash test must notice.
    """
    cdef uint64_t i
    cdef int k
    cdef tick_t tick
    cdef char* place
    cdef char* source = <char*> &tick
    cdef store_t* s = store._s
    cdef open_store_t* o = <open_store_t*> s
    cdef uint64_t* told = &acknowledged[0]
    with nogil:
        for i in range(s.count, s.count + n):
            store_number(i, &tick)
            place = <char*> store_claim(s)
            if place == NULL:
                if store_grow(s) != RESULT_OK:
                    break
                place = <char*> store_claim(s)
            if publish_first:
                o.crc = o.checksum(o.crc, source, 32)
                o.in_block += 1
                o.cursor += 32
                o.count += 1
                store_release(o.word, fc_store_commit_word(o.in_block, o.crc))
                store_release(o.published, o.count)
                if o.in_block == o.block_records:
                    fc_store_open_block(o)
            memcpy(place, source, 16)
            for k in range(pause):
                cpu_pause()
            memcpy(place + 16, source + 16, 16)
            if not publish_first:
                store_commit(s, 32)
            store_release(told, i + 1)


@cython.final
cdef class StoreNothing:
    """StoreNothing()\n--\n\n
    A method with the arguments of ``TickStore.append_many`` that does nothing."""

    def append_many(self, records):
        return 0


# ---- clock, histogram, portfolio, risk


def clock_loop(str which, long long n):
    """Read a clock `n` times: "ticks", "ticks_to_ns", "monotonic_ns" or "wall_ns"; return the last reading."""
    cdef uint64_t last = 0, start
    cdef long long i
    if which == "ticks":
        for i in range(n):
            last = clock_ticks()
    elif which == "ticks_to_ns":
        start = clock_ticks()
        for i in range(n):
            last = <uint64_t> clock_ticks_to_ns(clock_ticks() - start)
    elif which == "monotonic_ns":
        for i in range(n):
            last = <uint64_t> clock_monotonic_ns()
    elif which == "wall_ns":
        for i in range(n):
            last = <uint64_t> clock_wall_ns()
    else:
        raise ValueError(f"which must name a clock: which={which!r}")
    return last


def histogram_loop(Histogram histogram, values not None, bint timed=False):
    """Record every value of an int64 array; `timed` records the time between two counter reads instead."""
    cdef int64_t* data = <int64_t*> cnp.PyArray_DATA(values)
    cdef Py_ssize_t i, n = cnp.PyArray_DIM(values, 0)
    cdef uint64_t start
    with nogil:
        if timed:
            for i in range(n):
                start = clock_ticks()
                histogram_record(histogram._h, clock_ticks_to_ns(clock_ticks() - start))
        else:
            for i in range(n):
                histogram_record(histogram._h, data[i])


def position_loop(sides not None, prices not None, sizes not None):
    """Account fills from three int64 arrays; return the realised plus unrealised profit at the last price."""
    cdef int64_t* side = <int64_t*> cnp.PyArray_DATA(sides)
    cdef int64_t* price = <int64_t*> cnp.PyArray_DATA(prices)
    cdef int64_t* size = <int64_t*> cnp.PyArray_DATA(sizes)
    cdef Py_ssize_t i, n = cnp.PyArray_DIM(sides, 0)
    cdef position_t p
    cdef money_t nothing = money_t(0, 0), net
    cdef int refused = 0
    memset(&p, 0, sizeof(p))
    with nogil:
        for i in range(n):
            refused |= position_fill(&p, <signed char> side[i], price[i], size[i], &nothing)
    if refused or n == 0 or not position_net(&p, price[n - 1], &net):
        raise ValueError(f"every fill must be accounted: n={n} refused={refused}")
    return money_object(net)


def risk_loop(RiskLimits limits not None, instrument, sides not None, prices not None, sizes not None, int64_t reference, bint moves=False):
    """Judge orders from three int64 arrays, with bounds that are kept, or that move before each; return how many passed."""
    cdef int64_t* side = <int64_t*> cnp.PyArray_DATA(sides)
    cdef int64_t* price = <int64_t*> cnp.PyArray_DATA(prices)
    cdef int64_t* size = <int64_t*> cnp.PyArray_DATA(sizes)
    cdef Py_ssize_t i, n = cnp.PyArray_DIM(sides, 0), passed = 0
    cdef risk_symbol_t* s = limits.open(0, instrument)
    cdef int64_t now_ns = 1_000_000_000_000
    s.reference_ticks = s.last_ticks = reference
    s.bid, s.ask, s.trading = reference - 1, reference + 1, True
    risk_seen(&limits._gate, s, now_ns)
    risk_bounds(&limits._gate, s)
    with nogil:
        for i in range(n):
            if moves:
                risk_bounds(&limits._gate, s)
            passed += risk_order(&limits._gate, s, <signed char> side[i], price[i], size[i], 0, False, now_ns) == 0
    return passed


# ---- exchange


def venue_apply_loop(Venue venue not None, int64_t bid, int64_t ask, Py_ssize_t n):
    """Tell a venue of n adds, cancels and executions at two prices, of orders that are ahead of all own ones."""
    cdef event_t e
    cdef book_change_t c
    cdef Py_ssize_t i
    e.exch_ns = e.seq = e.price = e.size = e.match_id = 0
    c.new_price = c.new_size = c.new_stamp = c.stamp = 0
    c.size = 1
    c.top_changed = False
    with nogil:
        for i in range(n):
            c.side = 1 if i & 1 else -1
            c.price = bid if i & 1 else ask
            c.kind = KIND_ADD if i & 2 else KIND_CANCEL if i & 4 else KIND_EXECUTE
            venue_apply(&venue._v, &e, &c, 0)
    return venue._v.report_count


def venue_order_loop(Venue venue not None, OrderBook book not None, int64_t price, Py_ssize_t n):
    """Submit and cancel n orders; return the lots that rest afterwards."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(n):
            venue_submit(&venue._v, book._b, 1, price, 100, i + 1, 0)
            venue_cancel(&venue._v, i + 1)
            venue._v.report_count = 0
    return venue._v.open_lots[0]


# ---- symbols, avellaneda


cdef extern from "fc_floor_quotes.h" nogil:
    double fc_floor_quotes(const double*, ptrdiff_t, double, double, double, double)
    double fc_floor_quotes_log(const double*, ptrdiff_t, double, double, double, double, double)
    uint64_t fc_floor_index(const uint32_t*, const uint32_t*, ptrdiff_t)


def find_keys(SymbolMapper mapper not None, const uint64_t[::1] keys not None):
    """Sum of the ids of wire keys."""
    cdef uint64_t total = 0
    cdef Py_ssize_t i
    with nogil:
        for i in range(keys.shape[0]):
            total += symbols_find_key(mapper._s, keys[i])
    return total


def floor_index(const uint32_t[::1] ids not None, const uint32_t[::1] at not None):
    """Sum of ids by direct index."""
    return fc_floor_index(&ids[0], &at[0], at.shape[0])


def quote_loop(Quoter quoter not None, const double[::1] mids not None, double inventory, double time_left):
    """Quote every mid; return a sum of bids and half the asks."""
    cdef quote_t out
    cdef double total = 0.0
    cdef Py_ssize_t i
    with nogil:
        for i in range(mids.shape[0]):
            quoter_quote(&quoter._q, mids[i], inventory, time_left, &out)
            total += out.bid + out.ask * 0.5
            time_left -= 1e-9
    return total


def floor_quotes(const double[::1] mids not None, double inventory, double time_left, double gamma, double sigma, double k,
                 double base, bint logarithm):
    """As `quote_loop`, in plain C; with the logarithm in every quote, or with `base` kept."""
    if logarithm:
        return fc_floor_quotes_log(&mids[0], mids.shape[0], inventory, time_left, gamma, sigma, k)
    return fc_floor_quotes(&mids[0], mids.shape[0], inventory, time_left, base, gamma * sigma * sigma)


# ---- bookset: a day of one symbol becomes the interleaved day of many

from libc.stdint cimport uint16_t

from fastcore.records cimport put_be16, put_be64


def itch_interleave(
    const uint8_t[::1] data not None, const int64_t[::1] offsets not None, const int64_t[::1] messages not None,
    const int64_t[::1] locates not None, const int64_t[::1] references not None, uint8_t[::1] out not None
):
    """Copy messages (by number; with order reference, no replacements) under another locate and reference. Returns bytes written."""
    cdef Py_ssize_t n = messages.shape[0]
    cdef Py_ssize_t i
    cdef size_t at = 0
    cdef size_t size
    cdef const uint8_t* p
    if locates.shape[0] != n or references.shape[0] != n:
        raise ValueError(f"each message must have a locate and a reference: messages={n}")
    with nogil:
        for i in range(n):
            p = &data[offsets[messages[i]]]
            size = 2 + be16(p)
            if at + size > <size_t> out.shape[0]:
                break
            memcpy(&out[at], p, size)
            put_be16(&out[at + 3], <uint16_t> locates[i])
            put_be64(&out[at + 13], <uint64_t> references[i])
            at += size
    return at
