"""Base of the compiled strategies; those that come with the package are in ``fastcore.strategies``."""

cimport cython

__all__ = ["Strategy"]


cdef class Strategy:
    """Strategy()\n--\n\n
    Strategy()\n--\n
    Base of the compiled strategies.

    Notes
    -----
    A strategy is called for the instruments and kinds of events that it asked for, without the GIL unless it is written in Python, and answers with the quotes and
    orders that it wants. ``docs/cimport.md`` shows how to write one.

    **Thread safety**: belongs to one run.
    """

    def __cinit__(self):
        self._strategy = NULL
        self.symbol_ids = ()

    # After STRATEGY_ROOM: enlarge what was full.
    cdef bint make_room(self) except -1:
        raise RuntimeError(f"a strategy that asks for room must make it: strategy={self!r}")

    # Raise what STRATEGY_ERROR stands for.
    cdef int fail(self) except -1:
        raise RuntimeError(f"a strategy must say what went wrong: strategy={self!r}")
