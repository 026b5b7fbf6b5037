"""Clocks for ``nogil`` code: two system clocks in ns, and a counter that costs a third of them.

A stage is timed as ``clock_ticks_to_ns(clock_ticks() - start)``; absolute times come from ``clock_wall_ns``.
"""

from libc.stdint cimport int64_t, uint64_t

from fastcore.records cimport load_relaxed


cdef extern from "fc_clock.h" nogil:
    int64_t fc_monotonic_ns()
    int64_t fc_wall_ns()
    uint64_t fc_tsc()
    int64_t fc_scale32(int64_t difference, uint64_t multiplier)
    int64_t fc_scale32_portable(int64_t difference, uint64_t multiplier)


ctypedef struct clock_state_t:
    uint64_t multiplier     # ns per tick * 2^32, at most 2^32; relaxed, so that a calibration never tears it
    bint use_tsc            # ticks are those of the time-stamp counter, else ns of the monotonic clock
    double error            # largest relative error of the calibration; 0 where ticks are ns

# Written at import and by calibrate(); one copy for every module that cimports this.
cdef clock_state_t clock_state


cdef inline int64_t clock_monotonic_ns() noexcept nogil:
    """Nanoseconds of the clock that never steps; its origin means nothing."""
    return fc_monotonic_ns()


cdef inline int64_t clock_wall_ns() noexcept nogil:
    """Nanoseconds since the UNIX epoch; steps when the system's time is set."""
    return fc_wall_ns()


cdef inline uint64_t clock_ticks() noexcept nogil:
    """Counter for differences on this machine; not serialising."""
    return fc_tsc() if clock_state.use_tsc else <uint64_t> fc_monotonic_ns()


cdef inline int64_t clock_ticks_to_ns(uint64_t tick_difference) noexcept nogil:
    """Nanoseconds of a difference of ticks; one that ran backwards (two cores, some ticks apart) is negative."""
    return fc_scale32(<int64_t> tick_difference, load_relaxed(&clock_state.multiplier))
