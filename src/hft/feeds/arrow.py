"""Parquet and Arrow files of quotes, trades, bars or order messages as event arrays, with column mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError

from ._files import extra
from .tabular import TableFeed, first_cells

__all__ = ["ArrowFeed", "ParquetFeed"]

_ROWS = 65_536  # at once: a batch of Arrow may have any number, and take few bytes


@contextmanager
def _whole(what: str, path: Path) -> Iterator[None]:
    """Errors of the library mean a damaged file."""
    pa = extra("pyarrow")
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise CorruptDataError(f"{what} must be whole: path={path} {error}") from error


def _sound(batch: Any, columns: Iterable[int]) -> None:
    """Refuse columns with offsets or text that lead elsewhere: they are not read, they are followed."""
    for column in set(columns):
        batch.column(column).validate(full=True)


class ParquetFeed(TableFeed):
    """A Parquet file; parameters as in `TableFeed`. Only the columns that have a role are read."""

    format = "parquet"

    def _prepare(self) -> None:
        with _whole("a Parquet file", self.path):
            self._file = extra("pyarrow.parquet").ParquetFile(self.path)
            first = next(self._file.iter_batches(50), None)
        self._settle(self._file.schema_arrow.names, first_cells(first))

    def _again(self, names: Sequence[str]) -> Iterator[Any]:
        with _whole("a Parquet file", self.path):
            for batch in self._file.iter_batches(65_536, columns=list(names)):
                yield batch.select(list(names))

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        names = self._file.schema_arrow.names
        wanted = sorted({*self._roles.values(), *self._only})
        self._roles = {role: wanted.index(at) for role, at in self._roles.items()}
        self._only = {wanted.index(at): words for at, words in self._only.items()}
        done, total = 0, self._file.metadata.num_rows
        try:
            with _whole("a Parquet file", self.path):
                for batch in self._file.iter_batches(_ROWS, columns=[names[i] for i in wanted]):
                    yield batch, np.arange(done, done + len(batch))
                    done += len(batch)
                    self._progress(done, total)
        finally:
            self._file.close()

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the magic number."""
        return head[:4] == b"PAR1"


class ArrowFeed(TableFeed):
    """An Arrow IPC file (Feather version 2) or stream; parameters as in `TableFeed`."""

    format = "arrow"

    def _prepare(self) -> None:
        with _whole("an Arrow file", self.path):
            _, names, batches = self._opened()
            first = next(batches, None)
            if first is not None:
                _sound(first, range(len(names)))
        self._settle(names, first_cells(first))

    def _opened(self) -> tuple[Any, list[str], Iterator[Any]]:
        """The file, the names of its columns, and its batches from the first one on."""
        pa, ipc = extra("pyarrow"), extra("pyarrow.ipc")
        file = pa.OSFile(str(self.path))  # read, not mapped: a file that is cut meanwhile is an error and not a signal
        self._is_file = self.path.stat().st_size >= 8 and file.read(6) == b"ARROW1"
        file.seek(0)
        if not self._is_file:
            stream = ipc.open_stream(file)
            return file, stream.schema.names, iter(stream)
        reader = ipc.open_file(file)
        return file, reader.schema.names, (reader.get_batch(i) for i in range(reader.num_record_batches))

    def _again(self, names: Sequence[str]) -> Iterator[Any]:
        with _whole("an Arrow file", self.path):
            for batch in self._opened()[2]:
                chosen = batch.select(list(names))
                _sound(chosen, range(len(names)))
                yield chosen

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        done, total = 0, self.path.stat().st_size
        with _whole("an Arrow file", self.path):
            file, _, batches = self._opened()
            for batch in batches:
                _sound(batch, self._roles.values())
                for at in range(0, len(batch), _ROWS):
                    part = batch.slice(at, _ROWS)
                    yield part, np.arange(done, done + len(part))
                    done += len(part)
                self._progress(total if self._is_file else file.tell(), total)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the magic number of a file, or the mark of a stream whose first message is a schema."""
        return head[:6] == b"ARROW1" or (head[:4] == b"\xff\xff\xff\xff" and path.suffix in (".arrow", ".arrows", ".ipc", ".feather"))
