"""Files of the tick store."""

from __future__ import annotations

import hashlib
import struct
import tempfile
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.records import EVENT_DTYPE, TICK_DTYPE
from fastcore.store_header import BASE, PAGE, make_header, time_field_of
from fastcore.tickstore import TickStore, crc32c
from fuzz.corpora import blocks
from fuzz.engine import Counts, Target
from fuzz.laws import both, same


def store_rows(seed: int, count: int) -> Any:
    random = np.random.default_rng(seed)
    rows = np.zeros(count, TICK_DTYPE)
    rows["timestamp_ns"] = np.sort(random.integers(0, 2**60, count))
    rows["symbol_id"] = random.integers(0, 5, count)
    rows["price"], rows["volume"] = random.random(count), random.random(count)
    return rows


STORES = ((1, 3), (2, 200), (3, 700))


def store_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Stores as a file each, closed and as a crash leaves them, with the long runs of zeros left out: see `packed`."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, count in STORES:
            path = Path(folder) / f"{seed}"
            rows = store_rows(seed, count)
            with TickStore(str(path), "a", segment_records=2048) as store:
                store.append_many(rows[: count // 2])
                store.flush()
                store.append_many(rows[count // 2 :])
                found.append(packed(path.read_bytes()))
            found.append(packed(path.read_bytes()))
    return found


def packed(data: bytes) -> bytes:
    """Zeros as their number, so that mutations meet what matters: (u32 zeros, u32 bytes, bytes), repeated."""
    out, at = [], 0
    while at < len(data):
        start = at
        while data[at : at + 64] == bytes(len(data[at : at + 64])) and at < len(data):
            at += 64
        zeros, start = min(at, len(data)) - start, at
        while at < len(data) and data[at : at + 64].strip(b"\0"):
            at += 64
        out.append(struct.pack("<II", zeros, len(data[start:at])) + data[start:at])
    return b"".join(out)


def unpacked(data: bytes) -> bytes:
    out, at, size = [], 0, 0
    while at + 8 <= len(data) and size < 1 << 19:
        zeros, length = struct.unpack_from("<II", data, at)
        at += 8
        out += [bytes(min(zeros, 1 << 18)), data[at : at + min(length, 1 << 18)]]
        size += len(out[-1]) + len(out[-2])
        at += min(length, 1 << 18)
    return b"".join(out)


def store_check(data: bytes, folder: Path) -> Counts:
    """Damage never makes a record that was not appended, and both twins recover the same."""
    image = unpacked(data)
    written = [store_rows(*store).tobytes() for store in STORES]
    outcomes: list[dict[str, Any]] = []
    for module in both("tickstore"):
        outcome: dict[str, Any] = {}
        for salvage in (False, True):
            for old in folder.iterdir():
                old.unlink()
            path = folder / "s"
            path.write_bytes(image)
            for mode in "rar":
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", module.StoreWarning)
                        store = module.TickStore(str(path), mode, salvage=salvage)
                except (CorruptDataError, LayoutError) as error:
                    outcome[f"{salvage} {mode}"] = type(error).__name__
                    continue
                with store:
                    found = store.records().tobytes()
                    assert any(rows.startswith(found) for rows in written), f"{len(found) // 32} records, not those written"
                    store.query(0, 2**62, 1)
                    outcome[f"{salvage} {mode}"] = (len(store), store.recovery and store.recovery[:5])
        outcomes.append(outcome)
    same(*outcomes)
    opened = [value for value in outcomes[0].values() if not isinstance(value, str)]
    return {"opened": len(opened), "refused": 6 - len(opened), "records": sum(count for count, _ in opened)}


# ---- headers


DTYPES = (TICK_DTYPE, EVENT_DTYPE, np.dtype([("timestamp_ns", "i8"), ("x", "f4", (3,)), ("name", "S12")]))


def header_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Fields and schema of headers."""
    pages = [make_header(dtype, time_field_of(dtype), 2048, crc32c) for dtype in DTYPES]
    return [page.rstrip(b"\0") for page in pages]


def header_check(data: bytes, folder: Path) -> Counts:
    """A header that somebody means, with hash and checksum of its own, is refused or is that of plain records; the twins agree."""
    page = bytearray(data[:PAGE].ljust(PAGE, b"\0"))
    page[:20] = make_header(TICK_DTYPE, None, 2048, crc32c)[:20]  # magic, version, byte order: the other target has those
    length = min(struct.unpack_from("=I", page, 68)[0], PAGE)
    struct.pack_into("=Q", page, 24, int.from_bytes(hashlib.sha256(page[80 : 80 + length]).digest()[:8], "big"))
    struct.pack_into("=I", page, 76, 0)
    struct.pack_into("=I", page, 76, crc32c(page))
    outcomes: list[dict[str, Any]] = []
    for module in both("tickstore"):
        path = folder / "s"
        path.write_bytes(page + bytes(2 * BASE))
        outcome: dict[str, Any] = {}
        for mode in "ra":
            try:
                store = module.TickStore(str(path), mode)
            except (CorruptDataError, LayoutError) as error:
                outcome[mode] = type(error).__name__
                break
            with store:
                dtype = store.dtype
                assert not dtype.hasobject and 8 <= dtype.itemsize <= PAGE, f"not plain: {dtype}"
                assert len(store) == 0 and store.query().tobytes() == b"", "records of nowhere"
                info = store.info()
                outcome[mode] = (dtype.str, dtype.fields, info["segment_records"], info["time_field"])
            if info["segment_records"] * dtype.itemsize > 1 << 22:  # a writer would take the place that it promises
                break
        outcomes.append(outcome)
    same(*outcomes)
    refused = sum(isinstance(value, str) for value in outcomes[0].values())
    return {"opened": len(outcomes[0]) - refused, "refused": refused}


TARGETS = (
    Target("store", store_corpus, store_check, blocks, iterations=40),
    Target(
        "store_header", header_corpus, header_check, blocks, (b'"O"', b'"O8"', b"-1", b"[", b"1e9", b"null"), iterations=400
    ),
)
