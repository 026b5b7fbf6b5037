"""The scan of a text against its twin, whatever stands in the fields, and against exact fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.reference import decimals as twin
from fastcore.wire import decimals

FIELD = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9).map(str),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.text("0123456789.,-+eE ", max_size=12).map(lambda text: text.replace(",", "")),
    st.sampled_from(["", "abc", '"1.5"', '"1,5"', '"a,b"', "nan"]),
)


@examples(300)
@given(st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=20), st.integers(0, 18))
def test_scan_matches_reference(rows, most):
    block = "".join(",".join(row) + "\n" for row in rows).encode()
    found = [module.Decimals(4, [0, 1, 2, 3], most=most) for module in (decimals, twin)]
    assert found[0].add(block) == found[1].add(block) == len(rows)
    assert found[0].places == found[1].places


@examples(300)
@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 12)), min_size=1))
def test_a_power_of_ten_divides_all_numbers_and_no_larger_one_does(numbers):
    scan = decimals.Decimals(1, [0])
    scan.add("".join(f"{v // 10**d}.{v % 10**d:0{max(d, 1)}}\n" for v, d in numbers).encode())
    unit = Fraction(10) ** -scan.places[0]
    values = [Fraction(v, 10**d) for v, d in numbers]
    assert all((value / unit).denominator == 1 for value in values)
    assert any((value / (10 * unit)).denominator != 1 for value in values)


@examples(300)
@given(
    st.lists(st.tuples(st.integers(-(10**18), 10**18).map(str) | FIELD, FIELD, FIELD), min_size=1, max_size=3),
    st.sampled_from(["i-w", "ifw", "w-f", "fw-", "---", "www", "if-"]),
    st.booleans(),
)
def test_plain_columns_match_reference(rows, forms, returns):
    block = "".join(",".join(row) + ("\r\n" if returns else "\n") for row in rows).encode()
    found, expected = (module.plain_columns(block, forms) for module in (decimals, twin))
    assert (found is None) == (expected is None)
    for a, b in zip(found or (), expected or (), strict=True):
        if isinstance(a, tuple):
            assert a[1] == b[1]
            a, b = a[0], b[0]
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


@examples(300)
@given(st.lists(st.tuples(st.integers(-(2**53), 2**53), st.integers(0, 15)), min_size=1))
def test_plain_decimals_are_the_nearest_floats(numbers):
    texts = [f"{'-' * (v < 0)}{abs(v) // 10**d}.{abs(v) % 10**d:0{d}}" if d else str(v) for v, d in numbers]
    (found,) = decimals.plain_columns("".join(text + "\n" for text in texts).encode(), "f")
    assert found.tolist() == [float(text) for text in texts]
