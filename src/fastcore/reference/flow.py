"""Plain-Python twin of ``fastcore.flow``: the formulas as they are published."""

from math import inf, isfinite, isnan, log, nan, sqrt

from fastcore.errors import range_error


class EwmaVolatility:
    """Exponentially weighted volatility."""

    def __init__(
        self,
        decay: float | None = None,
        *,
        half_life: float | None = None,
        interval_ns: int = 0,
        relative: bool = False,
        variance: float | None = None,
    ) -> None:
        if (decay is None) == (half_life is None):
            raise ValueError(f"exactly one of decay and half_life must be given: decay={decay}, half_life={half_life}")
        if half_life is not None:
            if not 0 < half_life < inf:
                raise ValueError(f"half_life must be positive and finite: half_life={half_life}")
            decay = float(0.5 ** (1 / half_life))
        if decay is None or not 0 < decay < 1:
            raise ValueError(f"decay must be within 0..1, both excluded: decay={decay}")
        if not 0 <= interval_ns <= 10**18:
            raise range_error("interval_ns", interval_ns, 0, 10**18)
        if variance is not None and not (isfinite(variance) and variance >= 0):
            raise ValueError(f"variance must be finite and not negative: variance={variance}")
        self.decay: float = decay
        self.interval_ns = interval_ns
        self.relative = relative
        self.variance = nan if variance is None else variance
        self.count = 0
        self._last: tuple[float, int] | None = None

    def update(self, price: float, time_ns: int = 0) -> None:
        """Take a price."""
        if not (isfinite(price) and price > 0):
            raise ValueError(f"price must be positive and finite: price={price}")
        if self._last is None:
            self._last = price, time_ns
            return
        last, last_ns = self._last
        if self.interval_ns and time_ns < last_ns:
            raise ValueError(f"time_ns must not go back: time_ns={time_ns}, last={last_ns}")
        if self.interval_ns and time_ns - last_ns < self.interval_ns:
            return
        intervals = (time_ns - last_ns) / self.interval_ns if self.interval_ns else 1.0
        square = (log(price / last) if self.relative else price - last) ** 2 / intervals
        weight = self.decay**intervals
        self.variance = square if isnan(self.variance) else weight * self.variance + (1 - weight) * square
        self.count += 1
        self._last = price, time_ns

    @property
    def volatility(self) -> float:
        """Per square root of an observation, or of a second where there is an interval."""
        return sqrt(self.variance * 1e9 / self.interval_ns) if self.interval_ns else sqrt(self.variance)

    @property
    def half_life(self) -> float:
        """Observations or intervals until a return has half its weight."""
        return log(0.5) / log(self.decay)
