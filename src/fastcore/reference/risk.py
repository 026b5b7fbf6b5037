"""Plain-Python twin of ``fastcore.risk``: the same rules in the same order."""

from collections import Counter

from fastcore.errors import RESULTS, raise_result
from fastcore.reference.records import BUY, SELL

OK = 0
BAD_PRICE, BAD_SIZE = 17, 18
LIMIT_SIZE, LIMIT_POSITION, LIMIT_COLLAR, NO_REFERENCE = 19, 20, 21, 22


def _limit(value: int | None, name: str, lowest: int) -> int | None:
    if value is not None and value < lowest:
        raise ValueError(f"{name} must be at least {lowest}, or None: {name}={value}")
    return value


class RiskLimits:
    """Limits that every order must keep; one that is None rejects every order."""

    def __init__(
        self, max_order_lots: int | None = None, max_position_lots: int | None = None, collar_ticks: int | None = None
    ) -> None:
        self.max_order_lots = max_order_lots
        self.max_position_lots = max_position_lots
        self.collar_ticks = collar_ticks
        self._counts: Counter[int] = Counter()

    @property
    def max_order_lots(self) -> int | None:
        """Largest size of one order."""
        return self._max_order_lots

    @max_order_lots.setter
    def max_order_lots(self, value: int | None) -> None:
        self._max_order_lots = _limit(value, "max_order_lots", 1)

    @property
    def max_position_lots(self) -> int | None:
        """Largest position with every open order of that side filled."""
        return self._max_position_lots

    @max_position_lots.setter
    def max_position_lots(self, value: int | None) -> None:
        self._max_position_lots = _limit(value, "max_position_lots", 0)

    @property
    def collar_ticks(self) -> int | None:
        """Largest distance of the price from the reference."""
        return self._collar_ticks

    @collar_ticks.setter
    def collar_ticks(self, value: int | None) -> None:
        self._collar_ticks = _limit(value, "collar_ticks", 0)

    @property
    def checked(self) -> int:
        """Orders judged."""
        return self._counts.total()

    @property
    def passed(self) -> int:
        """Orders that kept every limit."""
        return self._counts[OK]

    @property
    def rejected(self) -> dict[str, int]:
        """Orders by the first rule that they broke."""
        return {RESULTS[code][0]: self._counts[code] for code in sorted(self._counts) if code != OK}

    def _judge(
        self, side: int, price: int, size: int, position: int, open_buy: int, open_sell: int, reference: int | None
    ) -> int:
        if size < 1:
            return BAD_SIZE
        if price < 1:
            return BAD_PRICE
        if self.max_order_lots is None or size > self.max_order_lots:
            return LIMIT_SIZE
        worst = position + open_buy + size if side == BUY else position - open_sell - size
        if self.max_position_lots is None or not -(2**63) <= worst < 2**63:
            return LIMIT_POSITION
        if worst * side > self.max_position_lots:
            return LIMIT_POSITION
        if reference is None or reference < 1:
            return NO_REFERENCE
        if self.collar_ticks is None or abs(price - reference) > self.collar_ticks:
            return LIMIT_COLLAR
        return OK

    def check(
        self,
        side: int,
        price_ticks: int,
        size_lots: int,
        position_lots: int = 0,
        open_buy_lots: int = 0,
        open_sell_lots: int = 0,
        reference_ticks: int | None = None,
    ) -> int:
        """Judge an order, and count the outcome."""
        if side not in (BUY, SELL):
            raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
        if open_buy_lots < 0 or open_sell_lots < 0:
            raise ValueError(
                f"open quantities must not be negative: open_buy_lots={open_buy_lots} open_sell_lots={open_sell_lots}"
            )
        code = self._judge(side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks)
        self._counts[code] += 1
        return code

    def require(
        self,
        side: int,
        price_ticks: int,
        size_lots: int,
        position_lots: int = 0,
        open_buy_lots: int = 0,
        open_sell_lots: int = 0,
        reference_ticks: int | None = None,
    ) -> None:
        """Judge an order as `check` does, and raise when it breaks a rule."""
        code = self.check(side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks)
        if code != OK:
            raise_result(code, f"order must keep the limits: side={side} price_ticks={price_ticks} size_lots={size_lots}")

    def reset_counts(self) -> None:
        """Forget the counts; the limits stay."""
        self._counts.clear()
