"""Tick stores of one file and of many days, and their way to and from Arrow, Parquet, DuckDB, pandas and polars.

Names are loaded on first use, because Arrow is an extra.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arrow import from_arrow, rows_to_arrow
    from .directory import DirectoryStore, QueryStats, open_store
    from .retention import Compaction
    from .symbols import SymbolTable
    from .transfer import batches, export, import_, reader, to_arrow

__all__ = [
    "Compaction",
    "DirectoryStore",
    "QueryStats",
    "SymbolTable",
    "batches",
    "export",
    "from_arrow",
    "import_",
    "open_store",
    "reader",
    "rows_to_arrow",
    "to_arrow",
]

_PLACES = {
    **dict.fromkeys(("from_arrow", "rows_to_arrow"), "arrow"),
    **dict.fromkeys(("DirectoryStore", "QueryStats", "open_store"), "directory"),
    "Compaction": "retention",
    "SymbolTable": "symbols",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(_import_module(f"{__name__}.{_PLACES.get(name, 'transfer')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
