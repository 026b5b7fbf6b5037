"""Pre-trade limits: contract and hot path.

    risk_order(gate, symbol, side, price, size, freed, replaces, now)   judge one order: RESULT_OK, or the code of the first broken rule

What passes is a join of comparisons with bounds that are kept beside each instrument; an order for which one of them fails is judged
again, rule by rule (`risk_judge`): that alone refuses, and says why. The bounds are never wider than the rules. They move with our
orders and with the reference price (`risk_moved`), and are worked out anew (`risk_bounds`) where a rule is about money or something
else has changed.
"""

from libc.math cimport NAN
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.money cimport money_t
from fastcore.portfolio cimport position_t
from fastcore.records cimport NO_PRICE, NO_SYMBOL, RESULT_KILLED, RESULT_OK, likely, load_acquire, unlikely


# Prices and sizes beyond them do not pass without a second look.
cdef extern from *:
    """
    #define FC_RISK_FAR_KEY ((int64_t)1 << 50)
    #define FC_RISK_FAR_LOTS ((int64_t)1 << 60)
    """
    const int64_t FAR_KEY "FC_RISK_FAR_KEY"
    const int64_t FAR_LOTS "FC_RISK_FAR_LOTS"

cdef enum:
    RISK_REASONS = 64               # result codes that can be counted: all are smaller
    RISK_GROUPS = 64                # group 0 is the whole account

cdef enum:
    NOT_CONFIGURED = -1
    LIMIT_OFF = -2

# How a sale is held back.
cdef enum:
    SHORT_ALLOWED
    SHORT_ABOVE_BID                 # what is not held is sold above the best bid only
    SHORT_REFUSED                   # what is not held is not sold

# Limits of one instrument; what is off cannot be reached.
ctypedef struct limits_t:
    int64_t max_order_lots          # <= 0: not configured, nothing passes
    int64_t max_position_lots       # of |position| with every open order of a side filled; < 0: not configured
    int64_t collar_ticks            # of |price - reference|; NOT_CONFIGURED or LIMIT_OFF
    int64_t last_collar_ticks       # of |price - last trade|; < 0: off
    int64_t min_order_lots
    int64_t lot_multiple
    int64_t repeat_ns               # an order like the one before must be later than this; < 0: off
    int64_t stale_ns                # of market data; INT64_MAX: off
    int64_t feed_lag_ns             # from the venue to us; INT64_MAX: off
    double max_order_value          # millionths of the currency of the limits; infinite: off
    bint enabled
    bint trading                    # only while the instrument trades
    bint increment                  # only on the venue's price increment
    bint crossed                    # not while the market is crossed, locked or one-sided
    bint self_trade                 # not against an own order
    uint8_t short_sale

# A sum over instruments: of a group, or of all.
ctypedef struct total_t:
    money_t exact
    double near
    double bounded                  # what it was when bounds were made of it,
    double slack                    # which allow it to move by so much; infinite: there is no limit

ctypedef struct group_t:
    total_t gross                   # millionths of the currency of the limits: |position| in the worst case
    total_t longs                   # net, with every buy filled
    total_t shorts                  # net, with every sale filled
    double max_gross                # millionths; infinite: off
    double max_net

# Messages, or executions, allowed in a time: a bucket of tokens.
ctypedef struct bucket_t:
    int64_t most                    # tokens; 0: off
    int64_t span_ns                 # in which that many come back
    int64_t level                   # tokens * span_ns
    int64_t last_ns
    int64_t free_ns                 # when the next token is there

# What an order is compared with; prices in the sign of the side: what is high is eager.
ctypedef struct bound_t:
    int64_t low_key
    int64_t high_key
    int64_t room_lots               # beyond those that a replaced order frees
    int64_t money_lots              # the same by what is about money
    int64_t size_max
    int64_t last_key                # of the last order of the side, where repetition is refused
    int64_t least_key               # low_key and high_key but for the reference and our own orders
    int64_t most_key

# n is a multiple exactly when rotate(n * inverse) <= most.
ctypedef struct divisor_t:
    uint64_t inverse
    uint64_t most
    int shift

ctypedef struct risk_symbol_t:
    # The passing path.
    bound_t bounds[2]               # buy, sell
    int64_t size_min
    int64_t from_ns                 # market data are older than that
    int64_t fresh_until_ns          # nor older than this
    divisor_t increment
    divisor_t low_increment
    int64_t low_below_ticks
    divisor_t lot
    bint dirty                      # the bounds are older than what follows
    bint changed                    # own orders came or went since risk_moved
    bint steady                     # risk_moved need not work everything out
    int64_t low_ticks               # while the reference is in low_ticks..high_ticks
    int64_t high_ticks
    int64_t collar_ticks            # from the reference; FAR_KEY: off
    uint32_t sums                   # of the gate, when the bounds were made
    bint stopped                    # a rule that does not depend on the order refuses all
    # What is known; whoever changes it says so in `dirty`.
    position_t position
    int64_t open_lots[2]            # of own orders, in the worst case
    int64_t own_ticks[2]            # best price of own orders; NO_PRICE for none
    int64_t sent_ticks[2]           # of the last order of a side
    int64_t sent_lots[2]
    int64_t sent_ns[2]
    int64_t reference_ticks         # NO_PRICE before the first
    int64_t last_ticks              # last trade; NO_PRICE before the first
    int64_t bid
    int64_t ask
    int64_t seen_ns                 # our time of the newest market data
    int64_t lag_ns                  # from the venue to us
    bint trading
    bint stale                      # the book misses messages
    # What the instrument is.
    limits_t limits
    double worth                    # millionths of the currency of the limits for a unit of money; NaN: no rate of exchange
    double worth_at_one             # the same at a rate of one tick
    uint32_t rate_symbol_id         # instrument whose middle is the rate; NO_SYMBOL: the rate is fixed
    bint rate_inverted              # it says what one of the other currency costs
    int64_t rate_ticks              # NO_PRICE before the first
    double margin                   # share of the value that buying power must cover
    int64_t increment_ticks
    int64_t low_increment_ticks
    uint32_t group                  # 0: none but the account
    bint inverse
    bint signed_prices
    # What it adds to the sums, in millionths of the currency of the limits.
    int64_t gross
    int64_t longs
    int64_t shorts
    int64_t margined
    int64_t realised                # after fees
    int64_t unrealised
    bint unknown                    # one of them cannot be computed
    bint owes                       # the sums do not hold what it adds now: it is in the list of the gate
    risk_symbol_t* next_owing
    int64_t summed[5]               # what they were worked out from: reference, open lots, position, fills
    int64_t priced_ticks            # the reference of what follows; NO_PRICE: not worked out
    double lots_per_worth           # lots that are worth a millionth
    int64_t value_lots              # lots that are worth the largest order, rather too few
    uint32_t symbol_id
    uint32_t number                 # of its instrument in the list of the gate
    risk_symbol_t* next             # of the gate

ctypedef struct risk_gate_t:
    const uint64_t* word            # of a kill switch: not 0 is down
    int killed                      # result code that keeps everything down until armed; 0: up
    bint blocked                    # a rule of the account that most orders would break
    int64_t not_before_ns           # orders before it break a rule
    bint money                      # some rule is about money
    uint32_t sums                   # counts changes of the sums over instruments
    bint looks                      # some rule is about market data
    int64_t by_result[RISK_REASONS] # checks by result code; [RESULT_OK] are those that passed
    risk_symbol_t* first
    risk_symbol_t* owing            # whose part of the sums is older than what is known of them; NULL: none
    risk_symbol_t defaults          # of an instrument of which nothing is said
    group_t groups[RISK_GROUPS]
    int64_t now_ns                  # newest time of an order
    int64_t clock_error_ns          # by which data may come from our future
    bint clock                      # that is judged, and our time never goes back
    bucket_t second
    bucket_t minute
    bucket_t executions
    int64_t messages                # sent, cancels included
    int64_t fills
    int64_t orders_per_trade        # 0: off
    int64_t open_orders
    int64_t max_open_orders         # INT64_MAX: off
    double buying_power             # millionths; infinite: off, as all that follow
    double max_realised_loss
    double max_unrealised_loss
    double max_day_loss
    double max_drawdown
    total_t margined                # sums over instruments, millionths
    total_t realised
    total_t unrealised
    int64_t unknown                 # instruments whose sums cannot be computed
    double day_start                # profit at its begin
    double peak                     # highest profit since armed


# Judge rule by rule; nothing is changed.
cdef int risk_judge(
    const risk_gate_t* g, const risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t freed_lots, bint replaces,
    int64_t now_ns,
) noexcept nogil
# risk_order for what the bounds do not let pass.
cdef int risk_slow(
    risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t freed_lots, bint replaces, int64_t now_ns
) noexcept nogil
# Bring the sums and bounds of an instrument up to date with what is known of it.
cdef void risk_bounds(risk_gate_t* g, risk_symbol_t* s) noexcept nogil
# The same after nothing but orders and the reference have changed, if anything has.
cdef void risk_moved(risk_gate_t* g, risk_symbol_t* s, int64_t reference_ticks) noexcept nogil
# See whether a loss limit is broken, or cannot be judged, which keeps everything down; when all sums are up to date.
cdef void risk_losses(risk_gate_t* g) noexcept nogil
# A message leaves: an order (with `s`), or a cancel (NULL).
cdef void risk_sent(
    risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t now_ns
) noexcept nogil
# Lots of an own order will not be filled any more, or were; `done`: nothing of it is left.
cdef void risk_freed(risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t lots, bint done) noexcept nogil
# An own order was filled, and its position says so.
cdef void risk_filled(risk_gate_t* g, risk_symbol_t* s, int64_t now_ns) noexcept nogil


cdef inline int64_t least(int64_t a, int64_t b) noexcept nogil:
    return a if a < b else b


cdef inline bint risk_two_sided(int64_t bid, int64_t ask) noexcept nogil:
    """Whether both best prices are there, neither crossed nor locked."""
    return bid != NO_PRICE and ask != NO_PRICE and bid < ask


cdef inline int risk_down(risk_gate_t* g) noexcept nogil:
    """Result code that keeps everything down, 0 while orders may leave. A kill switch that was seen down stays down until armed."""
    if unlikely(load_acquire(g.word) != 0) and g.killed == RESULT_OK:
        g.killed = RESULT_KILLED
    return g.killed


cdef inline void risk_seen(const risk_gate_t* g, risk_symbol_t* s, int64_t seen_ns) noexcept nogil:
    """Market data of an instrument are of this time."""
    s.seen_ns = seen_ns
    s.from_ns = INT64_MIN
    if g.clock and seen_ns > INT64_MIN + g.clock_error_ns:
        s.from_ns = seen_ns - g.clock_error_ns
    s.fresh_until_ns = INT64_MAX
    if s.limits.stale_ns != INT64_MAX:
        s.fresh_until_ns = seen_ns if seen_ns == INT64_MIN else s.limits.stale_ns + least(seen_ns, INT64_MAX - s.limits.stale_ns)


cdef inline void risk_rate(risk_symbol_t* s, int64_t ticks) noexcept nogil:
    """The middle price that converts the money of an instrument is another."""
    s.rate_ticks = ticks
    s.worth = NAN if ticks <= 0 else s.worth_at_one / <double> ticks if s.rate_inverted else s.worth_at_one * <double> ticks
    s.summed[4] = -1    # the sums anew
    s.priced_ticks = NO_PRICE
    s.dirty = True


cdef inline bint divides(divisor_t d, uint64_t n) noexcept nogil:
    """Whether n is a multiple."""
    n *= d.inverse
    return (n >> d.shift | n << ((64 - d.shift) & 63)) <= d.most


cdef inline int risk_order(
    risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t freed_lots, bint replaces, int64_t now_ns
) noexcept nogil:
    """Judge one order before it is sent, and count the outcome.

    `freed_lots` are those of the order that it replaces: they count no longer; `replaces` says whether there is one.
    """
    cdef int i = side < 0
    cdef const bound_t* b = &s.bounds[i]
    cdef int64_t key = <int64_t> (0 - <uint64_t> price_ticks) if i else price_ticks
    cdef uint64_t distance = <uint64_t> price_ticks if price_ticks >= 0 else 0 - <uint64_t> price_ticks
    cdef int64_t more_lots = <int64_t> (<uint64_t> size_lots - <uint64_t> freed_lots)
    cdef bint bad = (
        (g.killed | (load_acquire(g.word) != 0) | g.blocked | s.stopped | s.dirty | (s.sums != g.sums))
        | (g.owing != NULL)
        | (now_ns < g.not_before_ns)
        | (now_ns < s.from_ns)
        | (now_ns > s.fresh_until_ns)
        | (side * side != 1)
        | (key < b.low_key)
        | (key > b.high_key)
        | (key == b.last_key)
        | (size_lots < s.size_min)
        | (size_lots > b.size_max)
        | (more_lots > b.room_lots)
        | (more_lots > b.money_lots)
        | (not divides(s.increment if price_ticks >= s.low_below_ticks else s.low_increment, distance))
        | (not divides(s.lot, <uint64_t> size_lots))
    )
    if likely(not bad):
        g.now_ns = now_ns
        if g.clock:
            g.not_before_ns = now_ns
        g.by_result[RESULT_OK] += 1
        return RESULT_OK
    return risk_slow(g, s, side, price_ticks, size_lots, freed_lots, replaces, now_ns)


cdef class KillSwitch:
    cdef readonly object path
    cdef uint64_t _own
    cdef uint64_t* _word
    cdef object _map
    cdef unsigned char[::1] _view
    cdef void* _watch           # of its page: whether the file was cut
    cdef bint _cut(self) noexcept


cdef class RiskLimits:
    cdef risk_gate_t _gate
    cdef readonly KillSwitch kill_switch
    cdef readonly list audit
    cdef readonly str currency
    cdef dict _account      # settings of the account
    cdef dict _default      # settings of all instruments
    cdef dict _own          # symbol id -> settings that differ
    cdef list _opened       # instruments, by `number` of their state; None where nothing is said of one
    cdef risk_symbol_t* open(self, uint32_t symbol_id, object instrument) except NULL
    cdef int describe(self, risk_symbol_t* s, object instrument) except -1
    cdef int _write(self) except -1
    cdef int _write_symbol(self, risk_symbol_t* s) except -1
    cdef int _write_rate(self, risk_symbol_t* s, object instrument, dict rates) except -1
    cdef int _note(self, object symbol_id, str key, object before, object after, str by) except -1
    cdef int _judge(
        self, side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
    ) except -1
