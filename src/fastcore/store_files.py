"""Files of a store: the lock of its one writer, a file that appears whole or not at all, names that are on the disk."""

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from fastcore.errors import StoreLockedError

__all__ = ["FileLock", "create", "sync_folder"]

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, 1 << 20, os.SEEK_SET)  # behind the text, so that others can read it
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, 1 << 20, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class FileLock:
    """The lock of a writer: a file beside what it guards, with the number of its process in it.

    Parameters
    ----------
    path : path
        The lock file, made where there is none. The lock of a tick store is ``PATH.lock``.
    rule : str
        What is said where somebody else holds it.

    Raises
    ------
    StoreLockedError
        Somebody holds it.

    Notes
    -----
    The system releases the lock when the process ends, however it ends.

    **Thread safety**: one thread.
    """

    def __init__(self, path: str | os.PathLike[str], rule: str = "a store has one writer at a time") -> None:
        self.path = os.fspath(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
        fd = os.open(self.path, flags, 0o666)
        try:
            _lock(fd)
        except OSError as error:
            os.lseek(fd, 0, os.SEEK_SET)
            owner = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            if isinstance(error, (BlockingIOError, PermissionError)):
                guarded = self.path.removesuffix(".lock")
                raise StoreLockedError(f"{rule}: path={guarded}, writer_pid={owner or 'unknown'}") from None
            raise
        self._fd: int | None = fd
        try:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, b"%d\n" % os.getpid())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go; again does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                _unlock(fd)  # explicitly: a forked child may still hold the same open file
            finally:
                os.close(fd)

    def abandon(self) -> None:
        """Close the file in a forked child: the parent keeps the lock."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def create(path: str, head: bytes, size: int, allocate: Callable[[int, int, int], None]) -> None:
    """Make a file of `size` bytes that begins with `head`: on the disk, and complete before it has its name.

    A writer killed here leaves a temporary file, never half a store; the next one removes it. ``allocate(fd, offset, size)``
    gives part of a file its blocks on the disk, or raises OSError.
    """
    folder, name = os.path.split(path)
    for leftover in os.listdir(folder):
        if leftover.startswith(name + ".new-"):
            os.unlink(os.path.join(folder, leftover))
    temporary = f"{path}.new-{os.getpid()}"
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            allocate(fd, 0, size)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, head)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Wait until the names in a directory are on the disk."""
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
