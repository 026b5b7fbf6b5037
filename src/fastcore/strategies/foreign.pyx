# cython: freethreading_compatible=True
"""Strategies made elsewhere: any C function pointer with the signature of ``fastcore.strategy``, and the layouts that it sees.

    int on(foreign_t* strategy, context_t* context, int hook, const event_t* event, const book_change_t* change)

The dtypes here are those structs, for ``numba.from_dtype``, ``ctypes`` and whoever wants offsets; pointers are ``uintp``. Fields are only ever
appended: a function that was made for an earlier version goes on, and one that needs a later one looks at ``context.version``.
"""

import sys

import numpy as np

cimport cython
from libc.stdint cimport uint32_t, uintptr_t

from fastcore._integers cimport int64_in
from fastcore.book cimport book_change_t, top_t
from fastcore.portfolio cimport position_t
from fastcore.records cimport NO_SYMBOL
from fastcore.strategy cimport (
    CONTEXT_VERSION as VERSION, ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, Strategy, context_t, strategy_on_t,
    strategy_t,
)

from fastcore.records import KINDS

__all__ = ["CHANGE_DTYPE", "CONTEXT_DTYPE", "CONTEXT_VERSION", "HOOKS", "POSITION_DTYPE", "STRATEGY_DTYPE", "TOP_DTYPE", "ForeignStrategy"]

CONTEXT_VERSION = VERSION
HOOKS = {
    "report": ON_REPORT, "event": ON_EVENT, "book": ON_BOOK, "timer": ON_TIMER, "instant": ON_INSTANT, "start": ON_START, "stop": ON_STOP,
}

cdef context_t _context
cdef foreign_t _foreign
cdef top_t _top
cdef position_t _position
cdef book_change_t _change


# Distance of a field from the begin of its struct.
cdef inline Py_ssize_t at(void* base, void* field) noexcept:
    return <char*> field - <char*> base


def _dtype(size, fields):
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


CONTEXT_DTYPE = _dtype(sizeof(context_t), [
    ("size", "u4", at(&_context, &_context.size)),
    ("version", "u4", at(&_context, &_context.version)),
    ("now_ns", "i8", at(&_context, &_context.now_ns)),
    ("cause", "u8", at(&_context, &_context.cause)),
    ("rng", "u8", at(&_context, &_context.rng)),
    ("tops", np.uintp, at(&_context, &_context.tops)),
    ("positions", np.uintp, at(&_context, &_context.positions)),
    ("market", np.uintp, at(&_context, &_context.market)),
    ("out", np.uintp, at(&_context, &_context.out)),
    ("n", "u4", at(&_context, &_context.n)),
    ("room", "u4", at(&_context, &_context.room)),
    ("state", np.uintp, at(&_context, &_context.state)),
    ("watch", np.uintp, at(&_context, &_context.watch)),
    ("orders", np.uintp, at(&_context, &_context.orders)),
    ("next_order_id", np.uintp, at(&_context, &_context.next_order_id)),
    ("reports", "u8", at(&_context, &_context.reports)),
    ("account", np.uintp, at(&_context, &_context.account)),
    ("owner", "u8", at(&_context, &_context.owner)),
])
STRATEGY_DTYPE = _dtype(sizeof(foreign_t), [
    ("on", np.uintp, at(&_foreign, &_foreign.base.on)),
    ("hooks", "u8", at(&_foreign, &_foreign.base.hooks)),
    ("kinds", "u8", at(&_foreign, &_foreign.base.kinds)),
    ("reports", "u8", at(&_foreign, &_foreign.base.reports)),
    ("symbol_id", "u4", at(&_foreign, &_foreign.base.symbol_id)),
    ("state", np.uintp, at(&_foreign, &_foreign.state)),
])
TOP_DTYPE = _dtype(sizeof(top_t), [
    ("bid", "i8", at(&_top, &_top.bid)),
    ("ask", "i8", at(&_top, &_top.ask)),
    ("bid_size", "i8", at(&_top, &_top.bid_size)),
    ("ask_size", "i8", at(&_top, &_top.ask_size)),
])
POSITION_DTYPE = _dtype(sizeof(position_t), [
    ("position_lots", "i8", at(&_position, &_position.position_lots)),
    ("bought_lots", "i8", at(&_position, &_position.bought_lots)),
    ("sold_lots", "i8", at(&_position, &_position.sold_lots)),
    ("fills", "i8", at(&_position, &_position.fills)),
])
CHANGE_DTYPE = _dtype(sizeof(book_change_t), [
    ("price", "i8", at(&_change, &_change.price)),
    ("size", "i8", at(&_change, &_change.size)),
    ("stamp", "u8", at(&_change, &_change.stamp)),
    ("side", "i1", at(&_change, &_change.side)),
    ("kind", "u1", at(&_change, &_change.kind)),
    ("top_changed", "i4", at(&_change, &_change.top_changed)),
    ("grew", "i4", at(&_change, &_change.grew)),
    ("result", "i4", at(&_change, &_change.result)),
    ("new_price", "i8", at(&_change, &_change.new_price)),
    ("new_size", "i8", at(&_change, &_change.new_size)),
    ("new_stamp", "u8", at(&_change, &_change.new_stamp)),
])


# The address that a function pointer of ctypes, cffi or Numba, or a number, stands for.
def _address(function):
    if isinstance(function, int) and not isinstance(function, bool):
        return function
    if type(function).__module__ == "_cffi_backend":
        return int(sys.modules["_cffi_backend"].FFI().cast("uintptr_t", function))
    if isinstance(getattr(function, "address", None), int):     # numba.cfunc
        return function.address
    if "_ctypes" in sys.modules and isinstance(function, sys.modules["_ctypes"].CFuncPtr):
        import ctypes

        return ctypes.cast(function, ctypes.c_void_p).value or 0
    raise TypeError(f"on must be a C function pointer (of Numba, ctypes or cffi) or its address: on={function!r}")


# One bit for each of some names.
def _bits(what, names, known):
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ValueError(f"{what} must be among {', '.join(known)}: {what}={', '.join(map(str, wrong))}")
    bits = 0
    for name in names:
        bits |= 1 << known[name]
    return bits


@cython.final
cdef class ForeignStrategy(Strategy):
    """ForeignStrategy(on, symbol_ids, hooks=None, *, kinds=(), reports=(), state=None)\n--\n\n
    ForeignStrategy(on, symbol_ids, hooks=None, *, kinds=(), reports=(), state=None)\n--\n
    A C function as a strategy.

    Parameters
    ----------
    on : function pointer
        ``int on(foreign_t*, context_t*, int hook, const event_t*, const book_change_t*)``: what ``numba.cfunc``, ``ctypes`` or ``cffi``
        hold, or an address. It is called without the GIL, must not raise, and returns 0; anything else but 1 ends the run.
    symbol_ids : int or iterable of int
        Dense ids of the instruments that it is called for.
    hooks : iterable of str, optional
        What it is called for: names of ``HOOKS``; by default "book".
    kinds, reports : iterable of str
        Kinds of ``records.KINDS``: of market events for the hook "event", and of reports for the hook "report".
    state : ndarray or int, optional
        What ``foreign_t.state`` points to: the data of a writable contiguous array, which is kept alive, or an address.

    Attributes
    ----------
    address : int

    Raises
    ------
    ValueError
        If the pointer is NULL or below the first page, or if a name is wrong.
    TypeError
        If `on` is no function pointer.

    Notes
    -----
    An address that is no function with this signature crashes the process: nothing can be checked about it. A call that never returns cannot
    be interrupted by Ctrl-C.

    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, on, symbol_ids, hooks=None, *, kinds=(), reports=(), state=None):
        cdef strategy_t* s = &self._f.base
        address = _address(on)
        if not 4096 <= address < 1 << 64:
            raise ValueError(f"on must be the address of a function: on={address}")
        ids = [int64_in(i, "symbol_id", 0, (1 << 24) - 1) for i in ([symbol_ids] if isinstance(symbol_ids, int) else symbol_ids)]
        if not ids:
            raise ValueError("symbol_ids must not be empty")
        self.address = address
        self.symbol_ids = tuple(ids)
        s.on = <strategy_on_t> <uintptr_t> address
        s.hooks = _bits("hooks", ("book",) if hooks is None else hooks, HOOKS)
        s.kinds = _bits("kinds", kinds, KINDS)
        s.reports = _bits("reports", reports, KINDS)
        s.symbol_id = NO_SYMBOL if len(ids) > 1 else <uint32_t> ids[0]
        if isinstance(state, np.ndarray):
            if not (state.flags.c_contiguous and state.flags.writeable) or state.dtype.hasobject:
                raise ValueError(f"state must be a writable contiguous array without objects: dtype={state.dtype}")
            self._f.state = <void*> <uintptr_t> state.ctypes.data
        elif state is not None:
            self._f.state = <void*> <uintptr_t> int(state)
        self._kept = on, state
        self._strategy = s

    cdef bint make_room(self) except -1:
        raise RuntimeError(f"a foreign strategy has no room to make, it must return 0: on={self.address:#x} returned 1")

    cdef int fail(self) except -1:
        raise RuntimeError(f"a foreign strategy must return 0: on={self.address:#x}")

    def __repr__(self):
        return f"ForeignStrategy({self.address:#x}, symbol_ids={self.symbol_ids})"
