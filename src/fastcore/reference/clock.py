"""Plain-Python twin of ``fastcore.clock``: the interpreter's clocks; a tick is a nanosecond."""

import time

monotonic_ns = time.monotonic_ns
wall_ns = time.time_ns
ticks = time.perf_counter_ns


def ticks_to_ns(difference: int) -> int:
    """Convert a difference of two `ticks` to nanoseconds."""
    if not -(2**63) <= difference < 2**63:
        raise OverflowError(f"difference must fit into 64 bits: difference={difference}")
    return difference


def ticks_per_second() -> float:
    """Return the rate of `ticks`."""
    return 1e9


def source() -> str:
    """Say what `ticks` reads."""
    return "perf_counter"


def calibration_error() -> float:
    """Return the bound on the relative error of `ticks_to_ns`."""
    return 0.0


def calibrate(seconds: float = 0.05) -> float:
    """Measure nothing: the interpreter's clock is in ns already."""
    if not 0.001 <= seconds <= 60.0:
        raise ValueError(f"seconds must be in [0.001, 60]: seconds={seconds}")
    return 0.0


def scale32(difference: int, multiplier: int) -> int:
    """Multiply by a fraction of 2**32 and round down: what the compiled conversion does in 64 or 128 bits."""
    return difference * multiplier >> 32
