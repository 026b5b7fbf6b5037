from collections.abc import Mapping
from os import PathLike
from typing import Final, Literal, NamedTuple, Self, final

from fastcore.errors import Result
from fastcore.instruments import Instrument

__all__ = ["CHECKS", "Change", "KillSwitch", "RiskLimits", "rate_inverted"]

CHECKS: Final[tuple[Result, ...]]

def rate_inverted(giver: Instrument, currency: str, wanted: str) -> bool: ...

class Change(NamedTuple):
    time_ns: int
    symbol_id: int | None
    key: str
    before: object
    after: object
    by: str

@final
class KillSwitch:
    def __new__(cls, path: str | PathLike[str] | None = None) -> Self: ...
    @property
    def path(self) -> str | PathLike[str] | None: ...
    @property
    def down(self) -> bool: ...
    def kill(self) -> None: ...
    def clear(self) -> None: ...

@final
class RiskLimits:
    max_order_lots: int | Literal["off"] | None
    max_position_lots: int | Literal["off"] | None
    collar_ticks: int | Literal["off"] | None
    def __new__(
        cls,
        max_order_lots: int | Literal["off"] | None = None,
        max_position_lots: int | Literal["off"] | None = None,
        collar_ticks: int | Literal["off"] | None = None,
        *,
        currency: str | None = None,
        kill_switch: KillSwitch | None = None,
        enabled: bool = True,
        require_trading: bool = False,
        require_increment: bool = False,
        min_order_lots: int | None = None,
        lot_multiple: int | None = None,
        max_order_value: float | None = None,
        last_collar_ticks: int | None = None,
        stale_ns: int | None = None,
        refuse_crossed: bool = False,
        feed_lag_ns: int | None = None,
        short_sale: Literal["above_bid", "held"] | None = None,
        prevent_self_trade: bool = False,
        repeat_ns: int | None = None,
        group: str | None = None,
        margin: float = 1.0,
        max_gross_value: float | None = None,
        max_net_value: float | None = None,
        buying_power: float | None = None,
        max_realised_loss: float | None = None,
        max_unrealised_loss: float | None = None,
        max_day_loss: float | None = None,
        max_drawdown: float | None = None,
        messages_per_second: int | None = None,
        messages_per_minute: int | None = None,
        orders_per_trade: int | None = None,
        max_open_orders: int | None = None,
        max_fills_per_minute: int | None = None,
        clock_error_ns: int | None = None,
        groups: Mapping[str, tuple[float | None, float | None]] | None = None,
        rates: Mapping[str, float | str] | None = None,
    ) -> Self: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def kill_switch(self) -> KillSwitch: ...
    @property
    def audit(self) -> list[Change]: ...
    @property
    def killed(self) -> str | None: ...
    @property
    def checked(self) -> int: ...
    @property
    def passed(self) -> int: ...
    @property
    def rate_symbol_ids(self) -> list[int]: ...
    @property
    def rejected(self) -> dict[str, int]: ...
    def settings(self, symbol_id: int | None = None) -> dict[str, object]: ...
    def change(self, *, symbol_id: int | None = None, by: str = "", **settings: object) -> None: ...
    def kill(self, *, by: str = "") -> None: ...
    def arm(self, *, by: str = "") -> None: ...
    def new_day(self, *, by: str = "") -> None: ...
    def check(
        self,
        side: int,
        price_ticks: int,
        size_lots: int,
        position_lots: int = 0,
        open_buy_lots: int = 0,
        open_sell_lots: int = 0,
        reference_ticks: int | None = None,
    ) -> int: ...
    def require(
        self,
        side: int,
        price_ticks: int,
        size_lots: int,
        position_lots: int = 0,
        open_buy_lots: int = 0,
        open_sell_lots: int = 0,
        reference_ticks: int | None = None,
    ) -> None: ...
    def reset_counts(self) -> None: ...
