"""Files that are whole or absent: atomic replacement, and the lock that a tick store takes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from fastcore.errors import StoreLockedError

__all__ = ["FileLock", "replaced", "sync_file", "sync_folder"]


def sync_file(path: str | os.PathLike[str]) -> None:
    """Wait until the bytes of a file are on the disk."""
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Wait until the names in a directory are on the disk."""
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def replaced(destination: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `destination`; what was written there takes its name in the end, or nothing does.

    Raises
    ------
    FileExistsError
        `destination` exists and `overwrite` is false.
    """
    if not overwrite and destination.exists():
        raise FileExistsError(f"the destination must not exist: path={destination}")
    temporary = destination.with_name(f"{destination.name}.new-{os.getpid()}")
    try:
        yield temporary
        sync_file(temporary)
        if overwrite:
            os.replace(temporary, destination)
        else:
            # Somebody else may have made it since: a link refuses, a rename would not.
            try:
                os.link(temporary, destination)
            except FileExistsError:
                raise FileExistsError(f"the destination must not exist: path={destination}") from None
            except OSError:  # a file system without links
                os.rename(temporary, destination)
        sync_folder(destination.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


class FileLock:
    """The lock of a writer, taken without opening the store: the same file and the same protocol as ``TickStore``.

    Raises
    ------
    StoreLockedError
        Somebody holds it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
        self._fd: int | None = os.open(self.path, flags, 0o666)
        try:
            if sys.platform == "win32":
                import msvcrt

                os.lseek(self._fd, 1 << 20, os.SEEK_SET)
                msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.lseek(self._fd, 0, os.SEEK_SET)
            owner = os.read(self._fd, 32).decode(errors="replace").strip()
            os.close(self._fd)
            self._fd = None
            if isinstance(error, (BlockingIOError, PermissionError)):
                raise StoreLockedError(f"it must not be in use: path={self.path}, pid={owner or 'unknown'}") from None
            raise
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, b"%d\n" % os.getpid())

    def release(self) -> None:
        """Let go; again does nothing."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            if sys.platform == "win32":
                import msvcrt

                os.lseek(fd, 1 << 20, os.SEEK_SET)
                msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
            else:
                import fcntl

                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
