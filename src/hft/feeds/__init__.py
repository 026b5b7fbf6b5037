"""Sources of market data, as event arrays.

`open_feed` recognises what a file holds and returns its feed: an iterator of arrays of 64-byte events
(``fastcore.records.EVENT_DTYPE``) that knows its instruments, its counts and its errors. ``docs/feeds.md`` says for
every format which events it gives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import date
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments

from ..conditions import suggestion
from ._files import HEAD_BYTES, head_of
from ._streams import is_stream
from .feed import Events, Feed, FormatError, Progress

__all__ = ["ENTRY_POINTS", "FORMATS", "Events", "Feed", "FormatError", "Progress", "feed_class", "open_feed", "recognise"]

# Name -> where its class is; a module is imported when a file needs it. The order is that of recognition: formats with a
# magic number first, those that go by a shape of text or a file name last.
FORMATS: dict[str, str] = {
    "dbn": "hft.feeds.dbn:DbnFeed",
    "pcap": "hft.feeds.pcap:PcapFeed",
    "parquet": "hft.feeds.arrow:ParquetFeed",
    "arrow": "hft.feeds.arrow:ArrowFeed",
    "ticks": "hft.feeds.ticks:TickFeed",
    "lobster": "hft.feeds.lobster:LobsterFeed",
    "binance": "hft.feeds.binance:BinanceFeed",
    "kraken": "hft.feeds.kraken:KrakenFeed",
    "itch": "hft.feeds.itch:ItchFeed",
    "csv": "hft.feeds.csv:CsvFeed",
}
# What a file of a format has at the least: a module whose format that excludes need not be asked, and is not imported.
_AT_LEAST: dict[str, Callable[[bytes, str], bool]] = {
    "dbn": lambda head, name: head[:3] == b"DBN" or head[1:4] == b"*M\x18" or ".dbn" in name or ".dbz" in name,
    "pcap": lambda head, name: head[:1] in (b"\xa1", b"\xd4", b"\x4d", b"\x34", b"\x0a"),
    "parquet": lambda head, name: head[:4] == b"PAR1",
    "arrow": lambda head, name: head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff",
    "ticks": lambda head, name: head[:7] == b"FCSTORE",
    "lobster": lambda head, name: head[:2] == b"PK" or "message" in name or "orderbook" in name or not head,
    "binance": lambda head, name: b"{" in head and b"\0" not in head,
    "kraken": lambda head, name: b"{" in head and b"\0" not in head,
    "itch": lambda head, name: b"\0" in head or not head,
}
# Distributions add formats with entry points of this group: name = "module:Class", the class a subclass of Feed.
ENTRY_POINTS = "hft.feeds"


def _plugins() -> dict[str, str]:
    """Formats of other distributions; a name of ours stays ours."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS) if point.name not in FORMATS}


def feed_class(format: str) -> type[Feed]:
    """Return the class of a format: its options are described there.

    Raises
    ------
    FormatError
        If no format has this name.
    """
    where = FORMATS.get(format)
    if where is None:
        plugins = _plugins()
        where = plugins.get(format)
        if where is None:
            names = sorted(FORMATS | plugins)
            raise FormatError(f"format must be one of {', '.join(names)}: format={format}{suggestion(format, names)}")
    return _load(where)


def _load(where: str) -> type[Feed]:
    module, _, name = where.partition(":")
    found: type[Feed] | None = getattr(import_module(module), name, None)
    if found is None:
        raise ImportError(f"a format must name a class that exists: {where}")
    return found


def _options(made: type[Feed]) -> set[str]:
    """Names of the options of a feed: those of its class, and of the classes to which it hands on what it does not know."""
    found: set[str] = set()
    for part in made.__mro__:
        if "__init__" in vars(part):
            parameters = signature(vars(part)["__init__"]).parameters.values()
            found |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)} - {"self"}
            if all(p.kind != p.VAR_KEYWORD for p in parameters):
                break
    return found


def recognise(path: str | os.PathLike[str]) -> str:
    """Say which format a file has.

    Parameters
    ----------
    path : path

    Returns
    -------
    str
        A key of `FORMATS`, or the name of a format that another distribution registered.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If no format knows it.
    """
    path = Path(path)
    if not path.exists() and not is_stream(path):
        raise FileNotFoundError(f"path must exist: path={path}")
    head = head_of(path)[:HEAD_BYTES]
    plugins: dict[str, str] = {}
    for known in (FORMATS, plugins):
        if known is plugins:
            plugins.update(_plugins())
        for name, where in known.items():
            if name in _AT_LEAST and not _AT_LEAST[name](head, path.name):
                continue
            try:
                found = _load(where)
            except ImportError:
                continue  # a feed whose library is not installed cannot claim a file; naming the format says what is missing
            if found.recognise(head, path):
                return name
    names = ", ".join(sorted(FORMATS | plugins))
    raise FormatError(f"the format of a file must be known: path={path} first bytes={head[:16]!r} formats={names}")


def open_feed(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    instruments: Instruments | None = None,
    wanted: Collection[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Feed:
    """Open a file of market data as a feed.

    Parameters
    ----------
    path : path
        A file, or a directory where the format has one. gzip, Zstandard and ZIP are looked into.
    format : str, optional
        A key of `FORMATS`, or a name of the entry-point group ``hft.feeds``; recognised by default: by content where the
        format has any mark, then by name.
    instruments : Instruments, optional
        The table of the run: the symbols of the feed become rows of it. By default the feed has one of its own.
    wanted : collection of str, optional
        Symbols whose events are asked for; by default all of them.
    progress : callable(done, total), optional
        Told the bytes (or rows) consumed, and all of them.
    **options
        Of the format's class.

    Returns
    -------
    Feed

    Raises
    ------
    FormatError
        If the format is unknown, or an option is wrong.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the format needs a library that is not installed; the message says how to install it.

    Examples
    --------
    >>> with open_feed("AMZN_2012-06-21_5.zip") as feed:    # doctest: +SKIP
    ...     for events in feed:
    ...         book.apply(events)
    """
    # A format of another distribution need not have what is not asked for.
    options |= {key: value for key, value in (("instruments", instruments), ("wanted", wanted)) if value is not None}
    name = format or ("csv" if "member" in options else recognise(path))  # of an archive of several: only tables have it
    day = options.get("date")
    if isinstance(day, date) and not 1970 <= day.year <= 2261:
        raise FormatError(f"date must be in 1970-01-01..2261-12-31: date={day}")
    opened = feed_class(name)
    known = _options(opened)
    if unknown := [option for option in options if option not in known]:
        rest = sorted(known - {"path", "progress", "instruments", "wanted"})
        hint = suggestion(unknown[0], rest)
        raise FormatError(f"an option must be one of the format: {', '.join(unknown)} format={name} options={', '.join(rest)}{hint}")
    try:
        return opened(path, progress=progress, **options)  # type: ignore[call-arg]
    except CorruptDataError:
        raise
    except (ValueError, TypeError) as error:
        raise FormatError(f"{error} (format={name})") from error
