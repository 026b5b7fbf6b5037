"""Plain-Python twin of ``fastcore.wire.kraken``: every line through ``json``, books as dicts, checksums of ``zlib``."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import range_error
from fastcore.records import BUY, FLAGS, KINDS, SELL

from .binance import _check_decimals, _constant, _decimal, _depth, _Full, _LineDecoder, _Number, _whole
from .tally import Malformed as _Malformed

_NESTING = 64
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?Z")
_PLAIN, _REPUBLISHED, _PUSHED_OUT = 0, 1, 2

_Event = tuple[Any, ...]


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def _iso_time(value: Any) -> int:
    found = _TIME.fullmatch(value) if _is_string(value) else None
    if not found or not 1970 <= int(found[1]) <= 2200 or (found[7] or "")[9:].strip("0"):
        raise _Malformed("corrupt")
    try:
        moment = datetime(*(int(found[i]) for i in range(1, 7)), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        raise _Malformed("corrupt") from None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 10**9 + int((found[7] or "")[:9].ljust(9, "0"))


def _depth_of(levels: int) -> int:
    return next((d for d in (10, 25, 100, 500, 1000) if levels <= d), levels)


def _places(value: Any) -> int:
    return len(value) - value.index(".") - 1 if isinstance(value, str) and "." in value else 0


@dataclass
class _Message:
    image: bool
    second: bool
    depth: int
    name: str
    asks: Any
    bids: Any
    checksum: Any = None
    timestamp: Any = None


@dataclass
class _Symbol:
    name: bytes
    symbol_id: int
    price_decimals: int
    size_decimals: int
    depth: int = 0
    live: bool = False
    exch_ns: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def best(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


class _Missing:
    """Stands for a key that is not there; null is there."""


class KrakenDecoder(_LineDecoder):
    """Decode lines of captures of Kraken's book channel into events."""

    _venue, _new_symbol = "Kraken", _Symbol

    def __init__(
        self,
        price_decimals: int | None = None,
        size_decimals: int | None = None,
        depth: int | None = None,
        strict: bool = False,
    ) -> None:
        if depth is not None and not 1 <= depth <= 1_000_000:
            raise range_error("depth", depth, 1, 1_000_000)
        super().__init__(
            -1 if price_decimals is None else _check_decimals(price_decimals, "price_decimals"),
            -1 if size_decimals is None else _check_decimals(size_decimals, "size_decimals"),
            strict,
        )
        self._given_depth = depth or 0
        self.checked = self.matched = 0
        self.first_mismatch: int | None = None

    # ---- one message ----

    @staticmethod
    def _first(parts: list[Any]) -> _Message | None:
        if not 4 <= len(parts) <= 8 or not _is_string(parts[-1]) or not _is_string(parts[-2]):
            return None
        channel = parts[-2]
        if not channel.startswith("book"):
            return None
        depth = 10
        if channel != "book":
            if channel[4] != "-":
                raise _Malformed("corrupt")
            depth = _whole(_Number(channel[5:]))
            if not 1 <= depth <= 1_000_000:
                raise _Malformed("corrupt")
        merged: dict[str, Any] = {}
        for part in parts[1:-2]:
            if not isinstance(part, dict):
                raise _Malformed("corrupt")
            merged |= part
        image = "as" in merged or "bs" in merged
        if image and ("a" in merged or "b" in merged or "as" not in merged or "bs" not in merged):
            raise _Malformed("corrupt")
        if not image and "a" not in merged and "b" not in merged:
            raise _Malformed("corrupt")
        asks, bids, check = (merged.get(key, _Missing) for key in (("as", "bs", "c") if image else ("a", "b", "c")))
        return _Message(image, False, depth, parts[-1], asks, bids, check, _Missing)

    @staticmethod
    def _second(message: dict[str, Any]) -> _Message | None:
        strings = {key: message.get(key) if _is_string(message.get(key)) else None for key in ("channel", "type")}
        if strings["channel"] != "book" or strings["type"] not in ("snapshot", "update"):
            return None
        image = strings["type"] == "snapshot"
        data = message.get("data")
        if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
            raise _Malformed("corrupt")
        book = data[0]
        if not _is_string(book.get("symbol")) or (image and ("asks" not in book or "bids" not in book)):
            raise _Malformed("corrupt")
        rest = [book.get(key, _Missing) for key in ("asks", "bids", "checksum", "timestamp")]
        return _Message(image, True, 0, book["symbol"], *rest)

    @staticmethod
    def _fields(m: _Message, level: Any) -> tuple[Any, Any, Any, bool] | None:
        if m.second:
            if not isinstance(level, dict) or "price" not in level or "qty" not in level:
                return None
            return level["price"], level["qty"], None, False
        if not isinstance(level, list) or len(level) < 3:
            return None
        return level[0], level[1], level[2], len(level) > 3 and _is_string(level[3]) and level[3] == "r"

    def _levels(self, m: _Message, array: Any, side: int, s: _Symbol) -> tuple[list[tuple[int, int, int, int]], int]:
        if array is _Missing:
            return [], 0
        if not isinstance(array, list):
            raise _Malformed("corrupt")
        levels, latest = [], 0
        for level in array:
            fields = self._fields(m, level)
            if fields is None:
                raise _Malformed("corrupt")
            price_text, size_text, time_text, again = fields
            numbers = []
            for text, decimals, reason in (
                (price_text, s.price_decimals, "price outside range"),
                (size_text, s.size_decimals, "size outside range"),
            ):
                if m.second != isinstance(text, _Number):
                    raise _Malformed("corrupt")
                numbers.append(_decimal(str(text) if m.second else text, decimals, reason))
                if len(numbers) == 1 and not numbers[0]:
                    raise _Malformed(reason)
            if not m.second:
                latest = max(latest, _decimal(time_text, 9, "corrupt"))
            levels.append((side, numbers[0], numbers[1], _REPUBLISHED if again else _PLAIN))
        return levels, latest

    def _learn_decimals(self, s: _Symbol, m: _Message) -> None:
        fields = [
            f for array in (m.asks, m.bids) if isinstance(array, list) for level in array if (f := self._fields(m, level))
        ]
        if s.price_decimals < 0:
            s.price_decimals = min(18, max((_places(f[0]) for f in fields), default=0))
        if s.size_decimals < 0:
            s.size_decimals = min(18, max((_places(f[1]) for f in fields), default=0))

    @staticmethod
    def _crc(s: _Symbol) -> int:
        bids, asks = s.best()
        text = "".join(f"{price}{size}" for price, size in [*asks[:10], *bids[:10]])
        return zlib.crc32(text.encode())

    def _book(self, m: _Message, needed: int, local_ns: int, offset: int) -> list[_Event]:
        if self._room < needed:
            self.needed = needed
            raise _Full
        s = self._symbol(m.name.encode("latin-1"))
        given, latest = -1, 0
        if m.checksum is not _Missing:
            if m.second != isinstance(m.checksum, _Number) or not isinstance(m.checksum, str):
                raise _Malformed("corrupt")
            given = _whole(_Number(m.checksum))
            if given >= 2**32:
                raise _Malformed("corrupt")
        if m.timestamp is not _Missing:
            latest = _iso_time(m.timestamp)
        if m.image:
            self._learn_decimals(s, m)
        elif not s.depth or (m.depth and not self._given_depth and m.depth != s.depth):
            self._count("update")
            self.stale += 1
            return []
        asks, latest_ask = self._levels(m, m.asks, SELL, s)
        bids, latest_bid = self._levels(m, m.bids, BUY, s)
        s.exch_ns = max(latest, latest_ask, latest_bid) or s.exch_ns
        if m.image:
            s.asks.clear()
            s.bids.clear()
            s.depth = self._given_depth or m.depth or _depth_of(max(len(asks), len(bids)))
            s.live = True
        self._count("snapshot" if m.image else "update")
        deliver = s.live
        levels = asks + bids
        for side, price, size, _ in levels:
            book = s.bids if side > 0 else s.asks
            if size:
                book[price] = size
            else:
                book.pop(price, None)
        best_bids, best_asks = s.best()
        for side, book, best in ((SELL, s.asks, best_asks), (BUY, s.bids, best_bids)):
            for price, _ in reversed(best[s.depth :]):
                levels.append((side, price, 0, _PUSHED_OUT))
                del book[price]
        computed = self._crc(s) if given >= 0 else -1
        if given >= 0:
            self.checked += 1
            self.matched += computed == given
            if computed != given and self.first_mismatch is None:
                self.first_mismatch = offset
        if not deliver:
            self.stale += 1
            return []
        flags = FLAGS["snapshot"] if m.image else 0
        rows = [(KINDS["level"], side, price, size, what, given) for side, price, size, what in levels]
        if m.image:
            rows.insert(0, (KINDS["clear"], 0, 0, 0, 0, given))
        events: list[_Event] = []
        for i, (kind, side, *payload) in enumerate(rows):
            more = FLAGS["continued"] if i + 1 < len(rows) else 0
            events.append((0, s.exch_ns, local_ns, s.symbol_id, kind, side, flags | more, *payload))
        if computed != given:
            s.live = False
            self.gaps += 1
            events.append((0, s.exch_ns, local_ns, s.symbol_id, KINDS["gap"], 0, 0, 0, -1, computed, given))
        return events

    def _line(self, raw: bytes, offset: int) -> list[_Event]:
        text = raw.decode("latin-1").removesuffix("\r")
        if not text:
            return []
        if text.startswith(("wss", "http", "configuration:")):
            self._count("other")
            return []
        local_ns = 0
        if text[0] not in "{[":
            head, colon, rest = text.partition(": ")
            if not colon or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", head):
                raise _Malformed("corrupt")
            local_ns = _decimal(head, 9, "corrupt")
            text = rest
        if "\\" in text or _depth(text) > _NESTING:
            raise _Malformed("corrupt")
        try:
            found = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_constant)
        except ValueError:
            raise _Malformed("corrupt") from None
        if isinstance(found, list):
            m = self._first(found)
        elif isinstance(found, dict):
            m = self._second(found)
        else:
            raise _Malformed("corrupt")
        if m is None:
            self._count("other")
            return []
        return self._book(m, 2 + 2 * (text.count("[") + text.count("{")), local_ns, offset)

    # ---- batches ----

    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]:
        """Decode lines: events written to `out` and bytes consumed; see the compiled module."""
        raw = bytes(memoryview(data).cast("B"))
        at = n = 0
        self.needed = 0
        while at < len(raw):
            end = raw.find(b"\n", at)
            if end < 0 and not final:
                break
            end = len(raw) if end < 0 else end
            events = []
            self._room = len(out) - n
            try:
                events = self._line(raw[at:end], self.position + at)
            except _Full:
                break
            except _Malformed as error:
                self._break(at, str(error), "", n)
            for event in events:
                out[n] = event
                n += 1
            at = min(end + 1, len(raw))
        self.position += at
        if n == 0 and at == 0 and self.needed:
            raise ValueError(f"out must hold the events of one message: capacity={len(out)} needed={self.needed}")
        return n, at

    def book(self, symbol: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the book as it is now: (bids, asks), each a list of (price, size) in ticks and lots, best first."""
        s: _Symbol = self._checked_symbol(symbol)
        return s.best()

    def checksum(self, symbol: str) -> int:
        """Return the checksum of the book as it is now."""
        return self._crc(self._checked_symbol(symbol))
