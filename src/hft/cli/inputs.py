"""What commands are given: options of feeds as they are typed, numbers, files and streams."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, get_type_hints

import click
import msgspec

from fastcore.errors import UnknownSymbolError
from hft.conditions import suggestion
from hft.feeds import feed_class, recognise
from hft.feeds._files import head_of
from hft.feeds._streams import STDIN, forget_streams, is_stream, opened
from hft.feeds.feed import UnknownSymbolInFile

SEEKING = ("parquet", "arrow", "ticks", "lobster")  # formats of which parts are read out of order
_NOT_TYPED = ("path", "instruments", "progress")

OPTION = click.option(
    "--option", "extra", multiple=True, metavar="NAME=VALUE", help="Option of the feed of that format; may be repeated."
)
_CONDITIONS = (
    click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="Parameter of a strategy of yours; may be repeated."),
    click.option(
        "--latency", metavar="LATENCY", help="1ms of orders and responses, or order=200us,response=normal(300us,50us),feed=recorded."
    ),
    click.option("--queue", metavar="MODEL", help="Place in queues on data by level: risk-averse, power:N, log:1, log:2."),
    click.option("--maker-fee", help="Of fills of orders that waited: 0.02% or 2bps of the value, or an amount a unit (0.00295)."),
    click.option("--taker-fee", help="The same of orders that took."),
    click.option("--currency", help="Of limits that are amounts of money, and of the sum over currencies."),
    click.option("--rate", "rates", multiple=True, metavar="NAME=VALUE", help="What one of another currency costs in it; may be repeated."),
    click.option("--min-rest", metavar="DURATION", help="Wanted quotes are not moved before they have rested for so long."),
    click.option("--requote-ticks", type=click.IntRange(1, 2**40), help="Nor for a change of the price below so many ticks."),
    click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Key of the section [limits]; may be repeated."),
    click.option(
        "--journal", type=click.Path(file_okay=False, path_type=Path), help="Write the run down in this new directory, for hft rerun."
    ),
    click.option(
        "--controls",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="What changes during the run: limits, parameters, kill and arm, one JSON object a line, with its time.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of what people read."),
)


def conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every run has."""
    for option in _CONDITIONS[::-1]:
        command = option(command)
    return command


class Number(click.FloatRange):
    """A number of a range; "nan" is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


class FilePath(click.Path):
    """Where a file is, or is to be, that is not read from its beginning to its end: no pipe or device."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Any = super().convert(value, param, ctx)
        if is_stream(Path(path)):
            self.fail(f"it must be a regular file or a directory, no pipe and no device: path={path}", param, ctx)
        return path


@contextmanager
def refused() -> Iterator[None]:
    """Turn what parts of a run refuse into a usage error; data that are corrupt, and foreign layouts, have codes of their own."""
    try:
        yield
    except (UnknownSymbolError, UnknownSymbolInFile) as error:
        raise click.UsageError(str(error)) from None
    except (ValueError, OverflowError) as error:
        if type(error) not in (ValueError, OverflowError):
            raise
        raise click.UsageError(str(error)) from None


def feed_options(pairs: Sequence[str], formats: Sequence[str]) -> dict[str, Any]:
    """Return the options of a feed as Python values: JSON (numbers, lists, ...) or text, whichever the option takes."""
    if pairs and not formats:
        raise click.UsageError(f"--option is of the feed of data, and there are none: {pairs[0]!r}")
    types = {format: _types(format) for format in formats} if pairs else {}
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--option must be NAME=VALUE: {pair!r}")
        for format, known in types.items():
            if known and name not in known:
                hint = suggestion(name, known)
                raise click.UsageError(f"--option must name an option of {format} ({', '.join(sorted(known))}): {pair!r}{hint}")
            options[name] = _value(pair, text, known.get(name, Any), format)
    return options


def _types(format: str) -> dict[str, Any]:
    """The options of a format that can be typed, and their types; nothing where its class does not say them."""
    found: dict[str, Any] = {}
    with suppress(NameError):
        for owner in feed_class(format).__mro__:
            if "__init__" not in vars(owner):
                continue
            parameters = inspect.signature(owner.__init__).parameters  # type: ignore[misc]
            hints = get_type_hints(owner.__init__)  # type: ignore[misc]
            for name in hints.keys() & parameters.keys() - set(_NOT_TYPED) - found.keys():
                with suppress(TypeError):  # of what no text can mean
                    msgspec.json.schema(hints[name])
                    found[name] = hints[name]
            if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                break
    found.pop("options", None)
    return found


def _value(pair: str, text: str, type_: Any, format: str) -> Any:
    try:
        meant = json.loads(text)
    except (ValueError, RecursionError):
        meant = text
    if isinstance(meant, int) and not -(2**63) <= meant < 2**63:
        raise click.UsageError(f"--option must be within 64 bits: {pair} (format={format})")
    try:
        return msgspec.convert(meant, type_)
    except msgspec.ValidationError as error:
        with suppress(msgspec.ValidationError):
            return msgspec.convert(text, type_)
        raise click.UsageError(f"--option must be of its type: {pair}: {str(error)[:1].lower()}{str(error)[1:]} (format={format})") from None


def readable(stack: ExitStack, file: str, format: str | None) -> Path:
    """Return the path of an argument; of a stream it can be read once, and what reads a format out of order gets a copy of it."""
    path = STDIN if file == "-" else Path(file)
    if file == "-":
        if sys.stdin is None:
            raise click.UsageError("the standard input must be open: FILE=-")
        opened(path, lambda: sys.stdin.buffer)
    elif not is_stream(path):
        return path
    stack.callback(forget_streams)
    if head_of(path)[:4] != b"PK\x03\x04" and (format or recognise(path)) not in SEEKING:
        return path
    import tempfile

    copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / path.name
    with opened(path) as source, open(copy, "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
    return copy
