"""Tick stores of one file and of many days, and their way to and from Arrow, Parquet, DuckDB, pandas and polars.

Names are loaded on first use, because Arrow is an extra.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arrow import batches, export, from_arrow, import_, reader, rows_to_arrow, to_arrow
    from .directory import Compaction, DirectoryStore, QueryStats, open_store
    from .symbols import SymbolTable

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

_PLACES = {"SymbolTable": "symbols", **dict.fromkeys(("Compaction", "DirectoryStore", "QueryStats", "open_store"), "directory")}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(_import_module(f"{__name__}.{_PLACES.get(name, 'arrow')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
