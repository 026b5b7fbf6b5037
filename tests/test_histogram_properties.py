"""Histogram: equal to its twin under any sequence of calls, then the laws of a histogram."""

import base64
import contextlib
import struct
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore import histogram
from fastcore.errors import CorruptDataError
from fastcore.reference import histogram as twin

CONFIGURATIONS = st.sampled_from([(1, 10**9, 3), (8, 10**6, 2), (1000, 2**40, 1), (1, 4000, 4), (3, 50, 1), (1, 2**61, 2)])


@st.composite
def commands(draw):
    lowest, highest, digits = draw(CONFIGURATIONS)
    value = st.one_of(st.integers(-2, 40), st.integers(0, highest), st.integers(highest - 2, highest + 2))
    command = st.one_of(
        st.tuples(st.just("record"), value),
        st.tuples(st.just("record_count"), value, st.integers(-1, 10**6)),
        st.tuples(st.just("record_corrected"), value, st.one_of(st.just(0), st.integers(max(1, highest // 50), highest))),
        st.tuples(st.just("record_many"), st.lists(value, max_size=5)),
        st.tuples(st.just("reset")),
    )
    return (lowest, highest, digits), draw(st.lists(command, max_size=30))


def outcome(object_, name, arguments):
    try:
        return getattr(object_, name)(*(np.array(a, np.int64) if isinstance(a, list) else a for a in arguments))
    except (ValueError, OverflowError) as error:
        return type(error), str(error)


def fill(module, configuration, script):
    h = module.Histogram(*configuration)
    return h, [outcome(h, name, arguments) for name, *arguments in script]


def state(h):
    values, counts = h.to_numpy()
    ps = h.percentiles((0.0, 1.0, 50.0, 99.0, 99.9, 100.0))
    return values.tolist(), counts.tolist(), h.count, h.min, h.max, ps, h.encode()


@given(commands())
@examples(150)
def test_histogram_matches_reference(case):
    configuration, script = case
    (a, results), (b, expected) = fill(histogram, configuration, script), fill(twin, configuration, script)
    assert results == expected
    assert state(a) == state(b)
    np.testing.assert_allclose([a.mean, a.stddev], [b.mean, b.stddev], rtol=1e-9)


@given(commands())
def test_histogram_roundtrips_its_encoding(case):
    h, _ = fill(histogram, *case)
    assert state(histogram.Histogram.decode(h.encode())) == state(h)
    assert state(twin.Histogram.decode(h.encode())) == state(h)


@given(commands(), st.lists(st.floats(0.0, 100.0), min_size=2, max_size=8))
def test_histogram_percentiles_are_monotone(case, ps):
    h, _ = fill(histogram, *case)
    values = [h.percentile(p) for p in sorted(ps)]
    assert values == sorted(values)
    assert h.percentile(100.0) == h.max
    assert h.percentile(0.0) == h.min


@given(commands(), commands())
def test_histogram_merge_conserves_counts(a_case, b_case):
    (a, _), (b, _) = fill(histogram, *a_case), fill(histogram, *b_case)
    (ra, _), (rb, _) = fill(twin, *a_case), fill(twin, *b_case)
    total = a.count + b.count
    before = state(a)
    refused = outcome(a, "merge", (b,))
    assert refused == outcome(ra, "merge", (rb,))
    assert state(a) == state(ra)
    if refused:
        assert state(a) == before
    else:
        assert a.count == total == a.to_numpy()[1].sum()


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_histogram_percentile_is_within_its_digits_of_the_exact_one(values, p):
    h = histogram.Histogram(1, 10**12, 3)
    h.record_many(np.array(values))
    exact = sorted(values)[max(1, int(p * len(values) / 100 + 0.5)) - 1]
    assert exact <= h.percentile(p) <= exact * 1.001


@given(st.binary(max_size=60))
def test_histogram_decode_never_crashes(text):
    for encoded in (text, base64.b64encode(text), base64.b64encode(b"\x1c\x84\x93\x14" + text)):
        with contextlib.suppress(CorruptDataError):
            histogram.Histogram.decode(encoded)


@given(st.binary(max_size=40), st.sampled_from([(1, 4000, 3), (3, 50, 1)]))
def test_histogram_counts_decode_like_the_reference(counts, configuration):
    lowest, highest, digits = configuration
    inner = zlib.compress(struct.pack(">IIIIQQd", 0x1C849313, len(counts), 0, digits, lowest, highest, 1.0) + counts)
    text = base64.b64encode(struct.pack(">II", 0x1C849314, len(inner)) + inner)
    try:
        expected = state(twin.Histogram.decode(text))
    except ValueError:
        expected = None
    try:
        assert state(histogram.Histogram.decode(text)) == expected
    except ValueError:
        assert expected is None
