"""Sorted parts of a store as one sequence in the order of time; equal times stand by the place of their part."""

from collections.abc import Iterator

import numpy as np

from .records import Records, joined, pieces, taken


def in_order(records: Records, field: str) -> Records:
    """Sort by time, equal times as they were; no copy where they are in order."""
    times = records[field]
    if len(records) < 2 or bool((times[1:] >= times[:-1]).all()):
        return records
    return taken(records, np.argsort(times, kind="stable"))


def merge(parts: list[Records], field: str) -> Records:
    """Join parts into one array in the order of time."""
    if len(parts) == 1:
        return parts[0]
    whole = joined(parts)
    return taken(whole, np.argsort(whole[field], kind="stable"))


def windows(parts: list[Records], field: str, batch_records: int) -> Iterator[Records]:
    """Merge sorted parts into arrays of at most `batch_records`, never holding more than one window of each part."""
    if len(parts) == 1:
        yield from pieces(parts[0], batch_records)
        return
    step = max(1, batch_records // max(1, len(parts)))
    times = [part[field] for part in parts]
    at = [0] * len(parts)
    held: list[Records] = []
    size = 0
    while True:
        left = [i for i in range(len(parts)) if at[i] < len(parts[i])]
        if not left:
            break
        # Up to this time no part has more than `step` records, except where many share one time.
        horizon = min(times[i][min(at[i] + step, len(times[i])) - 1] for i in left)
        window = []
        for i in left:
            cut = at[i] + int(np.searchsorted(times[i][at[i] : at[i] + step], horizon, "right"))
            while cut == at[i] + step and cut < len(times[i]) and times[i][cut] == horizon:
                cut += int(np.searchsorted(times[i][cut:], horizon, "right"))
            window.append(parts[i][at[i] : cut])
            at[i] = cut
        merged = merge([part for part in window if len(part)], field)
        held.append(merged)
        size += len(merged)
        if size >= batch_records:
            whole = held[0] if len(held) == 1 else joined(held)
            whole_batches = size // batch_records * batch_records
            yield from pieces(whole[:whole_batches], batch_records)
            held, size = ([whole[whole_batches:]], size - whole_batches) if size > whole_batches else ([], 0)
    if size:
        yield held[0] if len(held) == 1 else joined(held)
