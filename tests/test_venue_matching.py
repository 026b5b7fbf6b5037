"""Own orders beside a record against the same orders really inserted into a matching engine: never early, and how much is late."""

import gzip
import random

import numpy as np
import pytest
from makers.matching import LevelRace, Race, steps

from fastcore.book import OrderBook
from fastcore.records import BUY, EVENT_DTYPE, SELL
from fastcore.sim.synthetic import SyntheticMarket
from fastcore.sim.venue import Venue
from fastcore.wire.itch import ItchDecoder

AMZN = "itch/AMZN_2012-06-21_L5.itch.gz"
AAPL = "itch/AAPL_2020-01-30_first10k.itch"


def decoded(data):
    out = np.zeros(400_000, EVENT_DTYPE)
    count, _ = ItchDecoder(0).decode(data, out)
    events = out[:count]
    orders = events[events["symbol_id"] == np.bincount(events["symbol_id"][events["kind"] == 3]).argmax()]
    return orders[:60_000]


def synthetic(seed):
    out = np.zeros(25_000, EVENT_DTYPE)
    return out[: SyntheticMarket(20_000, seed=seed, symbols=["SYN"]).fill(out)]


@pytest.fixture(scope="module")
def day(request):
    name = request.param
    if isinstance(name, int):
        return synthetic(name)
    path = request.getfixturevalue("data_dir") / name
    return decoded(gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes())


DAYS = pytest.mark.parametrize("day", [1, 2, AMZN, AAPL], indirect=True)


def price_at(book, side, offset, step):
    """A price behind the best one of a side by so many steps; None where it would trade."""
    best, other = (book.best_bid, book.best_ask)[:: 1 if side == BUY else -1]
    if best is None or other is None:
        return None
    price = best - side * offset * step
    return price if price > 0 and side * (other - price) > 0 else None


def tick(book):
    """The usual distance of two levels."""
    prices = book.depth(12)[0]["price"].astype(np.int64)
    gaps = np.abs(np.diff(prices))
    return int(gaps.min()) if len(gaps) else 100


def single(race, rng):
    """One order at a level, or one step before the best."""
    price = price_at(race.book, side := rng.choice((BUY, SELL)), rng.choice((-1, 0, 0, 1, 2)), tick(race.book))
    if price is not None:
        race.submit(side, price, rng.choice((1, 20, 100, 300)))


def ladder(race, rng):
    """One order at each of four prices."""
    side, step, size = rng.choice((BUY, SELL)), tick(race.book), rng.choice((10, 50, 100))
    for offset in range(4):
        if (price := price_at(race.book, side, offset, step)) is not None:
            race.submit(side, price, size)


def rejoin(race, rng):
    """An order at the best price of each side; another as soon as it is filled."""
    for side in (BUY, SELL):
        if not any(row[1] == side for row in race.live()):
            price = price_at(race.book, side, 0, 0)
            if price is not None:
                race.submit(side, price, 50)


def quote(race, rng):
    """An order at the best price of each side, moved with it."""
    wanted = {side: price_at(race.book, side, 0, 0) for side in (BUY, SELL)}
    for order_id, side, price, *_ in race.live():
        if price != wanted[side]:
            race.cancel(order_id)
    rejoin(race, rng)


def run(events, plan, rng, starts, length, repeat=False, make=lambda book: Race(book, Venue())):
    """Races that begin at random events; returns the sums of their results, and whether the first difference was a late fill in all."""
    book, races, done = OrderBook(), [], []
    begin = set(rng.sample(range(len(events) // 20, len(events) - 1), starts))
    for number, step in enumerate(steps(events, book)):
        for race in races:
            race.step(*step)
            if repeat:
                plan(race, rng)
        done += [race.result() for race in races if race.number >= length]
        races = [race for race in races if race.number < length]
        if number in begin:
            race = make(book)
            plan(race, rng)
            races.append(race)
    early, late, lots, late_first = zip(*done, *(race.result() for race in races), strict=True)
    return sum(early), sum(late), sum(lots), all(late_first)


@DAYS
@pytest.mark.parametrize(
    ("plan", "starts", "length", "repeat"), [(single, 50, 2000, False), (ladder, 25, 2000, False), (rejoin, 8, 5000, True)]
)
def test_every_lot_is_filled_when_an_engine_that_holds_the_orders_fills_it(day, plan, starts, length, repeat):
    early, late, lots, _ = run(day, plan, random.Random(7), starts, length, repeat)
    print(f"{plan.__name__}: {lots} lots, {early} early, {late} late")
    assert lots > 1000
    assert (early, late) == (0, 0)


@DAYS
def test_quotes_that_move_with_the_market_are_filled_as_in_an_engine(day):
    """Our arrivals take no displaced lots, so some fills are late; before the two worlds part so nothing is early, and little after it."""
    early, late, lots, late_first = run(day, quote, random.Random(7), 5, 8000, True)
    print(f"quote: {lots} lots, {early} early, {late} late")
    assert lots > 3000
    assert late_first
    assert early <= 0.03 * lots
    assert late <= 0.12 * lots


@pytest.mark.parametrize("day", [1, AMZN, AAPL], indirect=True)
@pytest.mark.parametrize("prints_first", [True, False])
@pytest.mark.parametrize("levels", [40, 5])
@pytest.mark.parametrize("plan", [single, ladder])
def test_by_level_nothing_is_early(day, plan, levels, prints_first):
    def make(book):
        return LevelRace(book, Venue(by_level=True), levels, prints_first)

    early, behind, lots, _ = run(day[:10_000], plan, random.Random(7), 20, 1000, False, make)
    print(f"{plan.__name__}, {levels} levels, prints first {prints_first}: {lots} lots, {early} early, {behind} late")
    assert lots > 100
    assert early == 0
