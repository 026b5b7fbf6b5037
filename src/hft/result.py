"""The result of a backtest: tables, figures, a printed summary, pictures, a page, words, and a directory that keeps it."""

from __future__ import annotations

import json
import os
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument

from .figures import figures, text
from .outcome import ARRAYS, FORMAT, RESULT, Outcome

__all__ = ["Result", "load"]


class Result(Outcome):
    __doc__ = Outcome.__doc__

    @cached_property
    def stats(self) -> dict[str, Any]:
        """Figures of the run by name, ready for JSON; ``docs/results.md`` says what each is and how it is worked out."""
        return figures(self)

    def explain(self, what: int | str) -> str:
        """Return the life of an order in words, by its number in the tables, or what a figure means: "profit", "markout", "fills",
        "position", "ratios".

        Raises
        ------
        LookupError
            If there is no such order or figure; the message names what there is.
        """
        from .explain import explain

        return explain(self, what)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw profit and its parts, position, market, mark-outs and what was recorded into a ``.svg``, ``.png`` or ``.pdf``.

        Raises
        ------
        ValueError
            If the suffix is another one, or matplotlib (extra ``plot``) is missing.
        """
        from .panels import plot

        plot(self, Path(path))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the printed result and the pictures as one small HTML file that needs nothing else; return its path.

        Raises
        ------
        ValueError
            Unless the name ends in ``.html``.
        """
        from .page import page

        place = Path(path)
        if place.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"a report must end in .html: path={place}")
        place.write_text(page(self), "utf-8")
        return place

    def __str__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def load(directory: str | os.PathLike[str]) -> Result:
    """Return a result that ``Result.save`` has kept: its tables and figures are the same; it has no engine.

    Raises
    ------
    CorruptDataError
        If the directory is not what ``Result.save`` wrote.
    """
    place = Path(directory)
    try:
        kept = json.loads((place / RESULT).read_text("utf-8"))
        if kept["format"] != FORMAT:
            raise ValueError(f"format={kept['format']}, this is {FORMAT}")
        markets = {each["id"]: Instrument(**each["instrument"]) for each in kept["accounts"]}
        result = Result(None, markets, {}, kept["conditions"])
        with open(place / ARRAYS, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            result.__dict__["_arrays"] = dict(arrays)
    except FileNotFoundError:
        raise CorruptDataError(f"a result must have {RESULT} and {ARRAYS}: {place}") from None
    except (ValueError, KeyError, TypeError, EOFError, OSError, BadZipFile) as error:
        raise CorruptDataError(f"{RESULT} and {ARRAYS} must be what Result.save wrote: {place}: {error}") from None
    result.stopped = kept["stopped"]
    result.__dict__["_kept"] = kept
    return result
