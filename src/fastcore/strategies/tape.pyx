"""The tape of an instrument: an observer that writes what was traded into a tick store, and trades nothing itself."""

cimport cython
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore._integers cimport as_int64
from fastcore.book cimport book_change_t
from fastcore.records cimport (
    FLAG_NOT_PRINTABLE, KIND_CROSS, KIND_EXECUTE, KIND_TRADE, NO_PRICE, NO_SYMBOL, RESULT_FULL, RESULT_OK, event_t, tick_t, unlikely,
)
from fastcore.stopwatch cimport STAGE_STORE, STAGE_STRATEGY, lap
from fastcore.strategy cimport ON_EVENT, STRATEGY_ERROR, STRATEGY_OK, STRATEGY_ROOM, Strategy, context_t, strategy_t
from fastcore.tickstore cimport TickStore, store_append, tick_good

from fastcore.errors import StoreError

__all__ = ["Tape"]


cdef int tape_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    cdef tape_t* t = <tape_t*> strategy
    cdef tick_t tick
    cdef int64_t price = change.price if e.price == NO_PRICE else e.price
    cdef int result
    if e.flags & FLAG_NOT_PRINTABLE or e.size == 0:  # a cross in which nothing traded
        return STRATEGY_OK
    lap(c.watch, STAGE_STRATEGY)
    tick.timestamp_ns = <uint64_t> e.exch_ns
    tick.symbol_id = t.stored_id
    tick.pad = 0
    tick.price = <double> price / t.ticks_per_price
    tick.volume = <double> e.size / t.lots_per_unit
    if unlikely(price == NO_PRICE or not tick_good(&tick)):
        t.refused += 1
        return STRATEGY_OK
    result = store_append(t.store, &tick)
    lap(c.watch, STAGE_STORE)
    if unlikely(result != RESULT_OK):
        return STRATEGY_ROOM if result == RESULT_FULL else STRATEGY_ERROR
    return STRATEGY_OK


@cython.final
cdef class Tape(Strategy):
    """Tape(symbol_id, store, *, stored_id=None, ticks_per_price=10000.0, lots_per_unit=1.0)\n--\n\n
    Tape(symbol_id, store, *, stored_id=None, ticks_per_price=10000.0, lots_per_unit=1.0)\n--\n
    Write every printed execution of an instrument into a store.

    Parameters
    ----------
    symbol_id : int
        Dense id of the instrument.
    store : TickStore
        Of ticks (LayoutError for another), opened for writing: exchange time, symbol id, price, lots.
    ticks_per_price : float, default 10000.0
        Ticks in one unit of currency.

    Attributes
    ----------
    refused : int
        Executions that are no tick: without a price (of an order that nobody has seen), before 1970, or of a negative size.

    Notes
    -----
    **Thread safety**: belongs to one run, and so does the store while it runs.
    """

    def __cinit__(
        self, symbol_id, TickStore store not None, *, stored_id=None, double ticks_per_price=10000.0, double lots_per_unit=1.0
    ):
        cdef int64_t number = as_int64(symbol_id)
        cdef int64_t stored = number if stored_id is None else as_int64(stored_id)
        for name, value in (("symbol_id", number), ("stored_id", stored)):
            if not 0 <= value < NO_SYMBOL:
                raise ValueError(f"{name} must be in 0..{NO_SYMBOL - 1}: {name}={value}")
        for name, rate in (("ticks_per_price", ticks_per_price), ("lots_per_unit", lots_per_unit)):
            if not (isfinite(rate) and rate > 0.0):
                raise ValueError(f"{name} must be finite and positive: {name}={rate}")
        self.store = store
        self._t.base.on = tape_on
        self._t.base.hooks = 1 << ON_EVENT
        self._t.base.kinds = 1 << KIND_EXECUTE | 1 << KIND_TRADE | 1 << KIND_CROSS
        self._t.base.symbol_id = <uint32_t> number
        self._t.store = store.of_ticks()
        self._t.stored_id = <uint32_t> stored
        self._t.ticks_per_price = ticks_per_price
        self._t.lots_per_unit = lots_per_unit
        self._strategy = &self._t.base

    cdef bint make_room(self) except -1:
        self.store._grow(1)
        return True

    cdef int fail(self) except -1:
        raise StoreError(f"the store must accept every tick: ticks={self._t.store.count} errno={self._t.store.error}")

    @property
    def symbol_id(self):
        """Dense id of the instrument."""
        return self._t.base.symbol_id

    @property
    def refused(self):
        """Executions that were not stored, because they are no tick."""
        return self._t.refused

    def __repr__(self):
        return f"Tape(symbol_id={self._t.base.symbol_id}, {self.store!r})"
