"""The spool keeps every record in order, in the buffer or beyond it."""

import numpy as np
import pytest
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.journal import Spool
from fastcore.records import EVENT_DTYPE


def test_spool_is_empty_at_first():
    spool = Spool(EVENT_DTYPE, 4)
    assert (len(spool), spool.drained, spool.dtype) == (0, 0, EVENT_DTYPE)
    assert spool.array().dtype == EVENT_DTYPE
    assert repr(spool) == "Spool(0 records of 64 bytes, 0 of them in a file)"


@pytest.mark.parametrize("capacity", [0, (1 << 24) + 1])
def test_capacity_out_of_range_states_the_rule(capacity):
    with pytest.raises(ValueError, match=f"capacity must be in 1.*: capacity={capacity}"):
        Spool(EVENT_DTYPE, capacity)


def test_reports_beyond_the_buffer_are_those_of_the_parts():
    """A run whose reports are more than the buffer holds gives them all, and again when asked again."""
    data = random_day(11, 4000)
    one = make(compiled, parameters={"k": 2000.0})
    many = make(compiled, parameters={"k": 2000.0})
    one.feed(data)
    turns = -(-40_000 // max(1, len(one.reports())))
    assert turns > 1
    for _ in range(turns):
        many.feed(data)
    reports = many.reports()
    assert len(reports) > 16_384, "some went to the file"
    assert reports[: len(one.reports())].tobytes() == one.reports().tobytes()
    assert many.reports().tobytes() == reports.tobytes()
    assert np.all(np.diff(reports["seq"].astype(np.int64)) >= 0)
