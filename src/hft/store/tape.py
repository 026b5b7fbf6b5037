"""The store that receives the executions of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcore.errors import StoreError
from fastcore.instruments import Instrument
from fastcore.records import TICK_DTYPE
from fastcore.tickstore import TickStore

from ..config import ConfigError
from .symbols import SymbolTable, table_of

if TYPE_CHECKING:
    from ..feeds.feed import Feed

__all__ = ["Stored", "open_tape"]


class Stored(NamedTuple):
    """Where executions are stored, and the id of the instrument there."""

    store: TickStore
    symbol_id: int


@contextmanager
def open_tape(path: str | os.PathLike[str], instrument: Instrument, feed: Feed) -> Iterator[Stored]:
    """Open or make the store, to be appended to; a new one that stays empty goes again.

    The names are those of the table beside the store.

    Raises
    ------
    LayoutError
        The store holds other records than ticks.
    StoreError
        The run reads it: what it writes would come back.
    ConfigError
        The store has ticks of that time already, or ticks without names.
    """
    for read in _paths(feed):
        with suppress(OSError):  # one of them is not there
            if os.path.samefile(read, path):
                raise StoreError(f"a run must not write the store that it reads: path={path}")
    table = table_of(path)
    made = [file for file in (path, str(table)) if not os.path.exists(file)]
    kept = False
    try:
        with TickStore(path, "a", TICK_DTYPE) as store, closing(SymbolTable(table, "a")) as symbols:
            before = len(store)
            last = int(store.records(before - 1)["timestamp_ns"][0]) if before else -1
            if last >= feed.begin_ns:
                raise ConfigError(f"a store must end before the data begin: store={path} last_ns={last} first_ns={feed.begin_ns}")
            if before and not len(symbols):
                raise ConfigError(f"a store with ticks must have its names beside it: store={path} names={table} ticks={before}")
            try:
                stored_id = symbols.add(instrument.symbol, tick_size=instrument.tick_size, lot_size=instrument.lot_size)
            except ValueError as error:
                raise ConfigError(f"{error} (store={path})") from None
            try:
                yield Stored(store, stored_id)
            finally:
                kept = len(store) > 0
    finally:
        for file in () if kept else made:
            for name in (file, f"{file}.lock"):
                with suppress(FileNotFoundError):
                    os.unlink(name)


def _paths(feed: Any) -> Iterator[Any]:
    yield feed.path
    for part in getattr(feed, "feeds", ()):
        yield from _paths(part)
