"""Orchestration around the compiled core ``fastcore``.

What a strategy needs (`Strategy`, `Param`, `Symbol`, `every`, `batch`, `backtest`) and the names of the replaced engine are importable from
here; each is loaded on first use, so that ``import hft`` costs next to nothing.
"""

from importlib import import_module as _import_module

_DISTRIBUTION = "hft-fastcore"


def _check_core() -> None:
    # Refuse to start on another package's ``fastcore``, which pip installs over ours without a word.
    try:
        import fastcore
    except Exception as error:  # a foreign package may fail in any way; ours imports nothing
        if isinstance(error, ModuleNotFoundError) and error.name == "fastcore":
            raise ImportError(
                f"the package 'fastcore', the compiled core of {_DISTRIBUTION}, is not there. "
                f"Repair: 'pip install --force-reinstall --no-deps {_DISTRIBUTION}'"
            ) from None
        raise ImportError(_foreign(None, f"it fails on import with {type(error).__name__}: {error}")) from error
    if getattr(fastcore, "__distribution__", None) == _DISTRIBUTION:
        return
    origin = getattr(fastcore, "__file__", None)
    if origin is None and (paths := list(getattr(fastcore, "__path__", []))):
        # Uninstalling the foreign package takes the __init__.py that both share with it.
        reason = "it has no __init__.py, which is what uninstalling an unrelated 'fastcore' leaves of ours"
        raise ImportError(_foreign(paths[0] + "/__init__.py", reason))
    raise ImportError(_foreign(origin, f"an unrelated package of that name shadows or has overwritten it ({origin})"))


def _foreign(origin: str | None, reason: str) -> str:
    # What is wrong, and what to do: that depends on whether ours was overwritten or is only hidden.
    from pathlib import Path

    message = f"the package 'fastcore' that Python finds is not the compiled core of {_DISTRIBUTION}: {reason}. "
    install = f"'pip uninstall -y fastcore', then 'pip install --force-reinstall --no-deps {_DISTRIBUTION}'"
    if origin is None or Path(origin).resolve().parent.parent == Path(__file__).resolve().parent.parent:
        return f"{message}Repair: {install}"
    place = Path(origin)
    place = place.parent if place.name == "__init__.py" else place
    return (
        f"{message}It stands before ours on sys.path. Repair: rename or remove {place}, or take {place.parent} off PYTHONPATH "
        f"and the working directory; if pip installed it there: {install}"
    )


_check_core()

# Where each public name lives.
_COMPILED = """
    LatencyMonitor LockFreeRingBuffer MemoryMappedDataStore OptimizedSignalEngine SymbolMapper fast_zscore_calculation zscore_batch
"""
_PYTHON = "AsyncMarketDataProcessor AvellanedaMarketMaker HFTEngine MarketDataStruct Quote Signal Ticker"
_STRATEGY = "Fill Handle Order Param Strategy StrategyError Symbol Trade every"
_EXPORTS = (
    dict.fromkeys(_COMPILED.split(), "fastcore.replaced")
    | dict.fromkeys(_PYTHON.split(), "hft.replaced")
    | dict.fromkeys(_STRATEGY.split(), "hft.strategy")
    | {"Result": "hft.result", "backtest": "hft.backtesting", "backtest_each": "hft.backtesting", "batch": "hft.batches", "load": "hft.result"}
    | {"CompileError": "hft.compiling", "NativeStrategy": "hft.native", "compiled": "hft.compiling"}
)

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is at run time, without importing typing
if TYPE_CHECKING:
    from fastcore.replaced import LatencyMonitor as LatencyMonitor
    from fastcore.replaced import LockFreeRingBuffer as LockFreeRingBuffer
    from fastcore.replaced import MemoryMappedDataStore as MemoryMappedDataStore
    from fastcore.replaced import OptimizedSignalEngine as OptimizedSignalEngine
    from fastcore.replaced import SymbolMapper as SymbolMapper
    from fastcore.replaced import fast_zscore_calculation as fast_zscore_calculation
    from fastcore.replaced import zscore_batch as zscore_batch
    from hft.backtesting import backtest as backtest
    from hft.backtesting import backtest_each as backtest_each
    from hft.batches import batch as batch
    from hft.compiling import CompileError as CompileError
    from hft.compiling import compiled as compiled
    from hft.native import NativeStrategy as NativeStrategy
    from hft.replaced import AsyncMarketDataProcessor as AsyncMarketDataProcessor
    from hft.replaced import AvellanedaMarketMaker as AvellanedaMarketMaker
    from hft.replaced import HFTEngine as HFTEngine
    from hft.replaced import MarketDataStruct as MarketDataStruct
    from hft.replaced import Quote as Quote
    from hft.replaced import Signal as Signal
    from hft.replaced import Ticker as Ticker
    from hft.result import Result as Result
    from hft.result import load as load
    from hft.strategy import Fill as Fill
    from hft.strategy import Handle as Handle
    from hft.strategy import Order as Order
    from hft.strategy import Param as Param
    from hft.strategy import Strategy as Strategy
    from hft.strategy import StrategyError as StrategyError
    from hft.strategy import Symbol as Symbol
    from hft.strategy import Trade as Trade
    from hft.strategy import every as every

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'hft' has no attribute {name!r}")
    value = getattr(_import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
