"""Databento DBN records to events: every record of a research file in that format passes here once.

``numpy`` is what `databento_dbn` offers, ``np.frombuffer`` with the layout of a record: a view, no conversion at all; the file rows
decompress for both. ``numpy, converted`` fills the same events field by field with NumPy.
"""

import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.reference import dbn as twin
from fastcore.wire.dbn import DbnDecoder

from .harness import Bench, main

CHUNK = 8_192
MBO = np.dtype([
    ("length", "u1"), ("rtype", "u1"), ("publisher_id", "<u2"), ("instrument_id", "<u4"), ("ts_event", "<u8"), ("order_id", "<u8"),
    ("price", "<i8"), ("size", "<u4"), ("flags", "u1"), ("channel_id", "u1"), ("action", "u1"), ("side", "i1"), ("ts_recv", "<u8"),
    ("ts_in_delta", "<i4"), ("sequence", "<u4"),
])  # fmt: skip


def day(n: int) -> np.ndarray[Any, Any]:
    """Orders of one instrument, as a venue's day has them: half adds, half cancels, some modifies and trades."""
    rng = np.random.default_rng(1)
    r = np.zeros(n, MBO)
    r["length"], r["rtype"], r["publisher_id"], r["instrument_id"] = 14, 160, 1, 5602
    r["ts_event"] = 1_715_126_400_000_000_000 + np.cumsum(rng.integers(100, 2_000_000, n)).astype(np.uint64)
    r["ts_recv"] = r["ts_event"] + rng.integers(80_000, 120_000, n).astype(np.uint64)
    r["order_id"] = 6_413_245_568_384 + np.cumsum(rng.integers(0, 3, n))
    r["price"] = 5_214 * 10**9 + 250_000_000 * rng.integers(-40, 40, n)
    r["size"], r["sequence"] = rng.integers(1, 20, n), np.arange(n)
    r["action"] = rng.choice(np.frombuffer(b"ACMT", np.uint8), n, p=[0.45, 0.45, 0.08, 0.02])
    r["side"] = rng.choice(np.frombuffer(b"AB", np.int8), n)
    r["flags"] = np.where(r["action"] == ord("T"), 0, 130)
    r["ts_in_delta"] = 14_000 + rng.integers(0, 2_000, n)
    return r


def run(bench: Bench) -> None:
    n = 50_000 if bench.quick else 1_000_000
    slow = 1_000 if bench.quick else 20_000
    records = day(n)
    raw = records.tobytes()
    view = memoryview(raw)
    out = np.empty(CHUNK, EVENT_DTYPE)
    whole = np.zeros(n, EVENT_DTYPE)
    expected = np.zeros(n, EVENT_DTYPE)
    kinds = np.zeros(256, np.uint8)
    for letter, kind in (("A", "add"), ("C", "cancel"), ("M", "replace"), ("T", "trade")):
        kinds[ord(letter)] = KINDS[kind]

    def named(decoder: Any) -> Any:
        decoder.set_symbol_id(1, 5602, 5602)
        return decoder

    def compiled() -> dict[str, int]:
        decoder, at = named(DbnDecoder()), 0
        while at < len(raw):
            at += decoder.decode(view[at:], out, True)[1]
        return decoder.counts

    def numpy_converted() -> Any:
        r, e = np.frombuffer(raw, MBO), expected
        for ours, theirs in (("seq", "sequence"), ("exch_ns", "ts_event"), ("local_ns", "ts_recv"), ("symbol_id", "instrument_id")):
            e[ours] = r[theirs]
        for name in ("price", "size", "order_id"):
            e[name] = r[name]
        side = (r["side"] == ord("B")).astype(np.int8) - (r["side"] == ord("A"))
        e["kind"] = kinds[r["action"]]
        e["side"] = np.where(r["action"] == ord("T"), -side, side)
        e["match_id"] = np.where(r["action"] == ord("M"), r["order_id"], 0)
        return e

    def check(impl: str, result: Any) -> None:
        if impl == "fastcore":
            assert sum(result.values()) == n
            assert named(DbnDecoder()).decode(raw, whole, True) == (n, len(raw))
        elif impl == "numpy, converted":
            assert whole.tobytes() == expected.tobytes()

    bench.compare(
        "dbn",
        "mbo records to events",
        n,
        {
            "fastcore": compiled,
            "numpy, converted": numpy_converted,
            "python": (lambda: named(twin.DbnDecoder()).decode(raw[: 56 * slow], np.zeros(slow, EVENT_DTYPE), True), slow),
        },
        check,
    )

    zstandard, dbn = bench.optional("zstandard"), bench.optional("databento_dbn")
    if zstandard is None or dbn is None:
        return
    metadata = bytes(dbn.Metadata("GLBX.MDP3", 0, dbn.SType.RAW_SYMBOL, dbn.SType.INSTRUMENT_ID, dbn.Schema.MBO, version=3))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("day.dbn", "day.dbn.zst"):
            path = Path(folder) / name
            path.write_bytes(metadata + raw if path.suffix == ".dbn" else zstandard.compress(metadata + raw))
            _files(bench, path, n, len(metadata), zstandard, dbn)


def _files(bench: Bench, path: Path, n: int, header: int, zstandard: Any, dbn: Any) -> None:
    from hft.feeds.dbn import DbnFeed

    def ours() -> int:
        return sum(map(len, DbnFeed(path)))

    def frombuffer() -> int:
        # As the client of Databento reads a file into arrays: decompress, skip the metadata, view blocks of records.
        layout, total = np.dtype(dbn.MBOMsg._dtypes), 0
        with open(path, "rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file) if path.suffix == ".zst" else file
            assert struct.unpack("<I", reader.read(header)[4:8])[0] + 8 == header
            while block := reader.read(layout.itemsize * 65_536):
                total += len(np.frombuffer(block, layout))
        return total

    def objects() -> int:
        raw = path.read_bytes()
        zstd = dbn.Compression.ZSTD if path.suffix == ".zst" else dbn.Compression.NONE
        decoder = dbn.DBNDecoder(compression=zstd)
        decoder.write(raw)
        return len(decoder.decode()) - 1

    def check(impl: str, result: Any) -> None:
        assert result == n, (impl, result)

    # Apart, because the objects empty the caches for whoever reads next.
    name = f"read {path.name.removeprefix('day')}"
    bench.compare("dbn", name, n, {"fastcore": ours, "numpy": frombuffer}, check)
    bench.compare("dbn", f"{name}, objects", n, {"fastcore": ours, "databento_dbn objects": objects}, check)


if __name__ == "__main__":
    main(run)
