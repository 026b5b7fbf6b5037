"""Index of a directory store: count, first and last time of each file, so that a query spares those of other hours.

It is a cache, never trusted: an entry counts only where the identity of its file is the one that it was made from.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.store_files import FILE_MODE
from fastcore.store_header import IDENTITY_BYTES
from fastcore.store_header import identity_of as identity_of_store
from fastcore.tickstore import StoreWarning, crc32c

from .files import replaced
from .layout import VERSION, File

logger = logging.getLogger(__name__)

Entry = dict[str, Any]  # identity, records, first_ns, last_ns


def identity_of(file: File) -> list[int] | None:
    """Return what changes whenever the records of a file do: of a partition its salt, epoch and published count, from its head."""
    try:
        if file.group < 0:
            stat = os.stat(file.path)
            return [stat.st_ino, stat.st_mtime_ns, stat.st_size]
        with open(file.path, "rb", buffering=0) as raw:
            return identity_of_store(raw.read(IDENTITY_BYTES))
    except OSError:
        return None


class Index:
    """The index of a directory.

    The file has a line for each time that it was written: entries behind replace those before.

    Parameters
    ----------
    root : Path
        The directory.
    range_of : callable
        ``range_of(file, count)`` looks into a file for its first time, its last time and its number of records; of a partition only the
        first `count` records matter, because more may come meanwhile.
    file_mode : int
        Permissions of the file.
    """

    def __init__(
        self, root: Path, range_of: Callable[[File, int | None], tuple[int, int, int]], file_mode: int = FILE_MODE
    ) -> None:
        self._path = root / "index.json"
        self._range_of = range_of
        self._file_mode = file_mode
        self._entries: dict[str, Entry] | None = None
        self._lines = 0

    def _loaded(self) -> dict[str, Entry]:
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def rules_out(self, file: File, start: int | None, end: int | None) -> bool:
        """Say whether a checked entry tells that no time of the file lies in the range."""
        if start is None and end is None:
            return False
        entry = self._loaded().get(file.name)
        if entry is None or entry["identity"] != identity_of(file):
            return False
        if not entry["records"]:
            return True
        return bool((start is not None and entry["last_ns"] < start) or (end is not None and entry["first_ns"] >= end))

    def entry(self, file: File) -> Entry:
        """Return what the index says of a file, or the truth where it says nothing that holds."""
        identity = identity_of(file)
        entry = self._loaded().get(file.name)
        if entry is None or identity is None or entry["identity"] != identity:
            first, last, count = self._range_of(file, identity[2] if identity is not None and file.group >= 0 else None)
            entry = {"identity": identity, "records": count, "first_ns": first, "last_ns": last}
            self._loaded()[file.name] = entry
        return entry

    def add(self, files: Iterable[File]) -> None:
        """Write the entries of these files behind the others; errors as for `save`."""
        known = self._loaded()
        entries = self._entries_of(files)
        if self._lines > 64 + len(known):
            self._write(known)
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(self._path, flags, self._file_mode), "ab", buffering=0) as out:
                out.write(b"\n" + _line(entries))  # a line that a killed process has left open ends here
        except OSError as error:
            logger.warning("the index could not be written: %s", error)
        self._lines += 1

    def save(self, files: Iterable[File]) -> int:
        """Write the entries of these files and no others; return how many were missing or stale.

        Where it cannot be written, queries open more files and give the same answers.
        """
        old = self._read()
        self._entries = dict(old)
        self._entries = entries = self._entries_of(files)
        self._write(entries)
        return sum(entries[name] != old.get(name) for name in entries)

    def _entries_of(self, files: Iterable[File]) -> dict[str, Entry]:
        entries = {}
        for file in files:
            try:
                entries[file.name] = self.entry(file)
            except (FileNotFoundError, CorruptDataError, LayoutError, StoreWarning) as error:
                logger.warning("not in the index: %s: %s", file.name, error)
        return entries

    def _write(self, entries: dict[str, Entry]) -> None:
        try:
            with replaced(self._path, file_mode=self._file_mode) as path:
                path.write_bytes(_line(entries))
        except OSError as error:
            logger.warning("the index could not be written: %s", error)
        self._lines = 1

    def _read(self) -> dict[str, Entry]:
        # What cannot be read is not there.
        try:
            lines = self._path.read_bytes().split(b"\n")
        except OSError:
            return {}
        found: dict[str, Entry] = {}
        for line in lines:
            found.update(_entries(line))
        self._lines = len(lines)
        return found


def _line(entries: dict[str, Entry]) -> bytes:
    text = json.dumps({"version": VERSION, "files": entries}, separators=(",", ":"))
    return json.dumps({"crc32c": crc32c(text.encode()), "index": text}).encode()


def _entries(line: bytes) -> dict[str, Entry]:
    # Those of a line that are what this module writes.
    try:
        outer = json.loads(line)
        text = outer["index"]
        if outer["crc32c"] != crc32c(text.encode()):
            return {}
        inner = json.loads(text)
        found = inner["files"].items() if inner["version"] == VERSION else ()
        return {
            name: entry for name, entry in found if all(type(entry[key]) is int for key in ("records", "first_ns", "last_ns"))
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
