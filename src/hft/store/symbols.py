"""The symbol table of a directory store: append-only, checked and readable while it grows, because it is a tick store itself."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, UnknownSymbolError
from fastcore.records import NO_SYMBOL
from fastcore.store_files import FILE_MODE
from fastcore.store_header import whole
from fastcore.symbols import MAX_SYMBOL_BYTES
from fastcore.tickstore import TickStore

__all__ = ["SYMBOL_DTYPE", "SymbolTable", "table_of"]

SYMBOL_DTYPE = np.dtype(
    {
        "names": ["symbol_id", "tick_size", "lot_size", "name"],
        "formats": [np.uint32, np.float64, np.float64, f"S{MAX_SYMBOL_BYTES}"],
        "offsets": [0, 8, 16, 24],
        "itemsize": 128,
    }
)
_SEGMENT = 512
_Row = tuple[str, int | None, float, float]  # name, id where it is wanted, tick size, lot size


def table_of(store: str | os.PathLike[str]) -> Path:
    """Return where the names of the ids in a single store are, if they are anywhere."""
    return Path(f"{os.fspath(store)}.symbols")


class _Instrument(Protocol):
    @property
    def symbol(self) -> str: ...
    @property
    def tick_size(self) -> float: ...
    @property
    def lot_size(self) -> float: ...


class SymbolTable:
    """Names and ids that belong to each other for good.

    Parameters
    ----------
    path : path
        Its file.
    mode : {"r", "a"}
        The writer holds the lock of the file for as long as the table is open.
    file_mode : int
        Permissions of a new one.

    Notes
    -----
    A later record of the same name may tell a tick size or a lot size that was unknown (NaN) before; nothing else ever changes.

    **Thread safety**: one thread.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Literal["r", "a"] = "r", file_mode: int = FILE_MODE) -> None:
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._sizes: dict[int, tuple[float, float]] = {}
        self._seen = 0
        self._store = TickStore(
            path, mode, SYMBOL_DTYPE, segment_records=_SEGMENT, sync="commit", grow_ahead=False, file_mode=file_mode
        )
        try:
            self.refresh()
        except BaseException:
            self._store.close()
            raise

    def refresh(self) -> None:
        """Read what the writer has added since."""
        new = self._store.records(self._seen)
        for symbol_id, tick_size, lot_size, raw in new.tolist():  # a line for each symbol, not for each record
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                raise CorruptDataError(f"a symbol must be UTF-8: path={self._store.path}, symbol={raw!r}") from None
            if self._ids.setdefault(name, symbol_id) != symbol_id or self._names.setdefault(symbol_id, name) != name:
                raise CorruptDataError(
                    f"a symbol must keep its id: path={self._store.path}, symbol={name!r}, symbol_id={symbol_id}"
                )
            self._sizes[symbol_id] = (tick_size, lot_size)
        self._seen += len(new)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"SymbolTable({self._store.path!r}, {len(self)} symbols)"

    @property
    def names(self) -> dict[int, str]:
        """Names by id, a copy."""
        return dict(self._names)

    @property
    def writer_pid(self) -> int:
        """Process that holds the table for writing; 0 for none."""
        return int(self._store.info()["writer_pid"])

    def sizes_of(self, symbol_id: int) -> tuple[float, float]:
        """Return ``(tick_size, lot_size)``; NaN where it was never told."""
        self.name_of(symbol_id)
        return self._sizes[symbol_id]

    def name_of(self, symbol_id: int) -> str:
        """Return the name of an id, or raise UnknownSymbolError."""
        if symbol_id not in self._names:
            self.refresh()
        try:
            return self._names[symbol_id]
        except KeyError:
            raise UnknownSymbolError(f"no symbol has this id: symbol_id={symbol_id}") from None

    def id_of(self, name: str) -> int:
        """Return the id of a name, or raise UnknownSymbolError."""
        if name not in self._ids:
            self.refresh()
        try:
            return self._ids[name]
        except KeyError:
            raise UnknownSymbolError(f"no such symbol: symbol={name!r}, symbols={len(self)}") from None

    def add(self, name: str, symbol_id: int | None = None, *, tick_size: float = math.nan, lot_size: float = math.nan) -> int:
        """Add a symbol, on the disk before this returns; return its id.

        Parameters
        ----------
        name : str
            1 to 64 bytes of UTF-8, printable, without spaces at its ends.
        symbol_id : int, optional
            0..2**32-2; by default the one of the name, or the next free one.
        tick_size, lot_size : float, optional
            What the integers of events mean, where it is known.

        Raises
        ------
        ValueError
            The id belongs to another name, the name to another id, or the sizes to another instrument.
        """
        return int(self._add([(name, symbol_id, tick_size, lot_size)])[0])

    def add_many(self, names: Iterable[str]) -> npt.NDArray[np.uint32]:
        """Add symbols with one write to the disk; return their ids."""
        return self._add([(name, None, math.nan, math.nan) for name in names])

    def mapping(self, instruments: Iterable[_Instrument]) -> npt.NDArray[np.uint32]:
        """Add the instruments of a feed; return an array that turns the ids of the feed into those of this table.

        Ids of the feed behind the end of the array have no instrument.
        """
        return self._add([(item.symbol, None, float(item.tick_size), float(item.lot_size)) for item in instruments])

    def _add(self, rows: list[_Row]) -> npt.NDArray[np.uint32]:
        # All of them or, where one breaks a rule, none.
        ids, names, sizes = dict(self._ids), dict(self._names), dict(self._sizes)
        free = max(names, default=-1) + 1
        found, new = [], []
        for name, wanted, tick_size, lot_size in rows:
            if not isinstance(name, str):
                raise TypeError(f"symbol must be str: symbol={name!r}")
            raw = name.encode("utf-8", "surrogatepass")
            if not 1 <= len(raw) <= MAX_SYMBOL_BYTES or name != name.strip() or not name.isprintable():
                raise ValueError(f"symbol must be 1..{MAX_SYMBOL_BYTES} printable bytes without spaces around: symbol={name!r}")
            if wanted is not None:
                wanted = whole("symbol_id", wanted, 0, NO_SYMBOL - 1)
            symbol_id = ids.get(name, wanted if wanted is not None else free)
            if wanted is not None and symbol_id != wanted or names.get(symbol_id, name) != name:
                raise ValueError(
                    f"a symbol keeps its id: symbol={name!r}, symbol_id={ids.get(name)}, wanted={symbol_id if wanted is None else wanted}, "
                    f"which is {names.get(symbol_id if wanted is None else wanted)!r}"
                )
            had = sizes.get(symbol_id, (math.nan, math.nan))
            pair = []
            for title, old, told in zip(("tick_size", "lot_size"), had, (tick_size, lot_size), strict=True):
                told = float(told)
                if told == told and not 0.0 < told < math.inf:
                    raise ValueError(f"{title} must be positive and finite: symbol={name!r}, {title}={told}")
                if old == old and told == told and old != told:
                    raise ValueError(f"{title} of a symbol never changes: symbol={name!r}, stored={old}, {title}={told}")
                pair.append(old if told != told else told)
            ids[name], names[symbol_id], sizes[symbol_id] = symbol_id, name, (pair[0], pair[1])
            free = max(free, symbol_id + 1)
            found.append(symbol_id)
            if name not in self._ids or str(had) != str(sizes[symbol_id]):
                new.append((symbol_id, pair[0], pair[1], raw))
        if new:
            array = np.zeros(len(new), SYMBOL_DTYPE)
            for field, column in zip(SYMBOL_DTYPE.names or (), zip(*new, strict=True), strict=True):
                array[field] = column
            self._store.append_many(array)
            self.refresh()
        return np.array(found, np.uint32)

    def close(self) -> None:
        """Let go of the file and of the writer's lock."""
        self._store.close()
