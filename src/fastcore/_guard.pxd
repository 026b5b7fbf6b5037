"""One call at a time: what a call sets on its object while it works without the GIL, and what every other call looks at.

An object belongs to one thread at a time, and this is how a second one is told, instead of reading a table that is just being
moved. A call that gives up the GIL::

    enter(&self._busy)
    with nogil:
        ...
    leave(&self._busy)

where nothing between the two raises, or in ``try`` and ``finally`` where something may; every other call begins with
``alone(&self._busy)``. With the GIL that is all: a call that keeps it cannot be met in the middle. Without one (free-threaded
interpreters) two calls that both keep it are not told apart.
"""

from libc.stdint cimport uint64_t


cdef extern from *:
    """
    #include "fc_atomic.h"
    #ifdef Py_GIL_DISABLED
    static inline int fc_occupy(uint64_t *busy) {
        uint64_t nobody = 0;
        return fc_compare_exchange(busy, &nobody, 1);
    }
    #else
    static inline int fc_occupy(uint64_t *busy) { return *busy ? 0 : (*busy = 1, 1); }
    #endif
    """
    bint occupy "fc_occupy"(uint64_t* busy) nogil
    bint occupied "fc_load_relaxed"(const uint64_t* busy) nogil
    void leave_ "fc_store_release"(uint64_t* busy, uint64_t value) noexcept nogil
    bint unlikely_ "FC_UNLIKELY"(bint) nogil


cdef inline int refuse_second() except -1:
    from fastcore.errors import BusyError

    raise BusyError("an object must serve one call at a time: another call is inside")


cdef inline int alone(const uint64_t* busy) except -1:
    """Raise BusyError while a call is inside."""
    return refuse_second() if unlikely_(occupied(busy)) else 0


cdef inline int enter(uint64_t* busy) except -1:
    """Go inside, or raise BusyError."""
    return 0 if occupy(busy) else refuse_second()


cdef inline void leave(uint64_t* busy) noexcept nogil:
    """Come out."""
    leave_(busy, 0)


cdef inline void leave_all(uint64_t** busy, int count) noexcept nogil:
    """Come out of several objects."""
    cdef int i
    for i in range(count):
        leave_(busy[i], 0)


cdef inline int enter_all(uint64_t** busy, int count) except -1:
    """Go inside of several objects, or of none and raise BusyError."""
    cdef int i
    for i in range(count):
        if not occupy(busy[i]):
            leave_all(busy, i)
            return refuse_second()
    return 0
