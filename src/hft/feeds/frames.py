"""Frames in memory - pandas, polars, Arrow, anything with the Arrow PyCapsule interface - to events and back.

Rows become events by the rules of ``hft.feeds.tabular``; a frame that `to_arrow` or `to_frame` made becomes the same
events again, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, KINDS

from ._columns import strings
from ._files import extra
from ._ids import IdMap
from .feed import Events, Feed, whole_messages
from .tabular import TableFeed, first_cells

__all__ = ["FrameFeed", "from_frame", "to_arrow", "to_frame"]

_FIELDS = tuple(EVENT_DTYPE.names or ())
_BATCH = 65_536


def _batches(frame: Any) -> tuple[Any, Iterator[Any]]:
    """Schema and record batches of a frame, without a copy where its library allows."""
    pa = extra("pyarrow")
    if type(frame).__module__.split(".")[0] == "pandas" and type(frame.index).__name__ != "RangeIndex":
        frame = frame.reset_index()  # an index of times is a column here
    if hasattr(frame, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(frame)
        return reader.schema, iter(reader)
    if hasattr(frame, "to_arrow"):
        frame = frame.to_arrow()
    if hasattr(frame, "to_batches"):
        return frame.schema, iter(frame.to_batches())
    if hasattr(frame, "schema") and hasattr(frame, "slice"):
        return frame.schema, iter([frame])
    raise TypeError(f"frame must be of pandas, polars or Arrow, or have __arrow_c_stream__ or to_arrow: type={type(frame).__name__}")


class FrameFeed(TableFeed):
    """A frame as a feed; made by `from_frame`."""

    format = "frame"

    def __init__(self, frame: Any, *, names: Sequence[str] = (), **options: Any) -> None:
        self._schema, batches = _batches(frame)
        first = next(batches, None)
        self._first = first
        self._frame = frame if hasattr(frame, "__len__") or hasattr(frame, "num_rows") else None  # a stream is there once
        self._source_batches = chain([] if first is None else [first], batches)
        self._names = names
        self._ids = IdMap()
        options.setdefault("symbol", "frame")
        super().__init__("frame", **options)

    def _row_of(self, number: int) -> int:
        """Row of an id in a frame of events."""
        return self._row(self._names[number] if number < len(self._names) else str(number), self._tick or 1.0, self._lot or 1.0)

    def _prepare(self) -> None:
        if set(self._schema.names) != set(_FIELDS):
            self._settle(self._schema.names, first_cells(self._first))

    def _again(self, names: Sequence[str]) -> Iterator[Any]:
        batches = ([] if self._first is None else [self._first]) if self._frame is None else _batches(self._frame)[1]
        return (batch.select(list(names)) for batch in batches)

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        done = 0
        for batch in self._source_batches:
            for start in range(0, len(batch), _BATCH):
                part = batch.slice(start, _BATCH)
                yield part, np.arange(done, done + len(part))
                done += len(part)
                self._progress(done, done)

    def _arrays(self) -> Iterator[Events]:
        if self._roles:
            yield from super()._arrays()
            return
        pc = extra("pyarrow.compute")
        rest = np.zeros(0, EVENT_DTYPE)
        for batch, _ in self._batches():
            events = np.zeros(len(batch), EVENT_DTYPE)
            for name in _FIELDS:
                column = batch.column(batch.schema.get_field_index(name))
                if hasattr(column.type, "value_type"):  # the names of kinds
                    column = strings(column).dictionary_encode()
                    codes = np.array([KINDS[kind] for kind in column.dictionary.to_pylist()], np.uint8)
                    events[name] = codes[column.indices.to_numpy()]
                elif str(column.type).startswith("timestamp"):
                    events[name] = pc.cast(column, "int64").to_numpy(zero_copy_only=False)
                else:
                    events[name] = column.to_numpy(zero_copy_only=False)
            events["symbol_id"] = self._ids.rows(events["symbol_id"], self._row_of)
            self._counted(events)
            events = np.concatenate([rest, events]) if len(rest) else events
            closed = np.flatnonzero((events["flags"] & 1) == 0)
            end = int(closed[-1]) + 1 if len(closed) else 0
            rest = events[end:]
            yield from whole_messages(events[:end], self._chunk)
        if len(rest):
            yield rest


def from_frame(frame: Any, **options: Any) -> Feed:
    """Read a frame as a feed.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame, pyarrow.Table or RecordBatch, or anything with __arrow_c_stream__ or to_arrow
        An index of pandas that is no plain range is a column too.
    names : sequence of str, optional
        Of a frame of events: the symbols that its ids mean; by default the number is the name.
    **options
        As in ``hft.feeds.tabular.TableFeed``: kind, columns, tick_size, ...

    Returns
    -------
    Feed

    Raises
    ------
    TypeError
        If the frame is of no such kind.
    ValueError
        If the columns do not say what they are.
    """
    return FrameFeed(frame, **options)


def to_arrow(events: Events) -> Any:
    """Return events as an Arrow table.

    Parameters
    ----------
    events : ndarray of EVENT_DTYPE

    Returns
    -------
    pyarrow.Table
        The fields of the record as columns; times as UTC timestamps, `kind` as a dictionary of names. A column of Arrow is
        contiguous and a field of an event is not: each is copied once.
    """
    pa = extra("pyarrow")
    _check(events)
    columns: dict[str, Any] = {}
    for name in _FIELDS:
        values = np.ascontiguousarray(events[name])
        if name == "kind":
            names = [""] * (max(KINDS.values()) + 1)
            for kind, code in KINDS.items():
                names[code] = kind
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(values), pa.array(names))
        elif name in ("exch_ns", "local_ns"):
            columns[name] = pa.array(values).view(pa.timestamp("ns", "UTC"))
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def to_frame(
    events: Events,
    library: Literal["pandas", "polars"] = "pandas",
    *,
    instruments: Instruments | None = None,
) -> Any:
    """Return events as a frame.

    Parameters
    ----------
    events : ndarray of EVENT_DTYPE
    library : {"pandas", "polars"}
        pandas sees the fields of the array itself (numbers only: `kind` is a code; a change of the one shows in the other);
        polars shares the memory of `to_arrow`.
    instruments : Instruments, optional
        Of the feed; adds the column `symbol`.

    Raises
    ------
    ValueError
        If the array holds no events, or the library is another one.
    """
    _check(events)
    symbols = None
    if instruments is not None:
        ids, where = np.unique(events["symbol_id"], return_inverse=True)
        names = instruments.symbols
        symbols = np.array([names[i] if i < len(names) else "" for i in ids.tolist()], object)[where]
    if library == "pandas":
        pandas = extra("pandas", "test")
        frame = pandas.DataFrame({name: events[name] for name in _FIELDS}, copy=False)
        if symbols is not None:
            frame["symbol"] = symbols
        return frame
    if library == "polars":
        polars = extra("polars", "test")
        table = polars.from_arrow(to_arrow(events))
        return table if symbols is None else table.with_columns(polars.Series("symbol", symbols.tolist(), polars.String))
    raise ValueError(f"library must be pandas or polars: library={library}")


def _check(events: Events) -> None:
    if getattr(events, "dtype", None) != EVENT_DTYPE:
        raise ValueError(f"events must be an array of EVENT_DTYPE: dtype={getattr(events, 'dtype', type(events).__name__)}")
