"""What every decoder of the wire formats does alike: bytes of any kind, arrays that are checked, arguments, counts that start anew."""

import ctypes
import mmap
import struct

import numpy as np
import pytest

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fastcore.wire import itch, mold, ouch, soup

DELETE = b"D" + struct.pack(">HH6sQ", 13, 0, bytes(6), 5)
FRAME = struct.pack(">H", len(DELETE)) + DELETE
PACKET = b"S".ljust(10) + struct.pack(">QH", 1, 1) + FRAME
SOUP = b"\0\x04Sabc"
MISSING = b"O" + bytes(44) + b"\0\0"  # no side
OFFSETS = np.array([0, len(PACKET)])
ROW = np.array([(0, 1, len(MISSING), b"U")], soup.SOUP_DTYPE)


def events(n=64):
    return np.zeros(n, EVENT_DTYPE)


# Each decodes one message of its format: the class, bytes of it, a call of a decoder with bytes and an array, the dtype of the array,
# damaged bytes, and what the error says of them.
DECODERS = {
    "itch": (itch.ItchDecoder, FRAME, lambda d, data, out: d.decode(data, out)[0], EVENT_DTYPE, b"\0\1?", "unknown message type"),
    "mold": (
        lambda **options: mold.MoldDecoder(itch.ItchDecoder(), **options), PACKET,
        lambda d, data, out: d.decode_batch(data, np.array([0, memoryview(data).nbytes]), out)[0], EVENT_DTYPE, PACKET[:19], "short buffer",
    ),
    "soup": (soup.SoupDecoder, SOUP, lambda d, data, out: d.decode(data, out)[0], soup.SOUP_DTYPE, b"\0\1?", "unknown message type"),
    "ouch": (
        lambda **options: ouch.OuchDecoder(False, **options), b"O" + bytes(4) + b"B" + bytes(39) + b"\0\0",
        lambda d, data, out: d.decode(data, ROW, out, np.zeros(len(out), ouch.OUCH_DTYPE)), EVENT_DTYPE, MISSING, "corrupt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "ndarray", "mmap", "ctypes"])
def test_any_contiguous_buffer_is_read(name, kind, tmp_path):
    make, raw, decode, dtype, _, _ = DECODERS[name]
    (tmp_path / "x").write_bytes(raw)
    with open(tmp_path / "x", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        data = {
            "bytes": raw,
            "bytearray": bytearray(raw),
            "memoryview": memoryview(b"." + raw)[1:],
            "ndarray": np.frombuffer(raw, np.uint8),
            "mmap": mapping,
            "ctypes": (ctypes.c_uint8 * len(raw)).from_buffer_copy(raw),
        }[kind]
        assert decode(make(), data, np.zeros(64, dtype)) == 1
        del data


@pytest.mark.parametrize("name", DECODERS)
def test_arrays_that_records_cannot_be_written_into_are_refused(name):
    make, raw, decode, dtype, _, _ = DECODERS[name]
    fixed, shifted = np.zeros(64, dtype), np.zeros(64 * dtype.itemsize + 1, np.uint8)[1:].view(dtype)
    fixed.flags.writeable = False
    dtype_name = "SOUP_DTYPE" if name == "soup" else "EVENT_DTYPE"
    for out, error, rule in (
        ([0] * 64, TypeError, f"out must be a NumPy array of {dtype_name}: type=list"),
        (np.zeros(64), TypeError, f"out must have dtype {dtype_name}: dtype=float64"),
        (np.zeros(64, dtype.newbyteorder(">")), TypeError, f"out must have dtype {dtype_name}"),
        (np.zeros((64, 1), dtype), ValueError, "out must be one-dimensional, contiguous and aligned: ndim=2"),
        (np.zeros(128, dtype)[::2], ValueError, "out must be one-dimensional, contiguous and aligned: ndim=1"),
        (shifted, ValueError, "out must be one-dimensional, contiguous and aligned: ndim=1"),
        (fixed, ValueError, "out must be writable"),
    ):
        with pytest.raises(error, match=rule):
            decode(make(), raw, out)


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_no_contiguous_buffer_is_refused(name):
    make, _, decode, dtype, _, _ = DECODERS[name]
    for data, error in (("text", TypeError), (None, TypeError), (np.zeros(10, np.uint8)[::2], (ValueError, BufferError))):
        with pytest.raises(error):
            decode(make(), data, np.zeros(64, dtype))


@pytest.mark.parametrize("name", DECODERS)
def test_errors_are_counted_kept_and_raised_alike(name):
    make, raw, decode, dtype, damaged, reason = DECODERS[name]
    out = np.zeros(64, dtype)
    d = make()
    for _ in range(70):
        assert decode(d, damaged, out) == 0
    assert d.errors == {reason: 70}
    assert len(d.error_log) == 64
    assert {entry[2] for entry in d.error_log} == {reason}
    assert reason in repr(d)
    d.reset()
    assert (d.errors, d.error_log, d.unknown, d.position, d.strict) == ({}, [], {}, 0, False)
    assert decode(d, raw, out) == 1
    strict = make(strict=True)
    with pytest.raises(CorruptDataError, match=f"{reason} type=.* offset=0") as caught:
        decode(strict, damaged, out)
    assert (caught.value.offset, getattr(caught.value, "packets" if name == "soup" else "events")) == (0, 0)
    strict.reset()
    assert strict.strict is True


ARGUMENTS = [
    (itch.ItchDecoder, (2**62 + 1,), ValueError, r"midnight_ns must be in -2\*\*62..2\*\*62: midnight_ns="),
    (itch.ItchDecoder, (-(2**62) - 1,), ValueError, "midnight_ns must be in"),
    (itch.ItchDecoder, (0.5,), TypeError, "cannot be interpreted as an integer"),
    (itch.ItchEncoder, (2**62 + 1,), ValueError, "midnight_ns must be in"),
    (itch.ItchEncoder, (2**70,), OverflowError, "a whole number must be in"),
    (itch.ItchDecoder().symbol, (65_536,), ValueError, r"locate must be in 0\.\.65535: locate=65536"),
    (itch.ItchEncoder().set_symbol, (-1, "A"), ValueError, r"locate must be in 0\.\.65535: locate=-1"),
    (itch.ItchEncoder().set_symbol, (1, "TOOLONGER"), ValueError, "symbol must have 1 to 8 characters: symbol='TOOLONGER'"),
    (mold.MoldDecoder, (7,), TypeError, "ItchDecoder"),
    (mold.MoldDecoder, (None, 2**63), ValueError, r"a sequence number must be in 0\.\.2\*\*63-1: sequence=9223372036854775808"),
    (mold.MoldDecoder, (None, -1), OverflowError, "a whole number must be in"),
    (mold.MoldDecoder().decode, (PACKET, events()), ValueError, "decoding to events needs an ItchDecoder: itch=None"),
    (mold.MoldEncoder, ("S" * 11,), ValueError, "session must have at most 10 characters"),
    (mold.MoldEncoder, ("S", 1, 21), ValueError, r"max_size must be in 22\.\.65507: max_size=21"),
    (mold.MoldEncoder, ("S", 1, 65_508), ValueError, "max_size must be in"),
    (mold.request, ("S", 1, 0), ValueError, r"count must be in 1\.\.65534: count=0"),
    (mold.request, ("S", 1, 65_535), ValueError, "count must be in"),
    (mold.request, ("S", 2**63, 1), ValueError, "a sequence number must be in"),
    (soup.SoupDecoder, (-1,), OverflowError, "a whole number must be in"),
    (soup.SoupDecoder, (1.5,), TypeError, "cannot be interpreted as an integer"),
    (ouch.OuchDecoder, (True, None, 2**62 + 1), ValueError, "midnight_ns must be in"),
    (ouch.OuchDecoder, (True, 7), TypeError, "SymbolMapper"),
    (ouch.OuchEncoder, (True, 2**62 + 1), ValueError, "midnight_ns must be in"),
    (ouch.OuchEncoder, (True, 1.5), TypeError, "cannot be interpreted as an integer"),
]


@pytest.mark.parametrize(("call", "arguments", "error", "rule"), ARGUMENTS)
def test_arguments_out_of_range_are_refused(call, arguments, error, rule):
    with pytest.raises(error, match=rule):
        call(*arguments)


def test_the_base_of_all_decoders_is_none():
    from fastcore.wire import tally

    with pytest.raises(TypeError, match="a decoder must be one of a format: ItchDecoder, BinanceDecoder"):
        tally._Decoder()
