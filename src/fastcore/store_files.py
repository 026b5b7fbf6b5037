"""Files of a store: the locks of its one writer, a file that appears whole or not at all, names that are on the disk."""

import os
import re
import stat
import struct
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from fastcore.errors import StoreError, StoreLockedError

__all__ = ["FILE_MODE", "DataLock", "FileLock", "check_file_mode", "clear_leftovers", "create", "sync_folder", "temporary_of"]

FILE_MODE = 0o600  # of what is made, where nobody says otherwise
_WRITER_AT = 4096 + 72  # in a store: the process that writes it
_MAGIC = b"FCSTORE\0"
_LOCK_TEXT = re.compile(rb"([0-9]{1,20}\n|\0{0,21})")  # after a power cut a file may have its length and zeros for its bytes
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> bool:
        os.lseek(fd, 1 << 20, os.SEEK_SET)  # behind the text, so that others can read it
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, 1 << 20, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    _OWNED = sys.platform.startswith("linux")  # locks of an open file, not of a process
    _RANGE = struct.Struct("@hhqqi4x")  # struct flock: type, whence, start, length, process

    def _lock(fd: int) -> bool:
        # Lock a file for writing: True; False where somebody who may only read it has locked it for reading; BlockingIOError where a
        # writer has it. Such a lock takes the permission to write, which an flock does not.
        if not _OWNED:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        whole = _RANGE.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, whole)
        except (BlockingIOError, PermissionError):
            if _RANGE.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, whole))[0] == fcntl.F_RDLCK:
                return False
            raise
        return True

    def _unlock(fd: int) -> None:
        if _OWNED:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _RANGE.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
        else:
            fcntl.flock(fd, fcntl.LOCK_UN)


class _Lock:
    _fd: int | None = None

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


class FileLock(_Lock):
    """The lock of a writer by name: a file beside what it guards, with the number of its process in it.

    Parameters
    ----------
    path : path
        The lock file, made where there is none. The lock of a tick store is ``PATH.lock``.
    rule : str
        What is said where somebody else holds it.
    file_mode : int
        Of what it guards: who may write that may lock it, and nobody else can open the lock file.

    Raises
    ------
    StoreLockedError
        Somebody holds it.
    StoreError
        What has the name of the lock file is none: a link, or a file with something else in it. It is left as it is.

    Notes
    -----
    The system releases the lock when the process ends, however it ends.

    **Thread safety**: one thread.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rule: str = "a store has one writer at a time",
        file_mode: int = FILE_MODE,
    ) -> None:
        self.path = os.fspath(path)
        writers = file_mode & 0o222
        while not self._held(rule, writers | writers << 1):
            pass  # the file was unlinked between its opening and its lock

    def _held(self, rule: str, mode: int) -> bool:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW | _FLAGS, mode)
        except OSError:
            if os.path.islink(self.path):
                raise StoreError(f"a lock must be a file of its own, not a link: path={self.path}") from None
            raise
        try:
            found = os.fstat(fd)
            text = os.read(fd, 64)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or not _LOCK_TEXT.fullmatch(text):
                raise StoreError(
                    f"a lock must be a file of its own with the number of a process in it: path={self.path}, "
                    f"links={found.st_nlink}, bytes={found.st_size}"
                )
            try:
                free = _lock(fd)
            except (BlockingIOError, PermissionError):
                free = False
            if not free:
                owner = text.decode().strip("\0\n") or "unknown"
                raise StoreLockedError(f"{rule}: path={self.path.removesuffix('.lock')}, writer_pid={owner}") from None
            if _NO_FOLLOW and not _same_file(fd, self.path):
                os.close(fd)
                return False
            os.lseek(fd, 0, os.SEEK_SET)
            os.ftruncate(fd, 0)
            os.write(fd, b"%d\n" % os.getpid())
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True


class DataLock(_Lock):
    """The lock of a writer on the file that it writes, which holds whatever becomes of names.

    Parameters
    ----------
    path : str
        Of the store.
    fd : int
        The open store: what is at `path` must be this file, and have no other name.

    Raises
    ------
    StoreLockedError
        Another process writes the file.
    StoreError
        The file has other names (hard links).
    """

    def __init__(self, path: str, fd: int) -> None:
        links = os.fstat(fd).st_nlink
        if links > 1:
            raise StoreError(f"a store that is written must have one name (hard links are refused): path={path}, links={links}")
        if sys.platform == "win32":
            return  # an open file keeps its name there
        own = os.open(path, os.O_RDWR | _FLAGS)  # for itself: a forked child can give it up
        try:
            if not _same_file(fd, path) or not os.path.samestat(os.fstat(own), os.fstat(fd)):
                raise StoreError(f"the file was replaced while it was opened: path={path}")
            try:
                _lock(own)  # False: a reader's lock is no writer, and must not keep one out
            except (BlockingIOError, PermissionError):
                owner = int.from_bytes(os.pread(own, 8, _WRITER_AT), sys.byteorder)
                raise StoreLockedError(
                    f"a store has one writer at a time: path={path}, writer_pid={owner or 'unknown'} (its lock file is gone)"
                ) from None
        except BaseException:
            os.close(own)
            raise
        self._fd = own


def _same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def check_file_mode(mode: int) -> int:
    """Return the permissions of a file, or raise ValueError where they are none or its owner could not use it."""
    if not isinstance(mode, int) or mode & ~0o666 or mode & 0o600 != 0o600:
        raise ValueError(f"file_mode must be permissions to read and write, those of the owner among them: file_mode={mode!r}")
    return mode


# ---- files that are whole or absent


def temporary_of(path: str | os.PathLike[str]) -> str:
    """Return a name beside `path` that nobody else has, for what will take its place."""
    return f"{os.fspath(path)}.new-{os.getpid()}-{os.urandom(4).hex()}"


def clear_leftovers(path: str | os.PathLike[str], magic: bytes = _MAGIC, *, locked: bool = False) -> None:
    """Remove temporary files of `path` that a killed process has left.

    Only what is ours beyond doubt: a name that `temporary_of` makes, of a process that is gone (or, where the caller has
    `locked` out all who could make one, of any), of a file that is empty or begins with `magic`.
    """
    folder, name = os.path.split(os.fspath(path))
    for found in os.listdir(folder):
        match = re.fullmatch(re.escape(name) + r"(?:\.new-([0-9]+)-[0-9a-f]{8})+(\.lock)?", found)
        leftover = os.path.join(folder, found)
        if match and (locked or not _alive(int(match[1]))) and _is_ours(leftover, None if match[2] else magic):
            os.unlink(leftover)


def _is_ours(path: str, magic: bytes | None) -> bool:
    # Whether a file begins so, or (None) is that of a lock.
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb", buffering=0) as file:
            head = file.read(64)
    except OSError:
        return False
    return bool(_LOCK_TEXT.fullmatch(head)) if magic is None else not head or head.startswith(magic)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # a signal that only asks does not exist there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def create(path: str, head: bytes, size: int, allocate: Callable[[int, int, int], None], file_mode: int = FILE_MODE) -> None:
    """Make a file of `size` bytes that begins with `head`: on the disk, and complete before it has its name.

    A writer killed here leaves a temporary file, never half a store; the next one removes it. ``allocate(fd, offset, size)``
    gives part of a file its blocks on the disk, or raises OSError.
    """
    clear_leftovers(path)
    temporary = temporary_of(path)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, file_mode)
    try:
        try:
            if os.write(fd, head) != len(head):  # first: what is left behind says what it is
                raise OSError(f"the header must be written whole: path={path}")
            allocate(fd, 0, size)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Wait until the names in a directory are on the disk."""
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
