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

    Parameters
    ----------
    root : Path
        The directory.
    range_of : callable
        ``range_of(file, count)`` looks into a file for its first time, its last time and its number of records; of a partition only the
        first `count` records matter, because more may come meanwhile.
    """

    def __init__(self, root: Path, range_of: Callable[[File, int | None], tuple[int, int, int]]) -> None:
        self._path = root / "index.json"
        self._range_of = range_of
        self._entries: dict[str, Entry] | None = None

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

    def save(self, files: Iterable[File]) -> int:
        """Write the entries of these files; return how many were missing or stale.

        Where it cannot be written, queries open more files and give the same answers.
        """
        old = self._read()
        self._entries = dict(old)
        entries = {}
        for file in files:
            try:
                entries[file.name] = self.entry(file)
            except (FileNotFoundError, CorruptDataError, LayoutError, StoreWarning) as error:
                logger.warning("not in the index: %s: %s", file.name, error)
        self._entries = entries
        text = json.dumps({"version": VERSION, "files": entries}, separators=(",", ":"))
        try:
            with replaced(self._path) as path:
                path.write_text(json.dumps({"crc32c": crc32c(text.encode()), "index": text}), encoding="utf-8")
        except OSError as error:
            logger.warning("the index could not be written: %s", error)
        return sum(entries[name] != old.get(name) for name in entries)

    def _read(self) -> dict[str, Entry]:
        # None where it cannot be read.
        try:
            outer = json.loads(self._path.read_bytes())
            text = outer["index"]
            if outer["crc32c"] != crc32c(text.encode()):
                return {}
            inner = json.loads(text)
            return dict(inner["files"]) if inner["version"] == VERSION else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
