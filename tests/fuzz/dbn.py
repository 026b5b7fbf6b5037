"""Databento DBN files and fragments."""

from __future__ import annotations

import gzip
import struct
from datetime import date
from pathlib import Path
from random import Random
from types import SimpleNamespace

from fuzz.corpora import recorded
from fuzz.engine import LONGEST, Counts, Target
from fuzz.laws import feed_check
from hft.feeds.dbn import DbnFeed

NOON = 1_699_963_200_000_000_000  # 2023-11-14 12:00


def dbn_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Files with metadata and fragments, of every record that is compiled and of some that are not."""
    import databento_dbn as dbn

    def record(rtype: int, instrument: int, body: bytes) -> bytes:
        publisher, time = random.choice((1, 1, 2)), 1_700_000_000_000_000_000 + i // 2
        return struct.pack("<BBHIQ", (16 + len(body)) // 4, rtype, publisher, instrument, time) + body

    found = []
    for schema, rtypes in (("mbo", (160,)), ("mbp-1", (1,)), ("trades", (0,)), ("ohlcv-1s", (32,)), ("mbo", (160, 1, 0, 32, 22))):
        records = []
        for i in range(60):
            rtype, instrument = random.choice(rtypes), random.choice((7, 8, 5602))
            price, size, flags = random.randrange(1, 200) * 10**9, random.randrange(1, 100), random.choice((0, 128, 130, 32, 192))
            side, tail = random.choice(b"ABN"), struct.pack("<QiI", NOON + i // 20 * 20_000_000_000_000, 14, i)
            if rtype == 160:
                action = random.choice(b"ACMTFRN")
                body = struct.pack("<QqIBBBB", i // 2, price, size, flags, 0, action, side) + tail
            elif rtype in (0, 1):
                action = ord("T") if rtype == 0 else random.choice(b"ACMT")
                body = struct.pack("<qIBBBB", price, size, action, side, flags, 0) + tail
                body += struct.pack("<qqIIII", price, price + 10**9, size, size, 1, 1) * rtype
            else:
                body = struct.pack("<qqqqQ", price, price, price, price, size) if rtype == 32 else random.randbytes(24)
            records.append(record(rtype, instrument, body))
        days = [SimpleNamespace(start_date=date(2023, 11, d), end_date=date(2023, 11, d + 1), symbol=str(6 + d % 2)) for d in (14, 15)]
        metadata = dbn.Metadata(
            "GLBX.MDP3", 0, dbn.SType.CONTINUOUS, dbn.SType.INSTRUMENT_ID, dbn.Schema.from_str(schema), version=3,
            mappings=[SimpleNamespace(raw_symbol="ES.c.0", intervals=days)],
        )  # fmt: skip
        found += [bytes(metadata) + b"".join(records), b"".join(records)]
    found.append(gzip.compress(found[0], 1, mtime=0))
    found += [path.read_bytes()[:LONGEST] for path in recorded(data_dir, "dbn/databento/**/*.dbn")[:20]]
    return found


def dbn_units(data: bytes) -> list[bytes]:
    """Records by the length in their first byte, behind the metadata."""
    at = 8 + int.from_bytes(data[4:8], "little") if data[:3] == b"DBN" else 0
    found = [data[:at]]
    while at < len(data):
        size = max(4 * data[at], 4)
        found.append(data[at : at + size])
        at += size
    return found


def dbn_check(data: bytes, folder: Path) -> Counts:
    path = folder / "day.dbn"
    path.write_bytes(data)
    return feed_check(lambda **options: DbnFeed(path, **options))


TARGETS = (Target("dbn", dbn_corpus, dbn_check, dbn_units, (b"\xff" * 8, b"\0" * 8), needs=("databento_dbn",), iterations=100),)
