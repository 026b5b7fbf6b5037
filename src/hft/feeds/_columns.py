"""Columns of Arrow as NumPy arrays: numbers, identifiers, decimals, sides; what is missing or malformed has a mark of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import extra

__all__ = [
    "UNKNOWN_SIDE", "decimal", "decimal_type", "dictionary", "flags", "floats", "integers", "is_text", "numbers", "precision_of", "sides",
    "strings", "texts",
]  # fmt: skip

_BUYS = ("B", "BUY", "BID", "BIDS", "1", "+1", "LONG")
_SELLS = ("S", "SELL", "ASK", "ASKS", "A", "-1", "2", "OFFER", "SHORT")  # FIX: 1 and 2
_NEITHER = ("", "N", "NONE", "UNKNOWN", "U", "?", "NEUTRAL", "NULL")
_TRUE = ("TRUE", "T", "1", "YES", "Y", "SNAPSHOT", "PARTIAL")
_FALSE = ("FALSE", "F", "0", "NO", "N", "", "UPDATE", "DELTA", "CHANGE", "INCREMENTAL")
UNKNOWN_SIDE = 2


def numbers(column: Any, missing: int) -> npt.NDArray[np.int64]:
    """An Arrow column of whole numbers as int64."""
    if column.null_count:
        column = column.fill_null(missing)
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)


def integers(column: Any) -> npt.NDArray[np.int64]:
    """A column of identifiers as the bit pattern of 64-bit numbers; what is missing or no number is -1."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    kind = column.type
    if pa.types.is_integer(kind):
        return numbers(column, -1)
    if pa.types.is_decimal(kind):
        return np.maximum(decimal(column, 0)[0], -1)
    if pa.types.is_floating(kind):
        values_f = column.to_numpy(zero_copy_only=False)
        fine = np.isfinite(values_f) & (np.abs(values_f) < 2**63)
        return np.where(fine, np.where(fine, values_f, 0).astype(np.int64), -1)
    column = pc.utf8_trim_whitespace(strings(column))
    fine = pc.match_substring_regex(column, r"^(\d{1,18}|[1-8]\d{18})$")
    return numbers(pc.cast(pc.if_else(fine, column, pa.scalar(None, pa.string())), pa.int64()), -1)


def decimal(column: Any, most: int = 9) -> tuple[npt.NDArray[np.int64], int]:
    """A column of decimals as whole numbers and their scale, 10**most at the most; what needs more than 63 bits is -1."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    scale = min(max(column.type.scale, 0), most)
    if scale != column.type.scale or column.type.bit_width < 128:
        column = pc.cast(column, pa.decimal256(76, scale), safe=False)
    if column.null_count:
        column = column.fill_null(-1)
    words = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, column.type.bit_width // 64)
    words = words[column.offset : column.offset + len(column)]
    return np.where((words[:, 1:] == words[:, :1] >> 63).all(axis=1), words[:, 0], -1), 10**scale


def decimal_type(text: str) -> Any:
    """For a time like this one: decimals down to the nanosecond, whatever its unit, and no more, so that 63 bits are enough."""
    digits = text.find(".")
    return extra("pyarrow").decimal128(27, 9 if digits <= 10 else 6 if digits <= 13 else 3)


def floats(column: Any, point: str = ".", group: str = "") -> npt.NDArray[np.float64]:
    """A column of prices or sizes as float64; null and text that is no number become NaN."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if is_text(kind):
        column = pc.utf8_trim_whitespace(strings(column))
        if group:
            mark = re.escape(group)
            grouped = pc.match_substring_regex(column, rf"^[-+]?[1-9]\d{{0,2}}({mark}\d{{3}})+({re.escape(point)}\d*)?$")
            column = pc.if_else(grouped, pc.replace_substring(column, group, ""), column)
        if point != ".":
            column = pc.if_else(pc.match_substring(column, "."), pa.scalar(None, pa.string()), pc.replace_substring(column, point, "."))
        fine = pc.match_substring_regex(column, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
        column = pc.cast(pc.if_else(fine, column, pa.scalar(None, pa.string())), pa.float64())
    elif pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    elif not pa.types.is_floating(kind):
        column = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def precision_of(kind: Any) -> float:
    """Relative distance of two neighbours of a type; that of a double where it is no float."""
    types = extra("pyarrow").types
    return 2.0**-23 if types.is_float32(kind) else 2.0**-10 if types.is_float16(kind) else 2.0**-52


def is_text(kind: Any) -> bool:
    types = extra("pyarrow").types
    return bool(types.is_string(kind) or types.is_large_string(kind) or (hasattr(types, "is_string_view") and types.is_string_view(kind)))


def dictionary(column: Any) -> Any:
    """A column as words and their numbers."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    is_coded = pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type)
    return column if is_coded else pc.dictionary_encode(strings(column))


def strings(column: Any) -> Any:
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    if pa.types.is_dictionary(column.type):  # its words first: a view of strings cannot be taken from everywhere
        column = pa.DictionaryArray.from_arrays(column.indices, pc.cast(column.dictionary, pa.string())).dictionary_decode()
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def texts(column: Any) -> list[str]:
    """Cells as they are shown to people; what is missing is ""."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    try:
        cells = [cell or "" for cell in pc.cast(column, pa.string()).to_pylist()]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return ["" if cell is None else str(cell) for cell in column.to_pylist()]
    return [cell.rstrip("0").rstrip(".") if "." in cell else cell for cell in cells] if pa.types.is_timestamp(column.type) else cells


def _coded(column: Any, meanings: Callable[[str], int], missing: int) -> npt.NDArray[np.int8]:
    """Words of a column, without case and spaces around them, as numbers; each word is looked at once."""
    coded = dictionary(column)
    table = np.array([meanings((word or "").strip().upper()) for word in coded.dictionary.to_pylist()] + [missing], np.int8)
    return table[numbers(coded.indices, -1)]


def sides(column: Any, true: int = 0) -> npt.NDArray[np.int8]:
    """+1 for buy, -1 for sell, 0 for neither, `UNKNOWN_SIDE` for another word; `true` is what true means in a column of yes and no."""
    if true:
        return _coded(column, lambda w: true if w in _TRUE else 0 if not w else -true if w in _FALSE else UNKNOWN_SIDE, 0)
    return _coded(column, lambda w: 1 if w in _BUYS else -1 if w in _SELLS else 0 if w in _NEITHER else UNKNOWN_SIDE, 0)


def flags(column: Any) -> npt.NDArray[np.int8]:
    """1 for true, 0 for false, -1 for another word."""
    return _coded(column, lambda w: 1 if w in _TRUE else 0 if w in _FALSE else -1, 0)
