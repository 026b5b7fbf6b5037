"""Orchestration around the compiled core ``fastcore``."""

from importlib import import_module as _import_module

_DISTRIBUTION = "hft-fastcore"


def _check_core() -> None:
    """Refuse to start on another package's ``fastcore``, which pip installs over ours without a word."""
    import fastcore

    if getattr(fastcore, "__distribution__", None) != _DISTRIBUTION:
        raise ImportError(
            f"the package 'fastcore' found at {getattr(fastcore, '__file__', None) or list(fastcore.__path__)} is not the "
            f"compiled core of {_DISTRIBUTION}: an unrelated distribution named 'fastcore' shadows or has overwritten it. "
            f"Repair: 'pip uninstall -y fastcore', then 'pip install --force-reinstall --no-deps {_DISTRIBUTION}'"
        )


_check_core()

# Where each public name lives; imported on first use so that `import hft` stays cheap.
_EXPORTS = {
    "LockFreeRingBuffer": "fastcore.ring",
    "SymbolMapper": "fastcore.symbols",
    "LatencyMonitor": "fastcore.histogram",
    "MemoryMappedDataStore": "fastcore.tickstore",
    "fast_zscore_calculation": "fastcore.zscore",
    "zscore_batch": "fastcore.zscore",
    "OptimizedSignalEngine": "fastcore.zscore",
    "AvellanedaMarketMaker": "hft.compat",
    "Quote": "hft.compat",
    "Ticker": "hft.compat",
    "MarketDataStruct": "hft.compat",
    "AsyncMarketDataProcessor": "hft.compat",
    "HFTEngine": "hft.compat",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'hft' has no attribute {name!r}")
    value = getattr(_import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value
