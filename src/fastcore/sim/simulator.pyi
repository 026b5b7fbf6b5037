from collections.abc import Mapping
from typing import Self, final

from fastcore.market import Market
from fastcore.sim.latency import Latency
from fastcore.sim.markouts import Markouts
from fastcore.sim.queues import QueueModel
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
        feed_ns: int = 0,
        local_offset_ns: int | None = None,
        order: int | Latency = 0,
        response: int | Latency = 0,
        queue: QueueModel | None = None,
        name: str = "venue",
        venue_market: Market | None = None,
        details: bool = False,
        markouts: Markouts | None = None,
    ) -> Self: ...
    def open(self, symbol_id: int, *, signed_prices: bool = False) -> Venue: ...
    @property
    def market(self) -> Market: ...
    @property
    def history(self) -> Source: ...
    @property
    def feed_ns(self) -> int: ...
    @property
    def local_offset_ns(self) -> int | None: ...
    @property
    def order(self) -> Latency: ...
    @property
    def response(self) -> Latency: ...
    @property
    def queue(self) -> QueueModel: ...
    @property
    def details(self) -> bool: ...
    @property
    def markouts(self) -> Markouts | None: ...
    @property
    def venues(self) -> Mapping[int, Venue]: ...
    @property
    def clamped(self) -> int: ...
    @property
    def unstamped(self) -> int: ...
