"""Several files as one feed: parts of one stream one behind the other, different streams merged by time.

Files of one format that share a symbol (captures: an address) are parts of one stream: days, or the pieces of a capture. They are read
in the order of their first events (where one has none without the others: as given), each when the one before it has ended, and go
on with its state where the format has any:
diffs of Binance need no new snapshot, numbers of MoldUDP64 no new session, orders of a table keep their sizes. The streams are
merged by time, and at equal times in the order of the arguments (``hft.feeds.merge``).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastcore.instruments import Instruments

from . import open_feed, recognise
from .feed import Events, Feed, Progress, account
from .merge import merge

__all__ = ["ChainedFeed", "open_feeds"]


class ChainedFeed(Feed):
    """Parts of one stream as one feed.

    Parameters
    ----------
    feeds : sequence of Feed
        At least one, all with one table of instruments; read by this feed alone from now on.

    Attributes
    ----------
    feeds : tuple of Feed
    """

    def __init__(self, feeds: Sequence[Feed]) -> None:
        super().__init__("+".join(feed.path.name for feed in feeds), feeds[0].instruments)
        self.feeds = tuple(feeds)
        self.format, self.book = feeds[0].format, feeds[0].book

    def close(self) -> None:
        """Release the files of all parts."""
        super().close()
        for feed in self.feeds:
            feed.close()

    def _arrays(self) -> Iterator[Events]:
        for i, feed in enumerate(self.feeds):
            if i:
                feed.follow(self.feeds[i - 1])
            try:
                for events in feed:
                    account(self, self.feeds[: i + 1])
                    yield events
            finally:
                account(self, self.feeds[: i + 1])
            feed.close()


class _First(NamedTuple):
    """How a file begins."""

    path: Path
    format: str
    names: frozenset[str]  # as Feed.start has them
    time_ns: int


def _first(path: Path, format: str, options: dict[str, Any]) -> _First:
    lenient: dict[str, Any] = {name: False if name == "strict" else value for name, value in options.items()}
    with open_feed(path, format, **lenient) as feed:
        return _First(path, format, *feed.start())


def _streams(files: Sequence[_First]) -> list[list[_First]]:
    """Files of one stream together, in the order of time, or as they were given where one does not say when it begins."""
    streams: list[tuple[set[str], list[_First]]] = []
    for file in files:
        names, parts = set(file.names), [file]
        for other in [s for s in streams if s[1][0].format == file.format and s[0] & names]:
            names, parts = other[0] | names, other[1] + parts
            streams.remove(other)
        streams.append((names, parts))
    place = {file.path: i for i, file in enumerate(files)}
    for _, parts in streams:
        parts.sort(key=lambda part: place[part.path])
        if all(part.time_ns for part in parts):
            parts.sort(key=lambda part: part.time_ns)
    return sorted((parts for _, parts in streams), key=lambda parts: min(place[part.path] for part in parts))


def open_feeds(
    paths: Sequence[str | os.PathLike[str]],
    format: str | None = None,
    *,
    instruments: Instruments | None = None,
    wanted: Collection[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Feed:
    """Open one or several files as one feed.

    Parameters
    ----------
    paths : sequence of path
        Days or pieces of one capture, different streams, or both; at equal times the order of the streams is that of their
        first files here.
    format : str, optional
        Of all files; by default each is recognised.
    instruments, wanted
        As in ``hft.feeds.open_feed``; the files have one table.
    progress : callable(done, total), optional
        Told the bytes of all files consumed, about, and all.
    **options
        Of the formats' classes, for every file.

    Returns
    -------
    Feed
        The feed of a single file, a `ChainedFeed`, or a ``hft.feeds.merge.MergedFeed``.

    Raises
    ------
    ValueError
        If there is no path, or one twice.
    FormatError, FileNotFoundError, ImportError
        As in ``hft.feeds.open_feed``.

    Notes
    -----
    The beginning of each file is read twice, to see what it is a part of.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise ValueError("paths must name at least one file")
    twice = next((path for i, path in enumerate(files) if path in files[:i]), None)
    if twice is not None:
        raise ValueError(f"paths must name each file once: path={twice}")
    if len(files) == 1:
        return open_feed(files[0], format, instruments=instruments, wanted=wanted, progress=progress, **options)
    table = Instruments() if instruments is None else instruments
    sizes = {path: path.stat().st_size for path in files if path.exists()}
    done = dict.fromkeys(files, 0)

    def opened(file: _First) -> Feed:
        def tell(now: int, total: int) -> None:
            done[file.path] = sizes[file.path] * now // total if total else 0
            if progress is not None:
                progress(sum(done.values()), sum(sizes.values()))

        return open_feed(file.path, file.format, instruments=table, wanted=wanted, progress=tell, **options)

    firsts = [_first(path, recognise(path) if format is None else format, options) for path in files]
    feeds: list[Feed] = []
    try:
        for parts in _streams(firsts):
            chained = [opened(part) for part in parts]
            feeds.append(chained[0] if len(chained) == 1 else ChainedFeed(chained))
    except BaseException:
        for feed in feeds:
            feed.close()
        raise
    return feeds[0] if len(feeds) == 1 else merge(*feeds)
