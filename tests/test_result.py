"""The figures of a result, each worked out again from the tables, the data and formulas of others; and the split, exact for any fills."""

import math
import re
from collections import defaultdict
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

import hft
from fastcore.book import OrderBook
from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument, Instruments
from fastcore.portfolio import Position
from fastcore.records import BUY, EVENT_DTYPE, KINDS, NO_PRICE, SELL
from fastcore.strategies.rows import Recorder
from fastcore.wire.itch import ItchDecoder
from hft.feeds import synthetic
from hft.feeds.feed import Feed
from hft.figures import ratios, split, t_quantile, worst_fall
from hft.strategy import Param, Strategy, every
from hft.tables import Table

pytestmark = pytest.mark.thin
SECOND = 10**9
DAY = 86_400 * SECOND


class Maker(Strategy):
    """Joins the best prices."""

    size = Param(100.0, "of a quote", min=0)

    def on_book(self, m):
        if m.two_sided:
            m.quote(bid=m.bid if m.position < 300 else None, ask=m.ask if m.position > -300 else None, size=self.size)

    @every("10s")
    def note(self):
        self.record(self.markets[0], position=self.markets[0].position)


@pytest.fixture(scope="module")
def day():
    return b"".join(synthetic.iterate(12_000, 4))


@pytest.fixture(scope="module")
def result(day, tmp_path_factory):
    path = tmp_path_factory.mktemp("result") / "day.itch"
    path.write_bytes(day)
    return hft.backtest(Maker(), path, latency="order=1ms,response=2ms", maker_fee="-0.001%", taker_fee=0.003)


@pytest.fixture(scope="module")
def fills(result):
    columns = {name: result.fills[name].tolist() for name in result.fills}
    return [SimpleNamespace(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def span(result):
    times = result.equity["time"].astype(np.int64)
    return int(times[0]), int(times[-1])


@pytest.fixture(scope="module")
def mids(day):
    """Venue times and middle (None without one) behind each event of the day."""
    events = np.zeros(20_000, EVENT_DTYPE)
    n, _ = ItchDecoder().decode(day, events)
    book, rows, now = OrderBook(), [], 0
    for event in events[:n]:
        now = max(now, int(event["exch_ns"]))
        if event["symbol_id"]:
            book.apply(np.array([event]))
        bid, ask = book.best_bid, book.best_ask
        rows.append((now, None if bid is None or ask is None or bid >= ask else (bid + ask) / 20_000))
    return rows


def near(value):
    return pytest.approx(value, rel=1e-9, abs=1e-9)


# ---- from the tables ----


def test_profit_and_its_parts(result, fills):
    own = result.stats["currencies"]["USD"]
    assert len(fills) > 50
    last = result.equity["mid"][-1]
    sign = {"buy": 1, "sell": -1}
    spread = sum(sign[f.side] * f.size * (f.mid - f.price) for f in fills)
    drift = sum(sign[f.side] * f.size * (last - f.mid) for f in fills)
    fee = sum(f.fee for f in fills)
    cash, position = -sum(sign[f.side] * f.size * f.price for f in fills), sum(sign[f.side] * f.size for f in fills)
    assert (own["spread"], own["drift"], own["fees"]) == (near(spread), near(drift), near(fee))
    assert own["profit"] == near(cash + position * last - fee) == near(spread + drift - fee)
    assert own["unexplained"] == 0.0
    assert own["traded"] == near(sum(f.price * f.size for f in fills))
    assert fee == near(sum(-1e-5 * f.price * f.size if f.maker else 0.003 * f.size for f in fills))
    maker = sum(f.price * f.size for f in fills if f.maker)
    paid = sum(f.fee for f in fills if f.maker)
    assert own["break_even_maker_fee_bps"] == near(1e4 * (own["profit"] + paid) / maker)
    row = result.stats["symbols"]["SYNTH"]
    assert (row["profit"], row["fills"], row["volume"], row["position"]) == (own["profit"], len(fills), sum(f.size for f in fills), position)


def test_middles_and_markouts(result, fills, mids):
    times = np.array([time for time, _ in mids])

    def at(time, side):
        n = np.searchsorted(times, time, side)
        return mids[n - 1][1] if n else None

    rows = result.stats["currencies"]["USD"]["markouts"]
    assert [row["horizon_ns"] for row in rows][:4] == [0, 10**6, 3 * 10**6, 10**7]
    for fill in fills:
        assert fill.mid == near(at(fill.venue_time, "right" if fill.cause == "took" else "left"))
    for row in rows[1:]:
        h, sums, ended, missing = row["horizon_ns"], defaultdict(lambda: [0.0, 0.0, 0]), 0, 0
        for fill in fills:
            if fill.venue_time + h > times[-1]:
                ended += 1
                continue
            mid, sign = at(fill.venue_time + h, "right"), 1 if fill.side == "buy" else -1
            if mid is None:
                missing += 1
                continue
            for name in ("all", "buys" if sign > 0 else "sells"):
                sums[name][0] += sign * fill.size * (mid - fill.price)
                sums[name][1] += fill.size * fill.price
                sums[name][2] += 1
        assert (row["past_the_end"], row["without_mid"], row["used"]) == (ended, missing, sums["all"][2])
        for name, (gain, value, _) in sums.items():
            assert row[name] == near(1e4 * gain / value)


def test_ranges_are_those_of_blocks_of_time(result, fills, mids, span):
    row = next(row for row in result.stats["currencies"]["USD"]["markouts"] if row["horizon_ns"] == SECOND)
    times = np.array([time for time, _ in mids])
    blocks = defaultdict(lambda: [0.0, 0.0])
    length = -(-(span[1] - span[0] + 1) // 20)
    for fill in fills:
        mid = mids[np.searchsorted(times, fill.venue_time + SECOND, "right") - 1][1]
        block = blocks[(fill.venue_time - span[0]) // length]
        block[0] += (1 if fill.side == "buy" else -1) * fill.size * (mid - fill.price)
        block[1] += fill.size * fill.price
    gain, value = (sum(block[i] for block in blocks.values()) for i in (0, 1))
    rest = sum((g - gain / value * v) ** 2 for g, v in blocks.values())
    n = len(blocks)
    assert n >= 10
    assert row["range"] == near(1e4 * t_quantile(n - 1) * math.sqrt(n / (n - 1) * rest) / value)


@pytest.mark.parametrize(("freedom", "quantile"), [(9, 2.2622), (14, 2.1448), (19, 2.0930), (10**6, 1.95996)])
def test_quantiles_of_student(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, rel=2e-4)


def test_counts_causes_and_waiting(result, fills):
    stats, orders = result.stats, result.orders
    filled = {f.order for f in fills}
    assert stats["orders_filled"] == len(filled) == int((orders["filled"] > 0).sum())
    assert stats["fill_rate"] == near(len(filled) / stats["orders"])
    assert stats["orders"] >= orders.rows
    assert (stats["buys"], stats["sells"]) == tuple(sum(f.side == side for f in fills) for side in ("buy", "sell"))
    size = sum(f.size for f in fills)
    causes = defaultdict(float)
    for f in fills:
        causes[f.cause] += f.size / size
    assert stats["causes"] == {name: near(part) for name, part in causes.items()}
    reasons = result.rejects["reason"].tolist()
    assert stats["refused"] == sum(stats["refusals"].values()) == sum(reason != "unknown order" for reason in reasons)
    assert stats["too_late"] == reasons.count("unknown order") > 0
    first = {}
    for f in fills:
        first.setdefault(f.order, f.venue_time)
    entered = dict(zip(orders["order"].tolist(), orders["venue_entered"].tolist(), strict=True))
    waited = sorted((time - entered[order]) / 1e9 for order, time in first.items())
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        place = share * (len(waited) - 1)
        low, part = int(place), place - int(place)
        high = waited[min(low + 1, len(waited) - 1)]
        assert stats["time_to_fill_s"][name] == near(waited[low] + part * (high - waited[low]))


def test_position_and_quoting_over_time(result, fills, span):
    row = result.stats["symbols"]["SYNTH"]
    position, now, area, largest = 0.0, span[0], 0.0, 0.0
    for f in fills:
        area += abs(position) * (f.venue_time - now)
        position, now = position + (f.size if f.side == "buy" else -f.size), f.venue_time
        largest = max(largest, abs(position))
    area += abs(position) * (span[1] - now)
    assert (row["position_mean"], row["position_largest"]) == (near(area / (span[1] - span[0])), largest)
    # Quoting, from the changes of own orders at the venue.
    quotes = result.quotes
    working, both, one, now = {"buy": {}, "sell": {}}, 0, 0, span[0]
    names = ("venue_time", "side", "order", "size")
    for time, side, order, size in zip(*(quotes[name if name != "venue_time" else "time"].tolist() for name in names), strict=True):
        sides = sum(bool(orders) for orders in working.values())
        both, one = both + (sides == 2) * (time - now), one + (sides == 1) * (time - now)
        now = time
        working[side].pop(order, None)
        if size:
            working[side][order] = size
    sides = sum(bool(orders) for orders in working.values())
    both, one = both + (sides == 2) * (span[1] - now), one + (sides == 1) * (span[1] - now)
    assert row["quoting"] == {"both_sides": near(both / (span[1] - span[0])), "one_side": near(one / (span[1] - span[0]))}
    mean_value = area / (span[1] - span[0])
    assert result.stats["turnover"] == near(sum(f.size for f in fills) / (2 * mean_value))


def test_worst_fall_against_pandas(result):
    profit = pd.Series(result.equity["profit"], index=pd.to_datetime(result.equity["time"]))
    fall = profit.cummax().clip(lower=0.0) - profit
    found = result.stats["currencies"]["USD"]["worst_fall"]
    assert found["amount"] == near(fall.max()) and found["amount"] > 0
    assert pd.Timestamp(found["time"]) == fall.idxmax()


def test_orders_and_quotes_agree_with_the_fills(result, fills):
    by_order = defaultdict(float)
    for f in fills:
        by_order[f.order] += f.size
    orders = result.orders
    for order, filled, size, state in zip(*(orders[name].tolist() for name in ("order", "filled", "size", "state")), strict=True):
        assert filled == by_order.get(order, 0.0)
        assert (state == "filled") == (filled == size)
        assert state in ("filled", "cancelled", "working")
    left = {f.order: f.left for f in fills}
    sizes = dict(zip(orders["order"].tolist(), orders["size"].tolist(), strict=True))
    assert all(left[order] == sizes[order] - by_order[order] for order in left)
    assert np.isnat(orders["ended"]).sum() == (orders["state"] == "working").sum()
    assert (orders["venue_entered"] <= orders["entered"]).all()


def test_printed_figures_are_those_of_the_statistics(result):
    text, stats = str(result), result.stats
    own = stats["currencies"]["USD"]
    assert all(len(line) <= 80 for line in text.splitlines()), max(text.splitlines(), key=len)
    words = "price against the mid at each fill"
    assert f"  spread earned     {own['spread']:>+12,.2f}   {words}    {1e4 * own['spread'] / own['traded']:>+7.3f}\n" in text
    for words in (
        f"= net{own['profit']:>+25,.2f}   unexplained 0.00",
        f"{stats['orders']:,} sent, {stats['orders_filled']:,} filled ({stats['fill_rate']:.1%}), {stats['refused']:,} refused",
        f"{stats['fills']:,}: {stats['buys']:,} buys, {stats['sells']:,} sells; {stats['symbols']['SYNTH']['share_of_market']:.1%} of market",
        f"worst fall      {own['worst_fall']['amount']:,.2f} at {own['worst_fall']['time'][11:19]}",
        "Sharpe ratio    not given: 1 day, 20 are needed",
        f"orders {result.orders_hash} (same input, same orders)\nnext: ",
    ):
        assert words in text
    markout = re.search(r"\n  all +(.*)\n", text)[1].split()
    assert markout == [f"{row['all']:+.3f}" for row in own["markouts"] if row["horizon_ns"] in (0, 10**7, 10**8, 10**9, 10**10, 6 * 10**10)]


# ---- the split is exact ----

PRICES = st.integers(1, 2**40)
FILLS = st.lists(st.tuples(st.sampled_from([BUY, SELL]), PRICES, st.integers(1, 2**30), PRICES | st.none()), max_size=20)


@examples(100)
@given(FILLS, PRICES, st.sampled_from(["linear", "inverse"]), st.integers(-5, 5))
def test_split_closes_exactly(rows, mark, kind, fee):
    """Against positions that know nothing of middles: 10^12 ticks times 10^9 lots are beyond 64 bits."""
    instrument = Instrument("X", 0.01, 0.001, multiplier=50.0, kind=kind)
    position = Position(instrument)
    for side, price, lots, _ in rows:
        position.fill(side, price, lots, fee)
    own = np.zeros(len(rows), EVENT_DTYPE)
    own["side"], own["price"], own["size"] = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    middles = np.array([NO_PRICE if r[3] is None else r[3] for r in rows], np.int64)
    run = SimpleNamespace(markets={0: instrument}, _fills=own, _arrays={"middles": [middles]})
    account = {
        "id": 0, "position_lots": position.position_lots, "mark_ticks": mark, "profit": str(position.net(mark)), "fees": str(position.fees),
    }  # fmt: skip
    found = split(run, account, np.ones(len(rows), bool))
    assert found.unexplained == 0
    assert found.net == position.net(mark) * instrument.unit_value
    assert found.without_mid == (middles == NO_PRICE).sum()
    if kind == "linear":
        spread = sum(Fraction(side * lots * (mid - 2 * price), 2) for side, price, lots, mid in rows if mid is not None)
        assert found.spread == spread * instrument.unit_value
        assert found.traded == position.turnover * instrument.unit_value


# ---- ratios ----


def days(n, seed=0, start=4, weekend=False):
    """Equity at noon and at the end of `n` weekdays from 1970-01-05, a Monday, on."""
    rng = np.random.default_rng(seed)
    dates = [d for d in range(start, start + 3 * n) if weekend or (d + 3) % 7 < 5][:n]
    times = np.array([d * DAY + h * SECOND * 3600 for d in dates for h in (12, 20)])
    return times, np.cumsum(rng.normal(0.3, 2.0, len(times)))


@pytest.mark.parametrize("weekend", [False, True])
def test_ratios_against_pandas(weekend):
    times, profit = days(60, weekend=weekend)
    found = ratios(times, profit)
    series = pd.Series(profit, index=pd.to_datetime(times))
    gains = series.resample("D" if weekend else "B").last().ffill().diff().fillna(series.resample("D").last().iloc[0])
    year = 365 if weekend else 252
    assert found["days"] == len(gains) == 60
    assert found["sharpe"] == near(gains.mean() / gains.std() * math.sqrt(year))
    downside = math.sqrt((gains.clip(upper=0) ** 2).mean())
    assert found["sortino"] == near(gains.mean() / downside * math.sqrt(year))
    assert found["sharpe_error"] == near(math.sqrt((1 + (gains.mean() / gains.std()) ** 2 / 2) / 60 * year))


def test_days_without_events_count():
    times, profit = days(40)
    kept = np.concatenate([np.arange(20), np.arange(40, len(times))])  # ten of the weekdays are not there
    found = ratios(times[kept], profit[kept])
    gains = pd.Series(profit[kept], index=pd.to_datetime(times[kept])).resample("B").last().ffill().diff().fillna(profit[1])
    assert found["days"] == 40
    assert found["sharpe"] == near(gains.mean() / gains.std() * math.sqrt(252))
    assert (gains == 0).sum() == 10


@pytest.mark.parametrize(("n", "profit", "why"), [(19, None, "19 days, 20 are needed"), (25, 0.0, "the profit of all days is the same")])
def test_ratios_are_not_given_where_they_say_nothing(n, profit, why):
    times, values = days(n)
    found = ratios(times, values if profit is None else np.full(len(times), profit))
    assert (found["sharpe"], found["sortino"], found["why"]) == (None, None, why)


def test_fall_is_counted_from_the_start():
    times = np.arange(4)
    assert worst_fall(times, np.array([-1.0, -3.0, 2.0, 1.0])) == {"amount": 3.0, "time": "1970-01-01T00:00:00.000000001"}
    assert worst_fall(times, np.array([0.0, 1.0, 2.0, 3.0])) == {"amount": 0.0, "time": None}


# ---- several markets and currencies ----


class Two(Feed):
    """Prints through both sides of two instruments in turn, of other currencies."""

    book = "orders"

    def __init__(self):
        instruments = [Instrument("A", 0.01, 0.1, currency="USD"), Instrument("B", 0.5, 1.0, multiplier=10.0, currency="EUR")]
        super().__init__("two", Instruments(instruments))

    def _arrays(self):
        out = np.zeros(64, EVENT_DTYPE)
        out["exch_ns"] = SECOND * np.arange(1, 65)
        out["symbol_id"] = np.arange(64) // 2 % 2
        out["order_id"] = np.arange(1, 65)
        out["kind"][:4], out["side"][:4], out["price"][:4], out["size"] = KINDS["add"], [1, -1, 1, -1], [1000, 1010, 1000, 1010], 7
        out["kind"][4:], out["price"][4:] = KINDS["trade"], np.where(np.arange(60) % 2, 900, 1100)
        yield out


class Quotes(Strategy):
    def on_book(self, m):
        if m.two_sided:
            m.quote(bid=m.bid, ask=m.ask, size=100)


def test_markets_and_currencies_stand_side_by_side():
    result = hft.backtest(Quotes(), Two(), symbols=["A", "B"], curve_interval="5s")
    stats, equity = result.stats, result.equity
    assert list(stats["currencies"]) == ["USD", "EUR"]
    assert {s: row["currency"] for s, row in stats["symbols"].items()} == {"A": "USD", "B": "EUR"}
    assert [stats["symbols"][s]["fills"] for s in "AB"] == [30, 30]
    assert equity["symbol"].tolist()[:4] == ["A", "B", "A", "B"]
    assert (equity["time"][::2] == equity["time"][1::2]).all()
    for symbol, currency in (("A", "USD"), ("B", "EUR")):
        last = equity["profit"][equity["symbol"] == symbol][-1]
        assert stats["currencies"][currency]["profit"] == near(last) == near(stats["symbols"][symbol]["profit"])
    fills = result.fills
    own = fills["symbol"] == "B"
    earned = (np.where(fills["side"] == "buy", 1, -1) * fills["size"] * (fills["mid"] - fills["price"]))[own].sum() * 10
    assert stats["currencies"]["EUR"]["spread"] == near(earned) != 0
    text = str(result)
    assert "profit, USD" in text and "profit, EUR" in text and "position B" in text


def test_run_ends_with_the_last_event_of_its_markets():
    """The close of the whole venue comes hours later, and nothing could be quoted until then."""
    one, both = (hft.backtest(Quotes(), Two(), symbols=symbols) for symbols in (["A"], ["A", "B"]))
    assert [run.stats["end"][-12:] for run in (one, both)] == ["02.000000000", "04.000000000"]
    assert one.engine.market.seen_ns(0) == 62 * SECOND
    with pytest.raises(ValueError, match="a curve of several instruments needs strategies"):
        type(one.engine)(one.engine.source.history, one.engine.market, curve_symbol_id=[0, 1])


def test_run_without_a_market_or_an_order_has_no_figures_that_lie():
    class Idle(Strategy):
        def on_book(self, m):
            pass

    result = hft.backtest(Idle(), Two(), symbols=["A"])
    stats = result.stats
    assert (stats["orders"], stats["fills"], stats["fill_rate"], stats["time_to_fill_s"], stats["turnover"]) == (0, 0, None, None, None)
    own = stats["currencies"]["USD"]
    assert (own["profit"], own["spread"], own["break_even_maker_fee_bps"]) == (0.0, 0.0, None)
    assert {row["all"] for row in own["markouts"]} == {None}
    assert "markout, bps" not in str(result)
    assert not re.search(r"nan|inf\b", str(result))


# ---- tables, kept and handed over ----

TABLES = ("fills", "orders", "quotes", "equity", "rejects", "records")


def same(one, two):
    """Whether two tables have the same columns, NaN and NaT like themselves."""
    if list(one) != list(two):
        return False
    return all(one[name].dtype == two[name].dtype and one[name].tobytes() == two[name].tobytes() for name in one)


def test_saved_result_is_the_same(result, tmp_path):
    result.save(tmp_path / "new" / "run")
    again = hft.load(tmp_path / "new" / "run")
    assert all(same(getattr(result, name), getattr(again, name)) for name in TABLES)
    assert result.records.rows > 100
    assert again.stats == result.stats
    assert (str(again), again.log, again.not_sent, again.stopped, again.engine) == (str(result), result.log, result.not_sent, "", None)
    assert repr(again) == repr(result)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["run"]


def test_directory_that_exists_is_refused_and_left_alone(result, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("gold")
    (tmp_path / "file").write_text("silver")
    for name in ("mine", "file"):
        with pytest.raises(FileExistsError, match="the directory of a result must be new"):
            result.save(tmp_path / name)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["file", "mine", "mine/precious.txt"]


def test_result_that_cannot_be_written_leaves_nothing(result, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr(np, "savez", fails)
    with pytest.raises(OSError, match="no space"):
        result.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "format", "zip", "member"])
def test_damaged_result_is_said(result, tmp_path, damage):
    place = tmp_path / "run"
    result.save(place)
    path, arrays = place / "result.json", place / "arrays.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_text(path.read_text()[:-20])
    elif damage == "other":
        path.write_text("[]")
    elif damage == "format":
        path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    elif damage == "zip":
        arrays.write_bytes(arrays.read_bytes()[: arrays.stat().st_size // 2])
    else:
        arrays.write_bytes(b"PK" + arrays.read_bytes()[2:][::-1])
    with pytest.raises(CorruptDataError, match=str(place)):
        hft.load(place)


def test_tables_are_handed_over(result):
    import duckdb
    import polars
    import pyarrow

    for name in TABLES:
        table = getattr(result, name)
        assert table.to_pandas().shape == table.to_polars().shape == (table.rows, len(table))
        pd.testing.assert_frame_equal(pyarrow.table(table).to_pandas(), table.to_pandas(), check_dtype=False)
        assert polars.from_arrow(pyarrow.table(table)).equals(table.to_polars(), null_equal=True)
    fills = result.fills
    found = duckdb.from_arrow(pyarrow.table(fills)).aggregate("side, sum(size) as size", "side").fetchall()
    assert dict(found) == {side: float(fills["size"][fills["side"] == side].sum()) for side in ("buy", "sell")}


def test_missing_library_is_named(result, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"this needs pyarrow \(pip install 'hft-fastcore\[feeds\]'\)"):
        result.fills.to_arrow()


def test_html_of_tables_and_results():
    table = Table({"a<b": [1.5, np.nan], "c": ["x&y", "z"]})
    assert table._repr_html_() == (
        "<table><thead><tr><th>a&lt;b</th><th>c</th></tr></thead>"
        "<tbody><tr><td>1.5</td><td>x&amp;y</td></tr><tr><td>nan</td><td>z</td></tr></tbody></table>"
    )
    assert "<p>11 rows</p>" in Table({"a": np.arange(11)})._repr_html_()


def test_html_of_a_result_is_its_text(result):
    from html import unescape

    assert unescape(result._repr_html_()) == f"<pre>{result}</pre>"


def test_rows_that_are_recorded_one_by_one_become_columns():
    recorder = Recorder()
    for time, symbol, columns in ((5, "A", {"x": 1}), (5, "", {"y": 2.5, "x": 3}), (7, "A", {"x": True}), (9, "", {})):
        recorder.add(time, symbol, columns)
    found = recorder.arrays()
    assert {name: values.tolist() for name, values in found.items() if name != "y"} == {
        "time": [5, 5, 7, 9], "symbol": ["A", "", "A", ""], "x": [1.0, 3.0, 1.0, pytest.approx(math.nan, nan_ok=True)]
    }  # fmt: skip
    assert np.isnan(found["y"]).tolist() == [True, False, True, True]
    assert {name: len(values) for name, values in Recorder().arrays().items()} == {"time": 0, "symbol": 0}
    with pytest.raises(TypeError):
        recorder.add(9, "A", {"x": "wide"})
