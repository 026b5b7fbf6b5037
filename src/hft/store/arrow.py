"""Stores and Arrow, both ways: tables, streams of batches, and Parquet, Arrow and CSV files.

A store keeps whole records side by side, Arrow keeps columns. So a column of Arrow is always a copy, made by NumPy at the speed of
memory, and what can be had without one is either the NumPy array of the store (``records()["price"]`` is a strided view on the
file) or the records as opaque rows (`rows_to_arrow`). Numbers stay what they are: times are ``int64`` nanoseconds unless
`timestamps` asks for Arrow's type, prices of events are ticks, and ``NO_PRICE`` is the lowest int64.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, UnknownSymbolError
from fastcore.records import EVENT_DTYPE, NO_SYMBOL, TICK_DTYPE
from fastcore.tickstore import TickStore

from .files import replaced

if TYPE_CHECKING:
    from .directory import DirectoryStore

__all__ = [
    "BATCH_RECORDS",
    "batches",
    "export",
    "from_arrow",
    "import_",
    "reader",
    "rows_to_arrow",
    "schema_of",
    "time_field_of",
    "to_arrow",
]

BATCH_RECORDS = 1 << 18
Records = npt.NDArray[np.void]
Symbols = Iterable[int | str]
Progress = Callable[[int, int], None]  # records (or bytes of the source) done, and in all

_TIMES = ("timestamp_ns", "exch_ns", "local_ns")
_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".ipc": "arrow", ".feather": "arrow", ".csv": "csv"}
# What an event may come without; a tick needs all that it has.
_OPTIONAL = {"seq", "local_ns", "side", "flags", "price", "size", "order_id", "match_id"}


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportError("this needs pyarrow: pip install 'hft-fastcore[feeds]'") from None
    return pyarrow


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """Return "parquet", "arrow" or "csv" by the end of a name (``.csv.gz`` too)."""
    name = Path(path).name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in _SUFFIXES or (name.endswith(".gz") and suffix != ".csv"):
        raise ValueError(f"the name must end in one of {', '.join(_SUFFIXES)}, .csv.gz: path={path}")
    return _SUFFIXES[suffix]


def time_field_of(store: TickStore | DirectoryStore) -> str | None:
    """Return the field that queries of a store search."""
    field: str | None = store.info()["time_field"] if isinstance(store, TickStore) else store.time_field
    return field


# ---- records out


def ids_of(store: TickStore | DirectoryStore, symbols: Symbols | int | str | None) -> npt.NDArray[np.uint32] | None:
    """Turn names and ids into ids; None stays None."""
    if symbols is None or (isinstance(symbols, np.ndarray) and symbols.dtype == np.uint32):
        return symbols
    if isinstance(symbols, (int, np.integer, str)):
        symbols = [symbols]
    found = []
    for symbol in symbols:
        if isinstance(symbol, str):
            if isinstance(store, TickStore):
                raise UnknownSymbolError(f"a single store knows ids, not names: symbol={symbol!r}, path={store.path}")
            symbol = store.symbols.id_of(symbol)
        if not isinstance(symbol, (int, np.integer)) or isinstance(symbol, bool):
            raise TypeError(f"symbols must be names or ids: symbol={symbol!r}")
        if not 0 <= symbol <= NO_SYMBOL:
            raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL}: symbol_id={symbol}")
        found.append(symbol)
    return np.unique(np.array(found, np.uint32))


def select(records: Records, ids: npt.NDArray[np.uint32] | None) -> Records:
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


def check_range(start_ns: int | None, end_ns: int | None) -> None:
    """Refuse a range that ends before it starts."""
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise ValueError(f"start_ns must not be after end_ns: start_ns={start_ns}, end_ns={end_ns}")


def batches(
    store: TickStore | DirectoryStore,
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
    if batch_records < 1:
        raise ValueError(f"batch_records must be at least 1: batch_records={batch_records}")
    check_range(start_ns, end_ns)
    ids = ids_of(store, symbols)
    if ids is not None and not len(ids):
        return
    if not isinstance(store, TickStore):
        yield from store.batches(start_ns, end_ns, ids, batch_records=batch_records)
        return
    if ids is not None and "symbol_id" not in (store.dtype.names or ()):
        raise ValueError(f"the records have no symbol_id: dtype={store.dtype}")
    found = store.query(start_ns, end_ns)
    for first in range(0, len(found), batch_records):
        part = select(found[first : first + batch_records], ids)
        if len(part):
            yield part


def _count(store: TickStore | DirectoryStore, start_ns: int | None, end_ns: int | None) -> int:
    # For progress: what will be looked at.
    return len(store.query(start_ns, end_ns)) if isinstance(store, TickStore) else store.estimate(start_ns, end_ns)


# ---- NumPy to Arrow


def field_of(dtype: np.dtype[np.void], name: str) -> tuple[np.dtype[Any], int]:
    """Return dtype and offset of a field."""
    assert dtype.fields is not None
    found = dtype.fields[name]
    return found[0], found[1]


def _times(dtype: np.dtype[np.void]) -> set[str]:
    return {name for name in dtype.names or () if name in _TIMES}


def describe(dtype: np.dtype[np.void], time_field: str | None) -> dict[str, Any]:
    """Return a dtype as JSON keeps it."""
    fields = []
    for name in dtype.names or ():
        wanted, offset = field_of(dtype, name)
        base, shape = wanted.subdtype or (wanted, ())
        fields.append([name, base.str.lstrip("<>=|"), offset, *shape])
    return {"fields": fields, "itemsize": dtype.itemsize, "time_field": time_field}


def described(text: Mapping[str, Any]) -> np.dtype[np.void]:
    """Return the dtype that `describe` described."""
    fields = text["fields"]
    made: np.dtype[np.void] = np.dtype(
        {
            "names": [field[0] for field in fields],
            "formats": [(field[1], tuple(field[3:])) if len(field) > 3 else field[1] for field in fields],
            "offsets": [field[2] for field in fields],
            "itemsize": text["itemsize"],
        }
    )
    for known in (TICK_DTYPE, EVENT_DTYPE):
        if made == known:
            return known
    return made


def schema_of(dtype: np.dtype[np.void], *, timestamps: bool = False, names: bool = False, time_field: str | None = None) -> Any:
    """Return the Arrow schema of records.

    Parameters
    ----------
    dtype : dtype
        Of the store.
    timestamps : bool, default False
        Times as ``timestamp[ns, UTC]`` instead of int64.
    names : bool, default False
        A last column ``symbol`` with names (dictionary).
    time_field : str, optional
        Kept in the metadata, from which an import makes the same store again.
    """
    pa = _pyarrow()
    times = _times(dtype)
    fields = []
    for name in dtype.names or ():
        wanted, _ = field_of(dtype, name)
        base, shape = wanted.subdtype or (wanted, ())
        if len(shape) > 1:
            raise ValueError(f"a field must have at most one dimension to become a column: field={name!r}, shape={shape}")
        kind: Any = pa.binary(base.itemsize) if base.kind in "SV" else pa.from_numpy_dtype(base)
        if name in times:
            kind = pa.timestamp("ns", "UTC") if timestamps else pa.int64()
        fields.append(pa.field(name, pa.list_(kind, shape[0]) if shape else kind, nullable=False))
    if names:
        fields.append(pa.field("symbol", pa.dictionary(pa.int32(), pa.string())))
    about = json.dumps(describe(dtype, time_field), separators=(",", ":"))
    return pa.schema(fields, metadata={"hft.records": about})


class _Names:
    # The dictionary of the column of names; one object for a whole file, because a file has one dictionary.
    def __init__(self, names: Mapping[int, str]) -> None:
        pa = _pyarrow()
        self.dictionary = pa.array(list(names.values()), pa.string())
        self.ids = np.array(list(names), np.uint32)
        order = np.argsort(self.ids)
        self.ids, self.places = self.ids[order], order.astype(np.int32)

    def column(self, symbol_id: npt.NDArray[np.uint32]) -> Any:
        pa = _pyarrow()
        if not len(self.ids):
            return pa.DictionaryArray.from_arrays(pa.nulls(len(symbol_id), pa.int32()), self.dictionary)
        place = np.minimum(np.searchsorted(self.ids, symbol_id), len(self.ids) - 1)
        unknown = self.ids[place] != symbol_id
        return pa.DictionaryArray.from_arrays(
            pa.array(self.places[place], mask=unknown if unknown.any() else None), self.dictionary
        )


def _batch(records: Records, schema: Any, names: _Names | None) -> Any:
    pa = _pyarrow()
    columns = []
    for field in schema:
        if names is not None and field.name == "symbol":
            columns.append(names.column(np.ascontiguousarray(records["symbol_id"])))
            continue
        values = np.ascontiguousarray(records[field.name])
        if pa.types.is_fixed_size_list(field.type):
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=field.type))
        elif values.dtype.kind == "b":
            columns.append(pa.array(values))
        else:
            columns.append(pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(values.view(np.uint8))]))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _schema_and_names(store: TickStore | DirectoryStore, timestamps: bool) -> tuple[Any, _Names | None]:
    names = None
    if not isinstance(store, TickStore):
        store.symbols.refresh()
        names = _Names(store.symbols.names)
    return schema_of(store.dtype, timestamps=timestamps, names=names is not None, time_field=time_field_of(store)), names


def reader(
    store: TickStore | DirectoryStore,
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
    pa = _pyarrow()
    schema, names = _schema_and_names(store, timestamps)
    found = batches(store, start_ns, end_ns, symbols, batch_records=batch_records)
    return pa.RecordBatchReader.from_batches(schema, (_batch(part, schema, names) for part in found))


def to_arrow(
    store: TickStore | DirectoryStore,
    start_ns: int | None = None,
    end_ns: int | None = None,
    symbols: Symbols | int | str | None = None,
    *,
    timestamps: bool = False,
) -> Any:
    """Return the records of a time range as a ``pyarrow.Table``; parameters as for `reader`."""
    return reader(store, start_ns, end_ns, symbols, timestamps=timestamps).read_all()


def rows_to_arrow(records: Records) -> Any:
    """Return records as a ``FixedSizeBinaryArray`` on the same memory: whole rows, no copy.

    Parameters
    ----------
    records : ndarray
        Contiguous; what ``records()`` and an ordered ``query()`` of a store return lies in the mapped file.

    Notes
    -----
    Arrow carries the rows from process to process and to disk without looking into them; ``numpy.frombuffer(array.buffers()[1],
    dtype)`` is the array again. Their meaning is in the dtype alone, so that other programs cannot query them: use `to_arrow`.
    """
    pa = _pyarrow()
    if records.ndim != 1 or not records.flags.c_contiguous:
        raise ValueError(f"records must be one-dimensional and contiguous: shape={records.shape}, strides={records.strides}")
    size = records.dtype.itemsize
    return pa.Array.from_buffers(pa.binary(size), len(records), [None, pa.py_buffer(records.view(f"V{size}").view(np.uint8))])


# ---- Arrow to NumPy


def from_arrow(
    data: Any,
    dtype: np.dtype[np.void] = TICK_DTYPE,
    columns: Mapping[str, str] | None = None,
    *,
    symbol: int | None = None,
    add_symbols: Callable[[list[str]], npt.NDArray[np.uint32]] | None = None,
) -> Records:
    """Return the rows of an Arrow table or record batch as records.

    Parameters
    ----------
    data : pyarrow.Table, pyarrow.RecordBatch, or what has ``__arrow_c_stream__``
        For example a polars frame.
    dtype : dtype, default TICK_DTYPE
        Of the records.
    columns : mapping of str to str, optional
        Column of each field, where the names differ. A column of names may stand for the field ``symbol_id``.
    symbol : int, optional
        Id of every row, in place of a column.
    add_symbols : callable, optional
        Gives ids for a list of names.

    Raises
    ------
    ValueError
        A column is missing, has nulls, or values that the field cannot hold exactly.
    """
    pa = _pyarrow()
    if not isinstance(data, (pa.Table, pa.RecordBatch)):
        data = pa.table(data)
    columns = dict(columns or {})
    for field in columns:
        if field not in (dtype.names or ()):
            raise ValueError(f"a column is mapped to a field of the record: field={field!r}, fields={dtype.names}")
    out = np.zeros(len(data), dtype)
    for field in dtype.names or ():
        if field == "symbol_id" and symbol is not None:
            out[field] = symbol
            continue
        name = columns.get(field, field)
        if field == "symbol_id" and field not in columns and add_symbols is not None and "symbol" in data.schema.names:
            name = "symbol"
        if name not in data.schema.names:
            if field in _OPTIONAL and dtype == EVENT_DTYPE and field not in columns:
                continue
            raise ValueError(f"a column is missing: field={field!r}, column={name!r}, columns={data.schema.names}")
        values = data.column(name)
        if values.null_count:
            first = values.is_null().to_numpy(zero_copy_only=False).argmax()
            raise ValueError(f"a column must have no nulls: column={name!r}, first row={first}, nulls={values.null_count}")
        out[field] = _values(values, name, field, field_of(dtype, field)[0], add_symbols)
    return out


def _values(values: Any, name: str, field: str, wanted: np.dtype[Any], add_symbols: Any) -> npt.NDArray[Any]:
    # One column, as the field has it, or ValueError: nothing is rounded or wrapped.
    pa = _pyarrow()
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks)
    if field == "symbol_id" and not pa.types.is_integer(values.type):
        if not pa.types.is_dictionary(values.type):
            values = values.cast(pa.string()).dictionary_encode()
        if add_symbols is None:
            raise ValueError(f"names need the symbol table of a directory store, or a symbol for all rows: column={name!r}")
        # A dictionary may hold names that no row has.
        used, place = np.unique(values.indices.to_numpy(zero_copy_only=False), return_inverse=True)
        found: npt.NDArray[Any] = add_symbols(values.dictionary.take(pa.array(used)).cast(pa.string()).to_pylist())[place]
        return found
    base, shape = wanted.subdtype or (wanted, ())
    try:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if field in _TIMES:
            if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
                values = values.cast(pa.timestamp("ns", getattr(values.type, "tz", None)))
                return np.asarray(values.view(pa.int64()).to_numpy(zero_copy_only=False)).view(base)
            if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
                return np.asarray(values.cast(pa.timestamp("ns")).view(pa.int64()).to_numpy(zero_copy_only=False)).view(base)
        if base.kind in "iu" and pa.types.is_floating(values.type) and len(values):
            extreme = float(np.abs(values.to_numpy(zero_copy_only=False)).max())
            if not extreme <= 1 << 53:
                raise ValueError(f"floats this large are not exact: column={name!r}, field={field!r}, value={extreme}")
        if shape:
            return np.asarray(values.flatten().cast(pa.from_numpy_dtype(base)).to_numpy(zero_copy_only=False)).reshape(
                -1, *shape
            )
        if base.kind in "SV":
            return np.frombuffer(values.cast(pa.binary(base.itemsize)).buffers()[1], base)[values.offset :][: len(values)]
        return np.asarray(values.cast(pa.from_numpy_dtype(base)).to_numpy(zero_copy_only=False))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"a column must hold what the field can hold: column={name!r}, field={field!r}, {error}") from None


# ---- files


def export(
    store: TickStore | DirectoryStore,
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
    pa = _pyarrow()
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
            batch = _batch(part, schema, names)
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
    pa = _pyarrow()
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
    pa = _pyarrow()
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
    destination: TickStore | DirectoryStore | str | os.PathLike[str],
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
    pa = _pyarrow()
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
    if symbol is not None and not 0 <= symbol <= NO_SYMBOL:
        raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL}: symbol_id={symbol}")
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
        if field.name not in _TIMES and field.name != "symbol_id"
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
    pa = _pyarrow()
    try:
        with _source(Path(path), 1, {}) as (schema, _, _):
            pass
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        raise CorruptDataError(f"the file must be readable: path={path}, {error}") from None
    about = (schema.metadata or {}).get(b"hft.records")
    if about is not None:
        text = json.loads(about)
        return described(text), text["time_field"]
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
    from .directory import DirectoryStore

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
            for leftover in _beside(temporary):
                leftover.unlink(missing_ok=True)


def _beside(path: Path) -> Sequence[Path]:
    return [path.with_name(path.name + ".lock")]
