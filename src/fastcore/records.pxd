"""Scalar types, records, sides, kinds, flags, sentinels and result codes: everything shared, declared once.

The definitions, with a comment per field, are in ``_c/fc_records.h``.
"""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fc_records.h" nogil:
    ctypedef struct event_t "fc_event_t":
        uint64_t seq
        int64_t exch_ns
        int64_t local_ns
        uint32_t symbol_id
        uint8_t kind
        int8_t side
        uint16_t flags
        int64_t payload[4]
        # payload by name; the names of one line share bytes with those of the others
        int64_t price, size, order_id, match_id
        int64_t new_order_id
        int64_t bid, ask, bid_size, ask_size

    ctypedef struct tick_t "fc_tick_t":
        uint64_t timestamp_ns
        uint32_t symbol_id
        uint32_t pad
        double price
        double volume

    const int64_t NO_PRICE "FC_NO_PRICE"
    const uint32_t NO_SYMBOL "FC_NO_SYMBOL"
    const int64_t MATCH_TOOK "FC_MATCH_TOOK"

    cdef enum:
        BUY "FC_BUY"
        SELL "FC_SELL"
        NO_SIDE "FC_NO_SIDE"

    cdef enum:
        KIND_NONE "FC_KIND_NONE"
        KIND_QUOTE "FC_KIND_QUOTE"
        KIND_TRADE "FC_KIND_TRADE"
        KIND_ADD "FC_KIND_ADD"
        KIND_EXECUTE "FC_KIND_EXECUTE"
        KIND_CANCEL "FC_KIND_CANCEL"
        KIND_DELETE "FC_KIND_DELETE"
        KIND_REPLACE "FC_KIND_REPLACE"
        KIND_LEVEL "FC_KIND_LEVEL"
        KIND_CLEAR "FC_KIND_CLEAR"
        KIND_STATUS "FC_KIND_STATUS"
        KIND_TIMER "FC_KIND_TIMER"
        KIND_ORDER "FC_KIND_ORDER"
        KIND_ACK "FC_KIND_ACK"
        KIND_FILL "FC_KIND_FILL"
        KIND_REJECT "FC_KIND_REJECT"
        KIND_PULL "FC_KIND_PULL"
        KIND_PULLED "FC_KIND_PULLED"
        KIND_SYSTEM "FC_KIND_SYSTEM"
        KIND_LISTING "FC_KIND_LISTING"
        KIND_CROSS "FC_KIND_CROSS"
        KIND_BREAK "FC_KIND_BREAK"
        KIND_IMBALANCE "FC_KIND_IMBALANCE"
        KIND_NOTICE "FC_KIND_NOTICE"
        KIND_GAP "FC_KIND_GAP"
        KIND_BAR "FC_KIND_BAR"
        KIND_AMEND "FC_KIND_AMEND"
        KIND_DETAIL "FC_KIND_DETAIL"
        KIND_CONTROL "FC_KIND_CONTROL"
        KIND_TARGET "FC_KIND_TARGET"
        KIND_COUNT "FC_KIND_COUNT"

    cdef enum:
        TRADING_UNKNOWN "FC_TRADING_UNKNOWN"
        TRADING_HALTED "FC_TRADING_HALTED"
        TRADING_PAUSED "FC_TRADING_PAUSED"
        TRADING_QUOTATION "FC_TRADING_QUOTATION"
        TRADING_TRADING "FC_TRADING_TRADING"

    cdef enum:
        SESSION_UNKNOWN "FC_SESSION_UNKNOWN"
        SESSION_MESSAGES_BEGIN "FC_SESSION_MESSAGES_BEGIN"
        SESSION_SYSTEM_OPENS "FC_SESSION_SYSTEM_OPENS"
        SESSION_MARKET_OPENS "FC_SESSION_MARKET_OPENS"
        SESSION_MARKET_CLOSES "FC_SESSION_MARKET_CLOSES"
        SESSION_SYSTEM_CLOSES "FC_SESSION_SYSTEM_CLOSES"
        SESSION_MESSAGES_END "FC_SESSION_MESSAGES_END"

    cdef enum:
        FLAG_CONTINUED "FC_FLAG_CONTINUED"
        FLAG_HIDDEN "FC_FLAG_HIDDEN"
        FLAG_NOT_PRINTABLE "FC_FLAG_NOT_PRINTABLE"
        FLAG_SNAPSHOT "FC_FLAG_SNAPSHOT"
        FLAG_OWN "FC_FLAG_OWN"
        FLAG_MAKER "FC_FLAG_MAKER"
        FLAG_TAKER "FC_FLAG_TAKER"
        FLAG_AT "FC_FLAG_AT"
        FLAG_THROUGH "FC_FLAG_THROUGH"
        FLAG_CROSSING "FC_FLAG_CROSSING"
        FLAG_TOOK "FC_FLAG_TOOK"
        FLAG_AUCTION "FC_FLAG_AUCTION"
        FLAG_HELD "FC_FLAG_HELD"

    cdef enum:
        TERMS_LIMIT "FC_TERMS_LIMIT"
        TERMS_MARKET "FC_TERMS_MARKET"
        TERMS_TYPE "FC_TERMS_TYPE"
        TERMS_DAY "FC_TERMS_DAY"
        TERMS_IOC "FC_TERMS_IOC"
        TERMS_FOK "FC_TERMS_FOK"
        TERMS_GTD "FC_TERMS_GTD"
        TERMS_TIME "FC_TERMS_TIME"
        TERMS_POST_ONLY "FC_TERMS_POST_ONLY"
        TERMS_BITS "FC_TERMS_BITS"

    cdef enum:
        RESULT_OK "FC_OK"
        RESULT_FULL "FC_FULL"
        RESULT_EMPTY "FC_EMPTY"
        RESULT_CLOSED "FC_CLOSED"
        RESULT_PEER_DEAD "FC_PEER_DEAD"
        RESULT_OVERRUN "FC_OVERRUN"
        RESULT_LAYOUT "FC_LAYOUT"
        RESULT_LOCKED "FC_LOCKED"
        RESULT_CORRUPT "FC_CORRUPT"
        RESULT_IO "FC_IO"
        RESULT_NO_MEMORY "FC_NO_MEMORY"
        RESULT_SHORT_BUFFER "FC_SHORT_BUFFER"
        RESULT_UNKNOWN_TYPE "FC_UNKNOWN_TYPE"
        RESULT_BAD_LENGTH "FC_BAD_LENGTH"
        RESULT_UNKNOWN_SYMBOL "FC_UNKNOWN_SYMBOL"
        RESULT_UNKNOWN_ORDER "FC_UNKNOWN_ORDER"
        RESULT_DUPLICATE_ORDER "FC_DUPLICATE_ORDER"
        RESULT_BAD_PRICE "FC_BAD_PRICE"
        RESULT_BAD_SIZE "FC_BAD_SIZE"
        RESULT_LIMIT_SIZE "FC_LIMIT_SIZE"
        RESULT_LIMIT_POSITION "FC_LIMIT_POSITION"
        RESULT_LIMIT_COLLAR "FC_LIMIT_COLLAR"
        RESULT_NO_REFERENCE "FC_NO_REFERENCE"
        RESULT_STORE_FAILED "FC_STORE_FAILED"
        RESULT_GAP "FC_GAP"
        RESULT_CHECKSUM "FC_CHECKSUM"
        RESULT_BAD_TERMS "FC_BAD_TERMS"
        RESULT_NOT_TRADING "FC_NOT_TRADING"
        RESULT_SELF_TRADE "FC_SELF_TRADE"
        RESULT_POST_ONLY "FC_POST_ONLY"
        RESULT_UNFILLABLE "FC_UNFILLABLE"
        RESULT_EXPIRED "FC_EXPIRED"
        RESULT_KILLED "FC_KILLED"
        RESULT_DISABLED "FC_DISABLED"
        RESULT_BAD_CLOCK "FC_BAD_CLOCK"
        RESULT_OFF_INCREMENT "FC_OFF_INCREMENT"
        RESULT_OFF_LOT "FC_OFF_LOT"
        RESULT_LIMIT_MINIMUM "FC_LIMIT_MINIMUM"
        RESULT_LIMIT_VALUE "FC_LIMIT_VALUE"
        RESULT_LIMIT_LAST "FC_LIMIT_LAST"
        RESULT_STALE_MARKET "FC_STALE_MARKET"
        RESULT_CROSSED_MARKET "FC_CROSSED_MARKET"
        RESULT_FEED_LAG "FC_FEED_LAG"
        RESULT_SHORT_SALE "FC_SHORT_SALE"
        RESULT_REPEATED_ORDER "FC_REPEATED_ORDER"
        RESULT_LIMIT_ORDERS "FC_LIMIT_ORDERS"
        RESULT_LIMIT_GROSS "FC_LIMIT_GROSS"
        RESULT_LIMIT_NET "FC_LIMIT_NET"
        RESULT_LIMIT_GROUP_GROSS "FC_LIMIT_GROUP_GROSS"
        RESULT_LIMIT_GROUP_NET "FC_LIMIT_GROUP_NET"
        RESULT_BUYING_POWER "FC_BUYING_POWER"
        RESULT_RATE_SECOND "FC_RATE_SECOND"
        RESULT_RATE_MINUTE "FC_RATE_MINUTE"
        RESULT_ORDER_TO_TRADE "FC_ORDER_TO_TRADE"
        RESULT_LOSS_REALISED "FC_LOSS_REALISED"
        RESULT_LOSS_UNREALISED "FC_LOSS_UNREALISED"
        RESULT_LOSS_DAY "FC_LOSS_DAY"
        RESULT_LOSS_DRAWDOWN "FC_LOSS_DRAWDOWN"
        RESULT_REPEATED_FILLS "FC_REPEATED_FILLS"


cdef extern from "fc_platform.h" nogil:
    bint likely "FC_LIKELY"(bint)
    bint unlikely "FC_UNLIKELY"(bint)
    void prefetch "FC_PREFETCH"(const void*)
    void prefetch_write "fc_prefetch_write"(const void*)
    void fc_assert(bint)
    void* fc_alloc(size_t count, size_t size)
    void fc_free(void*)


cdef extern from "fc_atomic.h" nogil:
    uint64_t load_acquire "fc_load_acquire"(const uint64_t*)
    void store_release "fc_store_release"(uint64_t*, uint64_t)
    uint64_t load_relaxed "fc_load_relaxed"(const uint64_t*)
    void store_relaxed "fc_store_relaxed"(uint64_t*, uint64_t)
    uint64_t fetch_add "fc_fetch_add"(uint64_t*, uint64_t)
    bint compare_exchange "fc_compare_exchange"(uint64_t*, uint64_t*, uint64_t)
    void fence_acquire "fc_fence_acquire"()
    void fence_release "fc_fence_release"()
    void cpu_pause "fc_pause"()


cdef extern from "fc_bytes.h" nogil:
    uint16_t be16 "fc_be16"(const uint8_t*)
    uint32_t be32 "fc_be32"(const uint8_t*)
    uint64_t be48 "fc_be48"(const uint8_t*)
    uint64_t be64 "fc_be64"(const uint8_t*)
    void put_be16 "fc_put_be16"(uint8_t*, uint16_t)
    void put_be32 "fc_put_be32"(uint8_t*, uint32_t)
    void put_be48 "fc_put_be48"(uint8_t*, uint64_t)
    void put_be64 "fc_put_be64"(uint8_t*, uint64_t)
    uint64_t key8 "fc_key8"(const uint8_t*)


cdef inline int64_t floor_div(int64_t a, int64_t b) noexcept nogil:
    """Quotient rounded towards minus infinity; b > 0 (C truncates towards zero)."""
    cdef int64_t q = a // b
    return q - (1 if a - q * b < 0 else 0)


cdef inline int64_t floor_mod(int64_t a, int64_t b) noexcept nogil:
    """Remainder in [0, b); b > 0."""
    cdef int64_t r = a % b
    return r + b if r < 0 else r
