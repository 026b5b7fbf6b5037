"""Contract of the market maker: quotes of a model around the middle price, and the volatility that the model needs."""

cimport cython
from libc.stdint cimport int64_t

from fastcore.avellaneda cimport Quoter, quoter_t
from fastcore.flow cimport EwmaVolatility, ewma_t
from fastcore.strategy cimport Strategy, strategy_t


ctypedef struct maker_t:
    strategy_t base
    quoter_t* quoter
    ewma_t* volatility      # NULL: the quoter keeps its own sigma
    int64_t order_lots
    double time_left
    double ticks_per_price
    int64_t mid_move_half_ticks  # the middle has to move by more, in halves of a tick; < 0: every change counts
    int64_t quoted          # bid and ask, added up, of the last quotes; NO_PRICE before
    int64_t quotes          # times that the model was asked


@cython.final
cdef class MarketMaker(Strategy):
    cdef maker_t _m
    cdef readonly Quoter quoter
    cdef readonly EwmaVolatility volatility
    cdef int _take(self, Quoter quoter, object order_lots, double time_left, object mid_move_ticks) except -1
