from fractions import Fraction
from typing import Self, final

from fastcore.instruments import Instrument
from fastcore.money import Fees
from fastcore.portfolio import Position
from fastcore.risk import RiskLimits

__all__ = ["Desk"]

@final
class Desk:
    def __new__(
        cls,
        limits: RiskLimits | None = None,
        *,
        max_loss: int | None = None,
        symbols: int = 65536,
        min_rest_ns: int = 0,
        requote_ticks: int = 1,
    ) -> Self: ...
    def open(
        self,
        symbol_id: int,
        instrument: Instrument | None = None,
        *,
        fees: Fees | None = None,
        maker_fee_ticks: int = 0,
        taker_fee_ticks: int = 0,
    ) -> None: ...
    def position(self, symbol_id: int, strategy: int | None = None) -> Position: ...
    def mid_ticks(self, symbol_id: int) -> int | None: ...
    def profit(self, symbol_id: int, strategy: int | None = None) -> int | Fraction | None: ...
    def orders(self) -> list[tuple[int, int, int, int | None, int, int, str, str]]: ...
    @property
    def not_sent(self) -> dict[str, int]: ...
    @property
    def limits(self) -> RiskLimits: ...
    @property
    def orders_sent(self) -> int: ...
    @property
    def messages(self) -> int: ...
    @property
    def risk_rejects(self) -> int: ...
    @property
    def fills(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def stopped(self) -> bool: ...
