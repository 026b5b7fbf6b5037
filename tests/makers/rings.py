"""Records for rings, and the same commands on a ring and its twin."""

import numpy as np
from hypothesis import strategies as st

from fastcore.errors import FastcoreError
from fastcore.records import EVENT_DTYPE

SMALL = np.dtype([("seq", "u8"), ("value", "f8"), ("tag", "u4"), ("more", "u4")])
PRICES = np.dtype([("seq", "u8"), ("price", "i8"), ("x", "u4"), ("y", "u4")])

dtypes = st.sampled_from([EVENT_DTYPE, PRICES])
capacities = st.sampled_from([2, 4, 8, 16, 64])
counts = st.integers(0, 20)
commands = st.lists(
    st.one_of(
        st.tuples(st.just("push"), counts, counts),
        st.tuples(st.just("pop"), counts, counts),
        st.tuples(st.just("claim"), counts, counts),
        st.tuples(st.just("peek"), counts, counts),
        st.tuples(st.sampled_from(["push one", "pop one"]), counts, counts),
        st.tuples(st.sampled_from(["join", "latest", "leave", "skip"]), st.integers(0, 3), counts),
    ),
    max_size=60,
)


def events(*prices):
    rows = np.zeros(len(prices), EVENT_DTYPE)
    rows["price"] = prices
    rows["match_id"] = -rows["price"]
    return rows


def prices(rows):
    return rows["price"].tolist()


def numbered(dtype, first, count):
    rows = np.zeros(count, dtype)
    rows["price"] = np.arange(first, first + count)
    return rows


def outcome(call, *arguments):
    """What a call returns, or the exception and its message."""
    try:
        result = call(*arguments)
    except (FastcoreError, ValueError) as error:
        return type(error).__name__, str(error)
    if isinstance(result, np.void):
        return result["seq"].item(), result["price"].item()
    if isinstance(result, np.ndarray):
        return result["price"].tolist()
    return result


class Pair:
    """The same command on both rings."""

    def __init__(self, make, modules):
        self.rings = tuple(map(make, modules))

    def same(self, method, *arguments):
        ours, theirs = (outcome(getattr(r, method), *arguments) for r in self.rings)
        assert ours == theirs, method
        return ours

    def pop(self, handles, dtype, count):
        outs = np.zeros(count, dtype), np.zeros(count, dtype)
        results = [outcome(h.try_pop_batch, out) for h, out in zip(handles, outs, strict=True)]
        assert results[0] == results[1]
        n = results[0]
        if isinstance(n, int):
            assert outs[0][:n].tobytes() == outs[1][:n].tobytes()
        return outs[0][:n] if isinstance(n, int) else n

    def claim(self, first, want, keep):
        views = [r.try_claim(want) for r in self.rings]
        assert len(views[0]) == len(views[1])
        n = len(views[0])
        for r, view in zip(self.rings, views, strict=True):
            for field in view.dtype.names:
                view[field] = 0
            view["price"] = np.arange(first, first + n)
            r.commit(min(keep, n))
        return min(keep, n)

    def counters(self, *names):
        for name in (*names, "published", "full", "closed"):
            assert getattr(self.rings[0], name) == getattr(self.rings[1], name), name
        assert len(self.rings[0]) == len(self.rings[1])
