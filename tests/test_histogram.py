"""Histogram: every statistic and encoding equals the HdrHistogram package and the twin."""

import base64
import struct
import threading
import zlib

import numpy as np
import pytest
from kit import same_kind

from fastcore import histogram as compiled
from fastcore import replaced
from fastcore.errors import CorruptDataError

MODULE = "histogram"
PERCENTS = (0.0, 0.1, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0)
CONFIGURATIONS = [(1, 3_600_000_000_000, 3), (8, 10**7, 2), (1000, 10**9, 1), (1, 200_000, 5), (3, 1000, 4), (1, 2, 1)]


def samples(highest, n=2000, seed=7):
    rng = np.random.default_rng(seed)
    return np.minimum(rng.lognormal(8, 3, n).astype(np.int64), highest)


def filled(impl, values, *configuration):
    h = impl.Histogram(*configuration)
    h.record_many(np.asarray(values, np.int64))
    return h


def peer(values, *configuration):
    hdrh = pytest.importorskip("hdrh.histogram")
    r = hdrh.HdrHistogram(*configuration)
    for value in values:
        assert r.record_value(int(value))
    return r


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_statistics_equal_hdrhistogram(impl, configuration):
    values = samples(configuration[1])
    h, r = filled(impl, values, *configuration), peer(values, *configuration)
    assert h.count == r.get_total_count() == len(values)
    assert (h.min, h.max) == (r.get_min_value(), r.get_max_value())
    assert h.mean == pytest.approx(r.get_mean_value(), rel=1e-12)
    assert h.stddev == pytest.approx(r.get_stddev(), rel=1e-12)
    assert list(h.percentiles(PERCENTS).values()) == [r.get_value_at_percentile(p) for p in PERCENTS]
    for value in values[:50].tolist():
        assert h.count_at(value) == r.get_count_at_value(value)
        assert h.equivalent(value) == (r.get_lowest_equivalent_value(value), r.get_highest_equivalent_value(value))


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_encodings_are_exchanged_with_hdrhistogram(impl, configuration):
    values = samples(configuration[1])
    h, r = filled(impl, values, *configuration), peer(values, *configuration)
    theirs = type(r).decode(h.encode())
    assert theirs.get_total_count() == h.count
    assert [theirs.get_value_at_percentile(p) for p in PERCENTS] == list(h.percentiles(PERCENTS).values())
    ours = impl.Histogram.decode(r.encode())
    assert (ours.lowest, ours.highest, ours.digits) == configuration
    for a, b in zip(ours.to_numpy(), h.to_numpy(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_log_is_read_by_hdrhistogram(impl, tmp_path):
    log = pytest.importorskip("hdrh.log")
    decode, quote = filled(impl, [100, 2000, 2000]), filled(impl, [5_000_000])
    path = tmp_path / "stages.hlog"
    path.write_text(
        impl.hlog(
            [("decode", decode, 1000.5, 1001.5), ("quote", quote, 1000.5, 1001.5), (None, quote, 1001.5, 1002.0)],
            start_s=1000.0,
            comment="stages",
        )
    )
    reader = log.HistogramLogReader(str(path), peer([], 1, 3_600_000_000_000, 3))
    got = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        got.append((interval.get_tag(), interval.get_total_count(), interval.get_max_value(), interval.get_start_time_stamp()))
    reader.input_file.close()
    assert got == [
        ("decode", 3, decode.max, 1_000_500.0),
        ("quote", 1, quote.max, 1_000_500.0),
        (None, 1, quote.max, 1_001_500.0),
    ]
    lines = path.read_text().splitlines()
    assert lines[:4] == [
        "#[stages]",
        "#[Histogram log format version 1.3]",
        "#[StartTime: 1000.000 (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    assert lines[4].startswith("Tag=decode,1000.500,1.000,0.002,HISTFAAA")


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (("a,b", 0.0, 1.0), "tag must have no commas and no white space: tag='a,b'"),
        (("a b", 0.0, 1.0), "tag must have no commas and no white space"),
        (("a\n", 0.0, 1.0), "tag must have no commas and no white space"),
        (("a", 2.0, 1.0), "an interval must be finite and end after it begins"),
        (("a", float("nan"), 1.0), "an interval must be finite"),
        (("a", 0.0, float("inf")), "an interval must be finite"),
    ],
)
def test_log_refuses_what_would_break_a_line(impl, interval, message):
    tag, begin_s, end_s = interval
    with pytest.raises(ValueError, match=message):
        impl.hlog([(tag, impl.Histogram(), begin_s, end_s)])


def test_log_refuses_a_bad_head(impl):
    with pytest.raises(ValueError, match="start_s must be finite"):
        impl.hlog([], start_s=float("nan"))
    with pytest.raises(ValueError, match="comment must be one line"):
        impl.hlog([], comment="a\nb")


def test_empty_histogram_is_all_zero(impl):
    h = impl.Histogram()
    assert (h.count, h.min, h.max, h.mean, h.stddev, h.percentile(99.0)) == (0, 0, 0, 0.0, 0.0, 0)
    assert [a.size for a in h.to_numpy()] == [0, 0]
    assert impl.Histogram.decode(h.encode()).count == 0


def test_values_keep_their_digits(impl):
    for digits in range(1, 6):
        h = impl.Histogram(1, 10**12, digits)
        for value in (1, 99, 12345, 999_999, 123_456_789, 10**12):
            low, high = h.equivalent(value)
            assert low <= value <= high
            assert (high - low) * 10**digits <= value


@pytest.mark.parametrize("value", [-1, 1001, 2**62, -(2**63), 2**63 - 1])
def test_value_out_of_range_raises_and_counts_nothing(impl, value):
    h = impl.Histogram(1, 1000, 3)
    for call in (
        lambda: h.record(value),
        lambda: h.record_count(value, 2),
        lambda: h.record_corrected(value, 10),
        lambda: h.record_many(np.array([5, value, 7])),
    ):
        with pytest.raises(ValueError, match=rf"value must be in 0\.\.1000: value={value}"):
            call()
    assert h.count == 0
    h.record(1000)
    h.record(0)
    assert (h.count, h.saturated, h.negative) == (2, 0, 0)


def test_fraction_is_an_error_and_not_cut_off():
    h, m = compiled.Histogram(), replaced.LatencyMonitor()
    for call in (
        lambda: h.record(1.5),
        lambda: h.record(float("nan")),
        lambda: h.record_count(1, 1.0),
        lambda: h.record_corrected(5, 2.5),
        lambda: m.record_latency(0.25, 0.75),
        lambda: compiled.Histogram(digits=3.0),
        lambda: replaced.LatencyMonitor(1e5),
    ):
        with pytest.raises(TypeError):
            call()
    assert h.count == m.count == 0
    h.record(np.int64(5))
    m.record_latency(np.int64(5), np.int64(7))
    assert h.count == m.count == 1


def test_error_of_a_batch_names_the_index(impl):
    with pytest.raises(ValueError, match="value=-4, index=2"):
        impl.Histogram().record_many(np.array([1, 2, -4, -5]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": 0}, "digits must be in 1..5: digits=0"),
        ({"digits": 6}, "digits must be in 1..5: digits=6"),
        ({"lowest": 0}, "lowest must be at least 1: lowest=0"),
        ({"lowest": -5}, "lowest must be at least 1"),
        ({"lowest": 10, "highest": 19}, r"highest must be in 2\*lowest\.\.2\*\*62-1: highest=19, lowest=10"),
        ({"highest": 2**62}, r"highest must be in 2\*lowest\.\.2\*\*62-1: highest="),
        ({"lowest": 2**55, "highest": 2**61}, "lowest and digits together need more than 62 bits"),
    ],
)
def test_parameters_are_checked(impl, arguments, message):
    with pytest.raises(ValueError, match=message):
        impl.Histogram(**arguments)


@pytest.mark.parametrize("p", [-0.1, 100.1, float("nan"), float("inf")])
def test_percentile_out_of_range_raises(impl, p):
    with pytest.raises(ValueError, match=r"p must be in 0\.\.100: p="):
        impl.Histogram().percentile(p)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([1, 2], TypeError),
        (np.array([1.0, 2.0]), TypeError),
        (np.array([1, 2], np.int32), TypeError),
        (np.array([1, 2], np.dtype(np.int64).newbyteorder()), TypeError),
        (np.array([1, 2], np.uint64), TypeError),
        (np.zeros((2, 2), np.int64), ValueError),
        (np.zeros(4, np.int64)[::2], ValueError),
    ],
)
def test_arrays_are_checked(impl, values, error):
    h, m = impl.Histogram(), same_kind(impl, "replaced").LatencyMonitor(10)
    with pytest.raises(error):
        h.record_many(values)
    with pytest.raises(error):
        m.record_many(values)
    assert h.count == m.count == 0


def test_read_only_arrays_are_read(impl):
    values = np.arange(5)
    values.flags.writeable = False
    h = impl.Histogram()
    h.record_many(values)
    h.record_many(np.empty(0, np.int64))
    assert h.count == 5


def test_correction_fills_in_what_a_stall_omitted(impl):
    h = impl.Histogram()
    assert h.record_corrected(1000, 300) == 3
    assert h.to_numpy()[0].tolist() == [400, 700, 1000]
    h.reset()
    assert [h.record_corrected(*a) for a in ((1000, 0), (1000, 1000), (999, 1000), (2000, 1000), (0, 7))] == [1, 1, 1, 2, 1]
    with pytest.raises(ValueError, match="expected_interval must not be negative: expected_interval=-1"):
        h.record_corrected(5, -1)
    with pytest.raises(ValueError, match="expected_interval must not be negative"):
        h.record_many(np.array([5]), -1)


def test_correction_equals_hdrhistogram_but_for_the_value_below_the_interval(impl):
    values, interval = samples(10**6, 200), 500
    h, r = impl.Histogram(), peer([], 1, 3_600_000_000_000, 3)
    h.record_many(values, interval)
    for value in values.tolist():
        r.record_corrected_value(value, interval)
        rest = value % interval or interval  # the package goes on to the first value in (0, interval]
        if value > interval and rest < interval:
            h.record(rest)
    assert h.count == r.get_total_count()
    assert list(h.percentiles(PERCENTS).values()) == [r.get_value_at_percentile(p) for p in PERCENTS]


def test_correction_of_a_long_stall_takes_no_long_loop():
    h = compiled.Histogram()
    assert h.record_corrected(3_600_000_000_000, 1) == 3_600_000_000_000
    assert h.count == 3_600_000_000_000
    assert h.percentile(50.0) == pytest.approx(1.8e12, rel=1e-3)


def test_merge_adds_counts(impl):
    a, b = filled(impl, [1, 2, 3_000]), filled(impl, [2, 70_000])
    a.merge(b)
    assert a.to_numpy()[1].tolist() == [1, 2, 1, 1]
    assert (a.count, b.count) == (5, 2)
    a.merge(a)
    assert a.count == 10


def test_merge_of_other_parameters_is_by_value_like_hdrhistogram(impl):
    values = samples(10**6, 500)
    a, b = impl.Histogram(1, 10**9, 2), filled(impl, values, 1, 10**7, 4)
    a.merge(b)
    r = peer([], 1, 10**9, 2)
    r.add(peer(values, 1, 10**7, 4))
    assert list(a.percentiles(PERCENTS).values()) == [r.get_value_at_percentile(p) for p in PERCENTS]
    small = impl.Histogram(1, 1000, 2)
    with pytest.raises(ValueError, match=r"largest value of the other histogram must be in 0\.\.1000: largest"):
        small.merge(b)
    assert small.count == 0


def test_count_cannot_overflow(impl):
    h = impl.Histogram()
    h.record_count(5, 2**63 - 2)
    with pytest.raises(OverflowError, match="the number of values must stay below"):
        h.record_count(5, 2)
    with pytest.raises(OverflowError):
        h.merge(h)
    with pytest.raises(ValueError, match="count must not be negative: count=-1"):
        h.record_count(5, -1)
    assert h.count == 2**63 - 2
    assert impl.Histogram.decode(h.encode()).count == 2**63 - 2


def test_reset_forgets(impl):
    h = filled(impl, [1, 2, 3])
    h.reset()
    assert (h.count, h.max, h.to_numpy()[0].size) == (0, 0, 0)


def encoding(counts=b"\x02", cookie=0x1C849313, length=None, offset=0, digits=3, lowest=1, highest=10**6):
    inner = struct.pack(">IIIIQQd", cookie, len(counts) if length is None else length, offset, digits, lowest, highest, 1.0)
    return inner + counts


def wrapped(inner, cookie=0x1C849314, extra=0):
    body = zlib.compress(inner)
    return base64.b64encode(struct.pack(">II", cookie, len(body) + extra) + body)


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        "",
        "HISTFAAA",
        wrapped(encoding(), cookie=0x1C849301),
        wrapped(encoding(), extra=1),
        base64.b64encode(struct.pack(">II", 0x1C849314, 4) + b"abcd"),
        base64.b64encode(struct.pack(">II", 0x1C849314, 8) + zlib.compress(encoding())[:8]),
        wrapped(b"short"),
        wrapped(encoding(cookie=0x1C849301)),
        wrapped(encoding(length=2)),
        wrapped(encoding(offset=1)),
        wrapped(encoding(digits=0)),
        wrapped(encoding(digits=9)),
        wrapped(encoding(lowest=0)),
        wrapped(encoding(highest=1)),
        wrapped(encoding(highest=2**63)),
        wrapped(encoding(b"\x80")),
        wrapped(encoding(b"\xff" * 9)),
        wrapped(encoding(b"\xff\xff\x7f")),
        wrapped(encoding(b"\xfe" + b"\xff" * 8 + b"\x02")),
        wrapped(encoding(b"\x02" * 20_000)),
    ],
)
def test_corrupt_encodings_are_errors(impl, text):
    with pytest.raises(CorruptDataError):
        impl.Histogram.decode(text)


def test_saturation_in_compiled_code_is_counted(impl):
    m = same_kind(impl, "replaced").LatencyMonitor()
    m.record_latency(0, 3_600_000_000_001)
    assert (m.distribution.saturated, m.distribution.count, m.summary()["saturated"]) == (1, 1, 1)
    assert m.latencies.tolist() == [3_600_000_000_001]
    other = impl.Histogram()
    other.merge(m.distribution)
    assert other.saturated == 1


@pytest.mark.threads
def test_threads_with_their_own_histograms_and_a_shared_one_to_read():
    """One owner records, others read and merge into their own; nothing is torn and every own count is exact."""
    shared, stop, seen, n = replaced.LatencyMonitor(1000), threading.Event(), [], 20_000

    def write():
        for i in range(n):
            shared.record_latency(0, i)
        stop.set()

    def read():
        own = compiled.Histogram()
        while not stop.is_set():
            own.record(5)
            assert shared.latencies.size <= 1000
            assert 0 <= shared.percentile(99.0) <= 2 * n
            assert shared.distribution.count <= n
        seen.append(own.count == own.count_at(5))

    threads = [threading.Thread(target=f) for f in (read, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True]
    assert shared.count == shared.distribution.count == n
