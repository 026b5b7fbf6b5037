"""``hft store``: look at a tick store or a directory of them, check it, and move records in and out."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, TICK_DTYPE
from fastcore.tickstore import StoreWarning, TickStore

from . import CORRUPT
from .inputs import FilePath, Number, refused
from .printer import BATCH, Printer, alive, following, last_records
from .progress import ProgressBar

Records = npt.NDArray[np.void]

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?\s*(Z|[+-]\d\d:?\d\d)?")


def time_ns(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Turn ISO 8601 (UTC where it names no offset) or UNIX ns into ns."""
    if value is None:
        return None
    if re.fullmatch(r"-?\d{1,20}", value):
        return int(value)
    try:
        match = _TIME.fullmatch(value)
        if match is None:
            raise ValueError
        stamp = np.datetime64(f"{match[1]}T{match[2] or '00:00'}", "ns")
        if str(np.datetime_as_string(stamp))[:10] != match[1]:  # beyond the range of ns, NumPy wraps
            raise ValueError
        offset, zone = 0, match[3]
        if zone and zone != "Z":
            hours, minutes = int(zone[1:3]), int(zone[-2:])
            if hours > 23 or minutes > 59:
                raise ValueError
            offset = (hours * 3600 + minutes * 60) * (1 if zone[0] == "+" else -1)
        return int(stamp.astype(np.int64)) - offset * 10**9
    except ValueError:
        raise click.BadParameter(
            f"a time is ISO 8601 (2024-03-08T14:30:00.5Z) or UNIX nanoseconds: {value!r}", context, option
        ) from None


def pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Turn FIELD=COLUMN into a dict."""
    found = {}
    for value in values:
        field, _, column = value.partition("=")
        if not (field and column):
            raise click.BadParameter(f"a column is mapped as FIELD=COLUMN: {value!r}", context, option)
        found[field] = column
    return found


PATH = click.argument("path", type=FilePath(exists=True, path_type=Path))
START = click.option("--start", metavar="TIME", callback=time_ns, help="First time: ISO 8601 (UTC) or UNIX ns.")
END = click.option("--end", metavar="TIME", callback=time_ns, help="Time behind the last one.")
SYMBOL = click.option("--symbol", "symbols", multiple=True, help="Name or id; may be given several times.")
JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


def ranged(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose records."""
    for option in (SYMBOL, END, START):
        command = option(command)
    return command


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn what a person can put right into a message and an exit code."""
    with refused(), warnings.catch_warnings():
        # A torn tail is news, not a reason to stop.
        warnings.simplefilter("always", StoreWarning)
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
        yield


def opened(path: Path, *, verify: bool = True) -> Any:
    """Open what is there for reading."""
    from hft.store import open_store

    return open_store(path) if verify or path.is_dir() else TickStore(path, "r", verify=False)


def chosen(store: Any, symbols: Sequence[str]) -> list[int | str] | None:
    """Names of a directory, or ids; what is a number and no name is an id."""
    if not symbols:
        return None
    found: list[int | str] = []
    for symbol in symbols:
        named = not isinstance(store, TickStore) and symbol in store.symbols.names.values()
        found.append(int(symbol) if symbol.isdecimal() and not named else symbol)
    return found


def iso(time_ns: int | None) -> str:
    """Return a time as text, in UTC with all nine digits."""
    return "" if time_ns is None else f"{np.datetime_as_string(np.datetime64(int(time_ns), 'ns'))}Z"


def record_name(dtype: np.dtype[np.void]) -> str:
    return "tick" if dtype == TICK_DTYPE else "event" if dtype == EVENT_DTYPE else "record"


@click.group()
def store() -> None:
    """Look at tick stores and directories of them, check them, and move records in and out."""


# ---- info, verify


@store.command()
@PATH
@JSON
def info(path: Path, as_json: bool) -> None:
    """Show what a store holds: records, times, symbols, size, who writes it."""
    with reported(), opened(path) as source:
        about = described(source)
    if as_json:
        click.echo(json.dumps(about))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in about.items():
        if name.endswith("_ns") and name[:-3] in ("first", "last", "created"):
            name, value = name[:-3], iso(value)
        if name == "names":
            value = ", ".join(f"{symbol} ({number})" for number, symbol in value.items()) or "none"
        if name == "writer":
            value = (
                "none"
                if not value["pid"]
                else f"process {value['pid']}{'' if value['alive'] else ', which is gone: it was killed'}"
            )
        table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
    Console(file=sys.stdout).print(table)


def described(source: Any) -> dict[str, Any]:
    """Return what `info` shows, ready for JSON."""
    told = source.info()
    dtype = source.dtype
    pid = told["writer_pid"]
    writer = {"pid": pid, "alive": alive(pid)}
    common: dict[str, Any] = {"path": told["path"], "records": told["records"], "record": record_name(dtype)}
    if not isinstance(source, TickStore):
        names = ("first_ns", "last_ns", "symbols", "days", "partitions", "parquet_days", "groups", "utc_offset_s", "file_bytes")
        return {
            "kind": "directory",
            **common,
            "record_size": dtype.itemsize,
            "time_field": told["time_field"],
            **{name: told[name] for name in names},
            "writer": writer,
        }
    from hft.feeds.ticks import names_of

    records = source.records(0, told["records"])
    field = told["time_field"]
    times = records[field].view(np.int64) if field is not None and len(records) else None
    symbols = None
    if "symbol_id" in (dtype.names or ()):
        symbols = (
            len(np.unique(np.concatenate([np.unique(part["symbol_id"]) for part in source.pieces(0, told["records"])])))
            if len(records)
            else 0
        )
    return {
        "kind": "store",
        **common,
        "record_size": told["record_size"],
        "time_field": field,
        "first_ns": None if times is None else int(times.min()),
        "last_ns": None if times is None else int(times.max()),
        "symbols": symbols,
        "names": {str(number): instrument.symbol for number, instrument in names_of(Path(told["path"])).items()},
        "segments": told["segments"],
        "segment_records": told["segment_records"],
        "file_bytes": told["file_bytes"],
        "created_ns": told["created_ns"],
        "version": told["version"],
        "writers_so_far": told["epoch"],
        "synced_records": told["synced"],
        "writer": writer,
    }


@store.command()
@PATH
@JSON
def verify(path: Path, as_json: bool) -> None:
    """Check every block against its checksum, and the order of times; exit code 4 where something is damaged."""
    with reported():
        if path.is_dir():
            with opened(path) as source, ProgressBar() as bar:
                files = source.verify(bar.task("verify"))
        else:
            files = {path.name: checked(path)}
    damaged = {name: found for name, found in files.items() if found["reason"]}
    sums = {key: sum(found[key] for found in files.values()) for key in ("records", "dropped_records", "out_of_order")}
    if as_json:
        click.echo(json.dumps({"path": str(path), "ok": not damaged, "files": len(files), **sums, "damaged": damaged}))
    else:
        for name, found in damaged.items():
            click.echo(
                f"{name}: {found['reason']} ({found['records']:,} records are valid, {found['dropped_records']:,} are lost)"
            )
        order = f", {sums['out_of_order']:,} times go back" if sums["out_of_order"] else ", times rise"
        click.echo(f"{'damaged' if damaged else 'ok'}: {len(files):,} files, {sums['records']:,} records{order}")
    if damaged:
        click.get_current_context().exit(CORRUPT)


def checked(path: Path) -> dict[str, Any]:
    """Check a single store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)  # the report says it
        source = TickStore(path, "r", salvage=True)
    with source:
        report = source.verify()
        field = source.info()["time_field"]
        disorder, before = 0, None
        if field is not None:
            for part in source.pieces(0, report.records):
                times = part[field]
                disorder += int((times[1:] < times[:-1]).sum()) + int(before is not None and times[0] < before)
                before = times[-1]
    return {
        "records": report.records,
        "reason": report.reason,
        "dropped_records": report.dropped_records,
        "dropped_bytes": report.dropped_bytes,
        "out_of_order": disorder,
    }


# ---- export, import


@store.command(name="export")
@PATH
@click.argument("destination", type=click.Path(dir_okay=False, path_type=Path))
@ranged
@click.option("--timestamps", is_flag=True, help="Times as timestamp[ns, UTC] instead of int64.")
@click.option("--row-group", type=click.IntRange(min=1), default=1 << 18, show_default=True, help="Rows of a row group.")
@click.option("--compression", type=click.Choice(["zstd", "lz4", "snappy", "gzip", "none"]), help="Parquet: zstd; Arrow: none.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@JSON
def export_command(
    path: Path,
    destination: Path,
    start: int | None,
    end: int | None,
    symbols: tuple[str, ...],
    timestamps: bool,
    row_group: int,
    compression: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a store to DESTINATION: .parquet, .arrow, .csv or .csv.gz, complete or not at all."""
    with reported():
        from hft.store import export
        from hft.store.transfer import kind_of_file

        if kind_of_file(destination) == "arrow" and compression not in (None, "zstd", "lz4", "none"):
            raise click.UsageError(f"an Arrow file is compressed by zstd or lz4: compression={compression}")
        if compression == "none" and kind_of_file(destination) == "arrow":
            compression = None
        with opened(path) as source, ProgressBar() as bar:
            rows = export(
                source,
                destination,
                start,
                end,
                chosen(source, symbols),
                timestamps=timestamps,
                batch_records=row_group,
                compression=compression,
                overwrite=force,
                progress=bar.task(destination.name),
            )
    _said(as_json, path=str(path), destination=str(destination), records=rows, file_bytes=destination.stat().st_size)


@store.command(name="import")
@click.argument("path", type=FilePath(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=FilePath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--column",
    "columns",
    metavar="FIELD=COLUMN",
    callback=pairs,
    multiple=True,
    help="Column of a field, where the names differ: price=px.",
)
@click.option("--symbol", help="Name or id of every row, in place of a column.")
@click.option("--record", type=click.Choice(["tick", "event"]), help="Of a new store; by default what the file holds.")
@click.option("--directory", is_flag=True, help="Make a new store as a directory, by day and symbol group.")
@click.option("--groups", type=click.IntRange(1, 4096), help="Symbol groups of a new directory; 16 by default.")
@click.option("--unordered", is_flag=True, help="Take times that go back.")
@JSON
def import_command(
    path: Path,
    files: tuple[Path, ...],
    columns: dict[str, str],
    symbol: str | None,
    record: str | None,
    directory: bool,
    groups: int | None,
    unordered: bool,
    as_json: bool,
) -> None:
    """Append the rows of FILES (.parquet, .arrow, .csv, .csv.gz) to the store at PATH, which is made where there is none."""
    dtype = {"tick": TICK_DTYPE, "event": EVENT_DTYPE, None: None}[record]
    with reported(), ProgressBar() as bar:
        from hft.store import DirectoryStore, import_
        from hft.store.transfer import dtype_of_file, kind_of_file

        for file in files:
            kind_of_file(file)
        options: dict[str, Any] = {"columns": columns, "unordered": unordered}
        given: int | str | None = int(symbol) if symbol is not None and symbol.isdecimal() else symbol
        rows = 0
        with contextlib.ExitStack() as stack:
            target: Any = path
            if path.is_dir() or directory:
                if not path.is_dir():
                    dtype = dtype_of_file(files[0])[0] if dtype is None else dtype
                    stack.push(lambda kind, error, trace: _unmade(path) if kind else None)
                target = stack.enter_context(DirectoryStore(path, "a", dtype, groups=groups))
            elif groups is not None:
                raise click.UsageError("groups are those of a directory: add --directory")
            for file in files:
                rows += import_(file, target, symbol=given, dtype=dtype, progress=bar.task(file.name), **options)
    _said(as_json, path=str(path), files=len(files), records=rows)


def _unmade(path: Path) -> None:
    """Remove a directory store that was just made and has got no record."""
    from hft.store import DirectoryStore

    with DirectoryStore(path) as made:
        empty = not made.info()["records"]
    if empty:
        shutil.rmtree(path)


def _said(as_json: bool, **facts: Any) -> None:
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(f"{facts['records']:,} records: {facts.get('destination', facts['path'])}")


# ---- query, tail


def _style(as_json: bool, as_csv: bool) -> str:
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    return "json" if as_json else "csv" if as_csv else "table"


CSV = click.option("--csv", "as_csv", is_flag=True, help="CSV instead of a table.")
LINES = click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")


@store.command()
@PATH
@ranged
@click.option("--limit", type=click.IntRange(min=0), help="At most so many records; 100 in a table.")
@LINES
@CSV
def query(
    path: Path, start: int | None, end: int | None, symbols: tuple[str, ...], limit: int | None, as_json: bool, as_csv: bool
) -> None:
    """Print the records of a time range and of some symbols."""
    style = _style(as_json, as_csv)
    with reported():
        from hft.store.transfer import batches

        cut = limit if limit is not None else 100 if style == "table" else None
        with opened(path) as source:
            printer = Printer(source, style)
            left = cut
            for part in batches(source, start, end, chosen(source, symbols), batch_records=BATCH):
                if left is None or left > 0:
                    printer.show(part[:left])
                if left is not None:
                    if len(part) > left:
                        click.echo(f"There is more: the first {cut:,} records are shown (--limit).", err=True)
                        return
                    left -= len(part)
            if not printer.started:
                if style != "json":
                    printer.show(np.zeros(0, source.dtype))
                click.echo("No record.", err=True)


@store.command()
@PATH
@SYMBOL
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True, help="Records to begin with.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is appended, until Ctrl-C.")
@click.option("--until-closed", is_flag=True, help="With --follow: end when no process writes the store any more.")
@click.option("--interval", "interval_s", type=Number(min=0.0), default=0.05, help="Seconds between looks.")
@LINES
@CSV
def tail(
    path: Path,
    symbols: tuple[str, ...],
    lines: int,
    follow: bool,
    until_closed: bool,
    interval_s: float,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print the last records, and with --follow those that a writer appends, also across midnight."""
    style = _style(as_json, as_csv)
    if until_closed and not follow:
        raise click.UsageError("--until-closed needs --follow")
    with reported(), opened(path, verify=not follow) as source:
        printer = Printer(source, style)
        wanted = chosen(source, symbols)
        if not follow:
            parts = last_records(source, lines, wanted)
        else:
            parts = following(source, lines, wanted, until_closed, interval_s)
        for part in parts:
            printer.show(part)


# ---- retention


@store.command()
@PATH
@click.option(
    "--before", required=True, metavar="DAY", help="The first day that stays as it is, YYYY-MM-DD, or -N: N days before today."
)
@click.option("--to", type=click.Choice(["stores", "parquet"]), default="stores", show_default=True)
@JSON
def compact(path: Path, before: str, to: str, as_json: bool) -> None:
    """Rewrite the closed days of a directory: partitions of exactly their size, or one Parquet file a day."""
    with reported(), opened(_directory(path)) as source, ProgressBar() as bar:
        days = source.compact(_day(before), to, progress=bar.task("compact"))
    if as_json:
        click.echo(json.dumps([day._asdict() for day in days]))
    else:
        for day in days:
            click.echo(f"{day.day}: {day.records:,} records, {day.bytes_before:,} -> {day.bytes_after:,} bytes")


@store.command()
@PATH
@click.option(
    "--before", required=True, metavar="DAY", help="The first day that stays, YYYY-MM-DD, or -N: N days before today."
)
@JSON
def prune(path: Path, before: str, as_json: bool) -> None:
    """Remove the days of a directory before a day."""
    with reported(), opened(_directory(path)) as source, ProgressBar() as bar:
        days = source.prune(_day(before), progress=bar.task("prune"))
    if as_json:
        click.echo(json.dumps(days))
    else:
        for day in days:
            click.echo(day)


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise click.UsageError(f"this is for a directory store: path={path}")
    return path


def _day(text: str) -> str:
    if re.fullmatch(r"-\d{1,5}", text):
        today = datetime.datetime.fromtimestamp(time.time(), datetime.UTC).date()
        return (today - datetime.timedelta(days=int(text[1:]))).isoformat()
    return text
