"""Strategies by name: ``FILE.py``, ``FILE.py:Class`` or ``MODULE:Class``."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .conditions import suggestion
from .config import ConfigError
from .strategy import Strategy, own_frame

__all__ = ["load_strategy"]


def load_strategy(name: str, parameters: Mapping[str, Any] = MappingProxyType({})) -> Strategy:
    """Return a strategy with its parameters set.

    Raises
    ------
    ConfigError
        If there is no such file, module or class, if the file fails, or if a parameter is wrong.
    """
    place, _, wanted = name.rpartition(":") if ":" in name and not name.endswith(".py") else (name, "", "")
    kinds = {
        key: value
        for key, value in _names(place).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__.partition(".")[0] != "hft"
    }
    if not kinds:
        raise ConfigError(f"{place} has no class that derives from hft.Strategy")
    if not wanted and len(kinds) > 1:
        raise ConfigError(f"{place} has several strategies, choose one: {', '.join(f'{place}:{key}' for key in kinds)}")
    wanted = wanted or next(iter(kinds))
    if wanted not in kinds:
        known = suggestion(wanted, list(kinds)) or f"; it has {', '.join(kinds)}"
        raise ConfigError(f"{place} has no strategy {wanted}{known}")
    try:
        return kinds[wanted](**parameters)
    except Exception as error:
        frame = own_frame(error)
        where = "" if frame is None else f"{frame.filename}:{frame.lineno} in {frame.name}: "
        raise ConfigError(f"{where}{error if not where else f'{type(error).__name__}: {error}'}") from None


def _names(place: str) -> dict[str, Any]:
    if not place.endswith(".py"):
        sys.path.insert(0, "")
        try:
            return vars(importlib.import_module(place))
        except ModuleNotFoundError as error:
            raise ConfigError(f"there is no module {error.name}: strategy={place}") from None
        finally:
            sys.path.remove("")
    if not Path(place).is_file():
        near = [path.name for path in Path(place).parent.glob("*.py")]
        raise ConfigError(f"there is no file {place}{suggestion(Path(place).name, near)}")
    folder = str(Path(place).resolve().parent)
    sys.path.insert(0, folder)  # as for a script: what stands beside it can be imported
    try:
        return runpy.run_path(place)
    except SyntaxError as error:
        raise ConfigError(f"{place}:{error.lineno}: {error.msg}") from None
    except Exception as error:
        frame = own_frame(error)
        line = f":{frame.lineno}" if frame is not None else ""
        if "__set_name__" in str(error) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # what a parameter refused, as Python 3.12 raises it
        raise ConfigError(f"{place}{line}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(folder)
