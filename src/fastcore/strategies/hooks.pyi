from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, final

from fastcore.instruments import Instrument
from fastcore.strategies.batches import Batch
from fastcore.strategies.rows import Recorder
from fastcore.strategy import Strategy

__all__ = ["Ahead", "Fill", "Handle", "Order", "PythonStrategy", "Snapshot", "Trade", "Working"]

class Working(NamedTuple):
    bid: float | None
    ask: float | None
    bid_size: float
    ask_size: float

class Ahead(NamedTuple):
    bid: float | None
    ask: float | None

class Snapshot(NamedTuple):
    symbol: str
    time: int
    bid: float | None
    ask: float | None
    bid_size: float
    ask_size: float
    mid: float | None
    microprice: float | None
    spread: float | None
    two_sided: bool
    age: float
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    position: float
    average: float | None
    profit: float | None
    working: Working
    queue_ahead: Ahead

@final
class Trade:
    @property
    def price(self) -> float: ...
    @property
    def size(self) -> float: ...
    @property
    def side(self) -> int: ...

@final
class Fill:
    @property
    def price(self) -> float: ...
    @property
    def size(self) -> float: ...
    @property
    def side(self) -> int: ...
    @property
    def maker(self) -> bool: ...
    @property
    def cause(self) -> str: ...
    @property
    def fee(self) -> float: ...
    @property
    def ahead(self) -> float | None: ...
    @property
    def mid(self) -> float | None: ...
    @property
    def order(self) -> int: ...

@final
class Order:
    @property
    def id(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def price(self) -> float | None: ...
    @property
    def size(self) -> float: ...
    @property
    def filled(self) -> float: ...
    @property
    def left(self) -> float: ...
    @property
    def state(self) -> str: ...
    @property
    def done(self) -> bool: ...
    @property
    def refused(self) -> bool: ...
    @property
    def why(self) -> str: ...
    @property
    def tif(self) -> str: ...
    @property
    def post_only(self) -> bool: ...
    @property
    def symbol(self) -> str: ...
    def cancel(self) -> bool: ...
    def move(
        self,
        price: float | None = None,
        size: float | None = None,
        *,
        price_ticks: int | None = None,
        size_lots: int | None = None,
    ) -> bool: ...

@final
class Handle:
    @property
    def symbol(self) -> str: ...
    @property
    def symbol_id(self) -> int: ...
    @property
    def bid(self) -> float | None: ...
    @property
    def ask(self) -> float | None: ...
    @property
    def bid_size(self) -> float: ...
    @property
    def ask_size(self) -> float: ...
    @property
    def bid_ticks(self) -> int | None: ...
    @property
    def ask_ticks(self) -> int | None: ...
    @property
    def two_sided(self) -> bool: ...
    @property
    def mid(self) -> float | None: ...
    @property
    def microprice(self) -> float | None: ...
    @property
    def spread(self) -> float | None: ...
    @property
    def age(self) -> float: ...
    @property
    def position(self) -> float: ...
    @property
    def account_position(self) -> float: ...
    @property
    def average(self) -> float | None: ...
    @property
    def profit(self) -> float | None: ...
    @property
    def working(self) -> Working: ...
    @property
    def queue_ahead(self) -> Ahead: ...
    @property
    def tick(self) -> float: ...
    @property
    def lot(self) -> float: ...
    @property
    def bids(self) -> tuple[tuple[float, float], ...]: ...
    @property
    def asks(self) -> tuple[tuple[float, float], ...]: ...
    def imbalance(self, levels: int = 1) -> float | None: ...
    def quote(
        self,
        bid: float | None = None,
        ask: float | None = None,
        size: float | None = None,
        *,
        bid_size: float | None = None,
        ask_size: float | None = None,
        bids: Sequence[tuple[float, float]] | None = None,
        asks: Sequence[tuple[float, float]] | None = None,
    ) -> None: ...
    def quote_ticks(
        self,
        bid: int | None = None,
        ask: int | None = None,
        lots: int | None = None,
        *,
        bid_lots: int | None = None,
        ask_lots: int | None = None,
    ) -> None: ...
    def buy(
        self,
        size: float | None = None,
        price: float | None = None,
        tif: str = "day",
        *,
        post_only: bool = False,
        until: int | None = None,
        price_ticks: int | None = None,
        size_lots: int | None = None,
    ) -> Order: ...
    def sell(
        self,
        size: float | None = None,
        price: float | None = None,
        tif: str = "day",
        *,
        post_only: bool = False,
        until: int | None = None,
        price_ticks: int | None = None,
        size_lots: int | None = None,
    ) -> Order: ...
    def target(self, position: float | None, cross_after: str | None = None) -> None: ...
    def snapshot(self) -> Snapshot: ...
    def pull(self, why: str = "") -> None: ...

@final
class PythonStrategy(Strategy):
    def __new__(
        cls,
        hooks: Mapping[str, Callable[..., Any]],
        markets: Mapping[int, Instrument],
        every: Iterable[tuple[Callable[[], Any], int]] = (),
        duration: Callable[[str], int] | None = None,
    ) -> Self: ...
    def recording(self, recorder: Recorder) -> Callable[..., None]: ...
    def collect(self, batches: Iterable[Batch]) -> None: ...
    def after(self, delay_ns: int, method: Callable[[], Any]) -> None: ...
    @property
    def markets(self) -> tuple[Handle, ...]: ...
    @property
    def now(self) -> int: ...
    @property
    def reasons(self) -> dict[str, int]: ...
