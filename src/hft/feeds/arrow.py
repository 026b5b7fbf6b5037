"""Parquet and Arrow files of quotes, trades, bars or order messages as event arrays, with column mapping."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError

from ._files import extra
from .tabular import TableFeed

__all__ = ["ArrowFeed", "ParquetFeed"]

_ROWS = 65_536  # at once: a batch of Arrow may have any number, and take few bytes


class ParquetFeed(TableFeed):
    """A Parquet file; parameters as in `TableFeed`. Only the columns that have a role are read."""

    format = "parquet"

    def _prepare(self) -> None:
        parquet, pa = extra("pyarrow.parquet"), extra("pyarrow")
        try:
            self._file = parquet.ParquetFile(self.path)
        except pa.ArrowInvalid as error:
            raise CorruptDataError(f"a Parquet file must be whole: path={self.path} {error}") from error
        self._settle(self._file.schema_arrow.names)

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        pa = extra("pyarrow")
        names = self._file.schema_arrow.names
        wanted = sorted(set(self._roles.values()))
        self._roles = {role: wanted.index(at) for role, at in self._roles.items()}
        done, total = 0, self._file.metadata.num_rows
        try:
            for batch in self._file.iter_batches(_ROWS, columns=[names[i] for i in wanted]):
                yield batch, np.arange(done, done + len(batch))
                done += len(batch)
                self._progress(done, total)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptDataError(f"a Parquet file must be whole: path={self.path} row={done} {error}") from error
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
        pa, ipc = extra("pyarrow"), extra("pyarrow.ipc")
        self._map = pa.OSFile(str(self.path))  # read, not mapped: a file that is cut meanwhile is an error and not a signal
        try:
            file = self.path.stat().st_size >= 8 and self._map.read(6) == b"ARROW1"
            self._map.seek(0)
            self._reader = ipc.open_file(self._map) if file else ipc.open_stream(self._map)
        except (pa.ArrowException, OSError) as error:
            self._map.close()
            raise CorruptDataError(f"an Arrow file must be whole: path={self.path} {error}") from error
        self._is_file = file
        self._settle(self._reader.schema.names)

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        pa = extra("pyarrow")
        done, total = 0, self.path.stat().st_size
        reader = self._reader
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if self._is_file else iter(reader)
        try:
            for batch in batches:
                for column in set(self._roles.values()):
                    batch.column(column).validate(full=True)  # offsets and text that lead elsewhere are not read, they are followed
                for at in range(0, len(batch), _ROWS):
                    part = batch.slice(at, _ROWS)
                    yield part, np.arange(done, done + len(part))
                    done += len(part)
                self._progress(total if self._is_file else self._map.tell(), total)
        except (pa.ArrowException, OSError) as error:
            raise CorruptDataError(f"an Arrow file must be whole: path={self.path} row={done} {error}") from error

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the magic number of a file, or the mark of a stream whose first message is a schema."""
        return head[:6] == b"ARROW1" or (head[:4] == b"\xff\xff\xff\xff" and path.suffix in (".arrow", ".arrows", ".ipc", ".feather"))
