"""Rows of price levels to events: what turns one row of best levels into the next, for feeds that deliver whole rows.

A side of a row is a sorted run of prices (asks ascend, bids descend; padding has size 0) with their sizes. Between two rows
a level vanishes (event with size 0), changes or appears (event with its new size); nothing is sent for what stays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, FLAGS, KINDS

__all__ = ["CONTINUED", "SNAPSHOT", "Rows", "fill_levels", "level_changes", "place", "snapshot_levels"]

Rows = npt.NDArray[np.int64]  # (n, levels)
SNAPSHOT, CONTINUED = FLAGS["snapshot"], FLAGS["continued"]
_PAIRS = 12  # up to so many levels all pairs of prices are compared, above they are looked up


def _missing(price: Rows, size: Rows, in_price: Rows, in_size: Rows | None) -> npt.NDArray[np.bool_]:
    """Levels of each row (size > 0) that the other row does not hold: by price, or by price and size."""
    n, levels = price.shape
    there = size > 0
    if levels <= _PAIRS:
        same = price[:, :, None] == in_price[:, None, :]
        if in_size is not None:
            same &= size[:, :, None] == in_size[:, None, :]
        return np.asarray(there & ~same.any(2))
    # One sorted list of (row, price), with the rank of the price so that the two fit into one number.
    _, keys = np.unique(np.concatenate([price.ravel(), in_price.ravel()]), return_inverse=True)
    width = int(keys.max(initial=0)) + 1
    row = np.arange(n, dtype=np.int64)[:, None] * width
    mine = keys[: n * levels].reshape(n, levels) + row
    other = keys[n * levels :].reshape(n, levels) + row
    order = np.argsort(other, axis=None, kind="stable")
    flat = other.ravel()[order]
    at = np.minimum(np.searchsorted(flat, mine.ravel()), len(flat) - 1)
    found = flat[at] == mine.ravel()
    if in_size is not None:
        found &= in_size.ravel()[order][at] == size.ravel()
    return np.asarray(there & ~found.reshape(n, levels))


def level_changes(
    before: tuple[Rows, Rows, Rows, Rows], after: tuple[Rows, Rows, Rows, Rows]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8], Rows, Rows]:
    """Return what turns rows into rows, as (row, side, price, size) sorted by row; removals of a row come first.

    Parameters
    ----------
    before, after : (ask prices, ask sizes, bid prices, bid sizes), each (n, levels) of int64

    Notes
    -----
    Removals first: no row ever shows more levels than it has, and none that crosses for the length of an event.
    """
    parts_row, parts_side, parts_price, parts_size, parts_rank = [], [], [], [], []
    for first, side in ((0, -1), (2, 1)):
        p0, s0, p1, s1 = before[first], before[first + 1], after[first], after[first + 1]
        rows = np.flatnonzero(((p0 != p1) | (s0 != s1)).any(axis=1))
        p0, s0, p1, s1 = p0[rows], s0[rows], p1[rows], s1[rows]
        shown = np.where(s1 > 0, p1, np.iinfo(np.int64).min)  # padding is no level that a price can be found at
        gone_row, gone_at = np.nonzero(_missing(p0, s0, shown, None))
        new_row, new_at = np.nonzero(_missing(p1, s1, p0, s0))
        for row, price, size, rank in (
            (gone_row, p0[gone_row, gone_at], np.zeros(len(gone_row), np.int64), 0),
            (new_row, p1[new_row, new_at], s1[new_row, new_at], 1),
        ):
            parts_row.append(rows[row])
            parts_side.append(np.full(len(row), side, np.int8))
            parts_price.append(price)
            parts_size.append(size)
            parts_rank.append(np.full(len(row), rank, np.int64))
    row = np.concatenate(parts_row)
    order = np.argsort(row * 2 + np.concatenate(parts_rank), kind="stable")
    return (
        row[order].astype(np.int64),
        np.concatenate(parts_side)[order],
        np.concatenate(parts_price)[order],
        np.concatenate(parts_size)[order],
    )


def snapshot_levels(
    rows: tuple[Rows, Rows, Rows, Rows],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8], Rows, Rows]:
    """Return every level of the rows as (row, side, price, size) sorted by row."""
    empty = tuple(np.zeros_like(column) for column in rows)
    return level_changes((empty[0], empty[1], empty[2], empty[3]), rows)


def place(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return, for messages of `counts` events, where each starts and the message of each event."""
    ends = np.cumsum(counts)
    return ends - counts, np.repeat(np.arange(len(counts)), counts)


def fill_levels(
    out: npt.NDArray[np.void], at: npt.NDArray[np.int64], side: npt.NDArray[np.int8], price: Rows, size: Rows, flags: int = 0
) -> None:
    """Write level events at positions of an array; times, symbol and continuation are the caller's."""
    events = np.zeros(len(at), EVENT_DTYPE)
    events["kind"] = KINDS["level"]
    events["side"] = side
    events["price"] = price
    events["size"] = size
    events["flags"] = flags
    out[at] = events
