"""Layouts, kinds and sentinels: the C structs, the NumPy dtypes and the numbers that are stored agree."""

import struct

import numpy as np
import pytest

from fastcore import records


@pytest.mark.parametrize(
    ("dtype", "struct_name", "itemsize"),
    [("EVENT_DTYPE", "event", 64), ("QUOTE_DTYPE", "event", 64), ("REPLACE_DTYPE", "event", 64), ("TICK_DTYPE", "tick", 32)],
)
def test_dtype_equals_c_struct(dtype, struct_name, itemsize):
    d = getattr(records, dtype)
    c = records.layout()[struct_name]
    assert d.itemsize == c[""][1] == itemsize
    for name in d.names:
        field, offset = d.fields[name][:2]
        assert (offset, field.itemsize) == c[name], name


def test_tick_is_native_qidd():
    row = np.zeros(1, records.TICK_DTYPE)
    row[0] = (2**63, 7, 1.5, -2.25)
    assert struct.unpack("QIdd", row.tobytes()) == (2**63, 7, 1.5, -2.25)


def test_views_rename_the_payload_without_a_copy():
    events = np.zeros(3, records.EVENT_DTYPE)
    events["price"] = 1, 2, 3
    events["match_id"] = 9
    assert events.view(records.QUOTE_DTYPE)["bid"].tolist() == [1, 2, 3]
    assert events.view(records.REPLACE_DTYPE)["new_order_id"].tolist() == [9, 9, 9]
    assert np.shares_memory(events, events.view(records.QUOTE_DTYPE))


def test_numbers_that_files_hold_stay_what_they_are():
    assert (records.BUY, records.SELL, records.NO_SIDE) == (1, -1, 0)
    assert (records.NO_PRICE, records.NO_SYMBOL) == (-(2**63), 2**32 - 1)
    kinds = (
        "none quote trade add execute cancel delete replace level clear status timer order ack fill reject pull pulled "
        "system listing cross break imbalance notice gap bar amend detail control target"
    )
    assert {name: number for number, name in enumerate(kinds.split())} == records.KINDS
    flags = "continued hidden not_printable snapshot own maker taker at through crossing took auction held"
    assert {name: 1 << bit for bit, name in enumerate(flags.split())} == records.FLAGS
    assert records.TERMS == {"limit": 0, "market": 1, "day": 0, "ioc": 4, "fok": 8, "gtd": 12, "post_only": 32}
    trading = "unknown halted paused quotation trading"
    session = "unknown messages_begin system_opens market_opens market_closes system_closes messages_end"
    assert {name: number for number, name in enumerate(trading.split())} == records.TRADING
    assert {name: number for number, name in enumerate(session.split())} == records.SESSION


def test_event_is_the_struct_that_files_hold():
    row = np.zeros(1, records.EVENT_DTYPE)
    row[0] = (1, -2, 3, 4, 5, -6, 7, 8, -9, 10, -11)
    assert struct.unpack("=QqqIBbH4q", row.tobytes()) == (1, -2, 3, 4, 5, -6, 7, 8, -9, 10, -11)


def test_kind_names_round_trip():
    assert [records.kind_name(n) for n in records.KINDS.values()] == list(records.KINDS)
    with pytest.raises(ValueError, match=r"kind must be one of 0\.\.29: kind=99"):
        records.kind_name(99)


def test_no_price_is_outside_any_price_and_not_zero():
    assert records.NO_PRICE == np.iinfo(np.int64).min
