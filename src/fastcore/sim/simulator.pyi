from typing import Literal, Self, final

from fastcore.market import Market
from fastcore.sim.venue import Venue
from fastcore.source import Source

__all__ = ["Simulator"]

@final
class Simulator(Source):
    def __new__(
        cls,
        history: Source,
        market: Market,
        *,
        instant: Literal["message", "time"] = "message",
        venue_market: Market | None = None,
    ) -> Self: ...
    def open(self, symbol_id: int) -> Venue: ...
    @property
    def market(self) -> Market: ...
    @property
    def history(self) -> Source: ...
    @property
    def instant(self) -> str: ...
    @property
    def venues(self) -> dict[int, Venue]: ...
