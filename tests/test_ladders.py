"""Ladders of wanted quotes: no more messages than a brute-force minimum, one change in flight a rung, never two live orders of a rung."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.given import SECOND, TWO_SIDED, adds, run
from makers.itch import random_day

import hft
import hft.backtesting
from fastcore.desk import Desk
from fastcore.errors import Result
from fastcore.records import BUY, KINDS, SELL
from fastcore.risk import RiskLimits
from hft.strategy import Strategy, StrategyError, every

SYMBOL = "AAA"


class Ladder(Strategy):
    """Wants one ladder after the other, one a second: (bids, asks)."""

    def __init__(self, *ladders):
        super().__init__()
        self.ladders = list(ladders)

    @every("1s")
    def clock(self):
        if self.now >= 2 * SECOND and self.ladders:
            bids, asks = self.ladders.pop(0)
            self.markets[0].quote(bids=bids, asks=asks)


def played(*ladders, rows=(), **options):
    end = (len(ladders) + 5) * SECOND
    return run(Ladder(*ladders), adds(*TWO_SIDED, *rows, (end, 99, BUY, 500, 1)), **options)


def resting(result):
    """(side, price, lots left) of all orders at the venue."""
    return sorted(row[1:4] for row in result.engine.source.venues[0].orders())


def test_ladder_is_what_stands_there():
    result = played(([(9.9, 1.0), (9.8, 2.0), (9.95, 0.5)], [(10.15, 1.0)]))
    assert resting(result) == [(-1, 1015, 10), (1, 980, 20), (1, 990, 10), (1, 995, 5)]
    assert result.engine.desk.messages == 4


def test_ladder_that_moves_by_a_step_is_one_message():
    result = played(([(9.9, 1.0), (9.85, 1.0), (9.8, 1.0)], []), ([(9.95, 1.0), (9.9, 1.0), (9.85, 1.0)], []))
    assert result.engine.desk.messages == 3 + 1
    assert resting(result) == [(1, 985, 10), (1, 990, 10), (1, 995, 10)]


def test_place_is_kept_where_the_price_stays_and_the_size_does_not_grow():
    behind = [(2500 * 10**6, 10 + i, BUY, price, 40) for i, price in enumerate((995, 990, 985))]
    result = played(
        ([(9.95, 2.0), (9.9, 2.0), (9.85, 2.0)], []), ([(9.95, 2.0), (9.9, 1.0), (9.85, 3.0)], []), rows=behind
    )  # fmt: skip
    ahead = {row[2]: row[4] for row in result.engine.source.venues[0].orders()}
    assert ahead == {995: 0, 990: 0, 985: 40}
    assert result.engine.desk.messages == 3 + 2


def test_quotes_are_rounded_held_back_and_those_of_one_price_are_one():
    result = played(([(9.99, 0.55), (9.97, 1.0), (10.5, 0.3), (10.4, 0.2)], [(10.16, 1.0), (10.21, 1.0), (10.12, 0.09)]))
    assert resting(result) == [(-1, 1020, 10), (-1, 1025, 10), (1, 995, 15), (1, 1015, 5)]
    assert result.not_sent["under the lot of 0.1"] == 1


def test_own_bids_that_would_meet_own_asks_are_refused():
    class Crossed(Strategy):
        def on_start(self):
            self.why = []

        def on_book(self, m):
            m.quote(bids=[(10.1, 1.0), (9.9, 1.0)], asks=[(10.05, 1.0)])

        def on_order(self, m, order):
            if order.refused:
                self.why.append((order.side, order.price, order.why))

    strategy = Crossed()
    result = run(strategy, adds(*TWO_SIDED))
    assert strategy.why == [(1, 10.1, "self trade")]
    assert resting(result) == [(-1, 1005, 10), (1, 990, 10)]
    assert result.rejects["reason"].tolist() == ["self trade"]
    assert sum(result.engine.desk.limits.rejected.values()) == 1


def test_pull_takes_all_rungs_and_one_quote_the_others():
    many = [(9.95 - 0.05 * i, 0.1) for i in range(16)]
    result = played((many, []), ([(9.9, 0.1)], []))
    assert resting(result) == [(1, 990, 1)]
    assert result.engine.desk.messages == 16 + 15
    assert played((many, []), ([], [])).engine.desk.orders() == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m: m.quote(bids=[(9.9, 1.0)] * 17), "ValueError: quotes of a side must be at most 16: bids=17"),
        (
            lambda m: m.quote(9.9, bids=[(9.9, 1.0)]),
            "ValueError: quotes must be those of bid, ask and size, or those of bids and asks",
        ),
        (lambda m: m.quote(asks=[(float("nan"), 1.0)]), "ValueError: price and size must be numbers"),
        (lambda m: m.quote(asks=[9.9]), "TypeError"),
        (lambda m: m.quote_ticks(9.5, 10, 1), "TypeError"),
    ],
)
def test_ladders_that_make_no_sense_are_errors_in_the_hook(call, error):
    class Fails(Strategy):
        def on_book(self, m):
            call(m)

    with pytest.raises(StrategyError, match=error):
        run(Fails(), adds(*TWO_SIDED))


def test_quotes_in_whole_numbers():
    class Whole(Strategy):
        def on_book(self, m):
            m.quote_ticks(m.bid_ticks - 3, m.ask_ticks + 3, 7)

    assert resting(run(Whole(), adds(*TWO_SIDED))) == [(-1, 1025, 7), (1, 995, 7)]


def test_limit_on_the_position_counts_all_rungs():
    limits = RiskLimits(1000, 25, 1000)
    result = played(([(9.95, 1.0), (9.9, 1.0), (9.85, 1.0)], []), limits=limits)
    assert resting(result) == [(1, 990, 10), (1, 995, 10)]
    assert result.rejects["reason"].tolist() == ["limit position"]


# ---- the fewest messages ----

# Up to four rungs a side on five prices, in ticks and lots.
BIDS = st.dictionaries(st.sampled_from([975, 980, 985, 990, 995]), st.integers(1, 3), max_size=4)
ASKS = st.dictionaries(st.sampled_from([1025, 1030, 1035, 1040, 1045]), st.integers(1, 3), max_size=4)


def fewest(before, after, distance=1):
    """Messages that turn orders into wanted ones, by trying all ways: an order is kept, moved or pulled, a wanted one is new without."""
    old, new = list(before.items()), list(after.items())
    slots = [*new, *[None] * len(old)]
    best = len(old) + len(new)
    for way in permutations(slots, len(old)):
        moved = sum(
            1
            for (price, lots), wanted in zip(old, way, strict=True)
            if wanted is None or abs(wanted[0] - price) >= distance or wanted[1] != lots
        )
        best = min(best, moved + len(new) - sum(wanted is not None for wanted in way))
    return best


def units(levels):
    return [(price / 100, lots / 10) for price, lots in levels.items()]


@examples(50)
@given(st.lists(st.tuples(BIDS, ASKS), min_size=1, max_size=6))
def test_no_more_messages_than_a_brute_force_minimum(ladders):
    result = played(*[(units(bids), units(asks)) for bids, asks in ladders])
    steps = zip([({}, {}), *ladders], ladders, strict=False)
    assert result.engine.desk.messages == sum(fewest(old[s], new[s]) for old, new in steps for s in (0, 1))
    last = ladders[-1]
    assert resting(result) == sorted([(1, *level) for level in last[0].items()] + [(-1, *level) for level in last[1].items()])


@examples(25)
@given(BIDS, BIDS)
def test_no_more_messages_than_a_brute_force_minimum_with_a_distance(before, after):
    before, after = dict.fromkeys(before, 2), dict.fromkeys(after, 2)
    result = played((units(before), []), (units(after), []), requote_ticks=6)
    assert result.engine.desk.messages == len(before) + fewest(before, after, 6)


# ---- configuration ----


def test_distance_keeps_orders_that_are_near_enough():
    result = played(([(9.9, 1.0)], [(10.3, 1.0)]), ([(9.95, 1.0)], [(10.4, 1.0)]), requote_ticks=6)
    assert resting(result) == [(-1, 1040, 10), (1, 990, 10)]
    assert result.not_sent == {"within the re-quote distance": 1}


def test_distance_does_not_keep_an_order_that_own_quotes_would_meet():
    rows = [(2500 * 10**6, 50, SELL, 1005, 5)]
    result = played(([(9.95, 1.0)], []), ([(9.9, 1.0)], [(9.95, 1.0)]), rows=rows, requote_ticks=60)
    assert all(row[0] == -1 or row[1] < 1000 for row in resting(result))
    assert result.rejects.rows == 0


def test_smaller_size_within_the_distance_keeps_price_and_place():
    result = played(([(9.9, 2.0)], []), ([(9.95, 1.0)], []), rows=[(2500 * 10**6, 10, BUY, 990, 40)], requote_ticks=6)
    assert [row[1:] for row in result.engine.source.venues[0].orders()] == [(1, 990, 10, 0)]


def test_minimum_rest_delays_moves_and_lets_pulls_pass():
    result = played(([(9.9, 1.0)], []), ([(9.95, 1.0)], []), ([(9.85, 1.0)], []), min_rest="2500ms")
    acks = result._reports[result._reports["kind"] == KINDS["ack"]]
    assert [(int(r["exch_ns"]) / SECOND, int(r["price"])) for r in acks] == [(2.0, 990), (4.5, 985)]
    assert result.not_sent["before the minimum rest"] >= 2
    pulled = played(([(9.9, 1.0)], []), ([], []), min_rest="9s")
    assert pulled.engine.desk.orders() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"min_rest_ns": -1}, r"min_rest_ns must be in 0\.\."),
        ({"requote_ticks": 0}, r"requote_ticks must be in 1\.\."),
    ],
)
def test_settings_out_of_range_state_the_rule(options, error):
    with pytest.raises(ValueError, match=error):
        Desk(**options)


# ---- under latency ----

LEVELS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), max_size=4)
LATENCIES = st.sampled_from(
    ["0", "1ms", "order=4ms,response=0", "order=normal(3ms,2ms),response=lognormal(4ms,3ms)", "order=2ms,response=9ms,feed=1ms"]
)


class Random(Strategy):
    """Wants ladders at numbered changes of the book, at so many cents from the best prices, and looks at the desk when it is called."""

    def __init__(self, ladders, desk):
        super().__init__()
        self.ladders, self.desk = dict(ladders), desk

    def on_start(self):
        self.books, self.rungs, self.problems = 0, {}, []

    def on_book(self, m):
        self.books += 1
        wanted = self.ladders.get(self.books)
        if wanted is not None and m.two_sided:
            bids, asks = wanted
            m.quote(
                bids=[(m.bid - 0.01 * step, 100 * size) for step, size in bids],
                asks=[(m.ask + 0.01 * step, 100 * size) for step, size in asks],
            )
        self.look()

    def on_order(self, m, order):
        self.look()

    def look(self):
        flying = {}
        for number, symbol, side, *_, state, purpose in self.desk().orders():
            self.rungs[number] = (symbol, side, purpose)
            if state in ("sent", "working"):
                if (side, purpose) in flying:
                    self.problems.append((side, purpose, number))
                flying[side, purpose] = number


@pytest.fixture
def desks(monkeypatch):
    made = []
    monkeypatch.setattr(hft.backtesting, "Desk", lambda *args, **kwargs: made.append(Desk(*args, **kwargs)) or made[-1])
    return made


STEPS = st.lists(st.tuples(st.integers(1, 250), st.tuples(LEVELS, LEVELS)), min_size=1, max_size=25)


def test_never_two_live_orders_of_a_rung_under_any_latency(desks, tmp_path):
    numbers = iter(range(10**6))

    @examples(40)
    @given(st.integers(0, 10**6), STEPS, LATENCIES, st.sampled_from([("0", 1), ("3ms", 1), ("0", 200)]))
    def check(seed, ladders, latency, holds):
        strategy = Random(ladders, lambda: desks[-1])
        path = tmp_path / f"{next(numbers)}.itch"
        path.write_bytes(random_day(seed, 500))
        result = hft.backtest(strategy, path, symbols=[SYMBOL], latency=latency, min_rest=holds[0], requote_ticks=holds[1])
        path.unlink()
        assert strategy.problems == []
        live, known = {}, strategy.rungs
        position = 0
        for r in result._reports:
            order, kind = int(r["order_id"]), int(r["kind"])
            if kind == KINDS["ack"]:
                rung = known.get(order, ("unseen", order))
                assert rung not in live, "two live orders of a rung"
                live[rung] = order, int(r["size"])
            elif kind in (KINDS["fill"], KINDS["pulled"]):
                rung = known.get(order, ("unseen", order))
                position += int(r["side"]) * int(r["size"]) * (kind == KINDS["fill"])
                left = live[rung][1] - int(r["size"])
                live.pop(rung)
                if left:
                    live[rung] = order, left
        assert result.stats["symbols"][SYMBOL]["position"] == position
        codes = {int(r["match_id"]) for r in result._reports if r["kind"] == KINDS["reject"]}
        assert codes <= {Result.UNKNOWN_ORDER, Result.SELF_TRADE, Result.NOT_TRADING}

    check()


def test_pieces_of_the_input_and_order_of_registration_change_no_order(desks):
    ladders = [(n, ([(k, 1 + k % 2) for k in range(n % 4)], [(k, 1) for k in range(n % 5)])) for n in range(1, 40)]
    moves = [
        (SECOND + 10**6 * n, 10 + n, BUY if n % 2 else SELL, 1000 + (n % 5 if n % 2 else 10 + n % 7), 5 + n)
        for n in range(1, 60)
    ]
    rows = [*TWO_SIDED, *moves]
    whole, cut = [adds(*rows)], [adds(row) for row in rows]

    class Silent(Strategy):
        pass

    hashes = set()
    for arrays in (whole, cut):
        for order in (("a", "b"), ("b", "a")):
            made = {"a": Random(ladders, lambda: desks[-1]), "b": Silent()}
            result = run({name: made[name] for name in order}, *arrays, latency="order=3ms,response=2ms")
            assert result.engine.desk.orders_sent > 10
            hashes.add(result.orders_hash)
    assert len(hashes) == 1
