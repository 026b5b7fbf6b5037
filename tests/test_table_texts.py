"""How texts of tables are written: encodings, ends of lines, lines that are no rows, decimal commas, archives; what is said of bad rows."""

import bz2
import gzip
import lzma
import zipfile
from decimal import Decimal

import pytest
from makers.tables import events_of, payload, write_text

pa = pytest.importorskip("pyarrow")

from fastcore.errors import CorruptDataError  # noqa: E402
from hft.feeds import FormatError, open_feed, recognise  # noqa: E402
from hft.feeds.csv import CsvFeed  # noqa: E402
from hft.feeds.frames import from_frame  # noqa: E402

pytestmark = pytest.mark.thin

T = 1_709_890_200_000
TEXT = f"time,bid,ask\n{T},1.39147,1.39148\n{T + 1},1.39147,1.39149\n"
EXPECTED = [[139147, 139148, 1, 1], [139147, 139149, 1, 1]]


@pytest.mark.parametrize(
    "text",
    [
        TEXT.encode("utf-16"), TEXT.encode("utf-16-le"), TEXT.encode("utf-16-be"), b"\xff\xfe" + TEXT.encode("utf-16-le"),
        TEXT.encode("utf-8-sig"), TEXT.replace("\n", "\r\n").encode("utf-16"), TEXT.replace("\n", "\r"), TEXT.replace("\n", "\r\n"), TEXT[:-1],
        "\n\n" + TEXT, TEXT + "\n\n\n", TEXT.replace("\n", "\n\n"), TEXT + "   \n", TEXT.replace("\n", "\r\n\r\n"),
        "EURUSD, ticks of a day\n" + TEXT, "# made by x\n#\n\n" + TEXT, "https://example.com\n" + TEXT, "sep=,\n" + TEXT,
        TEXT.replace("time,bid,ask", '"time","bid","ask"'), "\ufeff" + TEXT.replace("time,bid,ask", '"time","bid","ask"'),
        TEXT.replace(",", ";"), TEXT.replace(",", "\t"), TEXT.replace(",", "|"), TEXT.replace(",", ";").replace(".", ","),
        TEXT.replace(",", "\t").replace(".", ","),
        "".join(f'"{line.replace(",", chr(34) + "," + chr(34))}"\n' for line in TEXT.replace(".", "_").split("\n")[:-1]).replace("_", "."),
        "".join(f'"{line.replace(",", chr(34) + "," + chr(34))}"\n' for line in TEXT.replace(".", "_").split("\n")[:-1]).replace("_", ","),
        TEXT.replace("\n", ",\n").replace("ask,\n", "ask\n"), TEXT.replace("\n", ",\n"), TEXT.replace(",", " , "),
        TEXT.split("\n", 1)[1],
    ],
)  # fmt: skip
def test_ways_to_write_the_same_table(tmp_path, text):
    feed = write_text(tmp_path, text)
    assert recognise(tmp_path / "x.csv") == "csv"
    assert (payload(events_of(feed)), feed.errors) == (EXPECTED, {})
    (tmp_path / "day").write_bytes((tmp_path / "x.csv").read_bytes())
    if b"time" in text if isinstance(text, bytes) else "time" in text:
        assert recognise(tmp_path / "day") == "csv"


def test_a_mark_of_the_encoding_is_no_part_of_the_first_name(tmp_path):
    text = "\ufeff" + f'"t","b","a"\n{T},1.39147,1.39148\n{T + 1},1.39147,1.39149\n'
    assert payload(events_of(write_text(tmp_path, text, columns={"time": "t", "bid": "b", "ask": "a"}))) == EXPECTED


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        (("1.234,5", "2.345.678,25"), {}, [123450, 234567825]),
        (("1,234.5", "2,345,678.25"), {}, [123450, 234567825]),
        (("1 234,5", "2\u00a0345\u202f678,25"), {}, [123450, 234567825]),
        (("1'234.5", "2\u2019345\u2019678.25"), {}, [123450, 234567825]),
        (("1,234", "1,234,567"), {}, [1234, 1234567]),
        (("999.5", "1,234.5", "12,34.5"), {}, [9995, 12345]),
        (("1,234", "5,678"), {"decimal": ","}, [1234, 5678]),
        (("1,234", "5,678"), {"decimal": ".", "thousands": ","}, [1234, 5678]),
        (("1,234", "5,678"), {"thousands": ","}, [1234, 5678]),
        (("0,5", "1.5"), {"decimal": ","}, [5]),
        (("0,5", "1.000"), {}, [5, 10000]),
    ],
)  # fmt: skip
def test_marks_of_decimals_and_thousands(tmp_path, cells, options, expected):
    text = "time;price\n" + "".join(f"{T};{cell}\n" for cell in cells)
    feed = write_text(tmp_path, text, **options)
    assert [row[0] for row in payload(events_of(feed))] == expected
    assert sum(feed.errors.values()) == len(cells) - len(expected)


def test_a_number_that_two_countries_read_differently_is_refused(tmp_path):
    with pytest.raises(FormatError, match="a number like 1,234 may be two: give the options decimal and thousands"):
        write_text(tmp_path, f"time;price\n{T};1,234\n{T};5,678\n")


def test_prices_in_32nds_are_not_thousands(tmp_path):
    rows = "time,price,size\n1709890200000,110'165,2\n1709890200001,110'17,2\n"
    with pytest.raises(ValueError, match="a number like 110'165 may be in 32nds, which are not read, or in thousands"):
        events_of(write_text(tmp_path, rows))
    swiss = rows.replace("110'17,", "110'461,")
    for text, options in ((swiss, {}), (rows.replace("110'17,", "110'170,"), {"thousands": "'"})):
        assert events_of(write_text(tmp_path, text, **options))["price"][0] == 110_165


def test_a_name_that_comes_twice_is_not_guessed(tmp_path):
    rows = "time,price,price,size\n1709890200000,1.5,9.5,2\n"
    with pytest.raises(ValueError, match=r"columns must have names of their own, .* twice=\['price'\]"):
        write_text(tmp_path, rows)
    assert events_of(write_text(tmp_path, rows, columns={"price": "price.2"}))["price"].tolist() == [95]


def test_sides_may_be_those_of_fix(tmp_path):
    feed = write_text(tmp_path, "time,price,size,side\n1709890200000,1,2,1\n1709890200001,1,2,2\n")
    assert (events_of(feed)["side"].tolist(), feed.errors) == ([-1, 1], {})


@pytest.mark.parametrize("cells", [("1,234", "1.234"), ("0,5", "1.5")])
def test_numbers_written_in_two_ways_are_refused(tmp_path, cells):
    with pytest.raises(FormatError, match="a number like 1,234 may be two|numbers must be written in one way: 0,5 1.5"):
        write_text(tmp_path, f"time;price\n{T};{cells[0]}\n{T};{cells[1]}\n")


def test_lines_that_are_no_rows_do_not_move_the_numbers_of_rows(tmp_path):
    feed = write_text(tmp_path, f"a title\n\ntime,price\n\n{T},1\n\n   \n{T},x\n{T},2\n\n")
    assert [row[0] for row in payload(events_of(feed))] == [1, 2]
    assert feed.error_log == [(2, "price must be a finite number: x")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"{T},abc,1", "price must be a finite number: abc"),
        (f"{T},,1", "price must be a finite number: (empty)"),
        (f"{T},nan,1", "price must be a finite number: nan"),
        (f"{T},1e400,1", "price must be a finite number: 1e400"),
        (f"{T},1,-3", "size must not be negative: -3"),
        ("yesterday,1,1", "time must be a time: yesterday"),
        ("2024-02-30,1,1", "time must be a time: 2024-02-30"),
        ("99999999999999999999,1,1", "time must be a time: 99999999999999999999"),
        (",1,1", "time must be there: (empty)"),
        (f"{T},1", "a row must have all its fields: fields=2 expected=3"),
        (f"{T},1,1,1", "a row must have all its fields: fields=4 expected=3"),
        (f"{T},$1,1", "price must be a finite number: $1"),
    ],
)
def test_a_bad_row_costs_that_row_and_is_shown_as_it_stands(tmp_path, row, said):
    good = "".join(f"{T},1,1\n" for _ in range(60))
    feed = write_text(tmp_path, f"time,price,size\n{good}{row}\n{good}")
    assert (len(events_of(feed)), feed.error_log[0][0], sum(feed.errors.values())) == (120, 60, 1)
    assert feed.error_log[0][1] in (said, said.replace("1e400", "inf"))


def test_a_table_without_a_good_row_says_how_many_and_the_first_reason(tmp_path):
    rule = "no row of the table could be read: rows=100 first: row=0 price must be a finite number: x path="
    with pytest.raises(CorruptDataError, match=rule):
        events_of(write_text(tmp_path, "time,price\n" + f"{T},x\n" * 100))


def test_identifiers_are_the_same_in_a_block_with_a_bad_row(tmp_path):
    text = f"time,price,id\n{T},1,1234567890123456789\n"
    for more in ("", f"{T},x,7\n"):
        assert payload(events_of(write_text(tmp_path, text + more))) == [[1, 1, 0, 1234567890123456789]]


def test_rows_that_drop_empty_fields_at_their_end(tmp_path):
    feed = write_text(tmp_path, f'time,bid,ask,symbol\n{T},1,2,"A, B"\n{T},1,2\n')
    assert payload(events_of(feed)) == [[1, 2, 1, 1]] * 2
    assert feed.instruments.symbols == ["A, B", "?"]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress], ids=["gzip", "xz", "bzip2"])
def test_compressed_tables(tmp_path, pack):
    rows = "".join(f"{T + i},1.39147,1.39{148 + i % 9}\n" for i in range(100_000))
    packed = pack(("time,bid,ask\n" + rows).encode())
    path = tmp_path / "x.csv.packed"
    path.write_bytes(packed)
    assert recognise(path) == "csv"
    assert len(events_of(CsvFeed(path))) == 100_000
    path.write_bytes(pack(TEXT.split("\n", 1)[0].encode() + b"\n") + pack(TEXT.split("\n", 1)[1].encode()))  # one behind the other
    assert payload(events_of(CsvFeed(path))) == EXPECTED
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        events_of(CsvFeed(path))


def test_archives_of_several_files(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("day.csv", TEXT)
        archive.writestr("__MACOSX/._day.csv", b"\0\5\x16\7")
    assert recognise(path) == "csv"
    assert payload(events_of(open_feed(path))) == EXPECTED
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.csv", TEXT)
    assert recognise(path) == "csv"
    with pytest.raises(FormatError, match=r"an archive must hold one file, or the option member must name one: .*'day.csv', 'other.csv'"):
        open_feed(path)
    assert payload(events_of(open_feed(path, member="other.csv"))) == EXPECTED
    with pytest.raises(FormatError, match="member must be in the archive: member=none.csv"):
        open_feed(path, member="none.csv")


def test_blocks_of_other_text_are_read_in_their_turn(tmp_path):
    n = 60_000
    text = "time;price;size\n" + "".join(f"{T + i};{i % 1000},5;{'1.000' if i % 2 else '7'}\n" for i in range(n))
    feed = write_text(tmp_path, text.encode("utf-16"))
    events = events_of(feed)
    assert (len(events), feed.errors) == (n, {})
    assert events["price"].tolist() == [i % 1000 * 10 + 5 for i in range(n)]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"decimal": 8}, "decimal must be . or ,: decimal=8"),
        ({"thousands": "x"}, "thousands must be nothing or one of"),
        ({"decimal": ",", "thousands": ","}, "thousands must be nothing or one of"),
        ({"delimiter": ",,"}, "delimiter must be one ASCII character"),
        ({"header": "yes"}, "header must be true or false: header='yes'"),
        ({"date": "soon"}, "date must be a day, as 2024-03-08: date='soon'"),
        ({"date": 20240308}, "date must be a day, as 2024-03-08: date=20240308"),
        ({"time_zone": "New York"}, "time_zone must be a zone of the IANA database: time_zone='New York'"),
        ({"time_zone": 5}, "time_zone must be a zone of the IANA database: time_zone=5"),
        ({"time_format": 5}, "time_format must be made of"),
        ({"tick_size": "0.01"}, "tick_size must be positive and finite: tick_size=0.01"),
        ({"tick_size": True}, "tick_size must be positive and finite: tick_size=True"),
        ({"size": 1.5}, "size must be a whole number: size=1.5"),
        ({"size": "x"}, "size must be a whole number: size='x'"),
        ({"interval_ns": 0}, "interval_ns must be at least 1: interval_ns=0"),
        ({"price_places": 13}, r"price_places must be in 0\.\.12: price_places=13"),
        ({"chunk_events": "x"}, "chunk_events must be a whole number: chunk_events='x'"),
        ({"tolerance": "x"}, r"tolerance must be in 0\.\.0\.5: tolerance=x"),
        ({"columns": "x"}, "columns must be a mapping: columns='x'"),
        ({"columns": {"bid": 1.5}}, "columns must be names or numbers of columns: bid=1.5"),
        ({"columns": {"bid": 9}}, "columns must lie in the file: bid=9 columns=3"),
        ({"actions": [1]}, r"actions must be a mapping: actions=\[1\]"),
        ({"actions": {"A": 5}}, "actions must be kinds of events, resize, fill or ignore: A=5"),
        ({"only": 5}, "only must be a mapping: only=5"),
        ({"layouts": 5}, "layouts must be a mapping of action to roles: layouts=5"),
        ({"empty": "x"}, "empty must be a price or unchanged: empty='x'"),
        ({"kind": 5}, "kind must be one of"),
        ({"member": 5}, "member must be the name of a file in an archive: member=5"),
        ({"decimals": 8}, r"an option must be one of the format: decimals format=csv options=actions, bar_time, "),
    ],
)  # fmt: skip
def test_wrong_values_of_options_are_said_in_their_words(tmp_path, options, rule):
    (tmp_path / "x.csv").write_text(TEXT)
    with pytest.raises(FormatError, match=rule):
        open_feed(tmp_path / "x.csv", **options)


def test_cells_of_other_types_in_frames():
    feed = from_frame(pa.table({"time": [T] * 3, "price": ["1.5", "x", None]}))
    assert payload(events_of(feed)) == [[15, 1, 0, 0]]
    assert feed.error_log == [(1, "price must be a finite number: x"), (2, "price must be a finite number: (empty)")]
    with pytest.raises(FormatError, match="times must be timestamps, text or numbers: type=list<item: int64>"):
        events_of(from_frame(pa.table({"time": [[1]], "price": [1.0]})))
    sizes = pa.array(["1", "2"]).dictionary_encode()
    feed = from_frame(pa.table({"time": [T] * 2, "price": [Decimal("1.250"), Decimal("1.125")], "size": sizes}))
    assert payload(events_of(feed)) == [[1250, 1, 0, 0], [1125, 2, 0, 0]]
