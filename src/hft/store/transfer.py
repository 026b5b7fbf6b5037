"""The records of a store out and in: bounded batches, streams for Arrow, and Parquet, Arrow and CSV files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, UnknownSymbolError
from fastcore.records import EVENT_DTYPE, NO_SYMBOL, TICK_DTYPE
from fastcore.store_header import TIME_FIELDS, whole
from fastcore.store_header import time_field_of as time_field_of_dtype
from fastcore.store_times import check_range
from fastcore.tickstore import TickStore

from .arrow import Names, from_arrow, pyarrow_or_hint, schema_of, to_batch
from .directory import DirectoryStore
from .files import replaced
from .records import BATCH_RECORDS, Ids, Records, Symbols, as_ids, described, pieces, select
from .symbols import SymbolTable, table_of

Store = TickStore | DirectoryStore
Progress = Callable[[int, int], None]  # records (or bytes of the source) done, and in all

_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".ipc": "arrow", ".feather": "arrow", ".csv": "csv"}


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """Return "parquet", "arrow" or "csv" by the end of a name (``.csv.gz`` too)."""
    name = Path(path).name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in _SUFFIXES or (name.endswith(".gz") and suffix != ".csv"):
        raise ValueError(f"the name must end in one of {', '.join(_SUFFIXES)}, .csv.gz: path={path}")
    return _SUFFIXES[suffix]


def time_field_of(store: Store) -> str | None:
    """Return the field that queries of a store search."""
    field: str | None = store.info()["time_field"] if isinstance(store, TickStore) else store.time_field
    return field


def ids_of(store: Store, symbols: Symbols | int | str | None) -> Ids | None:
    """Turn names and ids into ids, as the store knows them; None stays None."""
    if not isinstance(store, TickStore):
        return as_ids(symbols, store.symbols.id_of)
    path = store.path

    def id_of(symbol: str) -> int:
        if not table_of(path).is_file():
            rule = "a single store without a table of symbols beside it knows ids, not names"
            raise UnknownSymbolError(f"{rule}: symbol={symbol!r}, path={path}")
        with contextlib.closing(SymbolTable(table_of(path))) as table:
            return table.id_of(symbol)

    return as_ids(symbols, id_of)


def batches(
    store: Store,
    start_ns: int | None = None,
    end_ns: int | None = None,
    symbols: Symbols | int | str | None = None,
    *,
    batch_records: int = BATCH_RECORDS,
) -> Iterator[Records]:
    """Iterate over the records of a time range in arrays of bounded length.

    Parameters
    ----------
    store : TickStore or DirectoryStore
    start_ns, end_ns : int, optional
        ``start_ns <= time < end_ns``.
    symbols : iterable of int or str, optional
        Ids, or names where the store is a directory.
    batch_records : int
        Longest array.

    Yields
    ------
    ndarray
        Views where nothing is filtered or merged. A single store gives its own order, a directory that of time.
    """
    whole("batch_records", batch_records, 1, None)
    check_range(start_ns, end_ns)
    ids = ids_of(store, symbols)
    if ids is not None and not len(ids):
        return
    if not isinstance(store, TickStore):
        yield from store.batches(start_ns, end_ns, ids, batch_records=batch_records)
        return
    if ids is not None and "symbol_id" not in (store.dtype.names or ()):
        raise ValueError(f"the records have no symbol_id: dtype={store.dtype}")
    for part in pieces(store.query(start_ns, end_ns), batch_records):
        part = select(part, ids)
        if len(part):
            yield part


def _count(store: Store, start_ns: int | None, end_ns: int | None) -> int:
    # For progress: what will be looked at.
    return len(store.query(start_ns, end_ns)) if isinstance(store, TickStore) else store.estimate(start_ns, end_ns)


def _schema_and_names(store: Store, timestamps: bool) -> tuple[Any, Names | None]:
    names = None
    if not isinstance(store, TickStore):
        store.symbols.refresh()
        names = Names(store.symbols.names)
    return schema_of(store.dtype, timestamps=timestamps, names=names is not None, time_field=time_field_of(store)), names


def reader(
    store: Store,
    start_ns: int | None = None,
    end_ns: int | None = None,
    symbols: Symbols | int | str | None = None,
    *,
    timestamps: bool = False,
    batch_records: int = BATCH_RECORDS,
) -> Any:
    """Return a ``pyarrow.RecordBatchReader`` that reads the store as it is consumed.

    Parameters
    ----------
    store, start_ns, end_ns, symbols, batch_records
        As for `batches`.
    timestamps : bool, default False
        Times as ``timestamp[ns, UTC]`` instead of int64.

    Notes
    -----
    Whatever takes an Arrow stream takes it, once, in bounded memory: ``duckdb.sql("select ... from stream")``,
    ``polars.from_arrow(stream)``, ``stream.read_pandas()``. A directory adds the column ``symbol``, names by dictionary.
    """
    pa = pyarrow_or_hint()
    schema, names = _schema_and_names(store, timestamps)
    found = batches(store, start_ns, end_ns, symbols, batch_records=batch_records)
    return pa.RecordBatchReader.from_batches(schema, (to_batch(part, schema, names) for part in found))


def to_arrow(
    store: Store,
    start_ns: int | None = None,
    end_ns: int | None = None,
    symbols: Symbols | int | str | None = None,
    *,
    timestamps: bool = False,
) -> Any:
    """Return the records of a time range as a ``pyarrow.Table``; parameters as for `reader`."""
    return reader(store, start_ns, end_ns, symbols, timestamps=timestamps).read_all()


def export(
    store: Store,
    destination: str | os.PathLike[str],
    start_ns: int | None = None,
    end_ns: int | None = None,
    symbols: Symbols | int | str | None = None,
    *,
    timestamps: bool = False,
    batch_records: int = BATCH_RECORDS,
    compression: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write records to a Parquet, Arrow or CSV file, by its suffix, in bounded memory.

    Parameters
    ----------
    store, start_ns, end_ns, symbols, timestamps
        As for `reader`.
    destination : path
        ``.parquet``, ``.arrow`` (also ``.ipc``, ``.feather``), ``.csv`` or ``.csv.gz``. Complete, or not there: it is written
        beside its place and renamed when it is on the disk.
    batch_records : int
        Rows of a row group.
    compression : str, optional
        For Parquet (default "zstd") and Arrow (default none, so that the file can be mapped).
    overwrite : bool, default False
        Replace a file that is there.
    progress : callable, optional
        ``progress(records done, records in all)``.

    Returns
    -------
    int
        Rows written.
    """
    pa = pyarrow_or_hint()
    destination = Path(destination)
    kind = kind_of_file(destination)
    schema, names = _schema_and_names(store, timestamps)
    if not overwrite and destination.exists():
        raise FileExistsError(f"the destination must not exist: path={destination}")
    found = batches(store, start_ns, end_ns, symbols, batch_records=batch_records)
    total = _count(store, start_ns, end_ns) if progress is not None else 0
    rows = 0
    with replaced(destination, overwrite=overwrite) as temporary, contextlib.ExitStack() as stack:
        if kind == "parquet":
            from pyarrow import parquet

            options: dict[str, Any] = {"compression": compression or "zstd", "write_batch_size": 16384}
            sink = stack.enter_context(parquet.ParquetWriter(temporary, schema, **options))
        elif kind == "arrow":
            ipc = pa.ipc.IpcWriteOptions(compression=compression)
            sink = stack.enter_context(pa.ipc.new_file(str(temporary), schema, options=ipc))
        else:
            from pyarrow import csv

            # By the name of the destination: the temporary one says nothing of compression.
            raw = stack.enter_context(
                pa.output_stream(str(temporary), compression="gzip" if destination.name.lower().endswith(".gz") else None)
            )
            raw.write(",".join(_quoted(name) for name in schema.names).encode() + b"\n")
            bare = csv.WriteOptions(include_header=False, quoting_style="needed")  # Arrow quotes every name
            sink = stack.enter_context(csv.CSVWriter(raw, _plain(schema), write_options=bare))
        for part in found:
            batch = to_batch(part, schema, names)
            if kind == "csv" and names is not None:
                batch = batch.set_column(len(schema) - 1, "symbol", batch.column("symbol").dictionary_decode())
                batch = pa.RecordBatch.from_arrays(batch.columns, schema=_plain(schema))
            sink.write(batch) if kind != "parquet" else sink.write_batch(batch, row_group_size=batch_records)
            rows += len(part)
            if progress is not None:
                progress(min(rows, total), total)
    return rows


def _plain(schema: Any) -> Any:
    # Names as text, for CSV.
    pa = pyarrow_or_hint()
    place = len(schema) - 1
    if not pa.types.is_dictionary(schema.field(place).type):
        return schema
    return schema.set(place, pa.field("symbol", pa.string()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"\r\n') else name


@contextlib.contextmanager
def _source(
    path: Path, batch_records: int, types: dict[str, Any]
) -> Iterator[tuple[Any, Iterator[Any], Callable[[], tuple[int, int]]]]:
    # Schema, batches, and (done, in all) of a file.
    pa = pyarrow_or_hint()
    kind = kind_of_file(path)
    with contextlib.ExitStack() as stack:
        if kind == "parquet":
            from pyarrow import parquet

            file = stack.enter_context(parquet.ParquetFile(path))
            done = [0]

            def row_batches() -> Iterator[Any]:
                for batch in file.iter_batches(batch_size=batch_records):
                    done[0] += len(batch)
                    yield batch

            yield file.schema_arrow, row_batches(), lambda: (done[0], file.metadata.num_rows)
            return
        raw = stack.enter_context(pa.OSFile(str(path)))
        size = path.stat().st_size

        def place() -> tuple[int, int]:
            return (size if raw.closed else raw.tell()), size

        if kind == "arrow":
            head = raw.read(6)
            raw.seek(0)
            if head == b"ARROW1":
                source = stack.enter_context(pa.ipc.open_file(raw))
                yield source.schema, (source.get_batch(i) for i in range(source.num_record_batches)), place
            else:
                source = stack.enter_context(pa.ipc.open_stream(raw))
                yield source.schema, iter(source), place
        else:
            from pyarrow import csv

            stream = pa.CompressedInputStream(raw, "gzip") if path.name.lower().endswith(".gz") else raw
            options = csv.ReadOptions(block_size=8 << 20)
            # By the types of the fields: from the text alone, a large unsigned number would be taken for a float.
            convert = csv.ConvertOptions(column_types=types)
            source = stack.enter_context(csv.open_csv(stream, read_options=options, convert_options=convert))
            yield source.schema, iter(source), place


def import_(
    source: str | os.PathLike[str],
    destination: Store | str | os.PathLike[str],
    columns: Mapping[str, str] | None = None,
    *,
    symbol: int | str | None = None,
    dtype: np.dtype[np.void] | None = None,
    unordered: bool = False,
    batch_records: int = BATCH_RECORDS,
    progress: Progress | None = None,
) -> int:
    """Append the rows of a Parquet, Arrow or CSV file to a store, in bounded memory.

    Parameters
    ----------
    source : path
        By its suffix, as for `export`; an Arrow stream too.
    destination : TickStore, DirectoryStore or path
        Open for appending. A path that does not exist becomes a single store, complete or not there; one that exists is opened.
    columns, symbol
        As for `from_arrow`; a directory store takes names too, and adds those that it does not know.
    dtype : dtype, optional
        Of a new store; by default what an exported file says, else events where there are columns ``kind`` and ``exch_ns``, else ticks.
    unordered : bool, default False
        Take times that go back. By default they are refused, against the last record of a single store too.
    progress : callable, optional
        ``progress(done, in all)`` in rows (Parquet) or bytes.

    Returns
    -------
    int
        Rows appended.

    Raises
    ------
    CorruptDataError
        The file cannot be read; the message says how many rows were appended before.
    ValueError
        A row breaks a rule; so many rows before it were appended to a store that was there already.
    """
    source = Path(source)
    if isinstance(destination, (str, os.PathLike)):
        return _import_path(source, Path(destination), columns, symbol, dtype, unordered, batch_records, progress)
    pa = pyarrow_or_hint()
    store = destination
    rows = 0
    field = time_field_of(store)
    add = None
    last: int | None = None
    if isinstance(store, TickStore):
        if isinstance(symbol, str):
            raise ValueError(f"a single store knows ids, not names: symbol={symbol!r}")
        if field is not None and len(store):
            last = int(store.records(-1)[field][0])
    else:
        add = store.symbols.add_many
        symbol = store.symbols.add(symbol) if isinstance(symbol, str) else symbol
    if symbol is not None:
        symbol = whole("symbol_id", symbol, 0, NO_SYMBOL)
    whole("batch_records", batch_records, 1, None)
    try:
        with _source(source, batch_records, _csv_types(store.dtype, columns or {})) as (_, found, done):
            for batch in found:
                for first in range(0, len(batch), batch_records):
                    part = batch.slice(first, batch_records)
                    records = from_arrow(part, store.dtype, columns, symbol=symbol, add_symbols=add)
                    if field is not None and not unordered:
                        last = _ordered(records[field], last, rows)
                    store.append_many(records)
                    rows += len(records)
                    if progress is not None:
                        progress(*done())
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError, EOFError) as error:
        raise CorruptDataError(f"the file must be readable: path={source}, rows appended={rows}, {error}") from None
    except OSError as error:
        if error.errno is None:  # of the decompressor, not of the system
            raise CorruptDataError(f"the file must be readable: path={source}, rows appended={rows}, {error}") from None
        raise
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ValueError(f"{error} (path={source}, rows appended before={rows})") from None
    return rows


def _csv_types(dtype: np.dtype[np.void], columns: Mapping[str, str]) -> dict[str, Any]:
    # Times may be numbers or text, and symbols ids or names; all else is what the field is.
    return {
        columns.get(field.name, field.name): field.type
        for field in schema_of(dtype)
        if field.name not in TIME_FIELDS and field.name != "symbol_id"
    }


def _ordered(times: npt.NDArray[Any], last: int | None, rows: int) -> int | None:
    # The last time, or ValueError at the first that goes back.
    if not len(times):
        return last
    back = times[1:] < times[:-1]
    first = 0 if last is not None and int(times[0]) < last else int(back.argmax()) + 1 if back.any() else None
    if first is not None:
        before = last if first == 0 else int(times[first - 1])
        raise ValueError(
            f"times must not go back (unless asked for): row={rows + first}, time={int(times[first])}, before={before}"
        )
    return int(times[-1])


def dtype_of_file(path: str | os.PathLike[str]) -> tuple[np.dtype[np.void], str | None]:
    """Return dtype and time field of the records that a file holds, from what the export wrote or by its columns."""
    pa = pyarrow_or_hint()
    try:
        with _source(Path(path), 1, {}) as (schema, _, _):
            pass
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        raise CorruptDataError(f"the file must be readable: path={path}, {error}") from None
    about = (schema.metadata or {}).get(b"hft.records")
    if about is not None:
        try:
            text = json.loads(about)
            dtype, field = described(text), text["time_field"]
            return dtype, field if field is None else time_field_of_dtype(dtype, field)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CorruptDataError(f"the metadata hft.records must describe records: path={path}, {error}") from None
    return (EVENT_DTYPE, "exch_ns") if {"kind", "exch_ns"} <= set(schema.names) else (TICK_DTYPE, "timestamp_ns")


def _import_path(
    source: Path,
    destination: Path,
    columns: Mapping[str, str] | None,
    symbol: int | str | None,
    dtype: np.dtype[np.void] | None,
    unordered: bool,
    batch_records: int,
    progress: Progress | None,
) -> int:
    options: dict[str, Any] = {
        "symbol": symbol, "unordered": unordered, "batch_records": batch_records, "progress": progress,
    }  # fmt: skip
    if destination.is_dir():
        with DirectoryStore(destination, "a", dtype) as directory:
            return import_(source, directory, columns, **options)
    if destination.exists():
        with TickStore(destination, "a", dtype) as store:
            return import_(source, store, columns, **options)
    field = None
    if dtype is None:
        dtype, field = dtype_of_file(source)
    with replaced(destination, overwrite=False) as temporary:
        try:
            with TickStore(temporary, "x", dtype, time_field=field) as store:
                return import_(source, store, columns, **options)
        finally:
            temporary.with_name(temporary.name + ".lock").unlink(missing_ok=True)
