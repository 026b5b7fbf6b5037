"""Contract of the desk: our side of an account, with what a client can know and nothing that only the venue knows.

    desk_report(desk, event)          what came of an own order: orders, position, money
    desk_send(desk, market, outbox)   what strategies want -> risk -> own orders -> gateway: the only way an order leaves

Wanted quotes: of each side of an instrument one order is kept at the wanted price. It is sent only when the wanted price or size is
another than the one last acted upon, or when a fill has used the order up; one change is in flight at a time, and the newest wish is acted on
when the answer comes. An order that a limit refuses pulls the one that it would have replaced. While a kill switch or a limit keeps
everything down all own orders are pulled, and what is wanted then is refused; once armed it is tried again.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.gateway cimport gateway_t
from fastcore.market cimport market_t
from fastcore.money cimport fees_t, money_t, money_units
from fastcore.portfolio cimport position_net, position_t
from fastcore.records cimport NO_PRICE, event_t
from fastcore.risk cimport RiskLimits, risk_down, risk_gate_t, risk_symbol_t


cdef enum:
    DESK_ORDERS = 1024      # own orders that can be unfinished at the same time

cdef enum:
    ORDER_FREE
    ORDER_SENT
    ORDER_LIVE
    ORDER_LEAVING           # its pull or replacement is in flight
    ORDER_DONE

# One cache line.
ctypedef struct own_order_t:
    int64_t id
    int64_t replaces        # id of the order whose place it takes; 0 none
    int64_t price_ticks
    int64_t size_lots
    int64_t filled_lots
    int64_t worst_lots      # what limits count: all that may still be filled
    int64_t sent_ns
    uint32_t symbol_id
    int8_t side
    uint8_t state
    uint8_t pad[2]

# The wanted quote of one side of an instrument, and what is done about it.
ctypedef struct rung_t:
    int64_t wish_ticks      # newest wish; NO_PRICE for none
    int64_t wish_lots
    int64_t acted_ticks     # price and size that were last acted upon
    int64_t acted_lots
    int64_t order_id        # of the order that works; 0 none
    bint in_flight          # a message about it is not answered yet
    bint retry              # a fill changed what the limits allow: send again at the same price once nothing works

ctypedef struct account_t:
    rung_t rungs[2]         # buy, sell
    int64_t mark_ticks      # last middle of an uncrossed book, rounded down; NO_PRICE before
    risk_symbol_t* risk     # what the limits know of it: open lots, bounds
    fees_t* fees
    bint known              # desk_open was called
    bint dirty              # an answer is new: it is in the list of the desk

ctypedef struct desk_t:
    gateway_t* gateway      # NULL: nothing can be wanted
    risk_gate_t* gate
    position_t* positions   # by dense id
    account_t* accounts     # by dense id
    uint32_t capacity
    uint32_t* opened        # ids of the known accounts
    uint32_t opened_count
    uint32_t* answered      # those that are dirty
    uint32_t answered_count
    own_order_t* orders     # by id, modulo DESK_ORDERS
    int64_t next_id
    int64_t in_flight       # messages that are not answered yet
    int64_t max_loss        # ticks * lots; < 0: no limit
    bint stopped            # the loss limit: own orders are pulled, nothing more is sent
    bint down               # a kill switch or a limit, when it was last looked at: own orders are pulled, new ones refused
    bint overflowed         # a fill does not fit into the accounts
    int misused             # kind of an event that an outbox may not hold, or that the gateway did not take; 0 for none
    int64_t orders_sent
    int64_t risk_rejects
    int64_t fills


cdef inline int64_t desk_profit(const desk_t* d, uint32_t symbol_id) noexcept nogil:
    """Units after fees, rounded down, marked at the last middle; NO_PRICE where that is unknown or beyond 64 bits."""
    cdef money_t profit
    return money_units(profit) if position_net(&d.positions[symbol_id], d.accounts[symbol_id].mark_ticks, &profit) else NO_PRICE


cdef inline bint rung_settled(const rung_t* r) noexcept nogil:
    """Whether the newest wish is the one that was acted upon."""
    return r.wish_ticks == r.acted_ticks and (r.wish_ticks == NO_PRICE or r.wish_lots == r.acted_lots)


cdef inline bint desk_waits(desk_t* d) noexcept nogil:
    """Whether something is to be done although no strategy wants anything: an answer has come, or a kill switch has changed."""
    return d.answered_count != 0 or (risk_down(d.gate) != 0) != d.down


cdef void desk_report(desk_t* d, const event_t* e) noexcept nogil
# Act on an outbox of `n` events, then on the wishes that waited for an answer.
cdef void desk_send(desk_t* d, const market_t* m, const event_t* out, uint32_t n, int64_t now_ns, uint64_t cause) noexcept nogil


@cython.final
cdef class Desk:
    cdef desk_t _d
    cdef readonly RiskLimits limits
    cdef uint32_t _id(self, object symbol_id) except? 0xFFFFFFFF
