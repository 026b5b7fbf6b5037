"""Records of a store as text: a table, CSV or JSON lines; the last ones, and those that a writer appends."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE
from fastcore.tickstore import TickStore
from hft.store.records import Ids, Records, select
from hft.store.transfer import ids_of

BATCH = 1 << 16
_KIND_NAMES = {value: name for name, value in KINDS.items()}


class Printer:
    """Print records as an aligned table, as CSV, or as one JSON object a line; what is written here was asked to be looked at."""

    def __init__(self, source: Any, style: str) -> None:
        self.fields = list(source.dtype.names or ())
        self.style = style
        self.events = source.dtype == EVENT_DTYPE
        self.symbols = None if isinstance(source, TickStore) else source.symbols
        self.started = False
        self.columns = self.fields + (["symbol"] if self.symbols is not None else [])
        self._writer = csv.writer(sys.stdout, lineterminator="\n")

    def _values(self, records: Records) -> list[list[Any]]:
        columns = [records[name].tolist() for name in self.fields]
        if self.symbols is not None:
            ids, inverse = np.unique(records["symbol_id"], return_inverse=True)
            if any(i not in self.symbols.names for i in ids.tolist()):
                self.symbols.refresh()
            names = self.symbols.names
            columns.append(np.array([names.get(i) for i in ids.tolist()], object)[inverse].tolist())
        return columns

    def show(self, records: Records) -> None:
        """Print these records."""
        columns = self._values(records)
        if self.style == "csv":
            if not self.started:
                self._writer.writerow(self.columns)
            self._writer.writerows(zip(*columns, strict=True))
        elif self.style == "json":
            for row in zip(*columns, strict=True):
                sys.stdout.write(json.dumps(dict(zip(self.columns, row, strict=True)), default=_text) + "\n")
        else:
            self._table(columns)
        self.started = True
        sys.stdout.flush()

    def _table(self, columns: list[list[Any]]) -> None:
        texts = []
        for name, values in zip(self.columns, columns, strict=True):
            if name in ("timestamp_ns", "exch_ns", "local_ns"):
                values = [f"{text}Z" for text in np.datetime_as_string(np.array(values, "M8[ns]"))]
            elif self.events and name == "kind":
                values = [_KIND_NAMES.get(value, value) for value in values]
            elif self.events and name == "price":
                values = ["none" if value == NO_PRICE else value for value in values]
            texts.append(["" if value is None else str(value) for value in values])
        # Wide enough for what is here; later lines of a tail keep at least the width of their heads.
        widths = [
            max(len(name), 10, *map(len, values)) if values else len(name)
            for name, values in zip(self.columns, texts, strict=True)
        ]
        if not self.started:
            sys.stdout.write(
                "  ".join(name.rjust(width) for name, width in zip(self.columns, widths, strict=True)).rstrip() + "\n"
            )
        for row in zip(*texts, strict=True):
            sys.stdout.write("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else list(value) if isinstance(value, tuple) else str(value)


def alive(pid: int) -> bool:
    """Say whether a process of this machine has this number."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def last_records(source: Any, lines: int, symbols: list[int | str] | None) -> Iterator[Records]:
    """Iterate over the last records of a store."""
    if not isinstance(source, TickStore):
        yield source.tail(lines, symbols)
        return
    yield from _before(source, len(source), lines, ids_of(source, symbols))


def _before(source: TickStore, stop: int, lines: int, ids: Ids | None) -> list[Records]:
    # The last records before `stop`, of some symbols: backwards until there are enough.
    found: list[Records] = []
    missing = lines
    while stop > 0 and missing > 0:
        first = max(0, stop - max(BATCH, missing)) if ids is not None else max(0, stop - missing)
        part = select(source.records(first, stop), ids)[-missing:]
        found.insert(0, part)
        missing -= len(part)
        stop = first
    return found


def following(
    source: Any, lines: int, symbols: list[int | str] | None, until_closed: bool, interval_s: float
) -> Iterator[Records]:
    """Iterate over the last records, then over what is appended; `until_closed`: until nobody writes any more."""

    def closed() -> bool:
        pid = source.info()["writer_pid"] if isinstance(source, TickStore) else source.symbols.writer_pid
        return not alive(pid)

    step = 0.2  # so that Ctrl-C and the end of the writer are looked at
    if not isinstance(source, TickStore):
        stream = source.follow(symbols, last=lines, timeout_s=None, interval_s=interval_s, idle=True)
        done = False
        for part in stream:
            if len(part):
                yield part
            elif done:
                return
            elif until_closed:
                done = closed()  # what was published before it closed is read by the next look
        return
    ids = ids_of(source, symbols)
    position = len(source)
    yield from _before(source, position, lines, ids)
    while True:
        over = until_closed and closed()
        for part in source.follow(position, timeout_s=0.0 if over else step, interval_s=interval_s, max_records=BATCH):
            position += len(part)
            yield select(part, ids)
        if over:
            return
