"""What strategies record: rows of any names, against a list of dictionaries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore.strategies.rows import Recorder

ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(["", "A", "B"]),
        st.dictionaries(st.sampled_from("wxyz"), st.floats(allow_nan=False), min_size=1),
    ),
    max_size=50,
)


@given(ROWS)
def test_columns_are_what_the_rows_hold(rows):
    recorder = Recorder()
    for time_ns, symbol, columns in rows:
        recorder.add(time_ns, symbol, columns)
    arrays = recorder.arrays()
    names = list(dict.fromkeys(name for _, _, columns in rows for name in columns))
    assert list(arrays)[:2] == ["time", "symbol"] and sorted(list(arrays)[2:]) == sorted(names)
    assert arrays["time"].astype(np.int64).tolist() == [time_ns for time_ns, _, _ in rows]
    assert arrays["symbol"].tolist() == [symbol for _, symbol, _ in rows]
    for name in names:
        told = [columns.get(name, math.nan) for _, _, columns in rows]
        np.testing.assert_array_equal(arrays[name], told)
    assert repr(recorder) == f"Recorder({len(rows)} rows)"


def test_many_rows_are_those_that_come_one_by_one():
    one, many = Recorder(), Recorder()
    for i in range(5_000):
        one.add(i, "A" if i % 3 else "", {"x": float(i), "y": -1.0} if i % 2 else {"x": 0.5})
    keys = [("A", "x", "y"), ("A", "x"), ("", "x", "y"), ("", "x")]
    which = np.array([2 * (i % 3 == 0) + (i % 2 == 0) for i in range(5_000)])
    values = np.concatenate([[float(i), -1.0] if i % 2 else [0.5] for i in range(5_000)])
    many.add_many(np.arange(5_000), keys, which, values)
    for name, column in one.arrays().items():
        np.testing.assert_array_equal(many.arrays()[name], column)


def test_a_value_that_is_no_number_is_an_error():
    recorder = Recorder()
    with pytest.raises(TypeError, match="must be real number"):
        recorder.add(1, "", {"x": "text"})
    recorder.add(2, "", {"x": 1})
    assert recorder.arrays()["x"].tolist() == [1.0]
