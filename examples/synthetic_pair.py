"""Trade the z-score of a cointegrated pair whose truth is known, and two symbols that only look like one.

The synthetic market makes two symbols whose spread reverts with a half-life of 45 s, and two that move together (correlation
0.6) without being a pair. The prices are read back from the order books, as from any feed, and what is estimated from them is
printed beside what is true.

Run: python examples/synthetic_pair.py
"""

import numpy as np
import numpy.typing as npt

from fastcore.book import OrderBook
from fastcore.records import NO_PRICE, QUOTE_DTYPE
from fastcore.zscore import pair_zscore
from hft.feeds.synthetic import Pair, SyntheticFeed

SECONDS = 15  # between two samples
WINDOW = 40  # samples of the rolling z-score: some half-lives
PAIR = Pair("GOLD", "MINER", hedge_ratio=1.5, half_life_s=45.0, spread_ticks=2_500.0)


def mids_of(events: npt.NDArray[np.void], symbol_id: int, times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Prices between the best bid and ask that a book shows at given times, USD."""
    mine = events[events["symbol_id"] == symbol_id]
    quotes = np.zeros(len(mine), QUOTE_DTYPE)
    quotes = quotes[: OrderBook(symbol_id).apply_into(mine, quotes)]
    quotes = quotes[(quotes["bid"] != NO_PRICE) & (quotes["ask"] != NO_PRICE)]
    at = np.searchsorted(quotes["exch_ns"], times_ns, side="right") - 1
    return (quotes["bid"][at] + quotes["ask"][at]) / 20_000


def study(name: str, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> None:
    # Engle and Granger: the hedge ratio by least squares, then how much of the spread a step keeps.
    ratio, constant = np.polyfit(first, second, 1)
    spread = second - ratio * first - constant
    kept = (spread[1:] @ spread[:-1]) / (spread[:-1] @ spread[:-1])
    half_life = SECONDS * np.log(0.5) / np.log(kept) if 0 < kept < 1 else np.inf
    print(f"{name}: hedge ratio {ratio:.2f}, half-life {half_life:,.0f} s, spread {spread.std():.2f} USD")

    # Short the spread above one standard deviation, long below, held for one sample; the z-scores begin with a full window.
    z = pair_zscore(second, first, WINDOW, hedge_ratio=ratio)
    position = -np.where(np.abs(z) > 1.0, np.sign(z), 0.0)
    gain = position[:-1] * np.diff(spread[WINDOW - 1 :])
    print(f"{name}: profit before costs {gain.sum():+.2f} USD a share, {gain.mean() / gain.std() * np.sqrt(len(gain)):+.1f} standard errors")


def main() -> None:
    feed = SyntheticFeed(
        messages=800_000,
        seed=7,
        symbols=("GOLD", "MINER", "OTHER", "AGAIN"),
        branching=0.5,
        orders=60,
        volatility=0.02,
        correlation=0.6,
        pairs=[PAIR],
    )
    events = np.concatenate(list(feed))
    truth = feed.truth
    assert truth.times_ns is not None
    times = truth.times_ns[600::SECONDS]  # after ten minutes every book is full
    gold, miner, other, again = (mids_of(events, i, times) for i in range(4))
    print(f"truth: hedge ratio {PAIR.hedge_ratio:.2f}, half-life {PAIR.half_life_s:.0f} s, spread {PAIR.spread_ticks / 1e4:.2f} USD")
    study("pair", gold, miner)
    study("no pair", other, again)


if __name__ == "__main__":
    main()
