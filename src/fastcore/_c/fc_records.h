/* The event and the tick: layouts, kinds, sides, flags, sentinels, result codes.

   offset  size  field (event, one cache line)
   0       8     seq        publication number: the commit word, written last with release order; before publication
                            the number that the venue gave (packet sequence, update id), 0 where it gives none
   8       8     exch_ns    exchange time, ns since the UNIX epoch
   16      8     local_ns   receive time, ns since the UNIX epoch; 0 where there is none
   24      4     symbol_id
   28      1     kind       enum fc_kind
   29      1     side       +1 buy, -1 sell, 0 none; the resting side for executions
   30      2     flags      enum fc_flag
   32      32    payload    4 x int64, named by kind
*/
#ifndef FC_RECORDS_H
#define FC_RECORDS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fc_event {
    uint64_t seq;
    int64_t exch_ns;
    int64_t local_ns;
    uint32_t symbol_id;
    uint8_t kind;
    int8_t side;
    uint16_t flags;
    union {
        int64_t payload[4];
        struct {
            int64_t price;    /* ticks; FC_NO_PRICE where the message carries none */
            int64_t size;     /* lots */
            int64_t order_id; /* bit pattern of the venue's unsigned 64-bit reference */
            union {
                int64_t match_id;     /* execute, trade, fill */
                int64_t new_order_id; /* replace */
            };
        };
        struct {
            int64_t bid, ask;           /* ticks; FC_NO_PRICE for an empty side */
            int64_t bid_size, ask_size; /* lots */
        };
    };
} fc_event_t;

/* Native "QIdd": four bytes of padding after symbol_id. */
typedef struct fc_tick {
    uint64_t timestamp_ns;
    uint32_t symbol_id;
    uint32_t pad;
    double price;
    double volume;
} fc_tick_t;

static_assert(sizeof(fc_event_t) == 64, "an event is one cache line");
static_assert(offsetof(fc_event_t, exch_ns) == 8, "layout");
static_assert(offsetof(fc_event_t, local_ns) == 16, "layout");
static_assert(offsetof(fc_event_t, symbol_id) == 24, "layout");
static_assert(offsetof(fc_event_t, kind) == 28, "layout");
static_assert(offsetof(fc_event_t, side) == 29, "layout");
static_assert(offsetof(fc_event_t, flags) == 30, "layout");
static_assert(offsetof(fc_event_t, payload) == 32, "layout");
static_assert(offsetof(fc_event_t, new_order_id) == 56, "layout");
static_assert(offsetof(fc_event_t, ask_size) == 56, "layout");
static_assert(sizeof(fc_tick_t) == 32, "a tick is native QIdd");
static_assert(offsetof(fc_tick_t, symbol_id) == 8, "layout");
static_assert(offsetof(fc_tick_t, price) == 16, "layout");
static_assert(offsetof(fc_tick_t, volume) == 24, "layout");

/* Outside the range of any price, and never 0. */
#define FC_NO_PRICE INT64_MIN
#define FC_NO_SYMBOL UINT32_MAX
/* match_id of a fill for which our order took displayed liquidity when it arrived. */
#define FC_MATCH_TOOK (-1)

enum fc_side { FC_SELL = -1, FC_NO_SIDE = 0, FC_BUY = 1 };

enum fc_kind {
    FC_KIND_NONE = 0,
    FC_KIND_QUOTE = 1,    /* bid, ask, bid_size, ask_size: best prices changed */
    FC_KIND_TRADE = 2,    /* price, size, order_id, match_id: a print that touches no displayed order */
    FC_KIND_ADD = 3,      /* price, size, order_id */
    FC_KIND_EXECUTE = 4,  /* price (or none: the order's own), size, order_id, match_id */
    FC_KIND_CANCEL = 5,   /* size taken off order_id */
    FC_KIND_DELETE = 6,   /* order_id leaves the book */
    FC_KIND_REPLACE = 7,  /* price, size, order_id, new_order_id; loses its place in the queue */
    FC_KIND_LEVEL = 8,    /* price, size: the total of a price level */
    FC_KIND_CLEAR = 9,    /* the book is empty */
    FC_KIND_STATUS = 10,  /* payload[0]: enum fc_trading, payload[1]: reason, payload[3]: what the venue says, where that is more */
    FC_KIND_TIMER = 11,
    FC_KIND_ORDER = 12,   /* own order sent: price, size, order_id, payload[3]: enum fc_terms */
    FC_KIND_ACK = 13,     /* own order accepted */
    FC_KIND_FILL = 14,    /* own order filled: price, size, order_id, match_id */
    FC_KIND_REJECT = 15,  /* own order refused: payload[3] is the result code */
    FC_KIND_PULL = 16,    /* own cancel sent: order_id */
    FC_KIND_PULLED = 17,  /* own order cancelled: size that was left, order_id, payload[3]: result code, where nobody asked for it */
    FC_KIND_SYSTEM = 18,  /* payload[0]: enum fc_session, payload[3]: what the venue says, where that is unknown */
    FC_KIND_LISTING = 19, /* payload[0]: eight bytes of symbol, payload[1]: round lot */
    FC_KIND_CROSS = 20,   /* price, size, payload[2]: cross type, match_id */
    FC_KIND_BREAK = 21,   /* match_id: a trade that is undone */
    FC_KIND_IMBALANCE = 22, /* of an auction: see itch.pyx; continued */
    FC_KIND_NOTICE = 23,  /* payload[0]: letter of an administrative message, the rest by letter: see itch.pyx; may be continued */
    FC_KIND_GAP = 24,     /* payload[0]: first missing sequence number, payload[1]: how many, or -1 where the feed cannot say */
    FC_KIND_BAR = 25,     /* open, high, low, close; continued by a second one: volume, count of trades or -1, interval_ns, 0 */
    FC_KIND_AMEND = 26,   /* own order changed: price, size in all with what is filled, order_id */
    FC_KIND_DETAIL = 27,  /* of the fill before it: lots that were ahead, lots left, number of the market event, displaced lots that
                             were served before us */
    FC_KIND_CONTROL = 28, /* limits, parameters or the kill switch were changed: order_id is the number of the change */
    FC_KIND_TARGET = 29,  /* wanted position: payload[0]: lots, or no price for none; payload[1]: ns after which to cross */
    FC_KIND_COUNT = 30
};

/* Whether a symbol trades, in the words of no particular venue. */
enum fc_trading {
    FC_TRADING_UNKNOWN = 0,
    FC_TRADING_HALTED = 1,    /* by the regulator or the venue */
    FC_TRADING_PAUSED = 2,    /* for a moment, by a rule about the price */
    FC_TRADING_QUOTATION = 3, /* orders are taken, nothing trades */
    FC_TRADING_TRADING = 4
};

/* What begins or ends for the whole market. */
enum fc_session {
    FC_SESSION_UNKNOWN = 0,
    FC_SESSION_MESSAGES_BEGIN = 1,
    FC_SESSION_SYSTEM_OPENS = 2,
    FC_SESSION_MARKET_OPENS = 3,
    FC_SESSION_MARKET_CLOSES = 4,
    FC_SESSION_SYSTEM_CLOSES = 5,
    FC_SESSION_MESSAGES_END = 6
};

enum fc_flag {
    FC_FLAG_CONTINUED = 1,     /* the next event carries more values of the same message */
    FC_FLAG_HIDDEN = 2,        /* against non-displayed liquidity */
    FC_FLAG_NOT_PRINTABLE = 4, /* must not be counted in volume */
    FC_FLAG_SNAPSHOT = 8,      /* part of an image of the book, not a change */
    FC_FLAG_OWN = 16,          /* caused by one of our own orders */
    /* Of a fill: what our order was, */
    FC_FLAG_MAKER = 32,
    FC_FLAG_TAKER = 64,
    /* and what filled it (FC_FLAG_HIDDEN: a print against hidden liquidity through our price). */
    FC_FLAG_AT = 128,          /* an execution at our price that was behind us */
    FC_FLAG_THROUGH = 256,     /* an execution at a worse price */
    FC_FLAG_CROSSING = 512,    /* an arrival on the other side that reached our price */
    FC_FLAG_TOOK = 1024,       /* our own arrival */
    FC_FLAG_AUCTION = 2048,    /* a cross at a better price than ours */
    FC_FLAG_HELD = 4096        /* of a reject: our own, the message has not left */
};

/* Terms of an order: these bits, and above them the time of expiry in ns with its low eight bits cleared (0: none). */
enum fc_terms {
    FC_TERMS_LIMIT = 0,
    FC_TERMS_MARKET = 1,
    FC_TERMS_TYPE = 3,         /* mask */
    FC_TERMS_DAY = 0,
    FC_TERMS_IOC = 4,          /* what is not filled at once is pulled */
    FC_TERMS_FOK = 8,          /* filled at once and in full, or refused */
    FC_TERMS_GTD = 12,         /* until its expiry */
    FC_TERMS_TIME = 28,        /* mask */
    FC_TERMS_POST_ONLY = 32,   /* refused where it would trade on arrival */
    FC_TERMS_BITS = 255        /* mask of all but the expiry */
};

/* Outcomes of nogil calls; errors.py maps them to exceptions. */
enum fc_result {
    FC_OK = 0,
    FC_FULL = 1,
    FC_EMPTY = 2,
    FC_CLOSED = 3,
    FC_PEER_DEAD = 4,
    FC_OVERRUN = 5,
    FC_LAYOUT = 6,
    FC_LOCKED = 7,
    FC_CORRUPT = 8,
    FC_IO = 9,
    FC_NO_MEMORY = 10,
    FC_SHORT_BUFFER = 11,
    FC_UNKNOWN_TYPE = 12,
    FC_BAD_LENGTH = 13,
    FC_UNKNOWN_SYMBOL = 14,
    FC_UNKNOWN_ORDER = 15,
    FC_DUPLICATE_ORDER = 16,
    FC_BAD_PRICE = 17,
    FC_BAD_SIZE = 18,
    FC_LIMIT_SIZE = 19,
    FC_LIMIT_POSITION = 20,
    FC_LIMIT_COLLAR = 21,
    FC_NO_REFERENCE = 22,
    FC_STORE_FAILED = 23,
    FC_GAP = 24,         /* sequence numbers are missing: the book needs a snapshot */
    FC_CHECKSUM = 25,    /* a checksum of the venue does not agree */
    FC_BAD_TERMS = 26,   /* terms of an order that contradict each other, or that nobody knows */
    FC_NOT_TRADING = 27, /* the instrument takes no orders now */
    FC_SELF_TRADE = 28,  /* the order would meet an own one */
    FC_POST_ONLY = 29,   /* the order would trade on arrival */
    FC_UNFILLABLE = 30,  /* fill or kill, and there is not enough */
    FC_EXPIRED = 31,
    /* Of the checks before an order leaves: risk.pyx. */
    FC_KILLED = 32,
    FC_DISABLED = 33,
    FC_BAD_CLOCK = 34,
    FC_OFF_INCREMENT = 35,
    FC_OFF_LOT = 36,
    FC_LIMIT_MINIMUM = 37,
    FC_LIMIT_VALUE = 38,
    FC_LIMIT_LAST = 39,
    FC_STALE_MARKET = 40,
    FC_CROSSED_MARKET = 41,
    FC_FEED_LAG = 42,
    FC_SHORT_SALE = 43,
    FC_REPEATED_ORDER = 44,
    FC_LIMIT_ORDERS = 45,
    FC_LIMIT_GROSS = 46,
    FC_LIMIT_NET = 47,
    FC_LIMIT_GROUP_GROSS = 48,
    FC_LIMIT_GROUP_NET = 49,
    FC_BUYING_POWER = 50,
    FC_RATE_SECOND = 51,
    FC_RATE_MINUTE = 52,
    FC_ORDER_TO_TRADE = 53,
    FC_LOSS_REALISED = 54,
    FC_LOSS_UNREALISED = 55,
    FC_LOSS_DAY = 56,
    FC_LOSS_DRAWDOWN = 57,
    FC_REPEATED_FILLS = 58
};

#endif
