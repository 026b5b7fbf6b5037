"""Records as Arrow has them, and back: schemas, batches and rows.

A store keeps whole records side by side, Arrow keeps columns. So a column of Arrow is always a copy, made by NumPy at the speed of
memory, and what can be had without one is either the NumPy array of the store (``records()["price"]`` is a strided view on the
file) or the records as opaque rows (`rows_to_arrow`). Numbers stay what they are: times are ``int64`` nanoseconds unless
`timestamps` asks for Arrow's type, prices of events are ticks, and ``NO_PRICE`` is the lowest int64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, NO_SYMBOL, TICK_DTYPE
from fastcore.store_header import TIME_FIELDS, field_of, whole

from .records import Records, describe

# What an event may come without; a tick needs all that it has.
_OPTIONAL = {"seq", "local_ns", "side", "flags", "price", "size", "order_id", "match_id"}


def pyarrow_or_hint() -> Any:
    """Return the module, or say how to install it."""
    try:
        import pyarrow
    except ImportError:
        raise ImportError("this needs pyarrow: pip install 'hft-fastcore[feeds]'") from None
    return pyarrow


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
    pa = pyarrow_or_hint()
    fields = []
    for name in dtype.names or ():
        wanted, _ = field_of(dtype, name)
        base, shape = wanted.subdtype or (wanted, ())
        if len(shape) > 1:
            raise ValueError(f"a field must have at most one dimension to become a column: field={name!r}, shape={shape}")
        kind: Any = pa.binary(base.itemsize) if base.kind in "SV" else pa.from_numpy_dtype(base)
        if name in TIME_FIELDS:
            kind = pa.timestamp("ns", "UTC") if timestamps else pa.int64()
        fields.append(pa.field(name, pa.list_(kind, shape[0]) if shape else kind, nullable=False))
    if names:
        fields.append(pa.field("symbol", pa.dictionary(pa.int32(), pa.string())))
    about = json.dumps(describe(dtype, time_field), separators=(",", ":"))
    return pa.schema(fields, metadata={"hft.records": about})


class Names:
    """The dictionary of the column of names; one object for a whole file, because a file has one dictionary."""

    def __init__(self, names: Mapping[int, str]) -> None:
        pa = pyarrow_or_hint()
        self.dictionary = pa.array(list(names.values()), pa.string())
        self.ids = np.array(list(names), np.uint32)
        order = np.argsort(self.ids)
        self.ids, self.places = self.ids[order], order.astype(np.int32)

    def column(self, symbol_id: npt.NDArray[np.uint32]) -> Any:
        """Return the names of these ids."""
        pa = pyarrow_or_hint()
        if not len(self.ids):
            return pa.DictionaryArray.from_arrays(pa.nulls(len(symbol_id), pa.int32()), self.dictionary)
        place = np.minimum(np.searchsorted(self.ids, symbol_id), len(self.ids) - 1)
        unknown = self.ids[place] != symbol_id
        return pa.DictionaryArray.from_arrays(
            pa.array(self.places[place], mask=unknown if unknown.any() else None), self.dictionary
        )


def to_batch(records: Records, schema: Any, names: Names | None) -> Any:
    """Return records as a record batch of a schema that `schema_of` made."""
    pa = pyarrow_or_hint()
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
    pa = pyarrow_or_hint()
    if records.ndim != 1 or not records.flags.c_contiguous:
        raise ValueError(f"records must be one-dimensional and contiguous: shape={records.shape}, strides={records.strides}")
    size = records.dtype.itemsize
    return pa.Array.from_buffers(pa.binary(size), len(records), [None, pa.py_buffer(records.view(f"V{size}").view(np.uint8))])


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
    pa = pyarrow_or_hint()
    if not isinstance(data, (pa.Table, pa.RecordBatch)):
        data = pa.table(data)
    columns = dict(columns or {})
    if symbol is not None:
        symbol = whole("symbol", symbol, 0, NO_SYMBOL)
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
    pa = pyarrow_or_hint()
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
        if field in TIME_FIELDS:
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
