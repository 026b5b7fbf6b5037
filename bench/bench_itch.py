"""ITCH 5.0 bytes to events: the first step of every replay and of a live NASDAQ feed, once for each message.

``mixed`` is a whole synthetic day, all message types interleaved as they come; ``add orders`` holds only messages of one
type and length, which is what NumPy can view and where the floor is: a C loop without a single check. ``AMZN day`` (where
FASTCORE_TEST_DATA names the recordings) is a real order flow, repeated in memory to ten million messages that no cache
holds: every message decoded, with dense ids from a table of instruments, and with another symbol wanted, where every message is
skipped. ``with wire rows`` also keeps what the bytes say and the events do not. ``read`` is the price of the file around it:
decoding straight from a mapped file.
"""

import gzip
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.reference import itch as twin
from fastcore.wire.itch import WIRE_DTYPE, ItchDecoder, ItchEncoder
from hft.feeds.itch import ItchFeed, read_events
from hft.feeds.synthetic import generate, generate_events

from .harness import Bench, main

CHUNK = 4_096

ADD = np.dtype(
    {
        "names": ["locate", "time_high", "time_low", "order_id", "side", "size", "price"],
        "formats": [">u2", ">u2", ">u4", ">u8", "S1", ">u4", ">u4"],
        "offsets": [3, 7, 9, 13, 21, 22, 34],
        "itemsize": 38,
    }
)


def with_struct(raw: bytes, limit: int) -> int:
    """What a careful Python programmer writes: one precompiled format for each type, tuples out."""
    formats = {
        ord(t): struct.Struct(">HHHI" + body)
        for t, body in {
            **{"A": "QcI8sI", "F": "QcI8sII", "E": "QIQ", "C": "QIQcI", "X": "QI", "D": "Q", "U": "QQII"},
            **{"P": "QcI8sIQ", "Q": "Q8sIQc", "R": "8s2sI6s8s", "H": "8sccI", "S": "c"},
        }.items()
    }
    prefix = struct.Struct(">HB").unpack_from
    at = n = 0
    last: tuple[Any, ...] = ()
    while n < limit:
        size, letter = prefix(raw, at)
        last = formats[letter].unpack_from(raw, at + 3)
        at += 2 + size
        n += 1
    assert last
    return n


def run(bench: Bench) -> None:
    messages = 100_000 if bench.quick else 1_000_000
    slow = 2_000 if bench.quick else 20_000
    raw = generate(messages, seed=1)
    events = generate_events(messages, seed=1)
    view = memoryview(raw)
    chunk = np.zeros(CHUNK, EVENT_DTYPE)
    whole = np.zeros(messages, EVENT_DTYPE)

    def decode_chunks() -> dict[str, int]:
        decoder, at = ItchDecoder(), 0
        while at < len(raw):
            _, consumed = decoder.decode(view[at:], chunk)
            at += consumed
        return decoder.counts

    wire = np.zeros(CHUNK, WIRE_DTYPE)

    def decode_wire() -> dict[str, int]:
        decoder, at = ItchDecoder(), 0
        while at < len(raw):
            _, consumed = decoder.decode(view[at:], chunk, False, wire)
            at += consumed
        return decoder.counts

    def decode_whole() -> int:
        return ItchDecoder().decode(raw, whole)[0]

    def decode_twin() -> int:
        return twin.ItchDecoder().decode(raw[: slow * 30], np.zeros(slow, EVENT_DTYPE))[0]

    twin_items = decode_twin()

    def check_mixed(impl: str, result: Any) -> None:
        if impl in ("fastcore", "fastcore, with wire rows"):
            assert sum(result.values()) == messages
        if impl == "fastcore, one array":
            assert whole.tobytes() == events.tobytes()

    bench.compare(
        "itch",
        "decode, mixed day",
        messages,
        {
            "fastcore": decode_chunks,
            "fastcore, one array": decode_whole,
            "fastcore, with wire rows": decode_wire,
            "python struct": (lambda: with_struct(raw, slow), slow),
            "python": (decode_twin, twin_items),
        },
        check_mixed,
    )

    directory = os.environ.get("FASTCORE_TEST_DATA")
    if directory:
        measure_day(bench, gzip.decompress((Path(directory) / "itch/AMZN_2012-06-21_L5.itch.gz").read_bytes()))

    adds = events[(events["kind"] == KINDS["add"]) & (events["match_id"] == 0)]
    encoder = ItchEncoder()
    encoder.set_symbol(1, "SYNTH")
    one_type = encoder.encode(adds)
    n = len(adds)
    out = np.zeros(n, EVENT_DTYPE)

    def with_numpy() -> Any:
        m = np.frombuffer(one_type, ADD)
        out["exch_ns"] = m["time_low"] + (m["time_high"].astype(np.int64) << 32)
        out["symbol_id"] = m["locate"]
        out["kind"] = KINDS["add"]
        out["side"] = np.where(m["side"] == b"B", 1, -1)
        out["price"] = m["price"]
        out["size"] = m["size"]
        out["order_id"] = m["order_id"]
        return out

    def check_adds(impl: str, result: Any) -> None:
        if not impl.startswith("python"):
            assert out.tobytes() == adds.tobytes()

    bench.compare(
        "itch",
        "decode, add orders only",
        n,
        {
            "fastcore": lambda: ItchDecoder().decode(one_type, out),
            "c": lambda: _bench.itch_add_orders(one_type, out.view(np.uint8)),
            "numpy": with_numpy,
            "python struct": (lambda: with_struct(one_type, min(slow, n)), min(slow, n)),
        },
        check_adds,
    )

    bench.compare("itch", "encode", messages, {"fastcore": lambda: ItchEncoder().encode(events)}, lambda impl, r: _same(r, raw))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.itch"
        path.write_bytes(raw)

        def read(reuse: bool) -> int:
            return sum(len(a) for a in read_events(path, chunk_events=CHUNK, reuse=reuse))

        bench.compare(
            "itch",
            "read a plain file to events",
            messages,
            {
                "fastcore": lambda: read(True),
                "fastcore, arrays to keep": lambda: read(False),
                "fastcore, as a feed": lambda: sum(len(a) for a in ItchFeed(path, chunk_events=CHUNK)),
            },
            lambda impl, r: _same(r, messages),
        )


def measure_day(bench: Bench, day: bytes) -> None:
    """A recorded day, repeated in memory, in chunks of events that stay in the cache as they do in a replay."""
    whole = np.zeros(400_000, EVENT_DTYPE)
    reference = ItchDecoder(strict=True)
    n, _ = reference.decode(day, whole, final=True)
    repeat = 1 if bench.quick else -(-10_000_000 // n)
    raw = memoryview(day * repeat)
    chunk = np.zeros(CHUNK, EVENT_DTYPE)

    def decode(**options: Any) -> ItchDecoder:
        decoder, at = ItchDecoder(strict=True, **options), 0
        while at < len(raw):
            _, consumed = decoder.decode(raw[at:], chunk)
            at += consumed
        return decoder

    market_wide = reference.counts["S"] * repeat

    def check(impl: str, result: Any) -> None:
        if impl == "fastcore, all skipped":
            assert (result.counts, result.skipped) == ({"S": market_wide}, n * repeat - market_wide)
            return
        assert result.counts == {type: count * repeat for type, count in reference.counts.items()}
        if impl != "fastcore":
            return
        last = n * repeat % CHUNK or CHUNK  # what the last chunk holds are the last events of the day
        assert chunk[:last].tobytes() == whole[n - last : n].tobytes()

    bench.compare(
        "itch",
        f"decode, AMZN day to {n * repeat / 1e6:.1f} M messages",
        n * repeat,
        {
            "fastcore, all skipped": lambda: decode(wanted=["MSFT"]),
            "fastcore, dense ids": lambda: decode(instruments=Instruments()),
            "fastcore": decode,
        },
        check,
    )


def _same(a: object, b: object) -> None:
    assert a == b


if __name__ == "__main__":
    main(run)
