"""Packets of SoupBinTCP one at a time: what a session needs beside its messages; the table of packets is in ``fastcore.wire.soup``."""

from operator import index
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError, range_error

__all__ = [
    *("MAX_PAYLOAD", "SOUP_DTYPE", "debug", "end_of_session", "heartbeat", "login_accepted", "login_rejected", "login_request"),
    *("logout_request", "parse_login_accepted", "parse_login_request", "sequenced", "unsequenced"),
]

MAX_PAYLOAD = 65_534

SOUP_DTYPE = np.dtype(
    {
        "names": ["offset", "sequence", "length", "type"],
        "formats": ["=u8", "=u8", "=u4", "S1"],
        "offsets": [0, 8, 16, 20],
        "itemsize": 24,
    }
)


def _packet(letter: bytes, payload: Any) -> bytes:
    raw = bytes(memoryview(payload).cast("B"))
    if len(raw) > MAX_PAYLOAD:
        raise ValueError(f"a payload must have at most {MAX_PAYLOAD} bytes: length={len(raw)}")
    return (len(raw) + 1).to_bytes(2, "big") + letter + raw


def _text(name: str, value: str | bytes, width: int, left: bool = False) -> bytes:
    # Padded with spaces: on the right, sessions on the left.
    raw = value.encode("ascii") if isinstance(value, str) else bytes(value)
    if len(raw) > width:
        raise ValueError(f"{name} must have at most {width} characters: {name}={value!r}")
    return raw.rjust(width) if left else raw.ljust(width)


def _digits(name: str, value: int, width: int) -> bytes:
    value = index(value)
    if not 0 <= value < min(10**width, 2**64):
        raise range_error(name, value, 0, min(10**width, 2**64) - 1)
    return str(value).encode().rjust(width)


def debug(text: str | bytes) -> bytes:
    """Encode a debug packet: text for people, of str (ASCII) or bytes."""
    return _packet(b"+", text.encode("ascii") if isinstance(text, str) else text)


def login_accepted(session: str | bytes, sequence: int) -> bytes:
    """Encode a login accepted packet: session (up to 10 characters) and number of the next sequenced message."""
    return _packet(b"A", _text("session", session, 10, True) + _digits("sequence", sequence, 20))


def login_rejected(reason: str | bytes = "A") -> bytes:
    """Encode a login rejected packet: reason ``A`` (not authorised) or ``S`` (session not available)."""
    return _packet(b"J", _text("reason", reason, 1))


def login_request(
    username: str | bytes,
    password: str | bytes,
    session: str | bytes = "",
    sequence: int = 1,
    heartbeat_timeout_ms: int | None = None,
) -> bytes:
    """Encode a login request.

    Parameters
    ----------
    username, password : str or bytes
        Up to 6 and 10 characters.
    session : str or bytes, default ""
        Up to 10 characters; empty for the current session.
    sequence : int, default 1
        Number of the first sequenced message wanted; 0 for new ones only.
    heartbeat_timeout_ms : int, optional
        0..99999; adds the field that version 4.10 has and 3.00 and 4.00 have not.

    Raises
    ------
    ValueError
        A field that is longer than its place.
    """
    payload = (
        _text("username", username, 6) + _text("password", password, 10) + _text("session", session, 10, True)
        + _digits("sequence", sequence, 20)
    )
    if heartbeat_timeout_ms is not None:
        payload += _digits("heartbeat_timeout_ms", heartbeat_timeout_ms, 5)
    return _packet(b"L", payload)


def logout_request() -> bytes:
    """Encode a logout request."""
    return _packet(b"O", b"")


def sequenced(payload: Any) -> bytes:
    """Encode one message of a server as a sequenced packet."""
    return _packet(b"S", payload)


def unsequenced(payload: Any) -> bytes:
    """Encode one message as an unsequenced packet."""
    return _packet(b"U", payload)


def heartbeat(server: bool) -> bytes:
    """Encode a heartbeat of the server (True) or of the client (False)."""
    return _packet(b"H" if server else b"R", b"")


def end_of_session() -> bytes:
    """Encode an end of session packet."""
    return _packet(b"Z", b"")


def _number(name: str, raw: bytes) -> int:
    text = raw.strip(b" ")
    if not text.isdigit() or int(text) >= 2**64:
        raise CorruptDataError(f"{name} must be a number of ASCII digits below 2**64: {name}={raw!r}")
    return int(text)


def parse_login_accepted(payload: Any) -> tuple[str, int]:
    """Read the payload of a login accepted packet: (session, number of the next sequenced message)."""
    raw = bytes(payload)
    if len(raw) != 30:
        raise CorruptDataError(f"a login accepted payload must have 30 bytes: length={len(raw)}")
    return raw[:10].decode("latin-1").strip(" "), _number("sequence", raw[10:])


def parse_login_request(payload: Any) -> tuple[str, str, str, int, int | None]:
    """Read the payload of a login request: (username, password, session, sequence, heartbeat_timeout_ms or None)."""
    raw = bytes(payload)
    if len(raw) not in (46, 51):
        raise CorruptDataError(f"a login request payload must have 46 or 51 bytes: length={len(raw)}")
    username, password, session = (raw[a:b].decode("latin-1").strip(" ") for a, b in ((0, 6), (6, 16), (16, 26)))
    timeout = _number("heartbeat_timeout_ms", raw[46:]) if len(raw) > 46 else None
    return username, password, session, _number("sequence", raw[26:46]), timeout
