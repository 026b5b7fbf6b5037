"""Events in memory as a source: every array in its order, without a copy, and what is refused."""

import numpy as np
import pytest

from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, KINDS, QUOTE_DTYPE
from fastcore.source import EventSource, Source


def adds(n, first=1):
    out = np.zeros(n, EVENT_DTYPE)
    out["exch_ns"] = out["order_id"] = np.arange(first, first + n)
    out["kind"], out["side"], out["price"], out["size"] = KINDS["add"], BUY, 100, 1
    return out


@pytest.mark.parametrize("sizes", [[10], [1, 0, 9], [0, 0], [5_000, 1, 4_096, 4_097]])
def test_arrays_are_read_to_their_end(sizes):
    arrays, first = [], 1
    for size in sizes:
        arrays.append(adds(size, first))
        first += size
    source, market = EventSource(arrays), Market()
    assert Engine(source, market).run() == "end"
    assert market.events == source.given == sum(sizes)
    assert market.book_errors == 0


def test_one_array_may_be_of_any_payload():
    market = Market()
    Engine(EventSource(adds(3).view(QUOTE_DTYPE)), market).run()
    assert market.events == 3


def test_arrays_are_asked_for_one_by_one():
    asked = []

    def arrays():
        for i in range(3):
            asked.append(market.events)
            yield adds(4, 1 + 4 * i)

    market = Market()
    Engine(EventSource(arrays()), market).run()
    assert asked == [0, 4, 8], "each when the one before has been worked on"


def test_run_goes_on_when_there_is_more():
    class More:
        def __init__(self):
            self.left = []

        def __iter__(self):
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            return self.left.pop()

    more, market = More(), Market()
    engine = Engine(EventSource(more), market)
    assert engine.run() == "end"
    more.left.append(adds(5))
    assert engine.run() == "end"
    assert market.events == 5


@pytest.mark.parametrize("bad", [[np.zeros(3)], [[1, 2]], [adds(4)[::2]]])
def test_array_of_another_kind_is_refused(bad):
    with pytest.raises((TypeError, ValueError), match="events must"):
        Engine(EventSource(bad), Market()).run()


def test_error_of_the_iterator_reaches_the_caller_behind_what_came_before():
    def broken():
        yield adds(2)
        raise OSError("gone")

    market = Market()
    with pytest.raises(OSError, match="gone"):
        Engine(EventSource(broken()), market).run()
    assert market.events == 2


def test_source_must_be_compiled():
    with pytest.raises(ValueError, match="source must be one of the compiled sources"):
        Engine(Source(), Market())
