"""Decoders and encoders of MoldUDP64, SoupBinTCP and OUCH in many threads at once: nothing is shared between them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.sim.synthetic import SyntheticMarket
from fastcore.symbols import SymbolMapper
from fastcore.wire import ouch, soup
from fastcore.wire.itch import ItchDecoder, ItchEncoder
from fastcore.wire.mold import MoldDecoder, MoldEncoder

pytestmark = pytest.mark.threads
SYMBOLS = SymbolMapper(["A", "B"])  # read by all, written by none


def feed(seed):
    """A day through packets of which some come twice; gives the sum of all that was decoded."""
    market, encoder = SyntheticMarket(20_000, seed, ("A", "B")), ItchEncoder()
    mold, decoder = MoldEncoder(f"S{seed}"), MoldDecoder(ItchDecoder(strict=True), 1, True)
    events, out = np.zeros(2_000, EVENT_DTYPE), np.zeros(2_100, EVENT_DTYPE)
    total = 0
    while n := market.fill(events):
        data, offsets = mold.encode(encoder.encode(events[:n]))
        data, offsets = data[: offsets[1]] + data, np.concatenate([[0], offsets + offsets[1]])
        assert decoder.decode_batch(data, offsets, out) == (n, len(offsets) - 1)
        assert np.array_equal(out["order_id"][:n], events["order_id"][:n])
        total += int(out["price"][:n][out["price"][:n] > 0].sum())
    return total, decoder.messages


def orders(seed):
    """Orders through a stream that is cut into pieces."""
    n = 2_000
    events = np.zeros(n, EVENT_DTYPE)
    events["kind"], events["side"], events["size"] = KINDS["order"], 1, 100
    events["price"], events["order_id"] = np.arange(n) * 100 + seed, np.arange(n)
    stream, rows = ouch.OuchEncoder(False).encode(events, ouch.details(n, symbol=["A", "B"] * (n // 2)))
    raw = soup.encode(stream, rows)
    packets, decoder = soup.SoupDecoder(strict=True), ouch.OuchDecoder(False, SYMBOLS, strict=True)
    out, details = np.zeros(n, EVENT_DTYPE), np.zeros(n, ouch.OUCH_DTYPE)
    total = symbols = 0
    for at in range(0, len(raw), 997):
        data, rows = packets.push(raw[at : at + 997])
        k = decoder.decode(data, rows, out, details)
        total += int(out["price"][:k].sum())
        symbols += int(out["symbol_id"][:k].sum())
    return total, symbols, decoder.counts


@pytest.mark.parametrize("work", [feed, orders])
def test_threads_with_their_own_objects_do_not_disturb_each_other(work):
    seeds = list(range(4)) * 4
    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, seeds))
    assert together == [alone[seed] for seed in seeds]
