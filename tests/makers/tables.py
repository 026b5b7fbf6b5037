"""Tables as files, and what a feed makes of them."""

from pathlib import Path
from typing import Any

import numpy as np

from fastcore.records import EVENT_DTYPE
from hft.feeds.csv import CsvFeed


def write_text(folder: Path, text: str | bytes, name: str = "x.csv", **options: Any) -> CsvFeed:
    """A text table as a feed."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvFeed(path, **options)


def events_of(feed: Any) -> np.ndarray:
    """All events of a feed, of which no array ends inside a message."""
    arrays = [a.copy() for a in feed]
    assert all(a["flags"][-1] & 1 == 0 for a in arrays)
    return np.concatenate(arrays) if arrays else np.zeros(0, EVENT_DTYPE)


def payload(events: np.ndarray) -> list[list[int]]:
    """The four numbers of each event."""
    return np.ascontiguousarray(events).view(np.int64).reshape(-1, 8)[:, 4:].tolist()
