"""Hooks for many events at once: nothing lost, nothing twice, in order, and views that stay safe."""

import re
from pathlib import Path

import numpy as np
import pytest

import hft
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.strategies.batches import Batch
from hft import Strategy, batch, every
from hft.feeds import open_feed, synthetic

pytestmark = pytest.mark.thin


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "day.itch"
    path.write_bytes(b"".join(synthetic.iterate(10_000, 2)))
    return path


@pytest.fixture(scope="module")
def events(day):
    with open_feed(day) as feed:
        return np.concatenate(list(feed))


def collected(day, **options):
    """Run a strategy with a batch, and return what each call was given (copies), with the time."""

    class Collects(Strategy):
        def on_start(self):
            self.seen, self.times = [], []

        @batch(**options)
        def look(self, events):
            self.seen.append(events.copy())
            self.times.append(self.now)

    strategy = Collects()
    hft.backtest(strategy, day)
    return strategy


def of_market(events):
    return events[events["symbol_id"] == 0]


@pytest.mark.parametrize(
    "options", [{"events": 1}, {"events": 7}, {"events": 1000}, {"events": 10**6}, {"period": "10s"}, {"events": 50, "period": "5s"}]
)
def test_batches_are_the_events_of_the_market_in_their_order(day, events, options):
    strategy = collected(day, **options)
    seen = np.concatenate(strategy.seen)
    expected = of_market(events)
    first = len(expected) - len(seen)
    assert 0 <= first < 5  # what was there before the run had its market
    np.testing.assert_array_equal(seen, expected[first:])
    if "period" not in options:
        assert all(len(part) >= options["events"] for part in strategy.seen[:-1])
        longest = np.unique(expected["exch_ns"], return_counts=True)[1].max()
        assert all(len(part) < options["events"] + longest for part in strategy.seen)


def test_period_gives_what_came_within_it(day):
    strategy = collected(day, period="10s")
    multiples = [now % 10**10 for now in strategy.times[:-1]]
    assert set(multiples) == {0} and len(strategy.times) > 20
    for now, before, part in zip(strategy.times[1:-1], strategy.times, strategy.seen[1:-1], strict=False):
        assert (part["exch_ns"] > before - 10**10).all() and (part["exch_ns"] <= now).all()


def test_batch_comes_behind_the_other_hooks_and_its_quotes_leave(day):
    calls = []

    class Quotes(Strategy):
        def on_book(self, m):
            calls.append("book")

        @every("10s")
        def tick(self):
            calls.append("timer")

        @batch(events=500)
        def look(self, events):
            calls.append("batch")
            m = self.markets[0]
            if m.two_sided:
                m.quote(bid=m.bid, ask=m.ask, size=100)

        def on_stop(self):
            calls.append("stop")

    result = hft.backtest(Quotes(), day)
    assert result.engine.desk.orders_sent > 10
    assert {"book", "timer", "batch"} <= set(calls) and calls[-2:] == ["batch", "stop"]


def test_view_is_read_only_and_what_is_kept_stays_safe(day):
    class Keeps(Strategy):
        def on_start(self):
            self.kept = []

        @batch(events=3000)
        def look(self, events):
            with pytest.raises(ValueError, match="read-only"):
                events["size"] = 0
            self.kept.append(events)

    strategy = Keeps()
    hft.backtest(strategy, day)
    assert [view.dtype for view in strategy.kept] == [EVENT_DTYPE] * len(strategy.kept)
    assert sum(int(view["exch_ns"].min() > 0) for view in strategy.kept) == len(strategy.kept)


def test_error_in_a_batch_is_told_with_file_and_line(day):
    class Fails(Strategy):
        @batch(events=100)
        def look(self, events):
            raise KeyError("x")

    with pytest.raises(hft.StrategyError, match=r"test_batches\.py:\d+ in look: KeyError: 'x'"):
        hft.backtest(Fails(), day)


@pytest.mark.parametrize(
    ("options", "error"),
    [({}, "needs a number of events or a period"), ({"events": -1}, "events must be"), ({"events": 1.5}, "events must be"),
     ({"period": "1ns"}, "at least 1us"), ({"period": "soon"}, "a duration must be"), ({"events": 2**40}, "events must be")],
)  # fmt: skip
def test_wrong_numbers_are_refused(options, error):
    with pytest.raises(ValueError, match=error):
        batch(**options)


def test_batch_alone():
    seen = []
    one = Batch(seen.append, 5)
    assert (len(one), one.events, repr(one)) == (0, 5, "<Batch events=5 waiting=0>")
    one.deliver()
    assert seen == []
    with pytest.raises(TypeError, match="method must be callable"):
        Batch(3)
    with pytest.raises(ValueError, match=r"events must be in 0\.\."):
        Batch(seen.append, -1)


@pytest.mark.artefact
def test_example_of_the_page_runs(day):
    page = Path(__file__).parents[1] / "docs" / "strategies.md"
    if not page.is_file():
        pytest.skip("no docs here: only the installed package is tested")
    code = next(block for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL) if "class Flow" in block)
    scope = {"Strategy": Strategy, "batch": batch, "KINDS": KINDS, "np": np}
    exec(code, scope)
    result = hft.backtest(scope["Flow"](), day)
    assert len(result.records["flow"]) >= 9
