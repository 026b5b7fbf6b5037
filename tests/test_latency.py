"""Latencies of a connection: their distributions, their seeds, recorded ones, bad input."""

import numpy as np
import pytest

from fastcore.sim.latency import Latency

N = 200_000
NO_TIMES = np.zeros(N, np.int64)


def test_constant_is_constant():
    assert set(Latency(7).delays(NO_TIMES).tolist()) == {7}
    assert (Latency(7).model, Latency().mean_ns) == ("constant", 0)


@pytest.mark.parametrize("log", [False, True])
def test_mean_and_deviation_are_those_asked_for(log):
    delays = Latency(300_000, 50_000, log=log).delays(NO_TIMES)
    assert abs(delays.mean() - 300_000) < 4 * 50_000 / N**0.5
    assert abs(delays.std() - 50_000) < 4 * 50_000 * (1.1 / N) ** 0.5
    skew = float((((delays - delays.mean()) / delays.std()) ** 3).mean())
    w = 1 + (50 / 300) ** 2
    expected = (w + 2) * (w - 1) ** 0.5 if log else 0.0
    assert abs(skew - expected) < 0.05


def test_draws_of_a_normal_below_0_are_0():
    delays = Latency(1_000, 1_000).delays(NO_TIMES)
    assert delays.min() == 0
    assert abs((delays == 0).mean() - 0.1587) < 0.01


def test_name_of_the_connection_seeds():
    latency = Latency(1_000, 100)
    a, again, b = (latency.delays(NO_TIMES[:50], name).tolist() for name in ("x.order", "x.order", "x.response"))
    assert a == again != b


def test_recorded_ones_are_interpolated_by_the_time_of_sending():
    latency = Latency.recorded([10, 20, 40], [100, 200, 0])
    times = [0, 10, 15, 20, 25, 30, 40, 99]
    assert latency.delays(times).tolist() == np.interp(times, [10, 20, 40], [100, 200, 0]).astype(int).tolist()
    assert latency.model == "recorded"
    assert repr(latency) == "Latency(recorded, mean 100 ns, deviation 81 ns)"


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Latency(-1), "mean_ns must be in 0..1152921504606846976: mean_ns=-1"),
        (lambda: Latency(1, -1), "deviation_ns must be in 0..1152921504606846976: deviation_ns=-1"),
        (lambda: Latency(0, 5, log=True), "mean_ns of a log-normal latency must be positive: mean_ns=0"),
        (lambda: Latency.recorded([], []), "times_ns must be integers, one for each time and at least one"),
        (lambda: Latency.recorded([1, 2], [1]), "delays_ns must be integers, one for each time"),
        (lambda: Latency.recorded([1.5], [1]), "times_ns must be integers"),
        (lambda: Latency.recorded([2, 2], [1, 1]), "times_ns must be ascending"),
        (lambda: Latency.recorded([1], [-1]), "delays_ns must be in 0..1152921504606846976: least=-1 most=-1"),
    ],
)
def test_bad_input_is_refused_with_the_rule(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_fraction_of_a_nanosecond_is_refused():
    with pytest.raises((TypeError, ValueError)):
        Latency(1.5)
