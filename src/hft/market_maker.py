"""The market maker of the replaced engine: the same calls and results, over the compiled quote models.

A strategy written for that engine runs unchanged. Its rule of thumb for the spread is the default (``model="simplified"``);
any model of `fastcore.avellaneda` can take its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from fastcore.avellaneda import EwmaVolatility, Quoter

__all__ = ["AvellanedaMarketMaker", "Quote", "Ticker"]

LEVELS = 5
LEVEL_TICKS = 10
LEVEL_MULTIPLIERS = (1.0, 1.5, 2.2, 3.4, 5.1)
REQUOTE_SECONDS = 2.0
REQUOTE_MOVE = 0.001
PRICE_DECIMALS = 12  # what a product of ticks leaves behind them is noise


@dataclass(slots=True)
class Quote:
    """One quote of a ladder: price and amount in the units of the instrument, side ``"buy"`` or ``"sell"``, time in s."""

    price: float
    amount: float
    instrument: str | None = None
    side: str | None = None
    timestamp: float | None = None


@dataclass(slots=True)
class Ticker:
    """State of a market: prices in the units of the instrument, times in seconds since the UNIX epoch."""

    mark_price: float
    best_bid_price: float | None = None
    best_ask_price: float | None = None
    index: float | None = None
    mark_ts: float | None = None
    funding_rate: float | None = None
    volume: float | None = None
    open_interest: float | None = None
    timestamp: float | None = field(default_factory=time.time)


def _positive(name: str, value: float) -> float:
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite: {name}={value}")
    return float(value)


def _usable(value: float | None) -> bool:
    return value is not None and isfinite(value) and value > 0


class AvellanedaMarketMaker:
    """Keep a ladder of quotes around the market, skewed against the position.

    Parameters
    ----------
    model : str, default "simplified"
        A model of `fastcore.avellaneda.MODELS`.
    position_limit : float, default 1
        No bids at +limit and above, no asks at -limit and below. Also the limit in the rule of `simplified`.
    base_size : float, default 0.1
        Size of level 0; level i has base_size * max(0.3, 1 - 0.15 i).
    min_spread_ticks : int, default 5
    volatility_half_life : float, default 50
        Of the volatility estimate, in market updates.
    clock : callable, default time.time
        Seconds; the same for quotes, tickers and the re-quote rule.
    **parameters
        Further parameters of the model. `simplified` has gamma 0.5, horizon 1 and spread_factor 1 where not given; sigma is
        the start of the volatility, which then follows the market (the model exact keeps the sigma it was solved for).

    Raises
    ------
    ValueError, TypeError
        If a parameter is not valid.

    Notes
    -----
    **Thread safety**: one thread at a time.

    A quote is made again when there is none, after a fill, when the tick size or instrument changed, more than 2.0 s after
    the last one, or when the mid has moved by more than 0.001 of itself; otherwise the last quotes are returned.
    """

    def __init__(
        self,
        model: str = "simplified",
        *,
        position_limit: float = 1.0,
        base_size: float = 0.1,
        min_spread_ticks: int = 5,
        volatility_half_life: float = 50.0,
        clock: Callable[[], float] = time.time,
        **parameters: Any,
    ) -> None:
        self.model = model
        self.position_limit = _positive("position_limit", position_limit)
        self.base_size = _positive("base_size", base_size)
        self.instrument: str | None = None
        self.tick_size = 0.0
        self.position = 0.0
        self.entry_price = 0.0
        self.realized_pnl = 0.0
        self.quote_count = 0
        self._last_price = 0.0
        self._volume = 0.0
        self._turnover = 0.0
        self._bought = 0.0
        self._sold = 0.0
        self._clock = clock
        self._half_life = volatility_half_life
        self._estimate = EwmaVolatility(half_life=volatility_half_life)
        defaults: dict[str, Any] = {"gamma": 0.5, "sigma": 0.0, "limit": position_limit} if model == "simplified" else {}
        self._parameters = {**defaults, **parameters, "min_spread_ticks": min_spread_ticks}
        self._quoter = self._make_quoter(0.01)  # to check the parameters now; made again with the tick size
        self._quotes: tuple[list[Quote], list[Quote]] = ([], [])
        self._quoted_at = 0.0
        self._quoted_mid = 0.0

    def _make_quoter(self, tick_size: float) -> Quoter:
        return Quoter(self.model, **self._parameters, tick_size=tick_size, inventory_limit=self.position_limit)

    def set_tick_size(self, tick_size: float) -> bool:
        """Set the price of one tick, which must be known before quotes can be made.

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If it is not positive and finite.
        """
        quoter = self._make_quoter(_positive("tick_size", tick_size))
        if self.model != "exact":
            quoter.volatility = self._quoter.volatility
        self._quoter = quoter
        self.tick_size = float(tick_size)
        self._quoted_mid = 0.0
        return True

    def set_instrument(self, instrument: str) -> bool:
        """Set the name that quotes carry.

        Returns
        -------
        bool
            True.
        """
        if not isinstance(instrument, str) or not instrument:
            raise ValueError(f"instrument must be a name: instrument={instrument!r}")
        self.instrument = instrument
        self._quoted_mid = 0.0
        return True

    def update_market_data(self, price: float, volume: float = 0, is_buy: bool | None = None) -> bool:
        """Take a trade or a price: it moves the volatility, the volume-weighted price and the mark of the position.

        Parameters
        ----------
        price : float
            Positive and finite.
        volume : float
            Finite, not negative.
        is_buy : bool, optional
            Side of the aggressor.

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If price or volume is not valid; nothing is changed then.
        """
        price = _positive("price", price)
        if not (isfinite(volume) and volume >= 0):
            raise ValueError(f"volume must be finite and not negative: volume={volume}")
        self._estimate.update(price)
        self._last_price = price
        self._volume += volume
        self._turnover += price * volume
        if is_buy is not None:
            if is_buy:
                self._bought += volume
            else:
                self._sold += volume
        if self._estimate.count and self.model != "exact":
            self._quoter.volatility = self._estimate.volatility
        return True

    def generate_quotes(
        self, ticker: Ticker, market_conditions: Mapping[str, Any] | None = None
    ) -> tuple[list[Quote], list[Quote]]:
        """Return bid and ask quotes, best first.

        Parameters
        ----------
        ticker : Ticker
            The mid of its best prices counts, or its mark price where a side is missing or they are crossed.
        market_conditions : mapping, optional
            ``volatility`` (price per square root of time) replaces the estimate, ``time_left`` (default 1) is for models
            with a horizon; other entries are not used.

        Returns
        -------
        (list of Quote, list of Quote)
            Five levels a side; an empty side is closed by the position limit, or has no positive price.

        Raises
        ------
        ValueError
            If the tick size is not set, the ticker has no usable price, or a condition is not valid.
        """
        if not self.tick_size:
            raise ValueError("tick_size must be set before quotes can be made: tick_size=0")
        conditions = market_conditions or {}
        bid, ask = ticker.best_bid_price, ticker.best_ask_price
        if bid is not None and ask is not None and _usable(bid) and _usable(ask) and bid < ask:
            mid = (bid + ask) / 2
        elif _usable(ticker.mark_price):
            mid = ticker.mark_price
        else:
            raise ValueError(
                f"ticker must have a usable price: mark_price={ticker.mark_price}, best_bid_price={bid}, best_ask_price={ask}"
            )
        volatility = conditions.get("volatility")
        if volatility is not None and not (isfinite(volatility) and volatility >= 0):
            raise ValueError(f"volatility must be finite and not negative: volatility={volatility}")
        now = self._clock()
        if not self.should_update_quotes(mid, now):
            return self._quotes
        if self.model == "exact":
            volatility = None
        self._quoter.quote(mid, self.position, conditions.get("time_left", 1.0), volatility)
        bids, asks, sizes = self._quoter.ladder(LEVELS, LEVEL_TICKS, LEVEL_MULTIPLIERS, self.base_size)
        self._quotes = (
            self._side(bids.tolist(), sizes.tolist(), "buy", now),
            self._side(asks.tolist(), sizes.tolist(), "sell", now),
        )
        self._quoted_at, self._quoted_mid = now, mid
        self.quote_count += len(self._quotes[0]) + len(self._quotes[1])
        return self._quotes

    def _side(self, ticks: list[int], sizes: list[float], side: str, now: float) -> list[Quote]:
        # Ticks below 1 are NO_PRICE: the side is closed or the level would not be positive.
        return [
            Quote(round(n * self.tick_size, PRICE_DECIMALS), size, self.instrument, side, now)
            for n, size in zip(ticks, sizes, strict=True)
            if n > 0
        ]

    def should_update_quotes(self, mid: float, now: float | None = None) -> bool:
        """Return whether the quotes are due: none yet, older than 2.0 s, or the mid moved by more than 0.001 of itself."""
        now = self._clock() if now is None else now
        if not self._quoted_mid or now - self._quoted_at > REQUOTE_SECONDS:
            return True
        return abs(mid - self._quoted_mid) / self._quoted_mid > REQUOTE_MOVE

    def on_order_filled(self, order_id: object, price: float, size: float, is_buy: bool) -> bool:
        """Take a fill of an own order into position, average entry price and realised profit.

        Parameters
        ----------
        order_id : object
            The caller's; named in errors.
        price, size : float
            Positive and finite.
        is_buy : bool

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If price or size is not valid; nothing is changed then.
        """
        if not (isfinite(price) and price > 0 and isfinite(size) and size > 0):
            raise ValueError(
                f"a fill needs a positive, finite price and size: order_id={order_id!r}, price={price}, size={size}"
            )
        change = size if is_buy else -size
        before = self.position
        after = before + change
        if abs(after) < 1e-12 * max(abs(before), size):
            after = 0.0  # what decimal sizes leave behind
        if before * change < 0:
            closed = min(size, abs(before))
            self.realized_pnl += closed * (price - self.entry_price) * (1 if before > 0 else -1)
            if after == 0:
                self.entry_price = 0.0
            elif before * after < 0:
                self.entry_price = price
        else:
            self.entry_price = (self.entry_price * abs(before) + price * size) / abs(after)
        self.position = after
        self._last_price = self._last_price or price
        self._quoted_mid = 0.0
        return True

    def get_position_metrics(self) -> dict[str, float]:
        """Return position, entry_price, realized_pnl, unrealized_pnl, vwap and quote_count.

        Returns
        -------
        dict
            The unrealised profit is at the last market price; `vwap` is 0 before the first volume.
        """
        return {
            "position": self.position,
            "entry_price": self.entry_price,
            "realized_pnl": self.realized_pnl,
            "unrealized_pnl": self.position * (self._last_price - self.entry_price) if self.position else 0.0,
            "vwap": self._turnover / self._volume if self._volume else 0.0,
            "quote_count": self.quote_count,
        }

    @property
    def volatility(self) -> float:
        """Volatility in use: price per square root of an update."""
        return self._quoter.volatility
