"""Header of a tick store: what its records are, how they are cut into blocks and segments, and what may be opened.

The first page of the file, in the byte order of the writer's machine (``_c/fc_store.h`` draws the rest):

======  ====  ================  =======================================================================
offset  size  field             meaning
======  ====  ================  =======================================================================
0       8     magic             ``FCSTORE\\0``
8       2, 2  major, minor      another major is refused; a higher minor can be read
12      4     header_bytes      4,096
16      4     endian            0x01020304
20      4     record_size       bytes
24      8     schema_hash       first 8 bytes of the SHA-256 of the schema, big-endian
32      8     segment_id        0: all segments are in this file
40      8     salt              random, part of every checksum
48      8     segment_records   records of a segment
56      8     created_ns        UNIX ns
64      4     block_records     records under one checksum
68      4     schema_bytes      length of the schema, JSON text that follows these fields
72      4     reserved          0
76      4     crc               CRC32C of the page with this field 0
======  ====  ================  =======================================================================
"""

import json
import math
import operator
import os
import re
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, LayoutError, range_error

PAGE = 4096
BASE = 65536  # where the first segment starts
ALIGN = 65536  # unit of every part of a segment
SEGMENT_BYTES = 16 << 20  # of records, where nobody says how many
MAGIC, MAJOR, MINOR, ENDIAN = b"FCSTORE\0", 1, 0, 0x01020304
TIME_FIELDS = ("timestamp_ns", "exch_ns", "local_ns")
SYNC_POLICIES = ("memory", "interval", "commit")
MOST_SEGMENT_BYTES = 1 << 40
SMALL_TABLE_BYTES = 1 << 20  # commit words of a segment that may be there whatever the size of the file
_KIND = re.compile(r"[biufcSVU][0-9]+|[mM]8(\[[0-9A-Za-z/]+\])?")  # of a field: a number, or bytes of a fixed length
_FIELDS = struct.Struct("=8sHHIIIQQQQqIIII")
_CRC_AT = 76
_CONTROL = struct.Struct("=Q56xQ")  # of the page behind: published records, writers so far
IDENTITY_BYTES = PAGE + _CONTROL.size

Checksum = Callable[[bytes], int]  # CRC32C: the caller's, compiled or plain


class Header(NamedTuple):
    """What a store says about itself."""

    record_size: int
    schema_hash: int
    segment_id: int
    salt: int
    segment_records: int
    created_ns: int
    block_records: int
    minor: int
    dtype: np.dtype[np.void]
    time_field: str | None

    @property
    def version(self) -> str:
        """Version of the layout."""
        return f"{MAJOR}.{self.minor}"


# ---- records


def describe_fields(dtype: np.dtype[np.void]) -> list[list[Any]]:
    """Return the fields of a dtype as JSON keeps them: name, type, offset, then the shape where there is one."""
    fields = []
    for name in dtype.names or ():
        field, offset = field_of(dtype, name)
        base, shape = field.subdtype or (field, ())
        if base.names or base.hasobject:
            raise ValueError(f"fields must be numbers or fixed-size bytes: field={name!r}, dtype={field}")
        if not base.isnative:
            raise ValueError(f"fields must be in native byte order: field={name!r}, dtype={field}")
        fields.append([name, base.str.lstrip("<>=|"), offset, *shape])
    return fields


def dtype_of(fields: Sequence[Sequence[Any]], itemsize: int) -> np.dtype[np.void]:
    """Return the dtype that `describe_fields` described; ValueError where it described none: the text may be anybody's."""
    try:
        made = _dtype_of(fields, itemsize)
        if describe_fields(check_dtype(made)) == [list(field) for field in fields]:
            return made
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(f"records must be plain numeric fields: {error}") from None
    raise ValueError("records must be plain numeric fields, described as a store describes them")


def _dtype_of(fields: Sequence[Sequence[Any]], itemsize: int) -> np.dtype[np.void]:
    for name, kind, *numbers in fields:
        if not isinstance(name, str) or not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise ValueError(f"fields must be numbers or fixed-size bytes: field={name!r}, type={kind!r}")
        if not all(type(number) is int and 0 <= number <= PAGE for number in numbers):
            raise ValueError(f"offset and shape of a field must be in 0..{PAGE}: field={name!r}, offset and shape={numbers}")
        if math.prod(numbers[1:]) > PAGE:
            raise ValueError(f"a field must fit the record: field={name!r}, shape={numbers[1:]}")
    if type(itemsize) is not int or not 8 <= itemsize <= PAGE:
        raise ValueError(f"the record size must be a multiple of 8 in 8..{PAGE}: itemsize={itemsize!r}")
    dtype: np.dtype[np.void] = np.dtype(
        {
            "names": [name for name, *_ in fields],
            "formats": [(kind, tuple(shape)) if shape else kind for _, kind, _, *shape in fields],
            "offsets": [offset for _, _, offset, *_ in fields],
            "itemsize": itemsize,
        }
    )
    return dtype


def field_of(dtype: np.dtype[np.void], name: str) -> tuple[np.dtype[Any], int]:
    """Return dtype and offset of a field."""
    assert dtype.fields is not None
    found = dtype.fields[name]
    return found[0], found[1]


def check_dtype(dtype: npt.DTypeLike) -> np.dtype[np.void]:
    """Return the dtype of records, or raise ValueError where a store cannot hold them."""
    checked: np.dtype[Any] = np.dtype(dtype)
    if not checked.names:
        raise ValueError(f"records must have named fields: dtype={checked}")
    if checked.itemsize % 8 or not 8 <= checked.itemsize <= PAGE:
        raise ValueError(f"the record size must be a multiple of 8 in 8..{PAGE}: itemsize={checked.itemsize}")
    return checked


def time_field_of(dtype: np.dtype[np.void], name: str | None = None) -> str | None:
    """Return the field that queries search: an aligned 8-byte integer, by default the first of `TIME_FIELDS` that there is."""
    names = dtype.names or ()
    if name is None:
        return next((field for field in TIME_FIELDS if field in names), None)
    if name not in names:
        raise ValueError(f"time_field must be a field of the record: time_field={name!r}, fields={names}")
    field, offset = field_of(dtype, name)
    if field.str[1:] not in ("u8", "i8") or offset % 8:
        raise ValueError(f"time_field must be an aligned 8-byte integer: time_field={name!r}, dtype={field}, offset={offset}")
    return name


# ---- blocks and segments


def block_records(record_size: int) -> int:
    """Return the records of a block: the largest power of two of them that fits a page."""
    return 1 << (PAGE // record_size).bit_length() - 1


def round_segment(records: int, record_size: int) -> int:
    """Return how many records a segment for at least so many has: its parts are multiples of 64 KiB."""
    unit = block_records(record_size)
    while unit * record_size % ALIGN:
        unit *= 2
    return max(1, -(-records // unit)) * unit


def round_growth(records: int | None, segment_records: int, record_size: int) -> int:
    """Return by how many records a file grows where `records` were asked for: a segment, or a part of one."""
    return segment_records if records is None else min(segment_records, round_segment(records, record_size))


def segment_parts(segment_records: int, record_size: int) -> tuple[int, int]:
    """Return the bytes of the commit words and of the records of a segment."""
    words = segment_records // block_records(record_size) * 8
    return -(-words // ALIGN) * ALIGN, segment_records * record_size


def least_bytes(records: int, record_size: int, room: int | None = None) -> int:
    """Return the size of a store of one segment for so many records, or (`room`) of which so many have their place on the disk."""
    table, data = segment_parts(round_segment(records, record_size), record_size)
    return BASE + table + (data if room is None else room * record_size)


# ---- the page


def make_header(dtype: np.dtype[np.void], time_field: str | None, segment_records: int, crc32c: Checksum) -> bytes:
    """Return the first page of a new store."""
    text = _schema(dtype, time_field)
    if len(text) > PAGE - _FIELDS.size:
        raise ValueError(f"the description of a record must fit the header page: bytes={len(text)}")
    size, salt = dtype.itemsize, int.from_bytes(os.urandom(8), "little")
    if segment_records * size > MOST_SEGMENT_BYTES:
        raise ValueError(f"a segment must be at most 2**40 bytes: segment_records={segment_records}, record_size={size}")
    fields = (size, _hash(text), 0, salt, segment_records, time.time_ns(), block_records(size), len(text), 0)

    def page(crc: int) -> bytes:
        return (_FIELDS.pack(MAGIC, MAJOR, MINOR, PAGE, ENDIAN, *fields, crc) + text).ljust(PAGE, b"\0")

    return page(crc32c(page(0)))


def parse_header(page: bytes, path: str, file_bytes: int, crc32c: Checksum) -> Header:
    """Return what the first page of a store says; LayoutError where it is another's, CorruptDataError where it is damaged or absurd."""
    # In the order in which a stranger's file breaks the rules.
    if len(page) < PAGE:
        raise CorruptDataError(f"a store starts with a header of {PAGE} bytes: path={path}, bytes={len(page)}")
    magic, major, minor, header_bytes, endian, size, schema_hash, segment_id, salt, segment, created, block, length, _, crc = (
        _FIELDS.unpack_from(page)
    )
    if magic != MAGIC:
        raise LayoutError(f"not a store (magic): path={path}, magic={magic!r}")
    if endian == int.from_bytes(ENDIAN.to_bytes(4, "little"), "big"):
        raise LayoutError(f"the store was written on a machine of the other byte order: path={path}, endian tag=0x{endian:08x}")
    if major != MAJOR:
        raise LayoutError(f"this build reads version {MAJOR}.x: path={path}, version={major}.{minor}")
    blank = page[:_CRC_AT] + bytes(4) + page[_CRC_AT + 4 :]
    if endian != ENDIAN or header_bytes != PAGE or crc32c(blank) != crc:
        raise CorruptDataError(f"the header must match its checksum: path={path}")
    text = page[_FIELDS.size : _FIELDS.size + length]
    if _hash(text) != schema_hash:
        raise CorruptDataError(f"the schema must match its hash: path={path}")
    # A checksum vouches for no intent: whoever made the file made that too.
    try:
        schema = json.loads(text)
        fields, itemsize, time_name = schema["fields"], schema["itemsize"], schema["time"]
        if itemsize != size:
            raise CorruptDataError(f"the record size must be that of the schema: path={path}, record_size={size}")
        dtype = dtype_of(fields, itemsize)
        time_field = time_field_of(dtype, time_name) if time_name is not None else None
    except CorruptDataError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptDataError(f"the schema must describe records: path={path}, {error}") from None
    if not 0 < segment <= MOST_SEGMENT_BYTES // size or round_segment(segment, size) != segment or block_records(size) != block:
        raise CorruptDataError(f"block and segment must fit the record size: path={path}, block={block}, segment={segment}")
    # Commit words are there as a whole before the first record is.
    if segment_parts(segment, size)[0] > max(file_bytes, SMALL_TABLE_BYTES):
        raise CorruptDataError(f"a segment must fit the file: path={path}, segment={segment}, bytes={file_bytes}")
    return Header(size, schema_hash, segment_id, salt, segment, created, block, minor, dtype, time_field)


def identity_of(head: bytes) -> list[int] | None:
    """Return salt, writers so far and published records from the first `IDENTITY_BYTES`; None where that is no store."""
    if len(head) < IDENTITY_BYTES:
        return None
    magic, major, _, _, _, _, _, _, salt, *_ = _FIELDS.unpack_from(head)
    count, epoch = _CONTROL.unpack_from(head, PAGE)
    return [salt, epoch, count] if magic == MAGIC and major == MAJOR else None


# ---- what a caller asks for


def whole(name: str, value: Any, low: int, high: int | None) -> int:
    """Return an argument that must be a whole number in LOW..HIGH; TypeError for a float, whose fraction nobody cuts off."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number: {name}={value!r}") from None
    if high is None and number < low:
        raise ValueError(f"{name} must be at least {low}: {name}={number}")
    if high is not None and not low <= number <= high:
        raise range_error(name, number, low, high)
    return number


def check_options(sync: str, sync_interval_s: float, segment_records: int | None, grow_records: int | None = None) -> None:
    """Refuse options that no store has."""
    if sync not in SYNC_POLICIES:
        raise ValueError(f"sync must be one of {SYNC_POLICIES}: sync={sync!r}")
    if not 0.0 < sync_interval_s < float("inf"):
        raise ValueError(f"sync_interval_s must be positive and finite: sync_interval_s={sync_interval_s}")
    for name, records in (("segment_records", segment_records), ("grow_records", grow_records)):
        if records is not None:
            whole(name, records, 1, (1 << 40) - 1)


def check_asked(header: Header, path: str, dtype: np.dtype[np.void] | None, time_field: str | None, writable: bool) -> None:
    """Refuse to open a store that is not what the caller asked for."""
    stored = header.dtype
    if dtype is not None and _schema(dtype, header.time_field) != _schema(stored, header.time_field):
        raise LayoutError(
            f"the store holds other records: path={path}, stored record size={stored.itemsize}, dtype={stored}; "
            f"asked for record size={dtype.itemsize}, dtype={dtype}"
        )
    if time_field is not None and time_field != header.time_field:
        raise ValueError(f"time_field must be that of the store: time_field={time_field!r}, stored={header.time_field!r}")
    if writable and header.minor > MINOR:
        raise LayoutError(f"a store of a later minor version can only be read: path={path}, version={header.version}")


def _schema(dtype: np.dtype[np.void], time_field: str | None) -> bytes:
    # Text that two stores share exactly when their records mean the same.
    fields = {"fields": describe_fields(dtype), "itemsize": dtype.itemsize, "time": time_field}
    return json.dumps(fields, separators=(",", ":")).encode()


def _hash(text: bytes) -> int:
    import hashlib  # it loads OpenSSL, which a run without a store need not wait for

    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
