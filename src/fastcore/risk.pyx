# cython: freethreading_compatible=True
"""Pre-trade limits: the last thing an order passes before it is encoded.

A limit that is not configured rejects every order, so that forgetting one cannot open the gate. The position limit holds in the
worst case: all open orders of that side filled. The collar needs a reference price, and holds on both sides of it.
"""

cimport cython

from libc.stdint cimport INT64_MAX, int8_t, int64_t
from libc.string cimport memset

from fastcore._integers cimport as_int64, int64_in

from fastcore.errors import RESULTS, raise_result

__all__ = ["RiskLimits"]


cdef int64_t _limit(value, str name, int64_t lowest) except? -2:
    # None is stored as -1, which no check lets through.
    return -1 if value is None else int64_in(value, name, lowest, INT64_MAX)


@cython.final
cdef class RiskLimits:
    """RiskLimits(max_order_lots=None, max_position_lots=None, collar_ticks=None)\n--\n\n
    Limits that every order must keep.

    Parameters
    ----------
    max_order_lots : int, optional
        Largest size of one order, at least 1. None: not configured, every order is rejected.
    max_position_lots : int, optional
        Largest position, long or short, that may result if every open order of that side fills; at least 0. None: as above.
    collar_ticks : int, optional
        Largest distance of the price from the reference, at least 0. None: as above.

    Attributes
    ----------
    max_order_lots, max_position_lots, collar_ticks : int or None
        As given; can be set, and every change holds from the next check.
    checked, passed : int
        Orders judged; orders that kept every limit.
    rejected : dict of str to int
        Orders by the first rule that they broke, zero counts left out.

    Raises
    ------
    ValueError
        If a limit is out of range.

    Notes
    -----
    **Thread safety**: one thread checks and changes limits.
    """

    def __cinit__(self, max_order_lots=None, max_position_lots=None, collar_ticks=None):
        self._gate.limits.max_order_lots = _limit(max_order_lots, "max_order_lots", 1)
        self._gate.limits.max_position_lots = _limit(max_position_lots, "max_position_lots", 0)
        self._gate.limits.collar_ticks = _limit(collar_ticks, "collar_ticks", 0)

    def __repr__(self):
        return (
            f"RiskLimits(max_order_lots={self.max_order_lots}, max_position_lots={self.max_position_lots}, "
            f"collar_ticks={self.collar_ticks})"
        )

    @property
    def max_order_lots(self):
        return self._gate.limits.max_order_lots if self._gate.limits.max_order_lots >= 0 else None

    @max_order_lots.setter
    def max_order_lots(self, value):
        self._gate.limits.max_order_lots = _limit(value, "max_order_lots", 1)

    @property
    def max_position_lots(self):
        return self._gate.limits.max_position_lots if self._gate.limits.max_position_lots >= 0 else None

    @max_position_lots.setter
    def max_position_lots(self, value):
        self._gate.limits.max_position_lots = _limit(value, "max_position_lots", 0)

    @property
    def collar_ticks(self):
        return self._gate.limits.collar_ticks if self._gate.limits.collar_ticks >= 0 else None

    @collar_ticks.setter
    def collar_ticks(self, value):
        self._gate.limits.collar_ticks = _limit(value, "collar_ticks", 0)

    @property
    def checked(self):
        return sum(self._gate.by_result)

    @property
    def passed(self):
        return self._gate.by_result[RESULT_OK]

    @property
    def rejected(self):
        return {RESULTS[i][0]: self._gate.by_result[i] for i in range(1, RISK_REASONS) if self._gate.by_result[i]}

    cdef int _judge(
        self, side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
    ) except -1:
        cdef int64_t s = as_int64(side), open_buy = as_int64(open_buy_lots), open_sell = as_int64(open_sell_lots)
        cdef int64_t reference = NO_PRICE if reference_ticks is None else as_int64(reference_ticks)
        if s != BUY and s != SELL:
            raise ValueError(f"side must be 1 (buy) or -1 (sell): side={s}")
        if open_buy < 0 or open_sell < 0:
            raise ValueError(f"open quantities must not be negative: open_buy_lots={open_buy} open_sell_lots={open_sell}")
        return risk_gate(
            &self._gate, <int8_t> s, as_int64(price_ticks), as_int64(size_lots), as_int64(position_lots), open_buy, open_sell,
            reference,
        )

    def check(
        self, side, price_ticks, size_lots, position_lots=0, open_buy_lots=0, open_sell_lots=0, reference_ticks=None
    ):
        """Judge an order, and count the outcome.

        Parameters
        ----------
        side : int
            1 to buy, -1 to sell.
        price_ticks, size_lots : int
            Of the order.
        position_lots : int, default 0
            Current position, signed.
        open_buy_lots, open_sell_lots : int, default 0
            Lots of the open orders of each side, without this one.
        reference_ticks : int, optional
            Current reference price; None, or one below 1, rejects.

        Returns
        -------
        int
            `fastcore.errors.Result`: ``OK``, or the first broken rule of ``BAD_SIZE`` (below 1), ``BAD_PRICE`` (below 1),
            ``LIMIT_SIZE``, ``LIMIT_POSITION``, ``NO_REFERENCE``, ``LIMIT_COLLAR``.

        Raises
        ------
        ValueError
            If the side is no side or an open quantity is negative; nothing is counted.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        return self._judge(side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks)

    def require(
        self, side, price_ticks, size_lots, position_lots=0, open_buy_lots=0, open_sell_lots=0, reference_ticks=None
    ):
        """Judge an order as `check` does, and raise when it breaks a rule.

        Parameters
        ----------
        side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks : int
            As in `check`.

        Raises
        ------
        RiskError
            If a limit is broken, not configured, or there is no reference price.
        ValueError
            If an argument is out of range.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef int result = self._judge(
            side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
        )
        if result != RESULT_OK:
            raise_result(
                result,
                f"order must keep {self!r}: side={side} price_ticks={price_ticks} size_lots={size_lots} "
                f"position_lots={position_lots} open_buy_lots={open_buy_lots} open_sell_lots={open_sell_lots} "
                f"reference_ticks={reference_ticks}",
            )

    def reset_counts(self):
        """Forget the counts; the limits stay.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        memset(self._gate.by_result, 0, sizeof(self._gate.by_result))
