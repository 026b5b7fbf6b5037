"""Clocks: they agree with the interpreter's, and a tick difference converts within the stated error."""

import os
import subprocess
import sys
import threading
import time

import pytest

from fastcore import clock


@pytest.mark.parametrize(("name", "other"), [("monotonic_ns", time.monotonic_ns), ("wall_ns", time.time_ns)])
def test_system_clocks_are_those_of_the_interpreter(name, other):
    # Read between two reads of the other: no tolerance to choose, save for a coarser clock elsewhere.
    slack = 0 if sys.platform == "linux" else 20_000_000
    before = other()
    value = getattr(clock, name)()
    after = other()
    assert before - slack <= value <= after + slack


def test_ticks_do_not_run_backwards_on_one_thread():
    values = [clock.ticks() for _ in range(1000)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_tick_difference_converts_within_the_stated_error():
    """The bound of the calibration, 5e-4 for slewing in between, and the time between the paired reads."""
    worst = []
    for _ in range(20):
        a0, t0, b0 = time.monotonic_ns(), clock.ticks(), time.monotonic_ns()
        time.sleep(0.002)
        a1, t1, b1 = time.monotonic_ns(), clock.ticks(), time.monotonic_ns()
        ns = clock.ticks_to_ns(t1 - t0)
        relative = clock.calibration_error() + 5e-4
        worst.append(max((a1 - b0) * (1 - relative) - 2 - ns, ns - (b1 - a0) * (1 + relative) - 2))
    assert max(worst) <= 0


def test_rate_is_that_of_the_conversion():
    n = 10**12
    assert clock.ticks_to_ns(n) == pytest.approx(n * 1e9 / clock.ticks_per_second(), rel=1e-12, abs=1)


def test_negative_difference_stays_negative():
    assert clock.ticks_to_ns(-1000) < 0
    assert clock.ticks_to_ns(0) == 0


@pytest.mark.parametrize("difference", [2**63, -(2**63) - 1, 2**64])
def test_difference_beyond_64_bits_is_an_error(difference):
    with pytest.raises(OverflowError):
        clock.ticks_to_ns(difference)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.0009, 61.0, float("nan"), float("inf")])
def test_calibrate_refuses_odd_times(seconds):
    with pytest.raises(ValueError, match=r"seconds must be in 0\.001\.\.60: seconds="):
        clock.calibrate(seconds)


def test_longer_calibration_states_a_smaller_error():
    if clock.source() != "tsc":
        assert clock.calibrate() == clock.calibration_error() == 0.0
        return
    rate = clock.ticks_per_second()
    error = min(clock.calibrate(0.05) for _ in range(3))
    assert clock.calibration_error() < 1e-3
    assert error < 1e-5
    assert clock.ticks_per_second() == pytest.approx(rate, rel=2e-3)


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout.split()


def test_counter_can_be_switched_off():
    code = "from fastcore import clock as c; print(c.source(), c.ticks_to_ns(123456789), c.calibration_error(), c.calibrate())"
    source, *values = run(code, FASTCORE_DISABLE_CPU_FEATURES="avx2,tsc")
    assert source in {"clock_gettime", "mach_absolute_time", "QueryPerformanceCounter"}
    assert values == ["123456789", "0.0", "0.0"]


def test_calibration_at_import_is_good_enough():
    code = "from fastcore import clock; print(clock.calibration_error())"
    assert min(float(run(code)[0]) for _ in range(5)) < 2e-4


@pytest.mark.threads
def test_threads_read_while_one_calibrates():
    stop = threading.Event()
    errors = []

    def read():
        while not stop.is_set():
            start = clock.ticks()
            if not -1_000_000 < clock.ticks_to_ns(clock.ticks() - start) < 60_000_000_000:
                errors.append(start)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        clock.calibrate(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize("portable", [False, True])
def test_scaling_keeps_all_bits(portable):
    for multiplier in (1, 3, 2**31 + 1, 2**32 - 1, 2**32):
        for difference in (0, 1, -1, 2**32 - 1, 2**32, -(2**32), 2**62 + 12345, 2**63 - 1, -(2**63)):
            assert clock._scale32(difference, multiplier, portable) == difference * multiplier >> 32
