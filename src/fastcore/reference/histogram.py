"""Plain-Python twin of ``fastcore.histogram``: the bucket of a value spelled out, the counts in a dictionary."""

import base64
import binascii
import math
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcore.errors import CorruptDataError, range_error

_INNER = struct.Struct(">IIIIQQd")
_OUTER = struct.Struct(">II")
_LIMIT = 2**63 - 1


class Histogram:
    """Log-linear histogram; `_counts` maps the lowest value of a bucket to its count."""

    def __init__(self, lowest: int = 1, highest: int = 3_600_000_000_000, digits: int = 3) -> None:
        if not 1 <= digits <= 5:
            raise range_error("digits", digits, 1, 5)
        if lowest < 1:
            raise ValueError(f"lowest must be at least 1: lowest={lowest}")
        if highest >= 2**62 or highest < 2 * lowest:
            raise range_error("highest", highest, "2*lowest", 2**62 - 1, lowest=lowest)
        self.lowest, self.highest, self.digits = lowest, highest, digits
        self._unit_bits = lowest.bit_length() - 1
        # Twice 10**digits steps of one unit keep the digits up to the first doubling; a power of 2 is needed.
        self._step_bits: int = (2 * 10**digits - 1).bit_length()
        if self._unit_bits + self._step_bits - 1 > 60:
            raise ValueError(f"lowest and digits together need more than 62 bits: lowest={lowest} digits={digits}")
        rows = 1
        while 1 << (self._step_bits + self._unit_bits + rows - 1) <= highest:
            rows += 1
        self._length = (rows + 1) << (self._step_bits - 1)
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.saturated = self.negative = 0

    def _shift(self, value: int) -> int:
        # A bucket is 2**shift wide: values below 2**step_bits units are told apart unit by unit.
        return max(self._unit_bits, value.bit_length() - self._step_bits)

    def _index(self, value: int) -> int:
        row = self._shift(value) - self._unit_bits
        return (row << (self._step_bits - 1)) + (value >> self._shift(value))

    def _value_at(self, index: int) -> int:
        half = 1 << (self._step_bits - 1)
        row = max(index // half - 1, 0)
        return (index - row * half) << (row + self._unit_bits)

    def _checked(self, value: int) -> int:
        if not 0 <= value <= self.highest:
            raise range_error("value", value, 0, self.highest)
        return value

    def _add(self, value: int, count: int) -> None:
        if count > _LIMIT - self.count:
            raise OverflowError(f"the number of values must stay below 2**63: count={self.count} added={count}")
        if count:
            self._counts[self._range(value)[0]] += count
            self.count += count

    @property
    def min(self) -> int:
        """Lowest value of the first used bucket."""
        return min(self._counts, default=0)

    @property
    def max(self) -> int:
        """Highest value of the last used bucket."""
        return self._range(max(self._counts))[1] if self._counts else 0

    def _middle(self, value: int) -> int:
        low, high = self._range(value)
        return low + (high - low + 1) // 2

    @property
    def mean(self) -> float:
        """Mean of the recorded values, each taken for the middle of its bucket."""
        return sum(n * self._middle(v) for v, n in self._counts.items()) / self.count if self._counts else 0.0

    @property
    def stddev(self) -> float:
        """Population standard deviation of the recorded values."""
        if not self._counts:
            return 0.0
        mean = self.mean
        return math.sqrt(math.fsum(n * (self._middle(v) - mean) ** 2 for v, n in self._counts.items()) / self.count)

    def record(self, value: int) -> None:
        """Count a value."""
        self._add(self._checked(value), 1)

    def record_count(self, value: int, count: int) -> None:
        """Count a value several times."""
        self._checked(value)
        if count < 0:
            raise ValueError(f"count must not be negative: count={count}")
        self._add(value, count)

    def record_many(self, values: NDArray[np.int64], expected_interval: int = 0) -> None:
        """Count every value of an array, or none."""
        _check_array(values, "values")
        if expected_interval < 0:
            raise ValueError(f"expected_interval must not be negative: expected_interval={expected_interval}")
        for i, value in enumerate(values.tolist()):
            if not 0 <= value <= self.highest:
                raise range_error("value", value, 0, self.highest, index=i)
        for value in values.tolist():
            self.record_corrected(value, expected_interval)

    def record_corrected(self, value: int, expected_interval: int) -> int:
        """Count a value, and the ones that a stalled measurement omitted."""
        self._checked(value)
        if expected_interval < 0:
            raise ValueError(f"expected_interval must not be negative: expected_interval={expected_interval}")
        self._add(value, 1)
        total = 1
        if expected_interval > 0:
            missing = value - expected_interval
            while missing >= expected_interval:
                self._add(missing, 1)
                missing -= expected_interval
                total += 1
        return total

    def count_at(self, value: int) -> int:
        """Return how many recorded values share the bucket of `value`."""
        return self._counts[self.equivalent(self._checked(value))[0]]

    def equivalent(self, value: int) -> tuple[int, int]:
        """Return the lowest and the highest value that share a bucket with `value`."""
        return self._range(self._checked(value))

    def _range(self, value: int) -> tuple[int, int]:
        shift = self._shift(value)
        low = value >> shift << shift
        return low, low + (1 << shift) - 1

    def percentile(self, p: float) -> int:
        """Return the value at a rank: the highest of its bucket, for p = 0 the lowest."""
        if not 0.0 <= p <= 100.0:
            raise range_error("p", p, 0, 100)
        rank = max(1, int(p * self.count / 100.0 + 0.5))
        total = 0
        for value in sorted(self._counts):
            total += self._counts[value]
            if total >= rank:
                return self._range(value)[1] if p > 0.0 else value
        return 0

    def percentiles(self, ps: Iterable[float] = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)) -> dict[float, int]:
        """Return several percentiles."""
        return {float(p): self.percentile(p) for p in ps}

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram."""
        if other.count > _LIMIT - self.count:
            raise OverflowError(f"the number of values must stay below 2**63: count={self.count} added={other.count}")
        same = (self._unit_bits, self._step_bits) == (other._unit_bits, other._step_bits)
        largest = max(other._counts, default=0)
        if not (same and self._index(largest) < self._length) and largest > self.highest:
            raise range_error("largest value of the other histogram", largest, 0, self.highest)
        for value, count in list(other._counts.items()):
            shift = self._shift(value)
            self._counts[value >> shift << shift] += count
        self.count += other.count
        self.saturated += other.saturated
        self.negative += other.negative

    def reset(self) -> None:
        """Forget every recorded value."""
        self._counts.clear()
        self.count = 0
        self.saturated = self.negative = 0

    def to_numpy(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the lowest value and the count of every used bucket."""
        used = sorted(self._counts)
        return np.array(used, np.int64), np.array([self._counts[value] for value in used], np.int64)

    def encode(self) -> str:
        """Encode all counts as HdrHistogram V2 in base64."""
        counts = bytearray()
        expected = 0
        for value in sorted(self._counts):
            index = self._index(value)
            zeros = index - expected
            if zeros:
                counts += _leb128(0 if zeros == 1 else -zeros)
            counts += _leb128(self._counts[value])
            expected = index + 1
        inner = zlib.compress(_INNER.pack(0x1C849313, len(counts), 0, self.digits, self.lowest, self.highest, 1.0) + counts)
        return base64.b64encode(_OUTER.pack(0x1C849314, len(inner)) + inner).decode("ascii")

    @staticmethod
    def decode(text: str | bytes) -> "Histogram":
        """Make a histogram from its encoding."""
        try:
            raw = base64.b64decode(text, validate=True)
            cookie, length = _OUTER.unpack_from(raw)
            if cookie & 0xFFFFFF0F != 0x1C849304 or length != len(raw) - 8:
                raise CorruptDataError(f"the header must fit the data: cookie={cookie:#x} stated={length} bytes={len(raw) - 8}")
            inner = zlib.decompress(raw[8:])
            cookie, length, offset, digits, lowest, highest, _ = _INNER.unpack_from(inner)
            if cookie & 0xFFFFFF0F != 0x1C849303 or length != len(inner) - 40 or offset:
                raise CorruptDataError(f"the header must fit the counts: cookie={cookie:#x} stated={length} offset={offset}")
            histogram = Histogram(lowest, highest, digits)
        except (binascii.Error, struct.error, zlib.error, ValueError) as error:
            raise CorruptDataError(f"an encoded histogram must be whole: {error}") from None
        index = 0
        for number in _numbers(inner[40:]):
            if number < 0:
                index -= number
                if index > histogram._length:
                    raise CorruptDataError(f"counts must be at most {histogram._length}: zeros={-number}")
                continue
            if index >= histogram._length or number > _LIMIT - histogram.count:
                raise CorruptDataError(f"counts must be at most {histogram._length}, below 2**63: index={index} count={number}")
            if number:
                histogram._counts[histogram._value_at(index)] = number
                histogram.count += number
            index += 1
        return histogram


def _leb128(number: int) -> bytes:
    # Zigzag, then seven bits a byte, low ones first; the ninth byte carries eight.
    z = ((number << 1) ^ (number >> 63)) & (2**64 - 1)
    out = bytearray()
    while z >= 0x80 and len(out) < 8:
        out.append(z & 0x7F | 0x80)
        z >>= 7
    out.append(z)
    return bytes(out)


def _numbers(data: bytes) -> Iterable[int]:
    at = 0
    while at < len(data):
        z = 0
        for i in range(9):
            if at >= len(data):
                raise CorruptDataError(f"a count must end inside the data: bytes={len(data)}")
            byte = data[at]
            at += 1
            if i == 8:
                z |= byte << 56
                break
            z |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                break
        yield (z >> 1) ^ -(z & 1)


def _check_array(values: Any, name: str) -> None:
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of int64: type={type(values).__name__}")
    if values.dtype != np.int64:
        raise TypeError(f"{name} must be a NumPy array of int64: dtype={values.dtype}")
    if values.ndim != 1 or not values.flags.c_contiguous or not values.flags.aligned:
        raise ValueError(
            f"{name} must be one-dimensional, C-contiguous and aligned: shape={values.shape} strides={values.strides}"
        )


def hlog(intervals: Iterable[tuple[str | None, Histogram, float, float]], start_s: float = 0.0, comment: str = "") -> str:
    """Write histograms as an HdrHistogram log."""
    if not 0.0 <= start_s < math.inf:
        raise ValueError(f"start_s must be finite and not negative: start_s={start_s}")
    if len(comment.splitlines()) > 1:
        raise ValueError(f"comment must be one line: comment={comment!r}")
    lines = [f"#[{comment}]"] if comment else []
    lines.append("#[Histogram log format version 1.3]")
    lines.append(f"#[StartTime: {start_s:.3f} (seconds since epoch)]")
    lines.append('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"')
    for tag, histogram, begin_s, end_s in intervals:
        if tag and ("," in tag or tag.split() != [tag]):
            raise ValueError(f"tag must have no commas and no white space: tag={tag!r}")
        if not 0.0 <= begin_s <= end_s < math.inf:
            raise ValueError(f"an interval must be finite and end after it begins: begin_s={begin_s} end_s={end_s}")
        head = f"Tag={tag}," if tag else ""
        lines.append(f"{head}{begin_s:.3f},{end_s - begin_s:.3f},{histogram.max / 1e6:.3f},{histogram.encode()}")
    return "\n".join(lines) + "\n"
