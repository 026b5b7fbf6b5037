"""Plain-Python twin of ``fastcore.symbols``: a dictionary from text to id, lists of last prices."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, nan
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

NO_SYMBOL = 2**32 - 1
MAX_SYMBOL_BYTES = 64


class UnknownSymbolError(KeyError):
    """Stands for ``fastcore.errors.UnknownSymbolError``; both are KeyErrors."""


def canonical(symbol: str | bytes) -> tuple[str, bytes]:
    """Return the text and the bytes of a symbol, both without padding."""
    if isinstance(symbol, str):
        name = symbol.rstrip(" ")
        try:
            raw = name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"symbol must be encodable as UTF-8: symbol={symbol!r}") from None
    elif isinstance(symbol, bytes):
        raw = symbol.rstrip(b" \0")
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise ValueError(f"symbol must be UTF-8: symbol={symbol!r}") from None
    else:
        raise TypeError(f"symbol must be str or bytes: type={type(symbol).__name__}")
    if not 1 <= len(raw) <= MAX_SYMBOL_BYTES:
        raise ValueError(f"symbol must have 1..{MAX_SYMBOL_BYTES} bytes: symbol={symbol!r}")
    if name[0] == " " or not name.isprintable():
        raise ValueError(f"symbol must be printable and not begin with a space: symbol={symbol!r}")
    return name, raw


def wire_key(symbol: str | bytes) -> int:
    """Return the wire key: the bytes padded with spaces to eight, as a little-endian integer."""
    raw = canonical(symbol)[1]
    if len(raw) > 8:
        raise ValueError(f"a wire key has at most 8 bytes: symbol={symbol!r}")
    return int.from_bytes(raw.ljust(8), "little")


def key_symbol(key: int) -> str:
    """Return the symbol of a wire key."""
    return canonical(key.to_bytes(8, "little"))[0]


class SymbolMapper:
    """Map symbols to dense ids, and keep the last price of each."""

    def __init__(self, symbols: Iterable[str | bytes] = (), *, capacity: int = 1_000_000) -> None:
        if not 1 <= capacity <= 2**31 - 1:
            raise ValueError(f"capacity must be in 1..2**31-1: capacity={capacity}")
        if isinstance(symbols, (str, bytes)):
            raise TypeError(f"symbols must be an iterable of symbols, not one: symbols={symbols!r}")
        self.capacity = capacity
        self._ids: dict[str, int] = {}
        self._prices: list[float] = []
        self._volumes: list[float] = []
        self._timestamps: list[int] = []
        symbols = list(symbols)
        self.add_many(symbols)
        if len(self) != len(symbols):
            names = [canonical(symbol)[0] for symbol in symbols]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"symbols must not repeat: symbol={twice!r}")

    def get_id(self, symbol: str | bytes, /) -> int:
        """Return the id of a symbol, -1 where it is unknown."""
        if not isinstance(symbol, (str, bytes)):
            raise TypeError(f"symbol must be str or bytes: type={type(symbol).__name__}")
        try:
            return self._ids.get(canonical(symbol)[0], -1)
        except ValueError:
            return -1

    def __getitem__(self, symbol: str | bytes, /) -> int:
        """Return the id of a symbol, or raise UnknownSymbolError."""
        symbol_id = self.get_id(symbol)
        if symbol_id < 0:
            raise UnknownSymbolError(f"symbol must be known: symbol={symbol!r}")
        return symbol_id

    def _require(self, symbol_id: int) -> int:
        if not 0 <= symbol_id < len(self):
            raise UnknownSymbolError(f"symbol_id must be in 0..{len(self) - 1}: symbol_id={symbol_id}")
        return symbol_id

    def add(self, symbol: str | bytes) -> int:
        """Add a symbol; return its id, the old one where it is known already."""
        name = canonical(symbol)[0]
        if name in self._ids:
            return self._ids[name]
        if len(self) >= self.capacity:
            raise OverflowError(f"capacity must hold every symbol: capacity={self.capacity}, symbol={name!r}")
        self._ids[name] = len(self._prices)
        self._prices.append(nan)
        self._volumes.append(0.0)
        self._timestamps.append(0)
        return self._ids[name]

    def add_many(self, symbols: Iterable[str | bytes]) -> npt.NDArray[np.uint32]:
        """Add several symbols; all of them are checked before the first is added."""
        names = [canonical(symbol)[0] for symbol in symbols]
        total = len(self) + len(set(names) - self._ids.keys())
        if total > self.capacity:
            raise OverflowError(f"capacity must hold every symbol: capacity={self.capacity}, symbols={total}")
        return np.array([self.add(name) for name in names], np.uint32)

    def symbol_of(self, symbol_id: int) -> str:
        """Return the symbol of an id."""
        return self.symbols[self._require(int(symbol_id))]

    def ids_of(self, symbols: Any) -> npt.NDArray[np.uint32]:
        """Return the ids of many symbols, NO_SYMBOL where one is unknown."""
        if isinstance(symbols, str):
            raise TypeError(f"symbols must be a sequence of symbols, not one: symbols={symbols!r}")
        if isinstance(symbols, (bytes, bytearray, memoryview)):
            raw = bytes(symbols)
            if len(raw) % 8:
                raise ValueError(f"wire bytes must be a multiple of 8: bytes={len(raw)}")
            symbols = [raw[i : i + 8] for i in range(0, len(raw), 8)]
        elif isinstance(symbols, np.ndarray):
            if symbols.ndim != 1:
                raise ValueError(f"symbols must have one dimension: ndim={symbols.ndim}")
            if symbols.dtype == np.uint64:
                symbols = [int(key).to_bytes(8, "little") for key in symbols]
        return np.array([self.get_id(symbol) for symbol in symbols], np.int64).astype(np.uint32)

    def update_price(self, symbol_id: int, price: float, timestamp: int) -> None:
        """Store the last price of a symbol."""
        self.update_prices([symbol_id], [price], None, [timestamp])

    def update_prices(
        self,
        ids: Sequence[int] | npt.NDArray[Any],
        prices: Sequence[float] | npt.NDArray[Any],
        volumes: Sequence[float] | npt.NDArray[Any] | None = None,
        timestamps: Sequence[int] | npt.NDArray[Any] | None = None,
    ) -> None:
        """Store the last prices of many symbols; all rows are checked before the first is stored."""
        n = len(ids)
        for name, values in (("prices", prices), ("volumes", volumes), ("timestamps", timestamps)):
            if values is not None and len(values) != n:
                raise ValueError(f"{name} must be as long as the ids: len({name})={len(values)}, ids={n}")
        for i in range(n):
            where = f"symbol_id={ids[i]}"
            self._require(int(ids[i]))
            if not (isfinite(prices[i]) and prices[i] > 0):
                raise ValueError(f"price must be positive and finite: price={prices[i]}, {where}")
            if volumes is not None and not (isfinite(volumes[i]) and volumes[i] >= 0):
                raise ValueError(f"volume must be finite and not negative: volume={volumes[i]}, {where}")
            if timestamps is not None and timestamps[i] < 0:
                raise ValueError(f"timestamp must not be negative: timestamp={timestamps[i]}, {where}")
        for i in range(n):
            symbol_id = int(ids[i])
            self._prices[symbol_id] = float(prices[i])
            if volumes is not None:
                self._volumes[symbol_id] = float(volumes[i])
            if timestamps is not None:
                self._timestamps[symbol_id] = int(timestamps[i])

    @property
    def prices(self) -> npt.NDArray[np.float64]:
        """Last price by id (a copy; the compiled mapper gives a view)."""
        return np.array(self._prices, np.float64)

    @property
    def volumes(self) -> npt.NDArray[np.float64]:
        """Last volume by id (a copy)."""
        return np.array(self._volumes, np.float64)

    @property
    def timestamps(self) -> npt.NDArray[np.int64]:
        """Time of the last price by id (a copy)."""
        return np.array(self._timestamps, np.int64)

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols by id."""
        return tuple(self._ids)

    @property
    def symbol_to_id(self) -> Mapping[str, int]:
        """Id by symbol."""
        return MappingProxyType(self._ids)

    def __len__(self) -> int:
        return len(self._prices)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, (str, bytes)) and self.get_id(key) >= 0

    def check(self) -> dict[str, int]:
        """Raise AssertionError where an invariant does not hold."""
        assert list(self._ids.values()) == list(range(len(self)))
        return {"used": len(self)}
