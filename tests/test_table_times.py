"""Times of a table: each value by itself, whatever its form; clocks that are changed; what is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module

import numpy as np
import pytest
from makers.tables import events_of, payload, write_text

pa = pytest.importorskip("pyarrow")

from hft.feeds import FormatError  # noqa: E402
from hft.feeds.arrow import ParquetFeed  # noqa: E402
from hft.feeds.frames import from_frame  # noqa: E402

pytestmark = pytest.mark.thin

NEW_YORK = "America/New_York"
HOUR = 3_600 * 10**9
DAY = 24 * HOUR


def ns(*parts, nano=0):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9 + nano


def times(tmp_path, cells, name="x.csv", **options):
    feed = write_text(tmp_path, "time,price\n" + "".join(f'"{cell}",1\n' for cell in cells), name, **options)
    return events_of(feed)["exch_ns"].tolist(), feed


MARCH = ns(2024, 3, 8, 9, 30)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1709890200", MARCH),
        ("1709890200000", MARCH),
        ("1709890200000000", MARCH),
        ("1709890200000000000", MARCH),
        ("1709890200.000000001", MARCH + 1),
        ("20240308", MARCH - 9 * HOUR - HOUR // 2),
        ("20240308093000", MARCH),
        ("20240308093000123", MARCH + 123 * 10**6),
        ("20240308 093000", MARCH),
        ("20240308 093000123", MARCH + 123 * 10**6),
        ("20240308 09:30:00.000123456", MARCH + 123_456),
        ("2024-03-08 9:30:00", MARCH),
        ("2024-03-08 09:30", MARCH),
        ("2024/03/08 09:30:00", MARCH),
        ("2024/3/8  09:30:00.000", MARCH),
        ("2024.03.08 09:30:00.5", MARCH + 5 * 10**8),
        ("2024-03-08D09:30:00.000000001", MARCH + 1),
        ("2024.03.08D09:30:00.000000001", MARCH + 1),
        ("2024-03-08T09:30:00,25", MARCH + 25 * 10**7),
        ("2024-03-08T04:30:00-05:00", MARCH),
        ("2024-03-08 15:00:00+0530", MARCH),
        ("2024-03-08T09:30:00 UTC", MARCH),
        ("20240308T093000Z", MARCH),
        ("08.03.2024 09:30:00.000", MARCH),
        ("8.3.2024 9:30", MARCH),
        ("08MAR2024:09:30:00.000001", MARCH + 1_000),
        ("8-Mar-2024 09:30:00", MARCH),
        ("Mar 08, 2024 09:30 AM", MARCH),
        ("2024-03-08 9:30:00 AM", MARCH),
        ("2024-03-08 12:30:00 am", MARCH - 9 * HOUR),
    ],
)
@pytest.mark.parametrize("behind", ["", "1709890200123"])
def test_forms_of_a_time(tmp_path, cell, expected, behind):
    found, feed = times(tmp_path, [behind, cell] if behind else [cell])
    assert (found[-1], feed.errors) == (expected, {})


def test_unit_is_judged_value_by_value(tmp_path):
    found, feed = times(tmp_path, ["1735689540000", "1735689600000000", "1735689660000000"])
    assert found == [ns(2024, 12, 31, 23, 59), ns(2025, 1, 1), ns(2025, 1, 1, 0, 1)]
    assert feed.remarks == {"times come in several units: ms, us": 3}


def test_later_cells_may_have_a_fraction_an_offset_or_a_point(tmp_path):
    cells = ["2024-03-08 09:30:00", "2024-03-08 09:30:00.5", "2024-03-08 04:30:01-05:00", "2024-03-08T09:30:02Z", "1709890203", "1709890203.5"]
    found, feed = times(tmp_path, cells)
    assert [(t - MARCH) / 10**9 for t in found] == [0, 0.5, 1, 2, 3, 3.5]
    assert feed.errors == {}


def test_times_that_go_back_or_jump_are_said(tmp_path, caplog):
    _, feed = times(tmp_path, ["1709890200", "1709890201", "1709890199", "1719890200"])
    assert feed.remarks == {"times go back": 1, "times jump by more than 31 days": 1}
    assert "times go back: count=1" in caplog.text


def test_rows_in_the_other_order_are_refused(tmp_path):
    with pytest.raises(FormatError, match="rows must be in the order of time: first=2024-03-08T09:30:05"):
        times(tmp_path, [str(1709890205 - i) for i in range(6)])


def test_an_hour_that_comes_twice_is_told_by_the_order_of_rows(tmp_path):
    cells = [f"2023-11-05 {clock}" for clock in ("00:30", "01:00", "01:30", "01:00", "01:30", "02:00")]
    found, feed = times(tmp_path, cells, time_zone=NEW_YORK)
    assert found == [ns(2023, 11, 5, 4, 30) + i * HOUR // 2 for i in range(6)]
    assert (feed.errors, feed.remarks) == ({}, {})


def test_an_hour_that_comes_twice_and_is_shown_once_is_refused(tmp_path):
    found, feed = times(tmp_path, [f"2023-11-05 {clock}" for clock in ("00:30", "01:00", "01:30", "02:00")], time_zone=NEW_YORK)
    assert found == [ns(2023, 11, 5, 4, 30), ns(2023, 11, 5, 7)]
    assert feed.error_log == [(i, f"time must be a time: 2023-11-05 {clock}") for i, clock in ((1, "01:00:00"), (2, "01:30:00"))]


def test_an_hour_that_comes_twice_may_lie_across_blocks(tmp_path, monkeypatch):
    import hft.feeds._csv_blocks as blocks

    whole = blocks.lines
    monkeypatch.setattr(blocks, "lines", lambda source, size: whole(source, 2_000))
    start = ns(2023, 11, 5, 4)
    wall = [start + 60 * 10**9 * i for i in range(240)]
    cells = [str(np.datetime64(t - (4 if t < ns(2023, 11, 5, 6) else 5) * HOUR, "ns"))[:19] for t in wall]
    found, feed = times(tmp_path, cells, time_zone=NEW_YORK)
    assert (found, feed.errors) == (wall, {})


def test_an_hour_that_clocks_leave_out_is_refused(tmp_path):
    found, feed = times(tmp_path, [f"2024-03-10 {clock}:00" for clock in ("01:59", "02:30", "03:00")], time_zone=NEW_YORK)
    assert found == [ns(2024, 3, 10, 6, 59), ns(2024, 3, 10, 7)]
    assert feed.error_log == [(1, "time must be a time: 2024-03-10 02:30:00")]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("DATE,TIME_M,PRICE", "2024-03-08,9:30:00.000123456,1", MARCH + 123_456),
        ("Date,Time,price", "20240308,093000,1", MARCH),
        ("Date,Timestamp,price", "20240308,09:30:00.123,1", MARCH + 123 * 10**6),
        ("<DATE>,<TIME>,<LAST>", "2024.03.08,09:30:00.000,1", MARCH),
        ("date,time,price", "08.03.2024,09:30,1", MARCH),
        ("date,time,price", "2024-03-08,1709890200000,1", MARCH),
        ("unix,date,price", "1709890200,2024-03-08 09:30:00,1", MARCH),
    ],
)
def test_a_date_and_a_clock_in_two_columns_are_one_time(tmp_path, header, row, expected):
    feed = write_text(tmp_path, f"{header}\n{row}\n")
    assert (events_of(feed)["exch_ns"].tolist(), feed.errors) == ([expected], {})


def test_numbers_beside_a_date_need_a_unit_or_a_form(tmp_path):
    text = "date,time,price\n20240308,34200,1\n"
    with pytest.raises(ValueError, match=r"no row of the table could be read: rows=1 first: row=0 time must be a time: 20240308 34200"):
        events_of(write_text(tmp_path, text))
    assert events_of(write_text(tmp_path, text, time_unit="s"))["exch_ns"].tolist() == [MARCH]
    text = "date,time,price\n20240308,93000,1\n"
    assert events_of(write_text(tmp_path, text, time_format="%Y%m%d %H%M%S"))["exch_ns"].tolist() == [MARCH]


@pytest.mark.parametrize(("date_type", "time_type"), [("date32", "time64"), ("date32", "string"), ("timestamp", "time32"), ("int64", "string")])
def test_columns_of_dates_and_times_of_day_in_parquet(tmp_path, date_type, time_type):
    dates = {
        "date32": pa.array([date(2024, 3, 8)]), "timestamp": pa.array([datetime(2024, 3, 8)], pa.timestamp("us")),
        "int64": pa.array([20240308]),
    }[date_type]  # fmt: skip
    clocks = {
        "time64": pa.array([34_200_000_123_456], pa.time64("ns")), "time32": pa.array([34_200], pa.time32("s")),
        "string": pa.array(["09:30:00"]),
    }[time_type]  # fmt: skip
    found = events_of(from_frame(pa.table({"date": dates, "time": clocks, "price": [1.5]})))
    assert found["exch_ns"].tolist() == [MARCH + (123_456 if time_type == "time64" else 0)]
    found = events_of(from_frame(pa.table({"time": clocks, "price": [1.5]}), date=date(2024, 3, 8)))
    assert found["exch_ns"].tolist() == [MARCH + (123_456 if time_type == "time64" else 0)]


@pytest.mark.parametrize(("digits", "scale"), [(20, 3), (38, 9), (38, 20), (40, 9), (76, 30)])
def test_times_and_identifiers_may_be_decimals_of_any_width(tmp_path, digits, scale):
    kind = pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)
    whole = pa.decimal256(60, 2)
    rows = {
        "timestamp": pa.array([Decimal("1700000000.5"), Decimal("1700000001.125"), None], kind),
        "price": [1.0, 2.0, 3.0],
        "size": [1.0, 2.0, 3.0],
        "trade_id": pa.array([Decimal(5), Decimal(2**62), Decimal(7)], whole),
    }
    import_module("pyarrow.parquet").write_table(pa.table(rows), tmp_path / "x.parquet")
    feed = ParquetFeed(tmp_path / "x.parquet")
    events = events_of(feed)
    assert events["exch_ns"].tolist() == [1_700_000_000_500_000_000, 1_700_000_001_125_000_000]
    assert (events["match_id"].tolist(), feed.errors) == ([5, 2**62], {"time must be there": 1})


def test_times_beyond_the_year_2262_cost_their_row(tmp_path):
    table = pa.table({"time": pa.array([2**62, 1709890200000000], pa.timestamp("us")), "price": [1.0, 2.0]})
    import_module("pyarrow.parquet").write_table(table, tmp_path / "x.parquet")
    feed = ParquetFeed(tmp_path / "x.parquet")
    assert events_of(feed)["exch_ns"].tolist() == [MARCH]
    assert list(feed.errors) == ["time must be a time"]


@pytest.mark.parametrize(
    "cell",
    ["2024-02-30", "2023-02-29", "2024-13-01", "2024-03-08 24:00:00", "2024-03-08 09:60", "2500-01-01", "13:00 PM", "12345"],
)
def test_a_time_that_is_none_costs_its_row(tmp_path, cell):
    found, feed = times(tmp_path, ["2024-03-08", cell, "2024-03-09"])
    assert found == [ns(2024, 3, 8), ns(2024, 3, 9)]
    assert feed.error_log == [(1, f"time must be a time: {cell}")]


def test_day_and_month_are_told_apart_by_the_rows_or_not_at_all(tmp_path):
    assert times(tmp_path, ["03/08/2024 09:30:00", "03/28/2024 09:30:00"])[0][0] == MARCH
    assert times(tmp_path, ["08/03/2024 09:30:00", "28/03/2024 09:30:00"])[0][0] == MARCH
    with pytest.raises(FormatError, match=r"a date like 03/08/2024 09:30:00 may be of two days: give the option time_format"):
        times(tmp_path, ["03/08/2024 09:30:00", "03/09/2024 09:30:00"])
    assert times(tmp_path, ["03/08/2024 09:30:00"], time_format="%m/%d/%Y %H:%M:%S")[0] == [MARCH]
    assert times(tmp_path, ["03/08/24 9.30.00,000001 AM"], time_format="%m/%d/%y %I.%M.%S,%f %p")[0] == [MARCH + 1_000]


@pytest.mark.parametrize("form", ["%Y %Y", "%Q", "year", "%"])
def test_a_format_of_times_is_checked(tmp_path, form):
    with pytest.raises(ValueError, match="time_format must be made of"):
        times(tmp_path, ["1"], time_format=form)


@pytest.mark.parametrize(
    ("cell", "options", "rule"),
    [
        ("34200.5", {"date": date(2024, 3, 8)}, "decimal times since midnight need the option time_unit: value=34200.5"),
        ("34200000000000", {"date": date(2024, 3, 8)}, r"a number must be a time of 1990\.\.2100, or the option time_unit .* value=3.42e\+13"),
        ("34200000", {}, "times since midnight need a date: the option date, a column of dates, or a file name with one"),
        ("99999999999", {}, r"a number must be a time of 1990\.\.2100"),
    ],
)
def test_numbers_that_say_too_little_are_refused(tmp_path, cell, options, rule):
    with pytest.raises(FormatError, match=rule):
        times(tmp_path, [cell], **options)


def test_times_since_midnight_lie_within_their_day(tmp_path):
    day = {"date": date(2024, 3, 8), "time_zone": NEW_YORK}
    found, feed = times(tmp_path, ["34200000", "90000000", "34200001"], **day)
    assert found == [ns(2024, 3, 8, 14, 30), ns(2024, 3, 8, 14, 30, nano=10**6)]
    assert feed.errors == {"time must be a time": 1}
    assert times(tmp_path, ["34200000000000"], time_unit="ns", **day)[0] == [ns(2024, 3, 8, 14, 30)]
    # Eight digits that are a date now and then are not taken for dates.
    found, _ = times(tmp_path, ["20140507", "20140508", "20150000"], name="x_20240308.csv")
    assert found == [ns(2024, 3, 8) + ms * 10**6 for ms in (20140507, 20140508, 20150000)]
    assert times(tmp_path, ["34200000"], name="S030824-v50.csv", time_zone=NEW_YORK)[0] == [ns(2024, 3, 8, 14, 30)]
    # A date beside times since the epoch changes nothing.
    assert times(tmp_path, ["1709890200000"], **day)[0] == [MARCH]


def test_daily_bars_end_with_their_day_where_clocks_are_changed(tmp_path):
    text = "Date,Open,High,Low,Close\n" + "".join(f"2024-03-{d:02},1,1,1,1\n" for d in (8, 9, 10, 11, 12))
    events = events_of(write_text(tmp_path, text, time_zone=NEW_YORK))[::2]
    assert events["exch_ns"].tolist() == [ns(2024, 3, 9, 5), ns(2024, 3, 10, 5), ns(2024, 3, 11, 4), ns(2024, 3, 12, 4), ns(2024, 3, 13, 4)]
    feed = write_text(tmp_path, text, time_zone=NEW_YORK)
    assert {row[2] for row in payload(events_of(feed)[1::2])} == {DAY}


def test_one_bar_says_no_interval(tmp_path):
    text = "Date,Open,High,Low,Close\n2024-03-08,1,1,1,1\n"
    with pytest.raises(FormatError, match="bars of a single time need the option interval_ns, or bar_time=close"):
        events_of(write_text(tmp_path, text))
    assert events_of(write_text(tmp_path, text, interval_ns=DAY))["exch_ns"].tolist() == [ns(2024, 3, 9)] * 2


def test_hourly_bars_are_hours_long_on_every_day(tmp_path):
    cells = ["2024-03-10 00:00", "2024-03-10 01:00", "2024-03-10 03:00", "2024-03-10 04:00"]
    text = "time,Open,High,Low,Close\n" + "".join(f"{cell},1,1,1,1\n" for cell in cells)
    events = events_of(write_text(tmp_path, text, time_zone=NEW_YORK))[::2]
    assert events["exch_ns"].tolist() == [ns(2024, 3, 10, 6 + i) for i in range(4)]
