"""How many decimals the numbers of a text table need: cases; and what is refused."""

import numpy as np
import pytest

MODULE = "wire.decimals"


def places(impl, text, **options):
    found = impl.Decimals(1, [0], ";", **options)
    assert found.add(text.encode() + b"\n") == text.count("\n") + 1
    return found.places[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.9999", 4), ("1.0000", 0), ("1.25", 2), ("1.250", 2), ("1200", -2), ("-3.5", 1), ("+.5", 1), ("7.", 0), ("1.2e-5", 6),
        ("1.2E+3", -2), ("5e-324", None), ("0", None), ("0.000", None), ("", None), ("nan", None), ("1.5abc", None), ("1.2.3", None),
        ("e5", None), ("1e", None), ("-", None), ('"1.234"', 3), (' 1.5 ', 1), ("1.5\r", 1), ("0.0000000000001", None),
        ("9223372036854775807", None), ("123456789012345678", 0), ("0.000000000001", 12), ("1.5\n1.125\n2", 3),
    ],
)  # fmt: skip
def test_decimals_that_numbers_need(impl, text, expected):
    assert places(impl, text) == (impl.NONE if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "point", "group", "expected"),
    [("1,25", ",", "", 2), ("1.234,5", ",", ".", 1), ("1,234.25", ".", ",", 2), ("1 234", ".", " ", 0), ("1.5", ",", "", None)],
)
def test_marks_of_other_countries(impl, text, point, group, expected):
    assert places(impl, text, point=point, group=group) == (impl.NONE if expected is None else expected)


def test_columns_that_are_not_wanted_rows_of_other_lengths_and_delimiters_in_quotes(impl):
    found = impl.Decimals(4, [1, 2])
    assert found.add(b'1.234567,1.25,3,4.5\n"a,b",1.5,"2,5",1\n\n1\n1,2,0.125,1,1,1.2345\n') == 5
    assert found.places == [impl.NONE, 2, 3, impl.NONE]
    assert found.add(b"") == 0


def test_arguments_are_checked(impl):
    for options, rule in (
        ({"columns": 0}, "columns must be in 1..65536: columns=0"), ({"wanted": [2]}, "wanted must be columns of the table: column=2"),
        ({"delimiter": ",,"}, "delimiter must be one ASCII character"), ({"point": ""}, "point must be one ASCII character"),
        ({"group": "\u2019"}, "group must be one ASCII character"), ({"most": 19}, r"most must be in 0\.\.18: most=19"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rule):
            impl.Decimals(**{"columns": 2, "wanted": [0], **options})
    with pytest.raises(TypeError):
        impl.Decimals(1, [0]).add(None)


def test_plain_columns_are_numbers_and_words(impl):
    block = b"1700000000000000,BUY,40000.25,x,-3\r\n1,sell,.5,,0\n-7,BUY,-12.,yy y,00123456789012345\n"
    times, sides, prices, numbers = impl.plain_columns(block, "iwf-i")
    assert (times.dtype, times.tolist()) == (np.int64, [1_700_000_000_000_000, 1, -7])
    assert (sides[0].dtype, sides[0].tolist(), sides[1]) == (np.int32, [0, 1, 0], ["BUY", "sell"])
    assert (prices.dtype, prices.tolist()) == (np.float64, [40000.25, 0.5, -12.0])
    assert numbers.tolist() == [-3, 0, 123456789012345]
    assert impl.plain_columns(b"1,5;2\n", "fi", ";", ",")[0].tolist() == [1.5]
    assert impl.plain_columns(b"", "i") is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "i"), ("", "f"), ("", "w"), (".", "f"), ("-", "i"), ("-", "f"), ("1.5", "i"), ("1.5.", "f"), ("1e5", "f"), ("+1", "i"),
        (" 1", "i"), ("nan", "f"), ("1 ", "f"), ("1" * 19, "i"), ("0." + "1" * 18, "f"), ("9007199254740993", "f"), ('"a"', "w"),
        ("a" * 33, "w"), ("\u00e9", "w"), ("a\rb", "w"), ("a\rb", "-"), ("1,2", "i"), ("1\n", "i"),
    ],
)  # fmt: skip
def test_what_needs_a_second_look_is_not_plain(impl, text, form):
    for before, behind in (("5,", "\n5,6\n"), ("", ",5\n")):
        block = (before + text + behind).encode()
        assert impl.plain_columns(block, "-" + form if before else form + "-") is None
    assert impl.plain_columns(b"5", "i") is None


def test_words_of_a_plain_column_are_few(impl):
    block = b"".join(b"w%d\n" % (i % 64) for i in range(200))
    ((numbers, words),) = impl.plain_columns(block, "w")
    assert words == [f"w{i}" for i in range(64)] and numbers.tolist() == [i % 64 for i in range(200)]
    assert impl.plain_columns(block + b"more\n", "w") is None


def test_forms_and_marks_of_plain_columns_are_checked(impl):
    for options in ({"forms": ""}, {"forms": "x"}, {"delimiter": ""}, {"delimiter": "-"}, {"point": "\u00b7"}, {"delimiter": "."}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            impl.plain_columns(**{"block": b"1\n", "forms": "i", **options})
