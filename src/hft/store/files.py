"""Files that are whole or absent: replaced by what was written beside them, when that is on the disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fastcore.store_files import sync_folder, temporary_of


def sync_file(path: str | os.PathLike[str]) -> None:
    """Wait until the bytes of a file are on the disk."""
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def replaced(destination: Path, *, overwrite: bool = True, file_mode: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside `destination`; what was written there takes its name in the end, or nothing does.

    Parameters
    ----------
    destination : Path
    overwrite : bool, default True
    file_mode : int, optional
        Permissions of an empty file that stands at the temporary path; by default there is none.

    Raises
    ------
    FileExistsError
        `destination` exists and `overwrite` is false.
    """
    if not overwrite and destination.exists():
        raise FileExistsError(f"the destination must not exist: path={destination}")
    temporary = Path(temporary_of(destination))
    try:
        if file_mode is not None:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode))
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
