"""LOBSTER pairs of files and archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from random import Random

import numpy as np

from fastcore.book import OrderBook
from fastcore.records import KINDS
from fuzz.corpora import CSV, lines, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import feed_check, feed_run
from hft.feeds.lobster import LobsterFeed
from hft.feeds.synthetic import generate_events

DAY = "AAA_2012-06-21_34200000_57600000"


def lobster_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Messages and orderbook rows of two levels, joined by a record separator; and as an archive."""
    found = []
    for n in (80, 160):
        book = OrderBook(1)
        messages, rows = [], []
        types = {KINDS["add"]: 1, KINDS["cancel"]: 2, KINDS["delete"]: 3, KINDS["execute"]: 4, KINDS["trade"]: 5}
        for event in np.array_split(generate_events(n, n), n):
            kind = int(event["kind"][0])
            if kind not in types:
                continue
            order = int(event["order_id"][0])
            side, price, size, _ = book.order(order) or (int(event["side"][0]), int(event["price"][0]), int(event["size"][0]), 0)
            size = size if types[kind] == 3 else int(event["size"][0])
            book.apply(event)
            messages.append(f"{34_200 + len(rows)}.{len(rows):09d},{types[kind]},{order},{size},{price},{side}\n")
            bids, asks = (side["price"].tolist() for side in book.depth(2))
            sizes = [side["size"].tolist() for side in book.depth(2)]
            row = []
            for i in range(2):
                row += [asks[i], sizes[1][i]] if i < len(asks) else [9_999_999_999, 0]
                row += [bids[i], sizes[0][i]] if i < len(bids) else [-9_999_999_999, 0]
            rows.append(",".join(map(str, row)) + "\n")
        parts = ["".join(messages).encode(), "".join(rows).encode()]
        found.append(b"\x1e".join(parts))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, part in zip(("message", "orderbook"), parts, strict=True):
                file.writestr(zipfile.ZipInfo(f"{DAY}_{name}_2.csv"), part)
        found.append(archive.getvalue())
    for path in recorded(data_dir, "lobster/*_AMZN_*_1.zip"):
        with zipfile.ZipFile(path) as file:
            names = sorted(name for name in file.namelist() if name.endswith(".csv"))
            found.append(b"\x1e".join(b"".join(lines(file.open(name).read(20_000))[:200]) for name in names))
    return found


def lobster_check(data: bytes, folder: Path) -> Counts:
    if data[:2] == b"PK":
        path = folder / f"LOBSTER_SampleFile_{DAY}_2.zip"
        path.write_bytes(data)
    else:
        messages, _, rows = data.partition(b"\x1e")
        path = folder / f"{DAY}_message_2.csv"
        path.write_bytes(messages)
        (folder / f"{DAY}_orderbook_2.csv").write_bytes(rows)
    counts = feed_check(lambda **options: LobsterFeed(path, **options))
    by_order = feed_run(lambda **options: LobsterFeed(path, by="orders", **options))
    return counts | {"events by order": len(by_order["events"]) // 64}


TARGETS = (Target("lobster", lobster_corpus, lobster_check, lines, CSV, needs=("pyarrow",), iterations=100),)
