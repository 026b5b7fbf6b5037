"""Contract of the desk: our side of an account, with what a client can know and nothing that only the venue knows.

    desk_report(desk, event)          what came of an own order: orders, position, money
    desk_send(desk, market, outbox)   what strategies want -> risk -> own orders -> gateway: the only way an order leaves

Wanted quotes: of each side of an instrument up to DESK_RUNGS orders are kept at the wanted prices. A message is sent only where the wanted
prices and sizes are others than those last acted upon, or when a fill has used an order up; a ladder becomes as few messages as that can
be. Of each order one change is in flight at a time, and the newest wish is acted on when the answer comes. An order that a limit refuses
pulls the one that it would have replaced. While a kill switch or a limit keeps everything down all own orders are pulled, and what is
wanted then is refused; once armed it is tried again.

Single orders: each has the number that its strategy gave it, and changes of one that is in flight wait for the answer.

Wanted position: one order for what is missing waits at its touch and crosses after a time. It is only ever amended: the size of an amend
counts what is filled, so that no fill on the way is had twice.

Several strategies on one account each have a stake in an instrument: wanted quotes, a wanted position, and what they hold. Limits count
the account, and no order leaves that would meet one of another strategy.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.gateway cimport gateway_t
from fastcore.market cimport market_t
from fastcore.money cimport fees_t, money_t, money_units
from fastcore.portfolio cimport position_net, position_t
from fastcore.records cimport NO_PRICE, event_t
from fastcore.risk cimport RiskLimits, risk_down, risk_gate_t, risk_symbol_t
from fastcore.strategy cimport DESK_OWNERS, DESK_RUNGS, own_order_t


# Why a wanted quote was not sent, or not yet.
cdef enum:
    KEPT_IN_FLIGHT          # a change of its order is not answered yet
    KEPT_NEAR               # its order is nearer than the distance of a re-quote
    KEPT_YOUNG              # its order has not rested for long enough
    KEPT_COUNT

# The wanted quote of one rung, and what is done about it.
ctypedef struct rung_t:
    int64_t wish_ticks      # newest wish; NO_PRICE for none
    int64_t wish_lots
    int64_t acted_ticks     # price and size that were last acted upon
    int64_t acted_lots
    int64_t order_id        # of the order that works; 0 none
    int64_t old_id          # of the order whose place it takes
    bint in_flight          # a message about it is not answered yet
    uint8_t retry           # a fill changed what the limits allow: send again at the same price once nothing works
    uint8_t met             # it would have met an order of another strategy: send again when one has gone or moved

# The wanted position.
ctypedef struct seek_t:
    int64_t wanted_lots     # NO_PRICE: none
    int64_t cross_after_ns  # < 0: never
    int64_t since_ns        # something is missing; NO_PRICE: nothing is
    int64_t order_id        # of its order; 0 none
    int64_t tried_ticks     # what was last sent or refused: it is not sent again
    int64_t tried_lots
    bint listed             # it is in the list of the desk
    bint met                # as that of a rung

# What is in flight of an order that is none of the wanted quotes, and what waits for the answer.
ctypedef struct change_t:
    int64_t next_ticks      # in flight
    int64_t wish_ticks      # NO_PRICE: as it is
    int64_t wish_lots       # 0: as it is
    bint wished
    bint leave              # the wish is a pull

# What one strategy wants of an instrument.
ctypedef struct stake_t:
    uint32_t symbol_id
    uint32_t owner          # index of the strategy
    uint32_t depth          # levels in use, at least 1
    bint dirty              # an answer is new: it is in the list of the desk
    rung_t[2 * DESK_RUNGS] rungs    # that of a level and a side (0 buy, 1 sell) is [2 * level + side]
    seek_t seek
    stake_t* next_answered
    stake_t* next_seeking

# One instrument.
ctypedef struct account_t:
    stake_t* stakes         # by owner
    uint32_t singles        # unfinished orders that are none of the wanted quotes
    bint met                # a wish would have met an order of another strategy
    int64_t mark_ticks      # last middle of an uncrossed book, rounded down; NO_PRICE before
    risk_symbol_t* risk     # what the limits know of it: open lots, bounds
    fees_t* fees
    bint known              # desk_open was called

ctypedef struct desk_t:
    gateway_t* gateway      # NULL: nothing can be wanted
    risk_gate_t* gate
    position_t* positions   # of the account, by dense id
    position_t** held       # of each strategy, by owner and dense id; that of a single one is `positions`
    uint32_t owners         # strategies, at least 1
    account_t* accounts     # by dense id
    uint32_t capacity
    uint32_t* opened        # ids of the known accounts
    uint32_t opened_count
    stake_t* answered       # those that are dirty, the first one first
    stake_t** answered_end
    stake_t* seeking        # those with a wanted position
    stake_t** seeking_end
    own_order_t* orders     # by id, modulo DESK_ORDERS
    change_t* changes       # likewise
    int64_t next_id
    int64_t in_flight       # messages that are not answered yet
    int64_t due_ns          # when to look again although nothing happens
    int64_t[DESK_OWNERS] due    # the same by owner
    int64_t min_rest_ns     # an order is not moved before; pulls pass
    int64_t requote_ticks   # nor for less than this
    bint holds              # one of the two is set
    int64_t kept[KEPT_COUNT]
    int64_t max_loss        # ticks * lots; < 0: no limit
    bint stopped            # the loss limit: own orders are pulled, nothing more is sent
    bint down               # a kill switch or a limit, when it was last looked at: own orders are pulled, new ones refused
    money_t fee             # of the last fill
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


cdef inline bint desk_waits(desk_t* d, int64_t now_ns) noexcept nogil:
    """Whether something is to be done although no strategy wants anything: an answer has come, a kill switch has changed, a time is over."""
    return d.answered != NULL or (risk_down(d.gate) != 0) != d.down or now_ns >= d.due_ns


# Act on what came of an own order; returns whose it is.
cdef uint32_t desk_report(desk_t* d, const event_t* e) noexcept nogil
# Act on an outbox of `n` events, whose `seq` is their owner, then on the wishes that waited for an answer or a time.
cdef void desk_send(desk_t* d, const market_t* m, const event_t* out, uint32_t n, int64_t now_ns, uint64_t cause) noexcept nogil


@cython.final
cdef class Desk:
    cdef desk_t _d
    cdef readonly RiskLimits limits
    cdef uint64_t _busy     # a run works on it
    cdef int _divide(self, uint32_t owners) except -1
    cdef int _stakes(self, uint32_t symbol_id) except -1
    cdef uint32_t _id(self, object symbol_id) except? 0xFFFFFFFF
    cdef uint32_t _owner(self, object strategy) except? 0xFFFFFFFF
    cdef object _profit(self, uint32_t symbol_id, uint32_t owners)
