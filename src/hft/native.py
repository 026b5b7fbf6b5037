"""Strategies in Cython, C or another language in a run of ``hft``: parameters and results as those in Python, hooks of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import fastcore
from fastcore.instruments import Instrument
from fastcore.strategy import Strategy as Core

from .config import ConfigError
from .strategy import Strategy

__all__ = ["NativeStrategy", "build"]


def build(directory: Path) -> None:
    """Run ``setup.py build_ext --inplace`` in a directory, unless what it builds is newer than its sources and this package.

    Raises
    ------
    ConfigError
        If it fails: with the last lines that it printed.
    """
    sources = [
        *directory.glob("*.pyx"),
        *directory.glob("*.pxd"),
        directory / "setup.py",
        *Path(fastcore.get_include()).parent.glob("*.pxd"),
    ]
    built = [
        min((path.stat().st_mtime_ns for path in directory.glob(f"{p.stem}*{EXTENSION_SUFFIXES[0]}")), default=0)
        for p in directory.glob("*.pyx")
    ]
    if min(built, default=0) > max(path.stat().st_mtime_ns for path in sources):
        return
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"]
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise ConfigError(
            f"{directory.resolve() / 'setup.py'} must build (it takes Cython, setuptools and a C compiler):\n{last}"
        )


class NativeStrategy(Strategy):
    """Base of strategies whose hooks are compiled code of the user's own: override `core`.

    >>> class MarketMaker(NativeStrategy):
    ...     def core(self, markets):
    ...         [(symbol_id, instrument)] = markets.items()
    ...         return mine.MarketMaker(symbol_id, instrument)

    Parameters, symbols and the result are those of ``hft.Strategy``; its hooks and `record` are not there.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def core(self, markets: Mapping[int, Instrument]) -> Core:
        """Return the compiled strategy (of ``docs/cimport.md``) of a run, made with the markets by dense id."""
        raise NotImplementedError(f"{type(self).__name__} must have a method core(markets)")

    def _begin(self, markets: Mapping[int, Instrument], seed: int = 0) -> Any:
        super()._begin(markets, seed)
        core = self.core(markets)
        if not isinstance(core, Core):
            raise TypeError(f"core must return a strategy of fastcore: {type(self).__name__}.core() returned {core!r}")
        return core
