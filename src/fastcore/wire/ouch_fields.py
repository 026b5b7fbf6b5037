"""What of OUCH 5.0 no event holds: the fields of OUCH_DTYPE, and the elements of an appendage by name."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError

__all__ = ["OPTIONS", "OUCH_DTYPE", "details", "pack_options", "parse_options"]

Options = dict[str | int, int | str | bytes]

OUCH_DTYPE = np.dtype(
    {
        "names": [
            "type", "side", "time_in_force", "display", "capacity", "sweep", "cross_type", "state", "liquidity", "strategy",
            "reason", "has_appendage", "prevented_size", "symbol", "cl_ord_id", "appendage_length", "order_reference",
            "execution_price", "appendage_offset", "firm",
        ],
        "formats": ["S1"] * 11 + ["u1", "=u4", "S8", "S14", "=u2", "=u8", "=u8", "=u8", "S4"],
        "offsets": [*range(12), 12, 16, 24, 38, 40, 48, 56, 64],
        "itemsize": 72,
    }
)

# Elements of an appendage: tag, bytes of the value, and what it is: u unsigned, s signed, a letters.
OPTIONS = {
    "secondary_order_reference": (1, 8, "u"), "firm": (2, 4, "a"), "min_size": (3, 4, "u"), "customer_type": (4, 1, "a"),
    "max_floor": (5, 4, "u"), "price_type": (6, 1, "a"), "peg_offset": (7, 4, "s"), "discretion_price": (9, 8, "u"),
    "discretion_price_type": (10, 1, "a"), "discretion_peg_offset": (11, 4, "s"), "post_only": (12, 1, "a"),
    "random_reserves": (13, 4, "u"), "route": (14, 4, "a"), "expire_time_s": (15, 4, "u"), "trade_now": (16, 1, "a"),
    "handle_inst": (17, 1, "a"), "bbo_weight": (18, 1, "a"), "display_size": (22, 4, "u"), "display_price": (23, 8, "u"),
    "group_id": (24, 2, "u"), "shares_located": (25, 1, "a"), "locate_broker": (26, 4, "a"), "side": (27, 1, "a"),
    "user_reference_index": (28, 1, "u"), "aiq_strategy": (29, 1, "a"), "aiq_group_id": (30, 2, "a"),
}
_BY_TAG = {tag: (name, size, kind) for name, (tag, size, kind) in OPTIONS.items()}


def details(n: int, **fields: Any) -> npt.NDArray[np.void]:
    """Make rows beside events for `OuchEncoder.encode`: those of an ordinary order, with fields of your own.

    Parameters
    ----------
    n : int
        How many.
    **fields
        Fields of OUCH_DTYPE and what they are set to: one value, or one for each row. By default the time in force is 0 (day),
        display Y, capacity P (principal), sweep N, cross type N (continuous market), state L, liquidity A, reason U, strategy
        N; symbol, cl_ord_id and firm are blank; type and side 0: they follow from the event.

    Returns
    -------
    ndarray of OUCH_DTYPE, shape (n,)
    """
    rows = np.zeros(n, OUCH_DTYPE)
    plain: dict[str, Any] = {
        "time_in_force": b"0", "display": b"Y", "capacity": b"P", "sweep": b"N", "cross_type": b"N", "state": b"L",
        "liquidity": b"A", "reason": b"U", "strategy": b"N", "symbol": b"", "cl_ord_id": b"", "firm": b"",
    }
    for name, value in (plain | fields).items():
        if name not in (OUCH_DTYPE.names or ()):
            raise ValueError(f"a field must be one of OUCH_DTYPE: field={name!r}")
        if name in ("symbol", "cl_ord_id", "firm"):
            width = OUCH_DTYPE[name].itemsize
            raw = np.asarray(value)
            raw = np.char.encode(raw, "ascii") if raw.dtype.kind == "U" else raw
            if raw.dtype.itemsize > width:
                raise ValueError(f"{name} must have at most {width} characters: {name}={value!r}")
            value = np.char.ljust(raw.astype(f"S{width}"), width)
        rows[name] = value
    return rows


def parse_options(appendage: Any) -> Options:
    """Read the elements of an appendage.

    Parameters
    ----------
    appendage : bytes-like
        ``data[offset : offset + length]`` with `appendage_offset` and `appendage_length` of a row.

    Returns
    -------
    dict
        By name in `OPTIONS`: int, or str of letters. A tag that is unknown, or a value of another length than the tag has, is
        kept as bytes under the number of the tag.

    Raises
    ------
    CorruptDataError
        An element that is not whole, or a tag that comes twice.
    """
    raw = bytes(appendage)
    options: Options = {}
    at = 0
    while at < len(raw):
        size = raw[at]
        if size == 0 or len(raw) - at - 1 < size:
            raise CorruptDataError(f"an appendage must hold whole elements: offset={at} size={size} length={len(raw)}")
        tag, value = raw[at + 1], raw[at + 2 : at + 1 + size]
        name, width, kind = _BY_TAG.get(tag, ("", -1, ""))
        known = len(value) == width
        if (name if known else tag) in options:
            raise CorruptDataError(f"a tag must come once: tag={tag} offset={at}")
        if not known:
            options[tag] = value
        else:
            options[name] = value.decode("latin-1") if kind == "a" else int.from_bytes(value, "big", signed=kind == "s")
        at += 1 + size
    return options


def pack_options(options: Options) -> bytes:
    """Make an appendage of a dict as `parse_options` gives it.

    Raises
    ------
    ValueError
        A name that is not in `OPTIONS`, or a value that does not fit its bytes.
    """
    out = []
    value: Any
    for name, value in options.items():
        if isinstance(name, str) and name in OPTIONS:
            tag, size, kind = OPTIONS[name]
            try:
                raw = value.encode("latin-1").ljust(size) if kind == "a" else value.to_bytes(size, "big", signed=kind == "s")
            except OverflowError:
                raise ValueError(f"{name} must fit {size} bytes: {name}={value}") from None
            if len(raw) != size:
                raise ValueError(f"{name} must have {size} characters: {name}={value!r}")
        else:
            if not isinstance(name, int) or not 0 <= name <= 255 or len(value) > 254:
                raise ValueError(f"an option must be a name of OPTIONS, or a tag 0..255 with bytes: name={name!r} value={value!r}")
            tag, raw = name, bytes(value)
        out.append(bytes([len(raw) + 1, tag]) + raw)
    return b"".join(out)
