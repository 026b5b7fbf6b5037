"""Pipes and devices: what can be read only once is kept while it is short, so that its beginning can be looked at as often as needed."""

from __future__ import annotations

import errno
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

__all__ = ["STDIN", "forget_streams", "is_stream", "opened"]

STDIN = Path("/dev/stdin")  # the name of the standard input, also where there is no such file
KEPT_BYTES = 1 << 24  # of a stream: what comes before can be read again until so much was read

_streams: dict[Path, _Stream] = {}


class _Stream:
    """One pipe, and what it has given so far. A reader that was given up may still be ahead on its thread, so readers take turns."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.head: bytearray | None = bytearray()
        self.read = 0
        self._turn = threading.Lock()

    def take(self, at: int, size: int) -> bytes:
        """Bytes at a place: kept ones, or those that come next."""
        with self._turn:
            if at < self.read:
                if self.head is None:
                    rule = f"a stream is read once, where it is longer than {KEPT_BYTES} bytes; use a file"
                    raise OSError(errno.ESPIPE, rule, str(self.path))
                return bytes(self.head[at : at + size])
            data = self.file.read(size) or b""
            self.read += len(data)
            if self.head is not None:
                self.head += data
                if self.read > KEPT_BYTES:
                    self.head = None
            return data


class _Reader:
    """A stream from its first byte, as a file that is read from there on."""

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._at = stream, 0

    def read(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size and (data := self._stream.take(self._at, size - len(found))):
            found += data
            self._at += len(data)
        return bytes(found)

    def tell(self) -> int:
        return self._at

    def seek(self, place: int) -> int:
        self._at = place
        return place

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None:
        """The stream stays: what was read of it cannot be read from the system again."""


def is_stream(path: Path) -> bool:
    """Say whether a path is a pipe, a device or a socket; a directory is none."""
    if path in _streams:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def opened(path: Path, standard_input: Callable[[], Any] | None = None) -> Any:
    """Open a file for reading bytes; a stream is opened once and begins anew for every reader, as long as it is short.

    Parameters
    ----------
    path : Path
    standard_input : callable, optional
        Gives the open file that `path` means.
    """
    if standard_input is None and not is_stream(path):
        return open(path, "rb")
    if path not in _streams:
        _streams[path] = _Stream(path, open(path, "rb") if standard_input is None else standard_input())  # noqa: SIM115
    return _Reader(_streams[path])


def forget_streams() -> None:
    """Close what was kept, so that the same names may be other streams."""
    for stream in _streams.values():
        if stream.path != STDIN:
            stream.file.close()
    _streams.clear()
