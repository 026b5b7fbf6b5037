"""Arrays of records: whole rows taken, joined and cut, without a look at their fields; their dtype as JSON keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, NO_SYMBOL, TICK_DTYPE
from fastcore.store_header import describe_fields, dtype_of

BATCH_RECORDS = 1 << 18
Records = npt.NDArray[np.void]
Symbols = Iterable[int | str]
Ids = npt.NDArray[np.uint32]


def describe(dtype: np.dtype[np.void], time_field: str | None) -> dict[str, Any]:
    """Return a dtype as JSON keeps it."""
    return {"fields": describe_fields(dtype), "itemsize": dtype.itemsize, "time_field": time_field}


def described(text: Mapping[str, Any]) -> np.dtype[np.void]:
    """Return the dtype that `describe` described."""
    made = dtype_of(text["fields"], text["itemsize"])
    return next((known for known in (TICK_DTYPE, EVENT_DTYPE) if made == known), made)


def as_ids(symbols: Symbols | int | str | None, id_of: Callable[[str], int]) -> Ids | None:
    """Turn names and ids into ids, ascending; None stays None."""
    if symbols is None or (isinstance(symbols, np.ndarray) and symbols.dtype == np.uint32):
        return symbols
    if isinstance(symbols, (int, np.integer, str)):
        symbols = [symbols]
    found = []
    for symbol in symbols:
        if isinstance(symbol, str):
            symbol = id_of(symbol)
        if not isinstance(symbol, (int, np.integer)) or isinstance(symbol, bool):
            raise TypeError(f"symbols must be names or ids: symbol={symbol!r}")
        if not 0 <= symbol <= NO_SYMBOL:
            raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL}: symbol_id={symbol}")
        found.append(symbol)
    return np.unique(np.array(found, np.uint32))


def select(records: Records, ids: Ids | None) -> Records:
    """Return the records of these symbols: all of them, and no copy, for None."""
    if ids is None:
        return records
    symbol = records["symbol_id"]
    return taken(records, symbol == ids[0] if len(ids) == 1 else np.isin(symbol, ids))


def taken(records: Records, index: npt.NDArray[Any]) -> Records:
    """Return ``records[index]`` by whole rows: NumPy copies field by field and leaves the padding to chance."""
    found: Records = records.view(f"V{records.dtype.itemsize}")[index].view(records.dtype)
    return found


def joined(parts: Sequence[Records]) -> Records:
    """Return one array of all parts, by whole rows: ``numpy.concatenate`` takes the padding out of the dtype."""
    dtype = parts[0].dtype
    whole: Records = np.concatenate([part.view(f"V{dtype.itemsize}") for part in parts]).view(dtype)
    return whole


def pieces(records: Records, length: int = BATCH_RECORDS) -> Iterator[Records]:
    """Iterate over an array in views of at most `length` records."""
    return (records[first : first + length] for first in range(0, len(records), length))
