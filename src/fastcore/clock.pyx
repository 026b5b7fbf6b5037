# cython: freethreading_compatible=True
"""Monotonic and wall time in ns, and the time-stamp counter where it can be trusted.

``ticks()`` reads the time-stamp counter of the processor when that runs at one rate in all power states (CPUID says so) and the
operating system has not found it unstable; elsewhere it is the monotonic clock itself, and a tick is a nanosecond.
``FASTCORE_DISABLE_CPU_FEATURES=tsc`` forces the latter.

A counter read costs about a third of a clock read, so stages are timed in ticks and only differences are converted. The
rate is measured against the monotonic clock at import, in about 1 ms: each end is the tightest of several reads of the
clock between two reads of the counter, which bounds the error (`calibration_error`, a few 1e-5); `calibrate` measures longer.
The monotonic clock itself may be slewed by time synchronisation by up to 5e-4, which no calibration removes.
"""

cimport cython

from libc.math cimport ceil
from libc.stdint cimport int64_t, uint64_t

from fastcore._integers cimport as_int64, refuse_range
from fastcore.records cimport store_relaxed


cdef extern from "fc_cpu.h" nogil:
    bint fc_cpu_has_invariant_tsc()
    bint fc_cpu_allows(const char* feature)

cdef extern from *:
    const char* FC_CLOCK_NAME

__all__ = [
    "calibrate", "calibration_error", "monotonic_ns", "source", "ticks", "ticks_per_second", "ticks_to_ns", "wall_ns",
]

# Clock sources that Linux takes when it has found the counter to be unstable or out of step between cores.
_DISTRUST = (b"hpet", b"acpi_pm", b"jiffies", b"refined-jiffies", b"pit")


ctypedef struct anchor_t:
    uint64_t counter        # the counter at the same moment as
    int64_t monotonic_ns    # the clock
    uint64_t width          # counter ticks around the clock read: the moment is uncertain by half of it


cdef anchor_t _anchor() noexcept nogil:
    # The tightest of some reads: interrupts and cold caches only widen one.
    cdef anchor_t best, one
    cdef uint64_t before
    cdef int i
    best.counter, best.monotonic_ns, best.width = 0, 0, ~(<uint64_t> 0)
    for i in range(16):
        before = fc_tsc()
        one.monotonic_ns = fc_monotonic_ns()
        one.width = fc_tsc() - before
        one.counter = before + one.width // 2
        if one.width < best.width:
            best = one
    return best


ctypedef struct rate_t:
    uint64_t multiplier     # as in clock_state_t
    double error


cdef bint _measure(int64_t interval_ns, rate_t* out) noexcept nogil:
    # The rate from a spin over the interval; False where the counter is unusable.
    cdef anchor_t start = _anchor(), end
    cdef double rate, error
    while fc_monotonic_ns() - start.monotonic_ns < interval_ns:
        pass
    end = _anchor()
    if end.counter <= start.counter or end.monotonic_ns <= start.monotonic_ns:
        return False
    rate = <double> (end.monotonic_ns - start.monotonic_ns) / <double> (end.counter - start.counter)
    # Half a bracket at each end, and the clock's own last digit at each end.
    error = (0.5 * <double> (start.width + end.width) * rate + 2.0) / <double> (end.monotonic_ns - start.monotonic_ns)
    # Below 1 GHz the multiplier does not fit, and the counter is no finer than the clock.
    if rate > 1.0 or rate < 0.01 or error > 0.01:
        return False
    out.multiplier = <uint64_t> (rate * 4294967296.0 + 0.5)
    out.error = error + 1.0 / <double> out.multiplier
    return True


cdef void _publish(const rate_t* rate) noexcept:
    # With the GIL.
    store_relaxed(&clock_state.multiplier, rate.multiplier)
    clock_state.error = rate.error


cdef bint _trusted():
    if not (fc_cpu_has_invariant_tsc() and fc_cpu_allows("tsc")):
        return False
    try:
        with open("/sys/devices/system/clocksource/clocksource0/current_clocksource", "rb") as file:
            return file.read().strip() not in _DISTRUST
    except OSError:
        return True     # not Linux, or no such file: CPUID has the last word


cdef int _start() except -1:
    cdef rate_t rate
    rate.multiplier, rate.error = <uint64_t> 1 << 32, 0.0
    clock_state.use_tsc = _trusted() and _measure(1_000_000, &rate)
    _publish(&rate)
    return 0

_start()


def monotonic_ns():
    """Return the monotonic clock.

    Returns
    -------
    int
        Nanoseconds since an arbitrary origin; never steps back. The clock of ``time.monotonic_ns`` on Linux.

    Notes
    -----
    **Thread safety**: any thread.
    """
    return fc_monotonic_ns()


def wall_ns():
    """Return the wall clock.

    Returns
    -------
    int
        Nanoseconds since the UNIX epoch. Steps when the system's time is set: take differences of `ticks` instead.

    Notes
    -----
    **Thread safety**: any thread.
    """
    return fc_wall_ns()


def ticks():
    """Read the cheapest counter that runs at one rate.

    Returns
    -------
    int
        Ticks in [0, 2**64) since an arbitrary origin; differences go through `ticks_to_ns`. On several cores, the counters of
        which may differ by some ticks, a difference can be slightly negative.

    Notes
    -----
    **Thread safety**: any thread. The read is not serialising: a few ns of neighbouring work may move across it.
    """
    return clock_ticks()


def ticks_to_ns(difference):
    """Convert a difference of two `ticks` to nanoseconds.

    Parameters
    ----------
    difference : int
        Ticks in [-2**63, 2**63).

    Returns
    -------
    int
        Nanoseconds, rounded down; relative error up to `calibration_error`.

    Raises
    ------
    TypeError
        If `difference` is not an integer.
    OverflowError
        If it does not fit into 64 bits.

    Notes
    -----
    **Thread safety**: any thread; `calibrate` in another one changes the rate between two calls.
    """
    return clock_ticks_to_ns(<uint64_t> as_int64(difference))


def ticks_per_second():
    """Return the calibrated rate of `ticks`.

    Returns
    -------
    float
        Ticks per second: 1e9 where `source` is a system clock.

    Notes
    -----
    **Thread safety**: any thread.
    """
    return 1e9 * 4294967296.0 / <double> clock_state.multiplier


def source():
    """Say what `ticks` reads.

    Returns
    -------
    str
        ``"tsc"``, or the system clock: ``"clock_gettime"``, ``"mach_absolute_time"``, ``"QueryPerformanceCounter"``.

    Notes
    -----
    **Thread safety**: any thread.
    """
    return "tsc" if clock_state.use_tsc else FC_CLOCK_NAME.decode()


def calibration_error():
    """Return the bound on the relative error of `ticks_to_ns` against the monotonic clock during calibration.

    Returns
    -------
    float
        For example 4e-5: at most 40 ns in a millisecond. 0 where a tick is a nanosecond.

    Notes
    -----
    **Thread safety**: any thread.
    """
    return clock_state.error


def calibrate(double seconds=0.05):
    """Measure the rate of the counter again, over a longer time than at import.

    Parameters
    ----------
    seconds : float, default 0.05
        How long to spin, in [0.001, 60]; the error falls in proportion.

    Returns
    -------
    float
        The new `calibration_error`. Where `source` is a system clock there is nothing to measure: 0 at once.

    Raises
    ------
    ValueError
        If `seconds` is out of range.
    RuntimeError
        If the counter stood still or ran at an impossible rate; the rate stays as it was.

    Notes
    -----
    **Thread safety**: any thread, one at a time; another that converts meanwhile uses the old rate or the new one. The GIL is
    released.
    """
    cdef bint done
    cdef rate_t rate
    cdef int64_t interval_ns
    if not 0.001 <= seconds <= 60.0:    # false for NaN too
        refuse_range("seconds", seconds, 0.001, 60)
    if not clock_state.use_tsc:
        return 0.0
    interval_ns = <int64_t> ceil(seconds * 1e9)
    with nogil:
        done = _measure(interval_ns, &rate)
    if not done:
        raise RuntimeError(f"the time-stamp counter must run at a steady rate of 1 GHz or more: seconds={seconds}")
    _publish(&rate)
    return rate.error


def _scale32(int64_t difference, uint64_t multiplier, bint portable=False):
    # Both forms of the multiply-and-shift, for the tests.
    return fc_scale32_portable(difference, multiplier) if portable else fc_scale32(difference, multiplier)
