"""Layouts, kinds and sentinels: the C structs, the NumPy dtypes and the twin agree."""

import struct

import numpy as np
import pytest

from fastcore import records
from fastcore.reference import records as twin

MODULE = "records"


@pytest.mark.parametrize(
    ("dtype", "struct_name", "itemsize"),
    [("EVENT_DTYPE", "event", 64), ("QUOTE_DTYPE", "event", 64), ("REPLACE_DTYPE", "event", 64), ("TICK_DTYPE", "tick", 32)],
)
def test_dtype_equals_c_struct(impl, dtype, struct_name, itemsize):
    d = getattr(impl, dtype)
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


@pytest.mark.parametrize("name", ["BUY", "SELL", "NO_SIDE", "NO_PRICE", "NO_SYMBOL", "KINDS", "FLAGS"])
def test_constants_equal_the_twin(name):
    assert getattr(records, name) == getattr(twin, name)


def test_kind_names_round_trip(impl):
    assert [impl.kind_name(n) for n in impl.KINDS.values()] == list(impl.KINDS)
    with pytest.raises(ValueError, match=r"kind must be one of 0\.\.25: kind=99"):
        impl.kind_name(99)


def test_no_price_is_outside_any_price_and_not_zero():
    assert records.NO_PRICE == np.iinfo(np.int64).min
